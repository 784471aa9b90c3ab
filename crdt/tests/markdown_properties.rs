//! Properties of Markdown in and out, over random trees and random strings. `PROPTEST_CASES=50000` searches longer.

use crdt::markdown::{normalise, parse, write};
use crdt::{Mark, Node};
use proptest::prelude::*;

/// Characters with a meaning in Markdown, in HTML or in Unicode, and some without.
const CHARS: &str = "[a-c1-2XÄ漢é \\t\\n\u{a0}\u{2028}\u{7}*_~`#<>|\\\\\\[\\](){}!&;:.=+/\"'@$%^-]";

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,5}( [a-z]{1,3})?",
        3 => prop::collection::vec(CHARS, 1..8).prop_map(|chars| chars.concat()),
        2 => prop::sample::select(vec![
            "**", "*", "_", "__", "`", "``", "~~", "~", "# ", "## x #", "1. ", "12) ", "- ", "+ ", "* ", "> ", "---", "===",
            "***", "```", "~~~", "[x](y)", "![x](y)", "<b>", "</b>", "<br>", "<u>", "<!-- c -->", "&amp;", "&#42;", "\\",
            "\\*", "| a |", "|---|", ":-:", "[ ] ", "[x] ", "[^1]", "http://a.b", "<http://a.b>", "!", "a_b_c", "  ", " x ",
            "\u{200b}", "“quoted”", "。", "👩‍👩‍👧", "{#id}", "$x$", "www.a.b", "a@b.c", "0", "#", "-", "=", ":", "|",
        ])
        .prop_map(str::to_owned),
    ]
}

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    let link = prop_oneof![
        6 => Just(None),
        1 => (words(), prop::option::of(words())).prop_map(|(href, title)| Some(Mark::link(&href, title.as_deref()))),
        1 => Just(Some(Mark::link("https://example.org/a_(b)?c=d&e=f", None))),
        1 => Just(Some(Mark::link("http://a.b", None))),
        1 => Just(Some(Mark::link("", None))),
    ];
    let set = [0.25, 0.25, 0.15, 0.1, 0.15].map(prop::bool::weighted);
    (set, link, prop::bool::weighted(0.05)).prop_map(|(set, link, unknown)| {
        let kinds = ["bold", "italic", "strike", "underline", "code"];
        let mut marks: Vec<_> = kinds
            .iter()
            .zip(set)
            .filter(|(_, on)| *on)
            .map(|(kind, _)| Mark::new(kind))
            .collect();
        marks.extend(link);
        marks.extend(unknown.then(|| Mark::new("highlight")));
        marks
    })
}

fn inline() -> impl Strategy<Value = Vec<Node>> {
    let node = prop_oneof![
        8 => (words(), marks()).prop_map(|(text, marks)| Node::text(text, marks)),
        1 => Just(Node::element("hardBreak", vec![])),
    ];
    prop::collection::vec(node, 0..6)
}

fn code_text() -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec(words(), 0..4).prop_map(|lines| {
        let text = lines.join("\n");
        if text.is_empty() {
            vec![]
        } else {
            vec![Node::text(text, vec![])]
        }
    })
}

fn leaf() -> impl Strategy<Value = Node> {
    let language = prop::option::of(prop_oneof![Just("rust".to_owned()), words()]);
    prop_oneof![
        8 => inline().prop_map(|content| Node::element("paragraph", content)),
        2 => (0..8_i32, inline())
            .prop_map(|(level, content)| Node::element("heading", content).with_attr("level", level)),
        1 => (language, code_text())
            .prop_map(|(language, content)| Node::element("codeBlock", content).with_attr("language", language)),
        1 => (words(), prop::option::of(words()), prop::option::of(words())).prop_map(|(src, alt, title)| {
            Node::element("image", vec![]).with_attr("src", src).with_attr("alt", alt).with_attr("title", title)
        }),
        1 => Just(Node::element("horizontalRule", vec![])),
        1 => Just(Node::element("unknownAtom", vec![])),
    ]
}

fn block() -> impl Strategy<Value = Node> {
    leaf().prop_recursive(3, 24, 4, |block| {
        let blocks = prop::collection::vec(block, 0..4).boxed();
        let item = blocks
            .clone()
            .prop_map(|content| Node::element("listItem", content));
        let task = (any::<bool>(), blocks.clone())
            .prop_map(|(checked, content)| Node::element("taskItem", content).with_attr("checked", checked));
        let cell = (prop::bool::ANY, 1..3_i32, 1..3_i32, blocks.clone()).prop_map(
            |(header, columns, rows, content)| {
                Node::element(if header { "tableHeader" } else { "tableCell" }, content)
                    .with_attr("colspan", columns)
                    .with_attr("rowspan", rows)
            },
        );
        let row = prop::collection::vec(cell, 0..3).prop_map(|cells| Node::element("tableRow", cells));
        prop_oneof![
            prop::collection::vec(item.clone(), 0..4).prop_map(|items| Node::element("bulletList", items)),
            (
                prop_oneof![Just(1_i64), Just(0), Just(7), Just(999_999_999), any::<i64>()],
                prop::collection::vec(item, 0..4)
            )
                .prop_map(|(start, items)| Node::element("orderedList", items).with_attr("start", start)),
            prop::collection::vec(task, 0..4).prop_map(|items| Node::element("taskList", items)),
            blocks.prop_map(|content| Node::element("blockquote", content)),
            prop::collection::vec(row, 0..3).prop_map(|rows| Node::element("table", rows)),
        ]
    })
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec(block(), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(nodes in nodes()) {
        let markdown = write(&nodes);
        prop_assert_eq!(parse(&markdown), normalise(&nodes), "{}", markdown);
    }

    #[test]
    fn normalising_twice_is_normalising_once(nodes in nodes()) {
        let once = normalise(&nodes);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn any_string_is_read_and_what_was_read_is_written(markdown in "\\PC*") {
        let nodes = parse(&markdown);
        prop_assert_eq!(parse(&write(&nodes)), nodes);
    }

    #[test]
    fn any_markup_is_read_and_what_was_read_is_written(words in prop::collection::vec(words(), 0..24)) {
        let nodes = parse(&words.concat());
        prop_assert_eq!(parse(&write(&nodes)), nodes);
    }

    #[test]
    fn plain_text_stays_plain_text(text in prop::collection::vec(words(), 1..8)) {
        let text = text.concat();
        let read = parse(&write(&[Node::paragraph(&text)]));
        prop_assert_eq!(read, vec![Node::paragraph(&text)]);
    }
}
