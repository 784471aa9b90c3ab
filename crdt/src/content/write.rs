//! [`Node`] trees into Yjs types.

use std::collections::BTreeMap;
use std::sync::Arc;

use yrs::branch::BranchPtr;
use yrs::types::Attrs;
use yrs::{
    Any, Array, ArrayRef, Doc, In, ReadTxn, Text, Transact, TransactionMut, Xml, XmlElementPrelim,
    XmlElementRef, XmlFragment, XmlOut, XmlTextPrelim, XmlTextRef,
};

use super::read::read_text;
use super::value::to_any;
use crate::doc;
use crate::node::{Mark, Node};

/// Blocks that hold a line of text even when they are empty.
const TEXT_BLOCKS: [&str; 3] = ["paragraph", "heading", "codeBlock"];

/// Blocks a transaction when a whole document is written: within one transaction yrs gets slower with every item.
const BLOCKS_PER_TRANSACTION: usize = 64;

/// Why a document could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The document holds text already and was to be filled.
    #[error("the document is not empty")]
    NotEmpty,
    /// Another transaction of the document is open.
    #[error("the document is being changed")]
    Busy,
    /// The offset is not within the text, or splits a character.
    #[error("there is no place {offset} in a text of {len} units")]
    NoSuchPlace {
        /// The offset asked for, in UTF-16 code units.
        offset: u32,
        /// The text's length, in UTF-16 code units.
        len: u32,
    },
}

/// Writes nodes into the document's root or an element, before the child at `index` (cut to the number of children).
///
/// Attributes that are null are left out; adjacent texts become one `Y.XmlText`.
pub fn insert<P: XmlFragment>(parent: &P, txn: &mut TransactionMut<'_>, index: u32, nodes: &[Node]) {
    let index = index.min(parent.len(txn));
    insert_pieces(parent, txn, index, pieces(nodes));
}

/// Writes inline nodes (texts and `hardBreak`s) into a text at `offset`, in UTF-16 code units.
///
/// The new text carries the marks it is given and no others, whatever stands beside it. A node that is no text ends the
/// `Y.XmlText`: what follows the offset is then taken out and written again into a new `Y.XmlText` behind it.
///
/// # Errors
/// [`ContentError::NoSuchPlace`] for an offset beyond the text or between the halves of a surrogate pair; nothing is
/// changed then.
pub fn insert_inline(
    text: &XmlTextRef,
    txn: &mut TransactionMut<'_>,
    offset: u32,
    nodes: &[Node],
) -> Result<(), ContentError> {
    let len = text.len(txn);
    let no_place = ContentError::NoSuchPlace { offset, len };
    let runs = read_text(text, txn);
    let tail = tail_after(&runs, offset).ok_or_else(|| no_place.clone())?;

    let mut pieces = pieces(nodes);
    if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
        if let Some(Piece::Text(runs)) = pieces.first() {
            insert_runs(text, txn, offset, runs);
        }
        return Ok(());
    }

    let (parent, index) = place(text, txn).ok_or(no_place)?;
    if offset == 0 {
        // The text stays whole: what ends the insertion joins its beginning.
        if let Some(Piece::Text(last)) = pieces.last() {
            insert_runs(text, txn, 0, last);
            pieces.pop();
        }
        insert_pieces(&parent, txn, index, pieces);
        return Ok(());
    }
    let mut last_runs: Vec<&Node> = Vec::new();
    if !tail.is_empty() {
        if let Some(Piece::Text(runs)) = pieces.last() {
            last_runs.clone_from(runs);
            pieces.pop();
        }
        last_runs.extend(&tail);
        text.remove_range(txn, offset, len - offset);
    }
    if let Some(Piece::Text(first)) = pieces.first() {
        insert_runs(text, txn, offset, first);
        pieces.remove(0);
    }
    if !last_runs.is_empty() {
        pieces.push(Piece::Text(last_runs));
    }
    insert_pieces(&parent, txn, index + 1, pieces);
    Ok(())
}

/// Writes a whole document into an empty one, a few blocks a transaction.
///
/// # Errors
/// [`ContentError::NotEmpty`] if it holds anything, [`ContentError::Busy`] if a transaction is open.
pub fn fill(doc: &Doc, nodes: &[Node]) -> Result<(), ContentError> {
    let root = root(doc)?;
    let mut index = doc
        .try_transact()
        .map_err(|_| ContentError::Busy)
        .map(|txn| root.len(&txn))?;
    if index > 0 {
        return Err(ContentError::NotEmpty);
    }
    for blocks in nodes.chunks(BLOCKS_PER_TRANSACTION) {
        let mut txn = doc.try_transact_mut().map_err(|_| ContentError::Busy)?;
        insert(&root, &mut txn, index, blocks);
        index = root.len(&txn);
    }
    Ok(())
}

/// Takes out all that a document holds and writes `nodes` instead.
///
/// # Errors
/// [`ContentError::Busy`] if a transaction is open.
pub fn replace(doc: &Doc, nodes: &[Node]) -> Result<(), ContentError> {
    let root = root(doc)?;
    {
        let mut txn = doc.try_transact_mut().map_err(|_| ContentError::Busy)?;
        let len = root.len(&txn);
        root.remove_range(&mut txn, 0, len);
    }
    fill(doc, nodes)
}

fn root(doc: &Doc) -> Result<yrs::XmlFragmentRef, ContentError> {
    use yrs::WriteTxn;
    let mut txn = doc.try_transact_mut().map_err(|_| ContentError::Busy)?;
    Ok(txn.get_or_insert_xml_fragment(doc::BODY_ROOT))
}

/// What becomes one child in Yjs: an element, or adjacent texts.
enum Piece<'a> {
    Element(&'a Node),
    Text(Vec<&'a Node>),
}

fn pieces(nodes: &[Node]) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for node in nodes {
        match (&node.text, pieces.last_mut()) {
            (Some(text), _) if text.is_empty() => {} // ProseMirror has no empty texts
            (Some(_), Some(Piece::Text(runs))) => runs.push(node),
            (Some(_), _) => pieces.push(Piece::Text(vec![node])),
            (None, _) => pieces.push(Piece::Element(node)),
        }
    }
    pieces
}

fn insert_pieces<P: XmlFragment>(
    parent: &P,
    txn: &mut TransactionMut<'_>,
    index: u32,
    pieces: Vec<Piece<'_>>,
) {
    for (index, piece) in (index..).zip(pieces) {
        insert_piece(parent, txn, index, piece);
    }
}

/// A parent's children as an array. What yrs 0.26 inserts into a fragment or an element at index 0 says that nothing
/// stands to its right, and so ends up behind what clients with smaller ids have written; an array says what does.
fn children<P: XmlFragment>(parent: &P) -> ArrayRef {
    ArrayRef::from(BranchPtr::from(parent.as_ref()))
}

fn insert_piece<P: XmlFragment>(parent: &P, txn: &mut TransactionMut<'_>, index: u32, piece: Piece<'_>) {
    match piece {
        Piece::Text(runs) => {
            let text = children(parent).insert(txn, index, XmlTextPrelim::new(String::new()));
            insert_runs(&text, txn, 0, &runs);
        }
        Piece::Element(node) => {
            let element = children(parent).insert(txn, index, XmlElementPrelim::empty(node.kind.as_str()));
            // By name: the same content is the same update, in whatever order the attributes came.
            let mut attrs: Vec<_> = node.attrs.iter().filter(|(_, value)| !value.is_null()).collect();
            attrs.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in attrs {
                element.insert_attribute(txn, name.as_str(), In::Any(to_any(value)));
            }
            if node.content.is_empty() && TEXT_BLOCKS.contains(&node.kind.as_str()) {
                // Two people who begin to write in it at once have one text then, and not one each.
                element.insert(txn, 0, XmlTextPrelim::new(String::new()));
            }
            insert(&element, txn, 0, &node.content);
        }
    }
}

/// Writes runs of text with exactly their marks.
///
/// The words go in first and bare, then each mark over as much of them as carries it: that makes fewer format items than
/// run by run, and always the same ones (the attributes of one yrs insertion are written in a random order).
fn insert_runs(text: &XmlTextRef, txn: &mut TransactionMut<'_>, offset: u32, runs: &[&Node]) {
    let words: String = runs.iter().filter_map(|run| run.text.as_deref()).collect();
    // With attributes, even if there are none: this unsets what the neighbours carry.
    text.insert_with_attributes(txn, offset, &words, Attrs::new());

    let mut at = 0;
    let mut spans: BTreeMap<String, Vec<(u32, u32, Any)>> = BTreeMap::new();
    for run in runs {
        let len = utf16_len(run.text.as_deref().unwrap_or_default());
        for (name, value) in attributes(&run.marks) {
            let spans = spans.entry(name).or_default();
            match spans.last_mut() {
                Some((start, length, before)) if *start + *length == at && *before == value => *length += len,
                _ => spans.push((at, len, value)),
            }
        }
        at += len;
    }
    for (name, spans) in spans {
        let name: Arc<str> = Arc::from(name);
        for (start, len, value) in spans {
            text.format(
                txn,
                offset + start,
                len,
                Attrs::from([(Arc::clone(&name), value)]),
            );
        }
    }
}

/// The formatting attributes of a run: one for each mark, named after it.
fn attributes(marks: &[Mark]) -> BTreeMap<String, Any> {
    let mut attributes = BTreeMap::new();
    for mark in marks {
        let value = to_any(&serde_json::Value::Object(mark.attrs.clone()));
        // A kind that overlaps itself needs a name for each: y-prosemirror appends `--` and 8 characters of base64.
        let name = if attributes.contains_key(&mark.kind) {
            format!("{}--{}", mark.kind, hash(mark))
        } else {
            mark.kind.clone()
        };
        attributes.insert(name, value);
    }
    attributes
}

/// Eight characters of base64 that differ where marks differ (64-bit FNV-1a; only equality matters to readers).
fn hash(mark: &Mark) -> String {
    use base64::Engine;
    let json = serde_json::to_string(mark).unwrap_or_default();
    let hash = json.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    base64::engine::general_purpose::STANDARD.encode([a ^ g, b ^ h, c, d, e, f])
}

/// The runs after `offset`, or `None` if that is no place in the text.
fn tail_after(runs: &[Node], offset: u32) -> Option<Vec<Node>> {
    let mut skip = offset;
    let mut tail = Vec::new();
    for run in runs {
        let text = run.text.as_deref().unwrap_or_default();
        let len = utf16_len(text);
        if skip >= len {
            skip -= len;
        } else {
            let rest = text.get(byte_offset(text, skip)?..)?;
            skip = 0;
            tail.push(Node {
                text: Some(rest.to_owned()),
                ..run.clone()
            });
        }
    }
    (skip == 0).then_some(tail)
}

/// The parent element of a text and the text's index in it.
fn place<T: ReadTxn>(text: &XmlTextRef, txn: &T) -> Option<(XmlElementRef, u32)> {
    let parent = text.parent().and_then(XmlOut::into_xml_element)?;
    let index = parent
        .children(txn)
        .position(|child| matches!(child, XmlOut::Text(other) if other == *text))?;
    Some((parent, u32::try_from(index).ok()?))
}

fn utf16_len(text: &str) -> u32 {
    u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX)
}

/// The byte at which the UTF-16 unit `units` of `text` starts, if a character starts there.
fn byte_offset(text: &str, units: u32) -> Option<usize> {
    let mut passed = 0;
    for (byte, char) in text.char_indices() {
        if passed >= units {
            return (passed == units).then_some(byte);
        }
        passed += u32::try_from(char.len_utf16()).unwrap_or(2);
    }
    (passed == units).then_some(text.len())
}
