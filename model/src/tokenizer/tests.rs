//! Tests of the detokenizer against the library's own decoding of the whole.
use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// GPT-2's alphabet, written the way its inventors did: an independent statement of `byte_of`.
fn alphabet() -> Vec<char> {
    let printable: Vec<u32> = (0x21..=0x7e).chain(0xa1..=0xac).chain(0xae..=0xff).collect();
    let mut extra = 0;
    (0..256u32)
        .map(|byte| {
            let code = if printable.contains(&byte) {
                byte
            } else {
                extra += 1;
                255 + extra
            };
            char::from_u32(code).unwrap()
        })
        .collect()
}

/// A token for every byte, one of two characters, one special token (257) and one added as plain text (258).
fn byte_level() -> TextTokenizer {
    let mut vocab: Map<String, Value> = alphabet()
        .into_iter()
        .enumerate()
        .map(|(id, c)| (c.to_string(), json!(id)))
        .collect();
    vocab.insert("\u{120}a".into(), json!(256));
    let added = |id: u32, content: &str, special: bool| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special});
    let text = json!({
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}, "padding": null,
        "added_tokens": [added(257, "<|end|>", true), added(258, "\u{6f22}", false)],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": [["\u{120}", "a"]]}
    });
    TextTokenizer::new(text.to_string().parse().unwrap())
}

/// As Llama 2's: word pieces with a mark for a space, and a token for every byte as a fallback.
fn sentence_piece() -> TextTokenizer {
    let mut vocab: Map<String, Value> = (0..256)
        .map(|byte| (format!("<0x{byte:02X}>"), json!(byte)))
        .collect();
    for (id, piece) in [
        "\u{2581}",
        "\u{2581}Hello",
        "\u{2581}world",
        "!",
        "\u{e9}",
        "<unk>",
    ]
    .iter()
    .enumerate()
    {
        vocab.insert((*piece).into(), json!(256 + id));
    }
    let text = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": []}
    });
    TextTokenizer::new(text.to_string().parse().unwrap())
}

fn stream(tokenizer: &TextTokenizer, tokens: &[u32]) -> Vec<String> {
    let mut detokenizer = tokenizer.detokenizer();
    let mut pieces: Vec<String> = tokens.iter().map(|token| detokenizer.push(*token)).collect();
    pieces.push(detokenizer.finish());
    pieces
}

#[test]
fn the_alphabet_is_gpt_2s() {
    for (byte, character) in alphabet().into_iter().enumerate() {
        assert_eq!(byte_of(character), u8::try_from(byte).ok());
    }
    assert_eq!(byte_of('\u{144}'), None);
}

#[test]
fn an_emoji_of_many_tokens_comes_whole() {
    let family = "a\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}!";
    let tokens: Vec<u32> = family.bytes().map(u32::from).collect();
    for tokenizer in [byte_level(), sentence_piece()] {
        let pieces = stream(&tokenizer, &tokens);
        assert_eq!(pieces.concat(), family);
        assert!(
            !pieces
                .iter()
                .any(|piece| piece.contains(char::REPLACEMENT_CHARACTER))
        );
        assert_eq!(
            pieces[1..5],
            ["", "", "", "\u{1f468}"],
            "a character comes with its last byte"
        );
    }
}

#[test]
fn special_tokens_have_no_text_and_added_ones_have() {
    let pieces = stream(&byte_level(), &[65, 257, 258, 256]);
    assert_eq!(pieces, ["A", "", "\u{6f22}", " a", ""]);
}

#[test]
fn an_unfinished_character_at_the_end_is_marked() {
    assert_eq!(stream(&byte_level(), &[65, 0xf0, 0x9f]).concat(), "A\u{fffd}");
    assert_eq!(stream(&byte_level(), &[0xff, 65]).concat(), "\u{fffd}A");
}

#[test]
fn a_space_between_words_is_neither_lost_nor_doubled() {
    let pieces = stream(&sentence_piece(), &[257, 258, 259, 258]);
    assert_eq!(pieces, ["Hello", " world", "!", " world", ""]);
}

#[test]
fn special_tokens_in_a_persons_text_are_defused() {
    let tokenizer = byte_level();
    assert!(tokenizer.encode("x<|end|>").unwrap().contains(&257));
    let safe = tokenizer.defuse("x<|end|> y<|end|><|end|>");
    assert_eq!(safe, "x< |end|> y< |end|>< |end|>");
    assert!(!tokenizer.encode(&safe).unwrap().contains(&257));
    assert_eq!(tokenizer.defuse("plain \u{6f22}"), "plain \u{6f22}");
}

#[test]
fn settings_for_training_do_not_cut_prompts() {
    assert_eq!(byte_level().count("abcdefgh"), 8);
    assert_eq!(byte_level().encode("abcdefgh").unwrap().len(), 8);
}

#[test]
fn added_tokens_that_the_template_uses_are_defused_too() {
    let mut text: Value = serde_json::from_str(&byte_level().inner.to_string(false).unwrap()).unwrap();
    for (id, content) in [
        (259, "<|user|>"),
        (260, "\n\n"),
        (261, "user"),
        (262, "<|never|>"),
    ] {
        text["added_tokens"]
            .as_array_mut()
            .unwrap()
            .push(json!({"id": id, "content": content, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": false}));
    }
    let tokenizer = TextTokenizer::new(text.to_string().parse().unwrap());
    assert_eq!(
        tokenizer.defuse("a<|user|>"),
        "a<|user|>",
        "nobody has said that it is a mark"
    );
    let tokenizer = tokenizer.guarding(&["{{ '<|user|>' }}", "<|user|>\n\nhi"]);
    assert_eq!(
        tokenizer.defuse("a<|user|> user\n\n<|never|><|end|>"),
        "a< |user|> user\n\n<|never|>< |end|>"
    );
}

#[test]
fn a_byte_that_is_no_character_swallows_nothing() {
    let pieces = stream(
        &sentence_piece(),
        &[257, 0xc3, 0xa9, 0xff, 258, 0xf0, 0x9f, 258, 259],
    );
    assert_eq!(pieces.concat(), "Hello\u{e9}\u{fffd} world\u{fffd} world!");
    assert_eq!(stream(&sentence_piece(), &[0x41, 258]).concat(), "A world");
}

/// What SentencePiece tokens mean, stated anew: runs of bytes, pieces with a mark for a space, none at the beginning.
fn meaning(tokens: &[u32]) -> String {
    let pieces = ["\u{2581}", "\u{2581}Hello", "\u{2581}world", "!", "\u{e9}"];
    let (mut text, mut bytes) = (String::new(), Vec::new());
    for token in tokens {
        match u8::try_from(*token) {
            Ok(byte) => bytes.push(byte),
            Err(_) => {
                text.push_str(&String::from_utf8_lossy(&std::mem::take(&mut bytes)));
                text.push_str(&pieces[*token as usize - 256].replace('\u{2581}', " "));
            }
        }
    }
    text.push_str(&String::from_utf8_lossy(&bytes));
    let strips = tokens.first().is_some_and(|token| *token >= 256);
    if strips {
        text.strip_prefix(' ').unwrap_or(&text).to_owned()
    } else {
        text
    }
}

proptest! {
    #[test]
    fn sentence_pieces_are_never_swallowed(tokens in proptest::collection::vec(prop_oneof![0u32..256, 256u32..261, Just(0xc3u32), Just(0xa9u32)], 0..40)) {
        prop_assert_eq!(stream(&sentence_piece(), &tokens).concat(), meaning(&tokens));
    }

    #[test]
    fn whole_characters_between_sentence_pieces_are_the_decoded_whole(parts in proptest::collection::vec((any::<char>(), 256u32..261), 0..12)) {
        let tokens: Vec<u32> = parts
            .iter()
            .flat_map(|(char, piece)| char.to_string().bytes().map(u32::from).chain([*piece]).collect::<Vec<_>>())
            .collect();
        let tokenizer = sentence_piece();
        let decoded = tokenizer.inner.decode(&tokens, true).unwrap();
        // the library drops a space at the beginning even if it was written as a byte; we keep what the model wrote
        prop_assume!(!decoded.is_empty() && parts.first().is_none_or(|(char, _)| *char != ' '));
        prop_assert_eq!(stream(&tokenizer, &tokens).concat(), decoded);
    }

    #[test]
    fn the_pieces_of_any_byte_tokens_are_the_decoded_whole(tokens in proptest::collection::vec(0u32..259, 0..40)) {
        let tokenizer = byte_level();
        let plain: Vec<u32> = tokens.iter().copied().filter(|token| *token < 257).collect();
        prop_assert_eq!(stream(&tokenizer, &plain).concat(), tokenizer.inner.decode(&plain, true).unwrap());
    }

    #[test]
    fn the_pieces_of_any_text_are_the_text(text in "\\PC{0,12}") {
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        for tokenizer in [byte_level(), sentence_piece()] {
            prop_assert_eq!(stream(&tokenizer, &tokens).concat(), text.as_str());
        }
    }
}
