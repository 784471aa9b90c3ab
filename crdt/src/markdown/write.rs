//! [`Node`] trees into Markdown: the blocks.

use super::escape::{info, longest_run};
use super::inline::{Line, image, inline};
use super::normal::normalise;
use crate::node::Node;

/// Writes Markdown that says all of [`normalise`]`(nodes)`, and is read back as just that. Ends in a line break, unless there is
/// nothing to say.
#[must_use]
pub fn write(nodes: &[Node]) -> String {
    let mut markdown = blocks(&normalise(nodes), None);
    if !markdown.is_empty() {
        markdown.push('\n');
    }
    markdown
}

/// Blocks with an empty line between. `marker` is the list marker just before the first, if any.
fn blocks(nodes: &[Node], marker: Option<char>) -> String {
    let mut written: Vec<String> = Vec::with_capacity(nodes.len());
    let mut taken = marker;
    for (index, node) in nodes.iter().enumerate() {
        let list = ListStyle::after(taken.take());
        let text = match node.kind.as_str() {
            "paragraph" => inline(&node.content, Line::Paragraph),
            "heading" => heading(node),
            "bulletList" | "orderedList" | "taskList" => {
                taken = Some(if node.kind == "orderedList" {
                    list.point
                } else {
                    list.bullet
                });
                self::list(node, list)
            }
            "blockquote" => quote(node),
            "codeBlock" => code_block(node),
            "table" => table(node),
            "image" => image(node, false),
            // Behind a list's hyphen three more would be one rule.
            "horizontalRule" if index == 0 && marker.is_some() => "***".to_owned(),
            "horizontalRule" => "---".to_owned(),
            _ => continue, // there is nothing else in a normalised tree
        };
        written.push(text);
    }
    written.join("\n\n")
}

fn quote(node: &Node) -> String {
    let mut text = blocks(&node.content, None);
    if node.content.last().is_some_and(ends_in_empty_item) {
        // pulldown-cmark takes an empty line behind the quote for a part of that item, and ends the list around it. A
        // comment, which is not read, keeps them apart.
        text.push_str("\n\n<!-- -->");
    }
    indented(&text, "> ", "> ")
}

fn ends_in_empty_item(node: &Node) -> bool {
    let within = match node.kind.as_str() {
        "bulletList" | "orderedList" | "taskList" | "listItem" | "taskItem" => node.content.last(),
        "paragraph" => return node.content.is_empty(),
        _ => None,
    };
    within.is_some_and(ends_in_empty_item)
}

/// Two lists in a row are two lists only if they look different.
#[derive(Debug, Clone, Copy)]
struct ListStyle {
    bullet: char,
    point: char,
}

impl ListStyle {
    fn after(taken: Option<char>) -> Self {
        Self {
            bullet: if taken == Some('-') { '+' } else { '-' },
            point: if taken == Some('.') { ')' } else { '.' },
        }
    }
}

fn list(node: &Node, style: ListStyle) -> String {
    let start = node.int_attr("start").unwrap_or(1);
    let items: Vec<String> = (start..)
        .zip(&node.content)
        .map(|(number, item)| {
            let (marker, last) = match node.kind.as_str() {
                "orderedList" => (
                    format!("{}{} ", number.min(999_999_999), style.point),
                    style.point,
                ),
                _ => (format!("{} ", style.bullet), style.bullet),
            };
            list_item(item, &marker, last)
        })
        .collect();
    let loose = items.iter().any(|item| item.contains("\n\n"));
    items.join(if loose { "\n\n" } else { "\n" })
}

fn list_item(item: &Node, marker: &str, last: char) -> String {
    let (first, rest) = item
        .content
        .split_first()
        .map_or((&[][..], &[][..]), |(first, rest)| {
            (
                if first.content.is_empty() {
                    &[][..]
                } else {
                    std::slice::from_ref(first)
                },
                rest,
            )
        });
    let check = match item.attrs.get("checked").and_then(serde_json::Value::as_bool) {
        None => "",
        Some(true) => "[x]",
        Some(false) => "[ ]",
    };
    let mut parts: Vec<String> = Vec::new();
    if !first.is_empty() {
        parts.push(blocks(first, Some(last)));
    }
    if !rest.is_empty() {
        // What comes at once behind the marker must not look like one with it.
        parts.push(blocks(rest, first.is_empty().then_some(last)));
    }
    let tight = rest.len() == 1 && rest.iter().all(interrupts) && !first.is_empty();
    let tight = tight && parts.first().is_some_and(|text| !text.starts_with("<br>"));
    let body = parts.join(if tight { "\n" } else { "\n\n" });
    let text = match (check, first.is_empty()) {
        ("", _) => body,
        (_, true) if body.is_empty() => check.to_owned(),
        // Behind a check box stands text or nothing.
        (_, true) => format!("{check}\n{body}"),
        (_, false) => format!("{check} {body}"),
    };
    let indent = " ".repeat(marker.chars().count());
    indented(&text, marker, &indent)
}

/// Whether a list may follow a paragraph without an empty line: not if it begins with an empty item or another number
/// than 1.
fn interrupts(list: &Node) -> bool {
    let full = |item: &Node| {
        item.content
            .first()
            .is_some_and(|first| !first.content.is_empty())
    };
    match list.kind.as_str() {
        "bulletList" | "taskList" => list.content.iter().all(full),
        "orderedList" => list.int_attr("start") == Some(1) && list.content.iter().all(full),
        _ => false,
    }
}

/// Lines with something before them; before an empty line, without its trailing space.
fn indented(text: &str, first: &str, others: &str) -> String {
    let lines = text.split('\n').enumerate().map(|(index, line)| {
        let prefix = if index == 0 { first } else { others };
        if line.is_empty() {
            prefix.trim_end().to_owned()
        } else {
            format!("{prefix}{line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn heading(node: &Node) -> String {
    let level = node
        .int_attr("level")
        .and_then(|level| usize::try_from(level).ok())
        .unwrap_or(1);
    let text = inline(&node.content, Line::Heading);
    indented(&text, &format!("{} ", "#".repeat(level)), "")
}

fn code_block(node: &Node) -> String {
    let code = node
        .content
        .first()
        .and_then(|text| text.text.as_deref())
        .unwrap_or_default();
    let language = node.str_attr("language").unwrap_or_default();
    let char = if language.contains('`') { '~' } else { '`' };
    let fence = char.to_string().repeat(longest_run(code, char).max(2) + 1);
    let space = if language.starts_with(char) { " " } else { "" };
    let end = if code.is_empty() { "" } else { "\n" };
    format!("{fence}{space}{}\n{code}{end}{fence}", info(language))
}

fn table(node: &Node) -> String {
    let mut lines = Vec::new();
    for (index, row) in node.content.iter().enumerate() {
        let cells: Vec<String> = row.content.iter().map(cell).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
        if index == 0 {
            lines.push(format!("|{}", " --- |".repeat(cells.len())));
        }
    }
    lines.join("\n")
}

fn cell(node: &Node) -> String {
    let pieces: Vec<String> = node
        .content
        .iter()
        .map(|block| match block.kind.as_str() {
            "image" => image(block, true),
            _ => inline(&block.content, Line::Cell),
        })
        .collect();
    pieces.join(" ")
}
