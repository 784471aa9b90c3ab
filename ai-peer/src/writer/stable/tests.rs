//! Growing texts, token by token.

use super::*;

/// What is given out after each piece, and at the end.
fn run(pieces: &[&str], complete: bool) -> Vec<String> {
    let mut stable = StableText::default();
    let mut given = Vec::new();
    for piece in pieces {
        stable.push(piece);
        given.push(stable.take().to_owned());
    }
    given.push(stable.finish(complete).to_owned());
    given
}

#[test]
fn words_come_whole() {
    assert_eq!(
        run(&["The qu", "ick", " bro", "wn fox"], true),
        ["The", "", " quick", " brown", " fox"]
    );
    assert_eq!(run(&["The qu", "ick", " bro"], false), ["The", "", " quick", ""]);
    assert_eq!(run(&["One. Two."], false), ["One.", " Two."]);
    assert_eq!(
        run(&["One", "\n", "\n", "two \n"], true),
        ["", "One", "", "\n\ntwo", ""]
    );
}

#[test]
fn scripts_without_spaces_come_character_by_character() {
    assert_eq!(run(&["雨が", "降", "る。"], false), ["雨が", "降", "る。", ""]);
    assert_eq!(
        run(&["他说", "**重", "要**", "的"], true),
        ["他说", "", "", "**重要**的", ""]
    );
    // A vowel or tone mark belongs to the character before it.
    assert_eq!(run(&["น", "้ำ", "ใส"], false), ["", "", "น้ำ", ""]);
    assert_eq!(run(&["น้ำใส"], true), ["น้ำ", "ใส"]);
    let long = "水".repeat(300);
    assert_eq!(run(&[&long], false)[0], long);
}

#[test]
fn a_sentence_in_quotation_marks_is_whole() {
    assert_eq!(run(&["He said \"go.\""], false).concat(), "He said \"go.\"");
    assert_eq!(run(&["He said \"go"], false).concat(), "He said");
}

#[test]
fn no_mark_is_left_open() {
    let pieces = [
        "a **bo",
        "ld wo",
        "rds** an",
        "d `x ",
        "y`",
        " [t w](ht",
        "tp://x y",
        ") b ",
    ];
    let given = [
        "a",
        "",
        " **bold words**",
        " and",
        "",
        " `x y`",
        "",
        " [t w](http://x y) b",
        "",
    ];
    assert_eq!(run(&pieces, true), given);
    assert_eq!(run(&["one *two thr"], false), ["one", ""]);
    assert_eq!(run(&["one *two three"], true), ["one", " *two three"]);
    assert_eq!(run(&["a ~~b ", "c~~ d "], true), ["a", " ~~b c~~ d", ""]);
    assert_eq!(run(&["***a b*", " c** d "], true), ["", "***a b* c** d", ""]);
}

#[test]
fn what_is_no_mark_does_not_hold_anything_up() {
    for text in [
        "2 * 3 is 6 ",
        "snake_case_name and more ",
        "a \\* b \\[ c ",
        "~ about ~ 5 ",
        "x [y] z ",
    ] {
        assert_eq!(run(&[text], true), [text.trim_end(), ""], "{text}");
    }
    let long = format!("a *b {}", "word ".repeat(80));
    let mut stable = StableText::default();
    stable.push(&long);
    assert_eq!(stable.take(), "a");
    let forced = stable.take().to_owned();
    assert!(
        forced.starts_with(" *b word") && forced.ends_with("word") && forced.len() <= PATIENCE,
        "{forced}"
    );
    assert!(stable.take().len() > 100, "the star is a star now");
}

#[test]
fn markers_come_with_their_first_word() {
    assert_eq!(
        run(&["Plan:\n", "-", " ", "one", "\n- ", "two\n"], true),
        ["Plan:", "", "", "", "\n- one", "\n- two", ""]
    );
    assert_eq!(
        run(&["1", ". ", "[ ] ", "do ", "\n## ", "Next "], true),
        ["", "", "", "1. [ ] do", "", " \n## Next", ""]
    );
    assert_eq!(run(&["- *a\n", "- b "], true), ["", "- *a\n- b", ""]);
}

#[test]
fn code_blocks_and_tables_come_line_by_line() {
    let pieces = ["```ru", "st\nlet a", " = *b;\n", "``", "`\nso "];
    assert_eq!(
        run(&pieces, true),
        ["", "```rust", "\nlet a = *b;", "", "\n```\nso", ""]
    );
    assert_eq!(run(&["| a | b", " |\n| - "], true), ["", "| a | b |", "\n| -"]);
}

#[test]
fn pieces_never_change_what_is_given_out_in_all() {
    let text =
        "Über **alles** und `code x` \u{1F600} so\n\n- [ ] eins\n- *zwei* drei\n\n> zitat [l](u) ende. ";
    let chars: Vec<String> = text.chars().map(String::from).collect();
    for size in 1..20 {
        let pieces: Vec<String> = chars.chunks(size).map(<[String]>::concat).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let given = run(&pieces, true);
        assert_eq!(given.concat(), text.trim_end());
        for piece in &given {
            assert!(
                piece.is_empty() || !piece.ends_with(char::is_whitespace),
                "{piece:?}"
            );
            assert_eq!(piece.matches("**").count() % 2, 0, "{piece:?}");
        }
    }
}
