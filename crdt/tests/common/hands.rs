//! The hands of the people at a document: edits as a stock editor makes them, at places given by numbers.

use std::collections::BTreeMap;

use crdt::Node;
use crdt::content::{self, insert, read, read_text};
use crdt::doc::{self, BODY_ROOT};
use yrs::types::Attrs;
use yrs::{
    Any, Array, ArrayRef, Assoc, Doc, IndexedSequence, ReadTxn, Text, Transact, Xml, XmlElementRef,
    XmlFragment, XmlOut, XmlTextPrelim, XmlTextRef,
};

/// An item's id.
pub(crate) type Id = (u64, u32);

/// The text that documents begin with.
pub(crate) const BEGINNING: &str = "# The harbour\n\nIt was quiet when the first snow fell.\n\n- boats\n- nets\n\n> an old saying\n\n\
    Nobody had thought of it.\n\n| a | b |\n|---|---|\n| c | d |\n\n```\nlet x\n```\n\nThe end.";

/// The body's tree.
pub(crate) fn tree(body: &Doc) -> Vec<Node> {
    let txn = body.transact();
    txn.get_xml_fragment(BODY_ROOT)
        .map(|root| read(&root, &txn))
        .unwrap_or_default()
}

/// The ids of all characters that are alive, with the characters' units.
pub(crate) fn alive(body: &Doc) -> BTreeMap<Id, u16> {
    let txn = body.transact();
    let mut alive = BTreeMap::new();
    for line in lines(&txn) {
        for text in line.texts {
            let units: Vec<u16> = plain(&text, &txn).encode_utf16().collect();
            for (index, unit) in (0..).zip(units) {
                let position = text.sticky_index(&txn, index, Assoc::After);
                let id = position
                    .as_ref()
                    .and_then(|position| position.id())
                    .expect("a character has an id");
                alive.insert((id.client.get(), id.clock), unit);
            }
        }
    }
    alive
}

/// A block that holds a line of text.
pub(crate) struct Line {
    pub(crate) element: XmlElementRef,
    pub(crate) texts: Vec<XmlTextRef>,
}

/// All lines, in order.
pub(crate) fn lines<T: ReadTxn>(txn: &T) -> Vec<Line> {
    fn walk<T: ReadTxn, P: XmlFragment>(txn: &T, parent: &P, lines: &mut Vec<Line>) {
        for child in parent.children(txn) {
            if let XmlOut::Element(element) = child {
                if ["paragraph", "heading", "codeBlock"].contains(&&**element.tag()) {
                    let texts = element.children(txn).filter_map(XmlOut::into_xml_text).collect();
                    lines.push(Line { element, texts });
                } else {
                    walk(txn, &element, lines);
                }
            }
        }
    }
    let mut found = Vec::new();
    if let Some(root) = txn.get_xml_fragment(BODY_ROOT) {
        walk(txn, &root, &mut found);
    }
    found
}

fn plain<T: ReadTxn>(text: &XmlTextRef, txn: &T) -> String {
    read_text(text, txn)
        .into_iter()
        .filter_map(|node| node.text)
        .collect()
}

/// A place in a line: the text, the offset and the text's characters.
struct Place {
    text: XmlTextRef,
    index: u32,
    rest: String,
}

impl Place {
    /// Whether it is in code, which has no marks.
    fn is_code(&self) -> bool {
        let block = self.text.parent().and_then(XmlOut::into_xml_element);
        block.is_some_and(|block| &**block.tag() == "codeBlock")
    }
}

fn place(body: &Doc, at: u32) -> Option<Place> {
    let (element, texts) = {
        let txn = body.transact();
        let mut lines = lines(&txn);
        if lines.is_empty() {
            return None;
        }
        let line = lines.swap_remove(at as usize % lines.len());
        (line.element, line.texts)
    };
    let at = at / 7;
    let text = if texts.is_empty() {
        // As y-prosemirror begins a line.
        ArrayRef::from(yrs::branch::BranchPtr::from(
            AsRef::<yrs::branch::Branch>::as_ref(&element),
        ))
        .insert(&mut body.transact_mut(), 0, XmlTextPrelim::new(""))
    } else {
        texts[at as usize % texts.len()].clone()
    };
    let all = plain(&text, &body.transact());
    let chars: Vec<char> = all.chars().collect();
    let before = at as usize % (chars.len() + 1);
    let index = chars[..before].iter().map(|char| char.len_utf16()).sum::<usize>();
    Some(Place {
        text,
        index: index as u32,
        rest: chars[before..].iter().collect(),
    })
}

/// Types.
pub(crate) fn type_text(body: &Doc, at: u32, words: &str) {
    if let Some(place) = place(body, at) {
        place.text.insert(&mut body.transact_mut(), place.index, words);
    }
}

/// A range of whole characters after a place.
fn some(place: &Place, len: u32) -> u32 {
    place
        .rest
        .chars()
        .take(len as usize)
        .map(|char| char.len_utf16() as u32)
        .sum()
}

/// Deletes some characters of a line.
pub(crate) fn erase(body: &Doc, at: u32, len: u32) {
    if let Some(place) = place(body, at) {
        let len = some(&place, len);
        place
            .text
            .remove_range(&mut body.transact_mut(), place.index, len);
    }
}

/// Puts a mark on some characters of a line, or takes it off.
pub(crate) fn format(body: &Doc, at: u32, len: u32, mark: u8) {
    if let Some(place) = place(body, at).filter(|place| !place.is_code()) {
        let len = some(&place, len);
        let (name, value) = match mark {
            0 => ("bold", Any::Map(Default::default())),
            1 => ("italic", Any::Map(Default::default())),
            2 => ("bold", Any::Null),
            _ => (
                "link",
                Any::from_json("{\"href\":\"https://a.b\"}").expect("JSON"),
            ),
        };
        let mut txn = body.transact_mut();
        place
            .text
            .format(&mut txn, place.index, len, Attrs::from([(name.into(), value)]));
    }
}

/// Breaks a block in two, as y-prosemirror does: the tail is deleted and written anew.
pub(crate) fn split(body: &Doc, at: u32) {
    let Some(place) = place(body, at) else { return };
    let mut txn = body.transact_mut();
    let Some(XmlOut::Element(block)) = place.text.parent() else {
        return;
    };
    if &**block.tag() == "codeBlock" {
        place.text.insert(&mut txn, place.index, "\n");
        return;
    }
    let tail = tail(&read_text(&place.text, &txn), place.index);
    let len = place.text.len(&txn) - place.index;
    place.text.remove_range(&mut txn, place.index, len);
    insert_after(&mut txn, &block, &[Node::element("paragraph", tail)]);
}

/// Joins a block with the one before, as y-prosemirror does: its text is written anew there.
pub(crate) fn join(body: &Doc, at: u32) {
    let (before, block) = {
        let txn = body.transact();
        let mut lines = lines(&txn);
        if lines.len() < 2 {
            return;
        }
        let index = 1 + at as usize % (lines.len() - 1);
        let block = lines.swap_remove(index);
        (lines.swap_remove(index - 1), block)
    };
    let siblings =
        before.element.parent().map(|parent| parent.id()) == block.element.parent().map(|parent| parent.id());
    let (Some(target), [source]) = (before.texts.last(), block.texts.as_slice()) else {
        return;
    };
    if !siblings || &**before.element.tag() == "codeBlock" {
        return;
    }
    let mut txn = body.transact_mut();
    let nodes = read_text(source, &txn);
    let end = target.len(&txn);
    content::insert_inline(target, &mut txn, end, &nodes).expect("the end is a place");
    remove(&mut txn, &block.element);
}

/// Deletes a block of the top level.
pub(crate) fn delete_block(body: &Doc, at: u32) {
    let root = doc::fragment(body);
    let mut txn = body.transact_mut();
    let len = root.len(&txn);
    if len > 1 {
        root.remove(&mut txn, at % len);
    }
}

/// Adds a block at the top level.
pub(crate) fn add_block(body: &Doc, at: u32, text: &str) {
    let root = doc::fragment(body);
    let mut txn = body.transact_mut();
    let index = at % (root.len(&txn) + 1);
    insert(&root, &mut txn, index, &[Node::paragraph(text)]);
}

fn tail(runs: &[Node], mut skip: u32) -> Vec<Node> {
    let mut tail = Vec::new();
    for run in runs {
        let text: String = run
            .text
            .as_deref()
            .unwrap_or_default()
            .chars()
            .filter(|char| {
                let keep = skip == 0;
                skip = skip.saturating_sub(char.len_utf16() as u32);
                keep
            })
            .collect();
        if !text.is_empty() {
            tail.push(Node {
                text: Some(text),
                ..run.clone()
            });
        }
    }
    tail
}

fn index_of(txn: &yrs::TransactionMut<'_>, element: &XmlElementRef) -> Option<(XmlOut, u32)> {
    let parent = element.parent()?;
    let own = XmlOut::Element(element.clone()).id();
    let position =
        |mut children: yrs::types::xml::XmlNodes<'_, _>| children.position(|child| child.id() == own);
    let index = match &parent {
        XmlOut::Element(parent) => position(parent.children(txn)),
        XmlOut::Fragment(parent) => position(parent.children(txn)),
        XmlOut::Text(_) => None,
    }?;
    Some((parent, index as u32))
}

fn insert_after(txn: &mut yrs::TransactionMut<'_>, element: &XmlElementRef, nodes: &[Node]) {
    match index_of(txn, element) {
        Some((XmlOut::Element(parent), index)) => insert(&parent, txn, index + 1, nodes),
        Some((XmlOut::Fragment(parent), index)) => insert(&parent, txn, index + 1, nodes),
        _ => {}
    }
}

fn remove(txn: &mut yrs::TransactionMut<'_>, element: &XmlElementRef) {
    match index_of(txn, element) {
        Some((XmlOut::Element(parent), index)) => parent.remove(txn, index),
        Some((XmlOut::Fragment(parent), index)) => parent.remove(txn, index),
        _ => {}
    }
}

/// Where a tree breaks the editing surface's schema, if it does.
pub(crate) fn flaw(nodes: &[Node], parent: &str) -> Option<String> {
    let kinds: Vec<&str> = nodes.iter().map(|node| node.kind.as_str()).collect();
    let is_block = |kind: &&str| {
        [
            "paragraph",
            "heading",
            "bulletList",
            "orderedList",
            "taskList",
            "blockquote",
            "codeBlock",
            "table",
            "image",
        ]
        .contains(kind)
            || *kind == "horizontalRule"
    };
    let fits = match parent {
        "doc" => kinds.iter().all(is_block),
        "blockquote" | "tableCell" | "tableHeader" => !kinds.is_empty() && kinds.iter().all(is_block),
        "listItem" | "taskItem" => kinds.first() == Some(&"paragraph") && kinds.iter().all(is_block),
        "bulletList" | "orderedList" => !kinds.is_empty() && kinds.iter().all(|kind| *kind == "listItem"),
        "taskList" => !kinds.is_empty() && kinds.iter().all(|kind| *kind == "taskItem"),
        "table" => !kinds.is_empty() && kinds.iter().all(|kind| *kind == "tableRow"),
        "tableRow" => kinds
            .iter()
            .all(|kind| ["tableCell", "tableHeader"].contains(kind)),
        "paragraph" | "heading" => nodes.iter().all(Node::is_inline),
        "codeBlock" => nodes.iter().all(|node| node.is_text() && node.marks.is_empty()),
        _ => kinds.is_empty(),
    };
    if !fits {
        return Some(format!("`{parent}` cannot hold {kinds:?}"));
    }
    nodes
        .iter()
        .filter(|node| !node.is_text())
        .find_map(|node| flaw(&node.content, &node.kind))
}
