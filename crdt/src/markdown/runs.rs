//! Inline content on its way into blocks: HTML tags become marks, images split paragraphs.

use super::hug::hug;
use crate::node::{Mark, Node, push_inline, sort_marks};

/// Inline content as it comes out of the parser.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// A text, a `hardBreak` or an image.
    Node(Node),
    /// An HTML tag that stands for a mark, if its partner is found; otherwise it is the text that it carries.
    Tag {
        mark: &'static str,
        name: String,
        opens: bool,
        literal: Node,
    },
}

/// More tags within each other than anybody writes: each end looks through what stands since its beginning.
const MAX_OPEN_TAGS: usize = 16;

/// The marks that HTML tags stand for.
const TAGS: [(&str, &str); 10] = [
    ("u", "underline"),
    ("ins", "underline"),
    ("b", "bold"),
    ("strong", "bold"),
    ("i", "italic"),
    ("em", "italic"),
    ("s", "strike"),
    ("del", "strike"),
    ("strike", "strike"),
    ("code", "code"),
];

/// What a piece of inline HTML means: a break, a mark, nothing (a comment, as an empty text), or itself as text.
pub(super) fn html_piece(html: &str, marks: Vec<Mark>) -> Piece {
    if html.starts_with("<!--") {
        return Piece::Node(Node::text("", Vec::new()));
    }
    let inner = html
        .trim_start_matches('<')
        .trim_end_matches('>')
        .trim()
        .to_ascii_lowercase();
    if is_break(&inner) {
        return Piece::Node(Node::element("hardBreak", Vec::new()));
    }
    let literal = Node::text(html.replace('\n', " "), marks);
    let name = inner.strip_prefix('/').unwrap_or(&inner);
    match TAGS.iter().find(|(tag, _)| *tag == name) {
        Some((_, mark)) => Piece::Tag {
            mark,
            name: name.to_owned(),
            opens: !inner.starts_with('/'),
            literal,
        },
        None => Piece::Node(literal),
    }
}

fn is_break(tag: &str) -> bool {
    tag.strip_suffix('/').unwrap_or(tag).trim_end() == "br"
}

/// What an HTML block becomes: a paragraph that shows it, a line each; nothing if it is a comment.
pub(super) fn html_text(html: &str) -> Option<Node> {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, comment)) = rest.split_once("<!--") {
        text.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let tag = text
        .trim_start_matches('<')
        .trim_end_matches('>')
        .trim()
        .to_ascii_lowercase();
    if is_break(&tag) {
        // A paragraph of one break alone looks like an HTML block.
        return Some(Node::element(
            "paragraph",
            vec![Node::element("hardBreak", Vec::new())],
        ));
    }
    let mut content = Vec::new();
    for line in text.lines() {
        if !content.is_empty() {
            content.push(Node::element("hardBreak", Vec::new()));
        }
        if !line.trim().is_empty() {
            content.push(Node::text(line, Vec::new()));
        }
    }
    Some(Node::element("paragraph", content))
}

/// Paragraphs of the texts and breaks, and the images between them.
pub(super) fn blocks_of(pieces: Vec<Piece>) -> Vec<Node> {
    let nodes = resolve_tags(pieces);
    let mut blocks: Vec<Node> = Vec::new();
    let mut inline: Vec<Node> = Vec::new();
    for node in nodes {
        if node.is_inline() {
            inline.push(node);
        } else {
            trim_end(&mut inline);
            paragraph(&mut blocks, &mut inline);
            blocks.push(node);
        }
    }
    paragraph(&mut blocks, &mut inline);
    blocks
}

fn paragraph(blocks: &mut Vec<Node>, inline: &mut Vec<Node>) {
    let mut content = std::mem::take(inline);
    let comment = |node: Option<&Node>| node.is_some_and(|node| node.text.as_deref() == Some(""));
    // The space beside a comment at the edge goes with it.
    if comment(content.first()) || blocks.last().is_some_and(|block| block.kind == "image") {
        trim_start(&mut content);
    }
    if comment(content.last()) {
        trim_end(&mut content);
    }
    let mut inline = Vec::with_capacity(content.len());
    for node in content
        .into_iter()
        .filter(|node| node.text.as_deref() != Some(""))
    {
        push_inline(&mut inline, node);
    }
    let content = inline;
    if !content.is_empty() {
        blocks.push(Node::element("paragraph", hug(content)));
    }
}

/// Takes away the space and the breaks before what follows.
pub(super) fn trim_end(inline: &mut Vec<Node>) {
    let kept = inline.iter().rposition(says_something).map_or(0, |last| last + 1);
    inline.truncate(kept);
    if let Some(text) = inline.last_mut().and_then(|last| last.text.as_mut()) {
        text.truncate(text.trim_end().len());
    }
}

/// Takes away the space and the breaks after what came before.
pub(super) fn trim_start(inline: &mut Vec<Node>) {
    let blank = inline.iter().position(says_something).unwrap_or(inline.len());
    inline.drain(..blank);
    if let Some(text) = inline.first_mut().and_then(|first| first.text.as_mut()) {
        *text = text.trim_start().to_owned();
    }
}

fn says_something(node: &Node) -> bool {
    node.text.as_ref().is_some_and(|text| !text.trim().is_empty())
}

/// Gives the marks of HTML tags to what stands between them. A tag without a partner is text.
fn resolve_tags(pieces: Vec<Piece>) -> Vec<Node> {
    let mut nodes: Vec<Option<Node>> = Vec::with_capacity(pieces.len());
    let mut open: Vec<(String, usize)> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Node(node) => nodes.push(Some(node)),
            Piece::Tag {
                name,
                opens: true,
                literal,
                ..
            } => {
                if open.len() < MAX_OPEN_TAGS {
                    open.push((name, nodes.len()));
                }
                nodes.push(Some(literal));
            }
            Piece::Tag {
                mark,
                name,
                opens: false,
                literal,
            } => {
                let Some(partner) = open.iter().rposition(|(tag, _)| *tag == name) else {
                    nodes.push(Some(literal));
                    continue;
                };
                let (_, begin) = open.remove(partner);
                for node in nodes
                    .iter_mut()
                    .skip(begin)
                    .flatten()
                    .filter(|node| node.is_text())
                {
                    if node.marks.iter().all(|known| known.kind != mark) {
                        node.marks.push(Mark::new(mark));
                        sort_marks(&mut node.marks);
                    }
                    if mark == "code"
                        && let Some(text) = &mut node.text
                    {
                        *text = text.replace(['\n', '\r'], " ");
                    }
                }
                if let Some(tag) = nodes.get_mut(begin) {
                    *tag = None;
                }
            }
        }
    }
    nodes.into_iter().flatten().collect()
}
