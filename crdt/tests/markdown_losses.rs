//! What Markdown cannot say, one by one: a change of what is lost is noticed here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crdt::Node;
use crdt::markdown::{normalise, parse, write};
use serde_json::{Value, json};

/// What is lost on the way in: Markdown that somebody writes, and what is left of it when it is written again.
const LOST_IN: [(&str, &str, &str); 26] = [
    ("loose lists", "- a\n\n- b\n", "- a\n- b\n"),
    ("the look of a list", "* a\n* b\n\n3) c\n", "- a\n- b\n\n3. c\n"),
    (
        "numbers within a list",
        "1. a\n1. b\n5. c\n",
        "1. a\n2. b\n3. c\n",
    ),
    ("numbers of tasks", "1. [x] a\n2. [ ] b\n", "- [x] a\n- [ ] b\n"),
    ("lists of tasks and others", "- [ ] a\n- b\n", "- [ ] a\n\n+ b\n"),
    ("line breaks within a paragraph", "a\nb\n", "a b\n"),
    ("the look of a heading", "a\n=\n", "# a\n"),
    ("the look of a rule", "* * *\n", "---\n"),
    ("the look of emphasis", "_a_ __b__ ~c~\n", "*a* **b** ~~c~~\n"),
    (
        "emphasis within the same emphasis",
        "*a _b_ c* **d __e__**\n",
        "*a b c* **d e**\n",
    ),
    ("reference links", "[a][b]\n\n[b]: /c 'd'\n", "[a](/c \"d\")\n"),
    ("links without text", "a [](/b) c\n", "a  c\n"),
    ("images within a line", "a ![b](/c) d\n", "a\n\n![b](/c)\n\nd\n"),
    (
        "images within a heading",
        "# a ![b](/c) d\n",
        "# a d\n\n![b](/c)\n",
    ),
    ("links on images", "[![a](/b)](/c)\n", "![a](/b)\n"),
    (
        "marks within an image's description",
        "![a *b* `c`](/d)\n",
        "![a b c](/d)\n",
    ),
    (
        "more than the language of a code block",
        "```rust,ignore title=x\na\n```\n",
        "```rust,ignore\na\n```\n",
    ),
    ("indented code", "    a\n", "```\na\n```\n"),
    ("code blocks that never end", "```\na\n", "```\na\n```\n"),
    (
        "alignment of columns",
        "| a | b |\n|:--|--:|\n| 1 | 2 |\n",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n",
    ),
    (
        "cells beyond the header's",
        "| a |\n|---|\n| 1 | 2 |\n",
        "| a |\n| --- |\n| 1 |\n",
    ),
    (
        "HTML blocks",
        "<div>\n*a*\n</div>\n",
        "\\<div>\\\n\\*a\\*\\\n\\</div>\n",
    ),
    ("inline HTML", "a <kbd>b</kbd>\n", "a \\<kbd>b\\</kbd>\n"),
    ("HTML comments", "a <!-- b -->\n\n<!-- c -->\n", "a\n"),
    ("footnotes", "a[^1]\n\n[^1]: b c\n", "a\\[^1]\n\n\\[^1]: b c\n"),
    ("mathematics", "$a_1$ and $$b$$\n", "$a_1$ and $$b$$\n"),
];

#[test]
fn what_is_lost_on_the_way_in_is_known() {
    for (what, markdown, left) in LOST_IN {
        assert_eq!(write(&parse(markdown)), left, "{what}");
        assert_eq!(parse(left), parse(markdown), "{what}");
    }
}

fn paragraph(text: &str) -> Value {
    json!({"type": "paragraph", "content": [{"type": "text", "text": text}]})
}

/// What is lost, the tree that an editor may hold, and the Markdown that is left of it.
type Loss = (&'static str, Value, &'static str);

#[test]
fn what_is_lost_of_text_and_lists_on_the_way_out_is_known() {
    let text = |text: &str, marks: Value| json!({"type": "text", "text": text, "marks": marks});
    let lost: [Loss; 10] = [
        (
            "empty paragraphs",
            json!([paragraph("a"), {"type": "paragraph"}, paragraph("b")]),
            "a\n\nb\n",
        ),
        (
            "marks beyond the schema",
            json!([{"type": "paragraph", "content": [text("a", json!([{"type": "highlight"}]))]}]),
            "a\n",
        ),
        (
            "attributes beyond the schema",
            json!([{"type": "paragraph", "attrs": {"textAlign": "right"}, "content": [
                text("a", json!([{"type": "link", "attrs": {"href": "/b", "target": "_blank"}}]))
            ]}]),
            "[a](/b)\n",
        ),
        (
            "nodes beyond the schema, but for their text",
            json!([{"type": "callout", "content": [paragraph("a")]}]),
            "a\n",
        ),
        (
            "atoms beyond the schema",
            json!([{"type": "video", "attrs": {"src": "/a"}}]),
            "",
        ),
        (
            "bold, italic and strike on spaces at their edges",
            json!([{"type": "paragraph", "content": [
                text("a ", json!([{"type": "bold"}])), text("b", json!([])), text(" ", json!([{"type": "italic"}])),
            ]}]),
            "**a** b&#32;\n",
        ),
        (
            "marks in code blocks",
            json!([{"type": "codeBlock", "content": [text("a", json!([{"type": "bold"}]))]}]),
            "```\na\n```\n",
        ),
        (
            "line breaks in code",
            json!([{"type": "paragraph", "content": [text("a\nb", json!([{"type": "code"}]))]}]),
            "`a b`\n",
        ),
        (
            "links without a target",
            json!([{"type": "paragraph", "content": [text("a", json!([{"type": "link"}]))]}]),
            "a\n",
        ),
        (
            "list starts beyond nine digits, and below zero",
            json!([{"type": "orderedList", "attrs": {"start": -3}, "content": [{"type": "listItem", "content": [paragraph("a")]}]}]),
            "1. a\n",
        ),
    ];
    check(lost);
}

#[test]
fn what_is_lost_of_tables_on_the_way_out_is_known() {
    let cell =
        |kind: &str, attrs: Value, content: Value| json!({"type": kind, "attrs": attrs, "content": content});
    let row = |cells: Value| json!({"type": "tableRow", "content": cells});
    let none = || json!({});
    let lost: [Loss; 4] = [
        (
            "header cells beyond the first row, and tables without",
            json!([{"type": "table", "content": [
                row(json!([cell("tableCell", none(), json!([paragraph("a")])), cell("tableCell", none(), json!([paragraph("b")]))])),
                row(json!([cell("tableHeader", none(), json!([paragraph("c")])), cell("tableCell", none(), json!([paragraph("d")]))])),
            ]}]),
            "| a | b |\n| --- | --- |\n| c | d |\n",
        ),
        (
            "cells over several columns and rows",
            json!([{"type": "table", "content": [
                row(json!([cell("tableHeader", json!({"colspan": 2}), json!([paragraph("a")]))])),
                row(json!([cell("tableCell", json!({"rowspan": 2}), json!([paragraph("b")])), cell("tableCell", none(), json!([paragraph("c")]))])),
                row(json!([cell("tableCell", none(), json!([paragraph("d")]))])),
            ]}]),
            "| a |  |\n| --- | --- |\n| b | c |\n|  | d |\n",
        ),
        (
            "blocks within cells",
            json!([{"type": "table", "content": [
                row(json!([cell("tableHeader", none(), json!([paragraph("a"), paragraph("b"), {"type": "horizontalRule"}]))])),
                row(json!([cell("tableCell", none(), json!([
                    {"type": "bulletList", "content": [{"type": "listItem", "content": [paragraph("c")]}, {"type": "listItem", "content": [paragraph("d")]}]},
                    {"type": "codeBlock", "content": [{"type": "text", "text": "e\n|"}]},
                    {"type": "image", "attrs": {"src": "/f"}},
                ]))])),
            ]}]),
            "| a<br>b |\n| --- |\n| c<br>d<br>`e`<br>`\\|` ![](/f) |\n",
        ),
        (
            "widths of columns",
            json!([{"type": "table", "content": [
                row(json!([cell("tableHeader", json!({"colwidth": [120]}), json!([paragraph("a")]))])),
            ]}]),
            "| a |\n| --- |\n",
        ),
    ];
    check(lost);
}

fn check(lost: impl IntoIterator<Item = Loss>) {
    for (what, tree, left) in lost {
        let tree: Vec<Node> = serde_json::from_value(tree).unwrap();
        assert_eq!(write(&tree), left, "{what}");
        assert_ne!(normalise(&tree), tree, "{what}");
        assert_eq!(parse(left), normalise(&tree), "{what}");
    }
}
