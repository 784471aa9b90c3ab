use proptest::prelude::*;

use super::*;

fn names() -> Vec<String> {
    vec!["Ada Lovelace".to_owned()]
}

/// Texts that have what is personal in them, beside anything else.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "\\PC{0,12}",
        1 => Just("ada@example.org".to_owned()),
        1 => Just("+49 30 901820-11".to_owned()),
        1 => Just("DE89 3704 0044 0532 0130 00".to_owned()),
        1 => Just("4111 1111 1111 1111".to_owned()),
        1 => Just("192.168.1.20".to_owned()),
        1 => Just("https://u:secret@example.org/a".to_owned()),
        1 => Just("Ada Lovelace".to_owned()),
        1 => Just("[EMAIL_1]".to_owned()),
        1 => Just("[email_".to_owned()),
        1 => Just("\\[ [[TEXT_1] ]".to_owned()),
        1 => Just(" ".to_owned()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn masking_and_unmasking_is_the_identity_however_it_is_cut(
        earlier in texts(),
        text in texts(),
        cuts in proptest::collection::vec(1usize..7, 1..20),
    ) {
        let mut masks = Masks::default();
        masks.learn(&earlier);
        masks.mask(&earlier, &names());
        let masked = masks.mask(&text, &names());
        prop_assert_eq!(masks.unmask(&masked.text), &*text);
        let (mut unmasker, mut back) = (masks.unmasker(), String::new());
        let letters: Vec<char> = masked.text.chars().collect();
        let (mut rest, mut cuts) = (letters.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            back.push_str(&unmasker.push(&now.iter().collect::<String>()));
            rest = later;
        }
        back.push_str(&unmasker.finish());
        prop_assert_eq!(back, text);
    }

    #[test]
    fn nothing_of_what_was_found_is_left(text in texts()) {
        let masked = Masks::default().mask(&text, &names());
        for (kind, _, value) in &masked.spans {
            let glued = matches!(kind, Kind::Name | Kind::Text) || value.chars().count() < SHORTEST_PART;
            prop_assert!(glued || !masked.text.contains(value.as_str()), "{:?} left in {:?}", value, masked.text);
        }
    }

    #[test]
    fn whatever_stands_for_itself_is_found(words in proptest::collection::vec(texts(), 0..4)) {
        const PERSONAL: [&str; 7] = [
            "ada@example.org",
            "+49 30 901820-11",
            "DE89 3704 0044 0532 0130 00",
            "4111 1111 1111 1111",
            "192.168.1.20",
            "https://u:secret@example.org/a",
            "Ada Lovelace",
        ];
        let text = PERSONAL.join(" | ") + " | " + &words.join(" | ");
        let masked = Masks::default().mask(&text, &names());
        for personal in PERSONAL {
            prop_assert!(!masked.text.contains(personal), "{:?} left in {:?}", personal, masked.text);
        }
    }
}

#[test]
fn the_same_thing_has_the_same_placeholder_in_every_text() {
    let mut masks = Masks::default();
    let one = masks.mask("ada@example.org and bob@example.org", &[]);
    assert_eq!(one.text, "[EMAIL_1] and [EMAIL_2]");
    let two = masks.mask("bob@example.org wrote to ada@example.org: [EMAIL_1]", &[]);
    assert_eq!(two.text, "[EMAIL_2] wrote to [EMAIL_1]: [TEXT_1]");
    assert_eq!(
        masks.unmask("To [email_2], from [EMAIL_1]; see [EMAIL_7]."),
        "To bob@example.org, from ada@example.org; see [EMAIL_7]."
    );
}

#[test]
fn a_piece_that_a_cut_has_left_is_masked_as_well() {
    let mut masks = Masks::default();
    masks.learn("Pay to DE89 3704 0044 0532 0130 00, and write to ada@example.org.");
    let masked = masks.mask("532 0130 00, and write to ada@exam", &[]);
    assert_eq!(masked.text, "[PART_1], and write to [EMAIL_1]");
    assert_eq!(masks.unmask(&masked.text), "532 0130 00, and write to ada@exam");
}

#[test]
fn a_bracket_that_becomes_no_placeholder_is_not_held_for_ever() {
    let mut masks = Masks::default();
    masks.mask("ada@example.org", &[]);
    let mut unmasker = masks.unmasker();
    assert_eq!(unmasker.push("see [1"), "see ");
    assert_eq!(unmasker.push("] and [EMA"), "[1] and ");
    assert_eq!(
        unmasker.push("IL_1] [a long remark"),
        "ada@example.org [a long remark"
    );
    assert_eq!(unmasker.push(" [EMAIL_"), " ");
    assert_eq!(unmasker.finish(), "[EMAIL_");
}
