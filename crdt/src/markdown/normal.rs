//! What Markdown can say of a tree.

use serde_json::Value;

use super::MAX_DEPTH;
use super::hug::hug;
use super::runs::{Piece, blocks_of};
use super::shape::{image, item, language};
use super::table;
use crate::node::{Mark, Node, push_inline, sort_marks};

/// The largest number that Markdown lets a list begin with has nine digits.
const MAX_START: i64 = 999_999_999;

/// Marks that Markdown can say.
const KNOWN_MARKS: [&str; 6] = ["link", "bold", "code", "italic", "strike", "underline"];

/// The tree without what Markdown cannot say: this is what reading gives of what [`write`](super::write()) wrote.
///
/// Left out: empty paragraphs (but where the schema needs one); nodes, marks and attributes beyond the schema; the order
/// of marks; bold, italic and strike on spaces at the edge of a run; marks in code blocks; in tables all but one header
/// row, the extent of wide cells, and blocks within cells other than lines and images.
#[must_use]
pub fn normalise(nodes: &[Node]) -> Vec<Node> {
    blocks(nodes, 0)
}

/// `depth` counts the quotes and list items around the nodes, as the parser does.
fn blocks(nodes: &[Node], depth: usize) -> Vec<Node> {
    let mut found = Vec::new();
    let mut stray: Vec<Node> = Vec::new();
    for node in nodes {
        if node.is_inline() {
            stray.push(node.clone());
        } else {
            paragraphs(&mut found, &std::mem::take(&mut stray));
            block(&mut found, node, depth);
        }
    }
    paragraphs(&mut found, &stray);
    found
}

fn block(found: &mut Vec<Node>, node: &Node, depth: usize) {
    match node.kind.as_str() {
        "heading" => heading(found, node),
        "bulletList" | "orderedList" | "taskList" if depth < MAX_DEPTH => list(found, node, depth),
        "blockquote" if depth < MAX_DEPTH => {
            let mut quoted = blocks(&node.content, depth + 1);
            if quoted.is_empty() {
                quoted.push(Node::paragraph(""));
            }
            found.push(Node::element("blockquote", quoted));
        }
        "codeBlock" => found.push(code_block(node)),
        "table" => found.extend(table::normalise(node, |cell| blocks(cell, depth))),
        "image" => found.push(clean_image(node)),
        "horizontalRule" => found.push(Node::element("horizontalRule", Vec::new())),
        // What holds a line of text is a paragraph, whatever it is called; anything else is its children.
        _ if node.content.iter().any(Node::is_inline) => paragraphs(found, &node.content),
        _ => found.extend(blocks(&node.content, depth)),
    }
}

fn paragraphs(found: &mut Vec<Node>, nodes: &[Node]) {
    found.extend(blocks_of(pieces(nodes)));
}

/// Texts, breaks and images; other inline nodes are what text they hold.
fn pieces(nodes: &[Node]) -> Vec<Piece> {
    let mut found = Vec::new();
    for node in nodes {
        match node.kind.as_str() {
            "image" => found.push(Piece::Node(clean_image(node))),
            "hardBreak" => found.push(Piece::Node(Node::element("hardBreak", Vec::new()))),
            _ if node.is_text() => found.extend(clean_text(node).map(Piece::Node)),
            _ => found.extend(pieces(&node.content)),
        }
    }
    found
}

fn heading(found: &mut Vec<Node>, node: &Node) {
    let level = node.int_attr("level").unwrap_or(1).clamp(1, 6);
    let (mut words, mut images) = (Vec::new(), Vec::new());
    for piece in pieces(&node.content) {
        if let Piece::Node(node) = piece {
            if node.is_inline() {
                push_inline(&mut words, node);
            } else {
                images.push(node);
            }
        }
    }
    found.push(Node::element("heading", hug(words)).with_attr("level", level));
    found.extend(images);
}

fn list(found: &mut Vec<Node>, node: &Node, depth: usize) {
    let items: Vec<Node> = node
        .content
        .iter()
        .map(|child| {
            let content = match child.kind.as_str() {
                "listItem" | "taskItem" => blocks(&child.content, depth + 1),
                _ => blocks(std::slice::from_ref(child), depth + 1),
            };
            let checked = child
                .attrs
                .get("checked")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            item(content, (node.kind == "taskList").then_some(checked))
        })
        .collect();
    if items.is_empty() {
        return;
    }
    let start = node
        .int_attr("start")
        .filter(|start| (0..=MAX_START).contains(start))
        .unwrap_or(1);
    let start = (node.kind == "orderedList").then_some(start);
    found.push(Node::element(&node.kind, items).with_attr("start", start));
}

fn code_block(node: &Node) -> Node {
    let mut code = String::new();
    for child in &node.content {
        match &child.text {
            Some(text) => code.push_str(text),
            None if child.kind == "hardBreak" => code.push('\n'),
            None => {}
        }
    }
    let code = code
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\0', "\u{fffd}");
    let content = if code.is_empty() {
        Vec::new()
    } else {
        vec![Node::text(code, Vec::new())]
    };
    let language = node
        .str_attr("language")
        .and_then(|info| language(&without_nul(info)));
    Node::element("codeBlock", content).with_attr("language", language)
}

fn clean_image(node: &Node) -> Node {
    let attr = |name| without_nul(node.str_attr(name).unwrap_or_default());
    image(&attr("src"), &attr("alt"), &attr("title"))
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A text with the marks that Markdown knows, if it says anything.
fn clean_text(node: &Node) -> Option<Node> {
    let marks = clean_marks(&node.marks);
    let mut text = without_nul(node.text.as_deref()?);
    if marks.iter().any(|mark| mark.kind == "code") {
        text = text.replace("\r\n", " ").replace(['\n', '\r'], " ");
    }
    (!text.is_empty()).then(|| Node::text(text, marks))
}

fn clean_marks(marks: &[Mark]) -> Vec<Mark> {
    let mut clean: Vec<Mark> = Vec::new();
    for mark in marks {
        if !KNOWN_MARKS.contains(&mark.kind.as_str()) || clean.iter().any(|known| known.kind == mark.kind) {
            continue;
        }
        let attr = |name| mark.attrs.get(name).and_then(Value::as_str).map(without_nul);
        if mark.kind != "link" {
            clean.push(Mark::new(&mark.kind));
        } else if let Some(href) = attr("href") {
            clean.push(Mark::link(&href, attr("title").as_deref()));
        }
    }
    sort_marks(&mut clean);
    clean
}
