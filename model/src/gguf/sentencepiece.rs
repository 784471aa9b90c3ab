//! SentencePiece's tokenizer (Llama 2, Gemma) as byte-pair merges, the way Hugging Face's own converter does it.
//!
//! SentencePiece joins the two neighbours whose joined text has the best score. So every way to cut a token in two
//! tokens is a merge, and the merges' order is that of the scores.
use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::reader::{GgufFile, Value};
use super::tokenizer::Tokens;

/// What stands for a space within a token.
const SPACE: &str = "\u{2581}";

pub(super) fn tokenizer(gguf: &GgufFile, tokens: &Tokens<'_>) -> Json {
    let prefix = gguf.value("tokenizer.ggml.add_space_prefix") != Some(&Value::Bool(false));
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let normaliser = match prefix {
        true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]}),
        false => spaces,
    };
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = tokens.role(gguf, "unknown").map(|(_, text)| text);
    let vocabulary = tokens.vocabulary();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens.added(),
        "normalizer": normaliser, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges(tokens),
        },
    })
}

fn merges(tokens: &Tokens<'_>) -> Vec<[String; 2]> {
    // only what a text can be made of: control tokens and bytes are never joined to anything
    let known: HashMap<&str, usize> = tokens
        .all
        .iter()
        .enumerate()
        .filter(|(_, (_, kind, _))| matches!(kind, 1 | 4))
        .map(|(id, (text, _, _))| (*text, id))
        .collect();
    let mut merges = Vec::new();
    for (text, kind, score) in &tokens.all {
        if !matches!(kind, 1 | 4) {
            continue;
        }
        let mut own: Vec<(usize, usize, &str, &str)> = text
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = text.split_at(at);
                Some((*known.get(left)?, *known.get(right)?, left, right))
            })
            .collect();
        own.sort_unstable();
        merges.extend(own.into_iter().map(|(_, _, left, right)| (*score, left, right)));
    }
    // the sort is stable: equal scores stay in the order of the ids
    merges.sort_by(|(a, left_a, right_a), (b, left_b, right_b)| {
        let lengths = |left: &str, right: &str| (left.chars().count(), right.chars().count());
        b.partial_cmp(a)
            .unwrap_or(Ordering::Equal)
            .then_with(|| lengths(left_b, right_b).cmp(&lengths(left_a, right_a)))
    });
    merges
        .into_iter()
        .map(|(_, left, right)| [left.to_owned(), right.to_owned()])
        .collect()
}
