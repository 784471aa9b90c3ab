//! Markdown in and out: the examples of the CommonMark specification, the schema's own forms, what is escaped.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "markdown/html.rs"]
mod html;

use crdt::markdown::{MAX_DEPTH, normalise, parse, write};
use crdt::{Mark, Node};
use serde_json::{Value, json};

const SPECIFICATION: &str = include_str!("fixtures/commonmark-0.31.2.json");

struct Example {
    number: u64,
    markdown: String,
    html: String,
}

fn examples() -> Vec<Example> {
    let file: Value = serde_json::from_str(SPECIFICATION).unwrap();
    let text = |example: &Value, field: &str| example[field].as_str().unwrap().to_owned();
    let read = |example: &Value| Example {
        number: example["example"].as_u64().unwrap(),
        markdown: text(example, "markdown"),
        html: text(example, "html"),
    };
    file["examples"].as_array().unwrap().iter().map(read).collect()
}

#[test]
fn every_example_of_the_specification_is_read_written_and_read_again_the_same() {
    let examples = examples();
    assert_eq!(examples.len(), 652);
    for Example { number, markdown, .. } in examples {
        let nodes = parse(&markdown);
        assert_eq!(normalise(&nodes), nodes, "example {number}: {markdown}");
        assert_eq!(
            parse(&write(&nodes)),
            nodes,
            "example {number}: {markdown}\n---\n{}",
            write(&nodes)
        );
    }
}

/// The examples that say something else here than in the specification's HTML: all of them are raw HTML.
#[rustfmt::skip]
const OTHERWISE: [(&str, &[u64]); 4] = [
    ("an HTML block is shown as text, a line each", &[
        148, 149, 150, 151, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162, 163, 164, 165, 166, 169, 170, 171, 172,
        173, 174, 178, 180, 182, 185, 186, 187, 189, 190, 191,
    ]),
    ("a comment is dropped", &[177, 179, 183, 308, 309, 625, 626]),
    ("an inline tag is shown as text", &[21, 31, 344, 475, 476, 477, 613, 615, 616, 623, 630, 631, 642, 643]),
    ("a tag that stands for a mark is that mark", &[168]),
];

#[test]
fn all_examples_but_raw_html_say_what_the_specification_says() {
    let mut expected: Vec<u64> = OTHERWISE
        .iter()
        .flat_map(|(_, numbers)| numbers.iter().copied())
        .collect();
    expected.sort_unstable();
    assert_eq!(expected.len(), 55);
    let otherwise =
        |example: &Example| html::of_html(&example.html) != html::of_nodes(&parse(&example.markdown));
    let found: Vec<u64> = examples()
        .into_iter()
        .filter(otherwise)
        .map(|example| example.number)
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_schemas_forms_are_written_as_expected() {
    let golden: Node = serde_json::from_str(include_str!("golden/document.json")).unwrap();
    let markdown = write(&golden.content);
    assert_eq!(markdown, include_str!("golden/document.md"));
    assert_eq!(parse(&markdown), normalise(&golden.content));
}

#[test]
fn trees_fit_the_schema() {
    let cases = [
        (
            "- # a\n",
            json!([{"type": "bulletList", "content": [{"type": "listItem", "content": [
                {"type": "paragraph"}, {"type": "heading", "attrs": {"level": 1}, "content": [{"type": "text", "text": "a"}]},
            ]}]}]),
        ),
        (
            "-\n",
            json!([{"type": "bulletList", "content": [{"type": "listItem", "content": [{"type": "paragraph"}]}]}]),
        ),
        (
            ">\n",
            json!([{"type": "blockquote", "content": [{"type": "paragraph"}]}]),
        ),
        (
            "- [x] a\n  - [ ] b\n",
            json!([{"type": "taskList", "content": [
                {"type": "taskItem", "attrs": {"checked": true}, "content": [paragraph("a"), {"type": "taskList", "content": [
                    {"type": "taskItem", "attrs": {"checked": false}, "content": [paragraph("b")]},
                ]}]},
            ]}]),
        ),
        (
            "7. a\n",
            json!([{"type": "orderedList", "attrs": {"start": 7}, "content": [
                {"type": "listItem", "content": [paragraph("a")]},
            ]}]),
        ),
        (
            "|a|\n|-|\n||\n",
            json!([{"type": "table", "content": [
                {"type": "tableRow", "content": [{"type": "tableHeader", "attrs": {"colspan": 1, "rowspan": 1}, "content": [paragraph("a")]}]},
                {"type": "tableRow", "content": [{"type": "tableCell", "attrs": {"colspan": 1, "rowspan": 1}, "content": [{"type": "paragraph"}]}]},
            ]}]),
        ),
        (
            "[a*b*](/c 'd')",
            json!([{"type": "paragraph", "content": [
                {"type": "text", "text": "a", "marks": [{"type": "link", "attrs": {"href": "/c", "title": "d"}}]},
                {"type": "text", "text": "b", "marks": [{"type": "link", "attrs": {"href": "/c", "title": "d"}}, {"type": "italic"}]},
            ]}]),
        ),
        (
            "<a@b.c>",
            json!([{"type": "paragraph", "content": [
                {"type": "text", "text": "a@b.c", "marks": [{"type": "link", "attrs": {"href": "mailto:a@b.c"}}]},
            ]}]),
        ),
        (
            "![a](/b \"c\")",
            json!([{"type": "image", "attrs": {"src": "/b", "alt": "a", "title": "c"}}]),
        ),
        (
            "```rust\na\n\nb\n```",
            json!([{"type": "codeBlock", "attrs": {"language": "rust"}, "content": [{"type": "text", "text": "a\n\nb"}]}]),
        ),
        (
            "a<br/>b  \nc\\\nd",
            json!([{"type": "paragraph", "content": [
                {"type": "text", "text": "a"}, {"type": "hardBreak"}, {"type": "text", "text": "b"}, {"type": "hardBreak"},
                {"type": "text", "text": "c"}, {"type": "hardBreak"}, {"type": "text", "text": "d"},
            ]}]),
        ),
        (
            "<u>a</u> <b>b</b> </i> <s>",
            json!([{"type": "paragraph", "content": [
                {"type": "text", "text": "a", "marks": [{"type": "underline"}]}, {"type": "text", "text": " "},
                {"type": "text", "text": "b", "marks": [{"type": "bold"}]}, {"type": "text", "text": " </i> <s>"},
            ]}]),
        ),
        (
            "**`a`**",
            json!([{"type": "paragraph", "content": [
                {"type": "text", "text": "a", "marks": [{"type": "bold"}, {"type": "code"}]},
            ]}]),
        ),
        ("", json!([])),
        ("\r\n \t\r", json!([])),
    ];
    for (markdown, tree) in cases {
        assert_eq!(serde_json::to_value(parse(markdown)).unwrap(), tree, "{markdown}");
    }
}

#[test]
fn marks_that_delimiters_cannot_say_are_tags() {
    let bold = |text| Node::text(text, vec![Mark::new("bold")]);
    let plain = |text| Node::text(text, vec![]);
    let cases = [
        (vec![plain("a"), bold("b"), plain("c")], "a**b**c\n"),
        (
            vec![plain("a"), bold("\"b\""), plain("c")],
            "a<strong>\"b\"</strong>c\n",
        ),
        (
            vec![plain("他说"), bold("“你好”"), plain("了")],
            "他说<strong>“你好”</strong>了\n",
        ),
        (
            vec![bold("a"), Node::text("b", vec![Mark::new("italic")])],
            "**a**<em>b</em>\n",
        ),
        (vec![Node::text("a", vec![Mark::new("underline")])], "<u>a</u>\n"),
    ];
    for (content, markdown) in cases {
        let tree = vec![Node::element("paragraph", content)];
        assert_eq!(write(&tree), markdown);
        assert_eq!(parse(markdown), tree);
    }
}

/// What is no markup is written as it is: models read it, and people.
#[test]
fn harmless_text_is_not_escaped() {
    for text in [
        "Hello, world! It's 5 > 3, isn't it? (Yes.)",
        "snake_case_name and 2 * 3 * 4 _ 5",
        "AT&T, R&D & co.; a | b; C:\\Users",
        "#hashtag and issue #5",
        "-5 degrees, +49 30 1234, 3.14 and 2024.",
        "a = b; c - d; e + f: g",
        "100 % $5 ^ { } / ? @ ' \"",
        "1.5 million. 2)x",
    ] {
        assert_eq!(write(&[Node::paragraph(text)]), format!("{text}\n"));
        assert_eq!(parse(text), [Node::paragraph(text)]);
    }
}

#[test]
fn what_looks_like_markup_is_escaped() {
    for (text, markdown) in [
        ("# a", "\\# a"),
        ("1. a", "1\\. a"),
        ("2) a", "2\\) a"),
        ("- a", "\\- a"),
        ("+ a", "\\+ a"),
        ("> a", "\\> a"),
        ("---", "\\---"),
        ("===", "\\==="),
        ("*a* _b_", "\\*a\\* \\_b\\_"),
        ("`a` ~~b~~", "\\`a\\` \\~\\~b\\~\\~"),
        ("[a](b) ![c](d)", "\\[a](b) !\\[c](d)"),
        ("<b>a</b> <http://a>", "\\<b>a\\</b> \\<http://a>"),
        ("&amp; &copy", "\\&amp; \\&copy"),
        ("a\\", "a\\\\"),
        ("[ ] a", "\\[ ] a"),
        (" a ", "&#32;a&#32;"),
        ("    a", "&#32;   a"),
    ] {
        assert_eq!(write(&[Node::paragraph(text)]), format!("{markdown}\n"));
        assert_eq!(parse(markdown), [Node::paragraph(text)]);
    }
}

fn paragraph(text: &str) -> Value {
    json!({"type": "paragraph", "content": [{"type": "text", "text": text}]})
}

fn depth(nodes: &[Node]) -> usize {
    nodes
        .iter()
        .map(|node| 1 + depth(&node.content))
        .max()
        .unwrap_or(0)
}

#[test]
fn hostile_strings_are_read_within_bounds() {
    for unit in [
        ">", "> ", "- ", "1. ", "* > ", "[", "![", "*", "_a_", "`", "<", "<u>", "</u>", "~", "|", "|-", "&",
        "\\", "\t",
    ] {
        let nodes = parse(&unit.repeat(20_000));
        assert!(depth(&nodes) <= 2 * MAX_DEPTH + 2, "{unit}: {}", depth(&nodes));
        assert_eq!(parse(&write(&nodes)), nodes, "{unit}");
    }
    let nested = (0..2_000)
        .map(|level| format!("{}- a\n", "  ".repeat(level)))
        .collect::<String>();
    assert!(depth(&parse(&nested)) <= 2 * MAX_DEPTH + 2);
}
