//! `tokenizer.json` from the tokenizer in a GGUF file's metadata.
use serde_json::{Map, Value as Json, json};

use super::reader::{GgufFile, Value};
use super::{GgufError, sentencepiece};

/// What a token is, by GGUF's number.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const BYTE: u64 = 6;

/// Words of the tokenizers of GPT-4's kind; `%d` is what they take for a number.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%d| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The tokens of a file.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    /// Text, kind and score of each token, by its id.
    pub(super) all: Vec<(&'a str, u64, f64)>,
}

impl<'a> Tokens<'a> {
    /// Reads them.
    pub(super) fn of(gguf: &'a GgufFile) -> Result<Self, GgufError> {
        let list = |key: &str| {
            gguf.value(&format!("tokenizer.ggml.{key}"))
                .and_then(Value::as_list)
        };
        let texts = list("tokens").ok_or_else(|| gguf.damaged("it has no tokenizer"))?;
        let (kinds, scores) = (
            list("token_type").unwrap_or_default(),
            list("scores").unwrap_or_default(),
        );
        let all = texts.iter().enumerate().map(|(id, text)| {
            let kind = kinds.get(id).and_then(Value::as_u64).unwrap_or(NORMAL);
            let score = scores.get(id).and_then(Value::as_f64).unwrap_or_default();
            text.as_str().map(|text| (text, kind, score))
        });
        let all: Option<Vec<_>> = all.collect();
        all.map(|all| Self { all })
            .ok_or_else(|| gguf.damaged("it has a token that is no text"))
    }

    /// The text of the token that plays a role, for example `bos`.
    pub(super) fn role(&self, gguf: &GgufFile, role: &str) -> Option<(u64, &'a str)> {
        let id = gguf
            .value(&format!("tokenizer.ggml.{role}_token_id"))
            .and_then(Value::as_u64)?;
        let (text, _, _) = self.all.get(usize::try_from(id).ok()?)?;
        Some((id, text))
    }

    /// Tokens that are found in a text before anything else.
    pub(super) fn added(&self) -> Vec<Json> {
        let added = |(id, (text, kind, _)): (usize, &(&str, u64, f64))| {
            json!({
                "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == CONTROL,
            })
        };
        self.all
            .iter()
            .enumerate()
            .filter(|(_, (text, kind, _))| is_added(*kind) && !text.is_empty())
            .map(added)
            .collect()
    }

    /// Every token with its id, the ones left out that nothing ever makes.
    pub(super) fn vocabulary(&self) -> Map<String, Json> {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, (_, kind, _))| [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE].contains(kind))
            .map(|(id, (text, _, _))| ((*text).to_owned(), json!(id)))
            .collect()
    }
}

const fn is_added(kind: u64) -> bool {
    matches!(kind, CONTROL | USER_DEFINED)
}

/// The contents of `tokenizer.json`.
///
/// # Errors
/// [`GgufError::NotHandled`] for kinds of tokenizers, [`GgufError::Damaged`].
pub fn tokenizer(gguf: &GgufFile) -> Result<String, GgufError> {
    let tokens = Tokens::of(gguf)?;
    let mut whole = match gguf.text("tokenizer.ggml.model") {
        Some("gpt2") => byte_level_bpe(gguf, &tokens)?,
        Some("llama") => sentencepiece::tokenizer(gguf, &tokens),
        other => {
            return Err(GgufError::not_handled(
                format!("a tokenizer of the kind `{}`", other.unwrap_or("unknown")),
                "byte-level BPE (gpt2) and SentencePiece (llama) are",
            ));
        }
    };
    if let Some(first) = first_token(gguf, &tokens)
        && let Some(whole) = whole.as_object_mut()
    {
        whole.insert("post_processor".into(), first);
    }
    // files are compared by their hashes: one order, whatever a JSON object keeps
    whole.sort_all_objects();
    Ok(whole.to_string())
}

/// Puts the token at the start of every text, for programs that ask for it; chat templates write it themselves.
fn first_token(gguf: &GgufFile, tokens: &Tokens<'_>) -> Option<Json> {
    if gguf.value("tokenizer.ggml.add_bos_token") != Some(&Value::Bool(true)) {
        return None;
    }
    let (id, text) = tokens.role(gguf, "bos")?;
    let first = json!({"SpecialToken": {"id": text, "type_id": 0}});
    let sequence = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
    Some(json!({
        "type": "TemplateProcessing",
        "single": [first, sequence("A", 0)],
        "pair": [first, sequence("A", 0), sequence("B", 1)],
        "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
    }))
}

fn byte_level(use_regex: bool) -> Json {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

fn words(digits: &str) -> Json {
    let pattern = json!({"Regex": WORDS.replace("%d", digits)});
    json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false})
}

fn sequence(parts: &[Json]) -> Json {
    json!({"type": "Sequence", "pretokenizers": parts})
}

/// (Normaliser, pre-tokenizer, whether whole words that are tokens are not merged) of one of llama.cpp's named kinds.
fn pre_tokenizer(kind: &str) -> Result<(Json, Json, bool), GgufError> {
    Ok(match kind {
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            (Json::Null, sequence(&[digits, byte_level(true)]), false)
        }
        "qwen2" | "deepseek-r1-qwen" => {
            let normaliser = json!({"type": "NFC"});
            (normaliser, sequence(&[words(r"\p{N}"), byte_level(false)]), false)
        }
        "llama-bpe" | "llama3" | "llama-v3" => (
            Json::Null,
            sequence(&[words(r"\p{N}{1,3}"), byte_level(false)]),
            true,
        ),
        "gpt-2" | "default" => (Json::Null, byte_level(true), false),
        other => {
            return Err(GgufError::not_handled(
                format!("the pre-tokenizer `{other}`"),
                "smollm, qwen2, llama-bpe and gpt-2 are",
            ));
        }
    })
}

fn byte_level_bpe(gguf: &GgufFile, tokens: &Tokens<'_>) -> Result<Json, GgufError> {
    let kind = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
    let (normaliser, pre, ignore_merges) = pre_tokenizer(kind)?;
    let merges = gguf
        .value("tokenizer.ggml.merges")
        .and_then(Value::as_list)
        .ok_or_else(|| gguf.damaged("its tokenizer has no merges"))?;
    let merges: Option<Vec<Json>> = merges
        .iter()
        // a token may begin with what stands for a space, never with a space
        .map(|merge| merge.as_str()?.split_once(' ').map(|(a, b)| json!([a, b])))
        .collect();
    let mut vocabulary = tokens.vocabulary();
    if kind != "smollm" && kind != "gpt-2" && kind != "default" {
        // as in these models' own files, added tokens are no part of the vocabulary
        for (text, _, _) in tokens.all.iter().filter(|(_, kind, _)| is_added(*kind)) {
            vocabulary.remove(*text);
        }
    }
    let post =
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true});
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens.added(),
        "normalizer": normaliser, "pre_tokenizer": pre,
        "post_processor": if kind == "smollm" { Json::Null } else { post },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": ignore_merges,
            "vocab": vocabulary,
            "merges": merges.ok_or_else(|| gguf.damaged("its tokenizer has a merge that is no pair"))?,
        },
    }))
}
