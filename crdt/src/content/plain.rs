//! The words of a tree, without its form.

use crate::node::Node;

/// The text of every block that holds text, in order: paragraphs, headings, code, and what lies in lists, quotes and
/// tables. Line breaks within a block are `\n`; images and rules have no text.
#[must_use]
pub fn block_texts(nodes: &[Node]) -> Vec<String> {
    let mut texts = Vec::new();
    collect(nodes, &mut texts);
    texts
}

/// The text of all blocks, joined by `\n`, as an anchor's quote is.
#[must_use]
pub fn plain_text(nodes: &[Node]) -> String {
    block_texts(nodes).join("\n")
}

/// Blocks that hold a line of text even when they are empty.
const TEXT_BLOCKS: [&str; 3] = ["paragraph", "heading", "codeBlock"];

fn collect(nodes: &[Node], texts: &mut Vec<String>) {
    if nodes.iter().any(Node::is_inline) {
        texts.push(nodes.iter().map(inline_text).collect());
        return;
    }
    for node in nodes {
        if node.content.is_empty() && TEXT_BLOCKS.contains(&node.kind.as_str()) {
            texts.push(String::new());
        } else {
            collect(&node.content, texts);
        }
    }
}

fn inline_text(node: &Node) -> String {
    match &node.text {
        Some(text) => text.clone(),
        None if node.kind == "hardBreak" => "\n".to_owned(),
        None => node.content.iter().map(inline_text).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_one_line() {
        let broken = Node::element(
            "paragraph",
            vec![
                Node::text("one", vec![]),
                Node::element("hardBreak", vec![]),
                Node::text("two", vec![]),
            ],
        );
        let item = |text| Node::element("listItem", vec![Node::paragraph(text)]);
        let nodes = [
            broken,
            Node::paragraph(""),
            Node::element("horizontalRule", vec![]),
            Node::element("image", vec![]),
            Node::element("bulletList", vec![item("a"), item("b")]),
        ];
        assert_eq!(block_texts(&nodes), ["one\ntwo", "", "a", "b"]);
        assert_eq!(plain_text(&nodes), "one\ntwo\n\na\nb");
    }
}
