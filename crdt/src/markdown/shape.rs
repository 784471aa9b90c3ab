//! Blocks in the shape that the schema wants.

use crate::node::Node;

/// A list item: the schema wants a paragraph first.
pub(super) fn item(mut blocks: Vec<Node>, checked: Option<bool>) -> Node {
    if blocks.first().is_none_or(|first| first.kind != "paragraph") {
        blocks.insert(0, Node::paragraph(""));
    }
    match checked {
        None => Node::element("listItem", blocks),
        Some(checked) => Node::element("taskItem", blocks).with_attr("checked", checked),
    }
}

/// Markdown mixes items with and without a check box in one list, the schema does not: each stretch is a list.
pub(super) fn lists(items: Vec<Node>, start: Option<u64>) -> Vec<Node> {
    let mut lists: Vec<Node> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let kind = match (item.kind.as_str(), start) {
            ("taskItem", _) => "taskList",
            (_, None) => "bulletList",
            (_, Some(_)) => "orderedList",
        };
        match lists.last_mut() {
            Some(list) if list.kind == kind => list.content.push(item),
            _ => {
                let first = start
                    .filter(|_| kind == "orderedList")
                    .map(|start| start + index as u64);
                lists.push(Node::element(kind, vec![item]).with_attr("start", first));
            }
        }
    }
    lists
}

/// The language that an info string or attribute names: its first word.
pub(super) fn language(info: &str) -> Option<String> {
    let word = info.replace(|char: char| char.is_control() && !char.is_whitespace(), "");
    word.split_whitespace().next().map(str::to_owned)
}

/// An image block; an empty description or title is left out.
pub(super) fn image(src: &str, alt: &str, title: &str) -> Node {
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Node::element("image", Vec::new())
        .with_attr("src", src)
        .with_attr("alt", present(alt))
        .with_attr("title", present(title))
}

/// Adds to an image's description.
pub(super) fn add_to_alt(image: &mut Node, text: &str) {
    let alt = format!("{}{text}", image.str_attr("alt").unwrap_or_default());
    if !alt.is_empty() {
        image.attrs.insert("alt".to_owned(), alt.into());
    }
}
