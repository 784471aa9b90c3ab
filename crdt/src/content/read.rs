//! Yjs types into [`Node`] trees.

use yrs::types::text::YChange;
use yrs::types::{Attrs, ToJson};
use yrs::{Any, Out, ReadTxn, Text, Xml, XmlElementRef, XmlFragment, XmlOut, XmlTextRef};

use super::value::from_any;
use crate::node::{Mark, Node, NodeAttrs, push_inline, sort_marks};

/// y-prosemirror appends `--` and this many characters of base64 to marks that may overlap themselves.
const HASH_LENGTH: usize = 8;

/// Elements deeper than this are read as empty: it bounds the stack that a hostile document takes.
const MAX_DEPTH: usize = 200;

/// The children of the document's root or of an element.
#[must_use]
pub fn read<P: XmlFragment, T: ReadTxn>(parent: &P, txn: &T) -> Vec<Node> {
    read_children(parent, txn, 0)
}

fn read_children<P: XmlFragment, T: ReadTxn>(parent: &P, txn: &T, depth: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    if depth > MAX_DEPTH {
        return nodes;
    }
    for child in parent.children(txn) {
        match child {
            XmlOut::Element(element) => nodes.push(read_at(&element, txn, depth)),
            XmlOut::Text(text) => {
                for node in read_text(&text, txn) {
                    push_inline(&mut nodes, node);
                }
            }
            // y-prosemirror never nests fragments; their children are what a reader would want.
            XmlOut::Fragment(fragment) => nodes.extend(read_children(&fragment, txn, depth + 1)),
        }
    }
    nodes
}

/// An element with its attributes and children.
#[must_use]
pub fn read_element<T: ReadTxn>(element: &XmlElementRef, txn: &T) -> Node {
    read_at(element, txn, 0)
}

fn read_at<T: ReadTxn>(element: &XmlElementRef, txn: &T, depth: usize) -> Node {
    let mut attrs = NodeAttrs::new();
    for (name, value) in element.attributes(txn) {
        let value = from_any(&value.to_json(txn));
        if !value.is_null() {
            attrs.insert(name.to_owned(), value);
        }
    }
    let kind = element.try_tag().map(|tag| tag.to_string()).unwrap_or_default();
    Node {
        kind,
        attrs,
        content: read_children(element, txn, depth + 1),
        ..Node::default()
    }
}

/// The runs of a text. Neighbours with the same marks are one run; what is not text is passed over, as y-prosemirror does.
#[must_use]
pub fn read_text<T: ReadTxn>(text: &XmlTextRef, txn: &T) -> Vec<Node> {
    let mut nodes = Vec::new();
    for run in text.diff(txn, YChange::identity) {
        if let Out::Any(Any::String(string)) = &run.insert {
            let marks = run.attributes.as_deref().map(marks).unwrap_or_default();
            push_inline(&mut nodes, Node::text(&**string, marks));
        }
    }
    nodes
}

/// The marks that a text's formatting attributes stand for.
fn marks(attrs: &Attrs) -> Vec<Mark> {
    let mut marks: Vec<Mark> = attrs
        .iter()
        .map(|(name, value)| {
            let attrs = match from_any(value) {
                serde_json::Value::Object(attrs) => {
                    attrs.into_iter().filter(|(_, value)| !value.is_null()).collect()
                }
                _ => NodeAttrs::new(), // `true`, as other bindings than y-prosemirror write it
            };
            Mark {
                kind: mark_name(name).to_owned(),
                attrs,
            }
        })
        .collect();
    sort_marks(&mut marks);
    marks
}

/// The mark's name without y-prosemirror's hash, which is exactly 8 characters of base64.
fn mark_name(attribute: &str) -> &str {
    match attribute.rsplit_once("--") {
        Some((name, hash))
            if hash.len() == HASH_LENGTH
                && hash
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) =>
        {
            name
        }
        _ => attribute,
    }
}

#[cfg(test)]
mod tests {
    use super::mark_name;

    #[test]
    fn only_a_hash_is_cut_off() {
        assert_eq!(mark_name("link--3fA+/b1="), "link");
        assert_eq!(mark_name("comment--a--3fA+/b1="), "comment--a");
        assert_eq!(mark_name("link--short"), "link--short");
        assert_eq!(mark_name("link"), "link");
    }
}
