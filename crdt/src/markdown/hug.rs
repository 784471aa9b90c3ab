//! Runs of text that carry a mark, and the spaces at their edges.

use crate::node::{Node, push_inline};

/// Marks whose delimiters cannot stand beside a space, and that say little about one.
const HUGGING_MARKS: [&str; 3] = ["bold", "italic", "strike"];

/// Takes bold, italic and strike off the spaces at the edges of the runs that carry them: their delimiters cannot stand
/// beside a space.
pub(super) fn hug(mut nodes: Vec<Node>) -> Vec<Node> {
    for kind in HUGGING_MARKS {
        if nodes.iter().any(|node| carries(node, kind)) {
            nodes = hug_one(&nodes, kind);
        }
    }
    nodes
}

fn carries(node: &Node, kind: &str) -> bool {
    node.marks.iter().any(|mark| mark.kind == kind)
}

/// Takes a mark off the spaces at the edges of the runs that carry it.
fn hug_one(nodes: &[Node], kind: &str) -> Vec<Node> {
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(node) = nodes.get(index) {
        if !carries(node, kind) {
            push_inline(&mut found, node.clone());
            index += 1;
            continue;
        }
        let length = run_length(nodes.get(index..).unwrap_or_default(), |node| carries(node, kind));
        let run = nodes.get(index..index + length).unwrap_or_default();
        for node in tight(run, kind) {
            push_inline(&mut found, node);
        }
        index += length;
    }
    found
}

/// How many of the nodes form one run of a mark: breaks within it do not end it.
pub(super) fn run_length(nodes: &[Node], carries: impl Fn(&Node) -> bool) -> usize {
    let mut length = 0;
    for (index, node) in nodes.iter().enumerate() {
        if carries(node) {
            length = index + 1;
        } else if node.is_text() {
            break;
        }
    }
    length
}

fn tight(run: &[Node], kind: &str) -> Vec<Node> {
    let bare = |node: &Node, text: &str| {
        let marks = node
            .marks
            .iter()
            .filter(|mark| mark.kind != kind)
            .cloned()
            .collect();
        Node::text(text, marks)
    };
    // Whole nodes of space at either end, then the space within the first and the last of the others.
    let blank = |node: &Node| match &node.text {
        Some(text) => text.trim().is_empty() && !is_code(node),
        None => true,
    };
    let strip = |node: &Node| match &node.text {
        Some(text) => bare(node, text),
        None => node.clone(),
    };
    let first = run.iter().position(|node| !blank(node)).unwrap_or(run.len());
    let last = run
        .iter()
        .rposition(|node| !blank(node))
        .map_or(first, |last| last + 1);
    let mut found: Vec<Node> = run.iter().take(first).map(strip).collect();
    for (index, node) in run.iter().enumerate().take(last).skip(first) {
        let text = node.text.as_deref().unwrap_or_default();
        let (mut from, mut to) = (0, text.len());
        if !is_code(node) && index == first {
            from = text.len() - text.trim_start().len();
        }
        if !is_code(node) && index + 1 == last {
            to = text.trim_end().len();
        }
        if !node.is_text() {
            found.push(node.clone());
            continue;
        }
        let part = |range| text.get(range).unwrap_or_default();
        found.push(bare(node, part(0..from)));
        found.push(Node::text(part(from..to), node.marks.clone()));
        found.push(bare(node, part(to..text.len())));
    }
    found.extend(run.iter().skip(last).map(strip));
    found.retain(|node| node.text.as_deref() != Some(""));
    found
}

fn is_code(node: &Node) -> bool {
    carries(node, "code")
}
