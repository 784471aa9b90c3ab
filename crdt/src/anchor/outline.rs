//! The body as one line of text after another, with the way back from an offset to the Yjs type that holds it.

use std::collections::HashMap;
use std::ops::Range;

use yrs::branch::{Branch, BranchPtr};
use yrs::types::text::YChange;
use yrs::{Any, BranchID, Out, ReadTxn, Text, XmlElementRef, XmlFragment, XmlOut, XmlTextRef};

use super::position::{Place, RelativePosition};
use crate::doc::BODY_ROOT;

/// Elements that hold a line of text even when they are empty.
const TEXT_BLOCKS: [&str; 3] = ["paragraph", "heading", "codeBlock"];

/// Deeper nesting is not looked into: nobody writes it, and a hostile document must not exhaust the stack.
const MAX_DEPTH: usize = 128;

const LINE_BREAK: u16 = 0x0A;

/// One element that holds a line of text.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) element: XmlElementRef,
    pub(crate) kind: String,
    /// Which child of the root it is, or is in.
    pub(crate) top: u32,
    pub(crate) range: Range<usize>,
    pub(crate) pieces: Vec<Piece>,
}

/// A child of a block.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) content: PieceContent,
    pub(crate) range: Range<usize>,
}

/// What a child of a block is.
#[derive(Debug, Clone)]
pub(crate) enum PieceContent {
    Text(XmlTextRef),
    /// A line break or something else that stands within a line.
    Inline(XmlElementRef),
}

/// The visible text of a body: every block's text, joined by line breaks. Offsets are UTF-16 units.
///
/// A line break within a block counts as `\n` as well; images and rules have no text.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    pub(crate) blocks: Vec<Block>,
    pub(crate) text: Vec<u16>,
    /// For every element: the blocks in it.
    spans: HashMap<BranchID, Range<usize>>,
}

impl Outline {
    /// Reads the body's text.
    #[must_use]
    pub fn read<T: ReadTxn>(txn: &T) -> Self {
        let mut outline = Self::default();
        if let Some(root) = txn.get_xml_fragment(BODY_ROOT) {
            for (top, child) in root.children(txn).enumerate() {
                if let XmlOut::Element(element) = child {
                    outline.element(txn, &element, u32::try_from(top).unwrap_or(u32::MAX), 0);
                }
            }
            outline.spans.insert(root.as_ref_id(), 0..outline.blocks.len());
        }
        outline
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf16_lossy(&self.text)
    }

    /// The text of a range; what is beyond the end is left out.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> String {
        let end = range.end.min(self.text.len());
        String::from_utf16_lossy(self.text.get(range.start.min(end)..end).unwrap_or_default())
    }

    /// How many UTF-16 units there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn element<T: ReadTxn>(&mut self, txn: &T, element: &XmlElementRef, top: u32, depth: usize) {
        let first = self.blocks.len();
        let kind = element.try_tag().map(ToString::to_string).unwrap_or_default();
        let children: Vec<XmlOut> = element.children(txn).collect();
        if TEXT_BLOCKS.contains(&kind.as_str())
            || children.iter().any(|child| matches!(child, XmlOut::Text(_)))
        {
            self.block(txn, element, kind, top, children);
        } else if depth < MAX_DEPTH {
            for child in children {
                if let XmlOut::Element(child) = child {
                    self.element(txn, &child, top, depth + 1);
                }
            }
        }
        self.spans.insert(element.as_ref_id(), first..self.blocks.len());
    }

    fn block<T: ReadTxn>(
        &mut self,
        txn: &T,
        element: &XmlElementRef,
        kind: String,
        top: u32,
        children: Vec<XmlOut>,
    ) {
        if !self.blocks.is_empty() {
            self.text.push(LINE_BREAK);
        }
        let start = self.text.len();
        let mut pieces = Vec::new();
        for child in children {
            let from = self.text.len();
            let content = match child {
                XmlOut::Text(text) => {
                    self.push_text(&text, txn);
                    PieceContent::Text(text)
                }
                XmlOut::Element(inline) => {
                    if inline.try_tag().is_some_and(|tag| &**tag == "hardBreak") {
                        self.text.push(LINE_BREAK);
                    }
                    PieceContent::Inline(inline)
                }
                XmlOut::Fragment(_) => continue,
            };
            pieces.push(Piece {
                content,
                range: from..self.text.len(),
            });
        }
        self.blocks.push(Block {
            element: element.clone(),
            kind,
            top,
            range: start..self.text.len(),
            pieces,
        });
    }

    fn push_text<T: ReadTxn>(&mut self, text: &XmlTextRef, txn: &T) {
        for run in text.diff(txn, YChange::identity) {
            match &run.insert {
                Out::Any(Any::String(string)) => self.text.extend(string.encode_utf16()),
                // An embed takes one unit of the text's length.
                _ => self.text.push(0xFFFC),
            }
        }
    }

    /// The blocks in an element. Empty for an image or a rule; where it begins says how many blocks come before it.
    pub(crate) fn span_of(&self, id: &BranchID) -> Option<Range<usize>> {
        self.spans.get(id).cloned()
    }

    /// Which block an offset is in; its end belongs to it.
    pub(crate) fn block_at(&self, offset: usize) -> Option<usize> {
        let index = self.blocks.partition_point(|block| block.range.end < offset);
        self.blocks
            .get(index)
            .filter(|block| block.range.start <= offset)
            .map(|_| index)
    }

    /// Whether a type is part of the body.
    pub(crate) fn holds(&self, branch: &BranchPtr) -> bool {
        match XmlOut::try_from(*branch) {
            Ok(XmlOut::Text(text)) => {
                text_parent(&text).is_some_and(|parent| self.spans.contains_key(&parent))
            }
            Ok(XmlOut::Element(_) | XmlOut::Fragment(_)) | Err(_) => self.spans.contains_key(&branch.id()),
        }
    }

    /// The offset of something that stands within a line.
    pub(crate) fn offset_of_inline(&self, element: &XmlElementRef) -> Option<usize> {
        self.blocks
            .iter()
            .flat_map(|block| &block.pieces)
            .find_map(|piece| match &piece.content {
                PieceContent::Inline(other) if other == element => Some(piece.range.start),
                PieceContent::Inline(_) | PieceContent::Text(_) => None,
            })
    }

    /// The text that holds an offset, and the offset in it. At a seam the text on the left is taken.
    pub(crate) fn text_at(&self, offset: usize) -> Option<(XmlTextRef, u32)> {
        let block = self.blocks.get(self.block_at(offset)?)?;
        block.pieces.iter().find_map(|piece| match &piece.content {
            PieceContent::Text(text) if piece.range.start <= offset && offset <= piece.range.end => {
                Some((text.clone(), u32::try_from(offset - piece.range.start).ok()?))
            }
            PieceContent::Text(_) | PieceContent::Inline(_) => None,
        })
    }

    /// The offset of a place, or `None` if it is not in the body. `end`: for the end of a range.
    pub(crate) fn offset_of<T: ReadTxn>(&self, txn: &T, place: &Place, end: bool) -> Option<usize> {
        let id = place.branch.id();
        match XmlOut::try_from(place.branch) {
            Ok(XmlOut::Text(text)) => {
                let parent = text_parent(&text)?;
                let block = self.blocks.get(self.spans.get(&parent)?.start)?;
                let piece = block.pieces.iter().find(
                    |piece| matches!(&piece.content, PieceContent::Text(other) if other.as_ref_id() == id),
                )?;
                let offset = piece.range.start + usize::try_from(place.index).ok()?;
                Some(self.whole_characters(offset.min(piece.range.end), end))
            }
            Ok(XmlOut::Element(element)) => self.offset_in(txn, &element, &id, place.index, end),
            Ok(XmlOut::Fragment(root)) => self.offset_in(txn, &root, &id, place.index, end),
            // A root that came with an update and was never opened here.
            Err(_) => {
                let root = txn
                    .get_xml_fragment(BODY_ROOT)
                    .filter(|root| root.as_ref_id() == id)?;
                self.offset_in(txn, &root, &id, place.index, end)
            }
        }
    }

    fn offset_in<P: XmlFragment, T: ReadTxn>(
        &self,
        txn: &T,
        parent: &P,
        id: &BranchID,
        index: u32,
        end: bool,
    ) -> Option<usize> {
        let span = self.spans.get(id)?;
        if let Some(block) = self.blocks.get(span.start)
            && block.element.as_ref_id() == *id
        {
            let index = usize::try_from(index).ok()?;
            return Some(
                block
                    .pieces
                    .get(index)
                    .map_or(block.range.end, |piece| piece.range.start),
            );
        }
        // Among blocks: a start is the beginning of the next one, an end the end of the one before.
        let before = index.checked_sub(1).and_then(|index| parent.get(txn, index));
        let after = parent.get(txn, index);
        let span_of = |node: Option<XmlOut>| node.and_then(|node| self.spans.get(&node.id())).cloned();
        let next = span_of(after).map_or_else(
            || span_of(before.clone()).map_or(span.start, |span| span.end),
            |span| span.start,
        );
        let previous = next.checked_sub(1).and_then(|block| self.blocks.get(block));
        let next = self.blocks.get(next);
        let (first, second) = if end {
            (previous.map(|b| b.range.end), next.map(|b| b.range.start))
        } else {
            (next.map(|b| b.range.start), previous.map(|b| b.range.end))
        };
        Some(first.or(second).unwrap_or(0))
    }

    /// The nearest offset that does not cut a surrogate pair in two, never making a range smaller.
    pub(crate) fn whole_characters(&self, offset: usize, end: bool) -> usize {
        let halves = |index: usize| {
            let high = self
                .text
                .get(index.wrapping_sub(1))
                .is_some_and(|unit| (0xD800..0xDC00).contains(unit));
            high && self
                .text
                .get(index)
                .is_some_and(|unit| (0xDC00..0xE000).contains(unit))
        };
        match (halves(offset), end) {
            (false, _) => offset,
            (true, true) => offset + 1,
            (true, false) => offset - 1,
        }
    }

    /// A relative position for an offset; `before` sticks to what comes before it.
    pub(crate) fn position<T: ReadTxn>(&self, txn: &T, offset: usize, before: bool) -> RelativePosition {
        let offset = offset.min(self.text.len());
        let Some(block) = self.block_at(offset).and_then(|index| self.blocks.get(index)) else {
            return RelativePosition {
                tname: Some(BODY_ROOT.to_owned()),
                assoc: -1,
                ..RelativePosition::default()
            };
        };
        // At a seam between texts, the side it sticks to decides.
        let mut texts = block.pieces.iter().filter_map(|piece| match &piece.content {
            PieceContent::Text(text) if piece.range.start <= offset && offset <= piece.range.end => {
                Some((text, offset - piece.range.start))
            }
            PieceContent::Text(_) | PieceContent::Inline(_) => None,
        });
        let found = if before { texts.next() } else { texts.next_back() };
        if let Some((text, index)) = found {
            return RelativePosition::at(txn, text, u32::try_from(index).unwrap_or(u32::MAX), before);
        }
        let child = block
            .pieces
            .iter()
            .take_while(|piece| piece.range.end <= offset)
            .count();
        RelativePosition::at(
            txn,
            &block.element,
            u32::try_from(child).unwrap_or(u32::MAX),
            before,
        )
    }
}

/// The id of the element a text is in.
fn text_parent(text: &XmlTextRef) -> Option<BranchID> {
    use yrs::Xml;
    text.parent().map(|parent| parent.id())
}

/// The id of a Yjs type, whatever its Rust type.
pub(crate) trait AsRefId {
    fn as_ref_id(&self) -> BranchID;
}

impl<B: AsRef<Branch>> AsRefId for B {
    fn as_ref_id(&self) -> BranchID {
        BranchPtr::from(self.as_ref()).id()
    }
}
