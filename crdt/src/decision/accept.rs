//! Accepting: what a proposal does to the text.
//!
//! **Invariant**: nothing is deleted but what the proposal names ([`Named`]); what others wrote into its range since stays
//! where it is, and so does every block that holds it.

use std::ops::Range;

use yrs::{ReadTxn, TransactionMut, WriteTxn, XmlElementRef, XmlTextRef};

use super::blocks::{Blocks, Spot};
use super::ids::{Named, Run, ids_within, runs};
use super::inline::{edits, spaced, text_of, without_breaks};
use super::record::Removed;
use super::tree::{self, Parent};
use crate::anchor::{AsRefId, Found, Outline, PieceContent, RelativePosition, slice_inline};
use crate::content::{insert_inline, read_element, read_text};
use crate::doc::BODY_ROOT;
use crate::margin::{Proposal, ProposalKind};
use crate::markdown;
use crate::node::Node;

/// What an accept took out, and whether it put in all of its text.
pub(super) struct Change {
    pub(super) removed: Vec<Removed>,
    pub(super) whole: bool,
}

/// Carries out a proposal at the place that was found for it.
///
/// `exact`: the range holds what it held when the proposal was made, the very same characters; then words that are the same
/// before and after stay, with their ids.
pub(super) fn apply(
    txn: &mut TransactionMut<'_>,
    outline: &Outline,
    proposal: &Proposal,
    found: &Found,
    named: &Named,
    exact: bool,
) -> Change {
    let nodes = match proposal.kind {
        ProposalKind::Delete => Vec::new(),
        ProposalKind::Insert | ProposalKind::Replace | ProposalKind::Comment => {
            markdown::parse(&proposal.payload)
        }
    };
    let mut accept = Accept {
        txn,
        outline,
        proposal,
        named,
        removed: Vec::new(),
    };
    let whole = match proposal.kind {
        ProposalKind::Comment => {
            accept.after_block(found.range.end, &nodes);
            true
        }
        ProposalKind::Insert => accept.edit(found.range.end..found.range.end, &nodes, false),
        ProposalKind::Replace | ProposalKind::Delete => accept.edit(found.range.clone(), &nodes, exact),
    };
    accept.removed.sort_by_key(|(offset, _)| *offset);
    Change {
        removed: accept.removed.into_iter().map(|(_, removed)| removed).collect(),
        whole,
    }
}

pub(super) struct Accept<'a, 'd> {
    pub(super) txn: &'a mut TransactionMut<'d>,
    pub(super) outline: &'a Outline,
    proposal: &'a Proposal,
    pub(super) named: &'a Named,
    /// With the offset at which it stood.
    pub(super) removed: Vec<(usize, Removed)>,
}

/// What is to be deleted in one text, in the order of the text.
pub(super) struct TextCut {
    text: XmlTextRef,
    /// The text's own offset.
    start: usize,
    runs: Vec<Run>,
}

impl TextCut {
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(|run| run.len as usize).sum()
    }
}

impl Accept<'_, '_> {
    /// Whether all of the payload was put in.
    fn edit(&mut self, range: Range<usize>, nodes: &[Node], exact: bool) -> bool {
        let range = self.without_edges(range);
        let (Some(first), Some(last)) = (
            self.outline.block_at(range.start),
            self.outline.block_at(range.end),
        ) else {
            // There is no line of text at all.
            let root = self.txn.get_or_insert_xml_fragment(BODY_ROOT);
            let end = yrs::XmlFragment::len(&root, self.txn);
            Parent::Root(root).insert(self.txn, end, nodes);
            return true;
        };
        match self.one_line(first == last, first, nodes) {
            Some(line) => self.edit_line(range, first, line, exact),
            None => {
                self.edit_blocks(&range, first..last + 1, nodes);
                true
            }
        }
    }

    /// The payload as a line, if that is what it is to be here.
    fn one_line(&self, within_one: bool, block: usize, nodes: &[Node]) -> Option<Vec<Node>> {
        let block = self.outline.blocks.get(block).filter(|_| within_one)?;
        if block.kind == "codeBlock" {
            let code = match nodes {
                [] => return None,
                [only] if only.kind == "codeBlock" => text_of(&only.content),
                _ => self.proposal.payload.trim_end_matches(['\r', '\n']).to_owned(),
            };
            return Some(vec![Node::text(code, Vec::new())]);
        }
        match nodes {
            [only] if only.kind == "paragraph" => Some(only.content.clone()),
            _ => None,
        }
    }

    fn edit_line(&mut self, range: Range<usize>, block: usize, line: Vec<Node>, exact: bool) -> bool {
        let caret = range.is_empty();
        let code = self
            .outline
            .blocks
            .get(block)
            .is_some_and(|block| block.kind == "codeBlock");
        let range = if code { range } else { self.without_spaces(range) };
        if exact
            && !code
            && let Some(whole) = self.edit_words(&range, &line)
        {
            return whole;
        }
        let (cuts, inline, _) = self.cuts(block, &range);
        self.cut(cuts, &inline);
        let line = if caret && !code {
            self.spaced(block, range.start, line)
        } else {
            line
        };
        self.insert_line(block, range.start, &line);
        true
    }

    /// Changes the words that differ and leaves the others; `None` if the range is no plain run of text.
    fn edit_words(&mut self, range: &Range<usize>, line: &[Node]) -> Option<bool> {
        let (text, from) = self.outline.text_at(range.start)?;
        let block = self.outline.blocks.get(self.outline.block_at(range.start)?)?;
        let piece = block
            .pieces
            .iter()
            .find(|piece| matches!(&piece.content, PieceContent::Text(other) if *other == text))?;
        // At a seam `text_at` gives the text on the left, which then holds nothing of the range.
        if piece.range.end < range.end || line.iter().any(|node| !node.is_text()) {
            return None;
        }
        let from = usize::try_from(from).ok()?;
        let old = slice_inline(&read_text(&text, self.txn), from..from + range.len());
        let edits = edits(&old, line)?;
        let whole = matches!(edits.as_slice(), [only] if only.len == range.len());
        let cuts: Vec<TextCut> = edits
            .iter()
            .map(|edit| {
                self.text_cut(
                    &text,
                    piece.range.start,
                    from + edit.start..from + edit.start + edit.len,
                )
            })
            .collect();
        for (edit, cut) in edits.iter().zip(cuts).rev() {
            self.cut(vec![cut], &[]);
            let offset = u32::try_from(from + edit.start).ok()?;
            if insert_inline(&text, self.txn, offset, &edit.insert).is_err() {
                self.after_block(range.start, &[Node::element("paragraph", edit.insert.clone())]);
            }
        }
        Some(whole)
    }

    fn edit_blocks(&mut self, range: &Range<usize>, span: Range<usize>, nodes: &[Node]) {
        let mut cuts = Vec::new();
        for block in span.clone() {
            cuts.push(self.cuts(block, range));
        }
        let emptied = cuts.iter().map(|(_, _, emptied)| *emptied).collect();
        let Some(blocks) = Blocks::new(self.txn, self.outline, self.named, span.clone(), range, emptied)
        else {
            return;
        };
        let (spot, keep) = blocks.spot(self.txn, nodes, self.proposal.kind == ProposalKind::Insert);
        let gone = blocks.gone(self.txn, &keep, nodes.is_empty());

        for element in &gone.elements {
            let offset = self.outline.span_of(&element.as_ref_id()).map_or(0, |span| {
                // A rule stands after the block before it.
                self.outline
                    .blocks
                    .get(span.start)
                    .map_or(self.outline.len() + 1, |block| block.range.start)
            });
            let content = vec![read_element(element, self.txn)];
            self.removed.push((
                offset,
                Removed {
                    at: tree::tombstone(element),
                    content,
                    ids: ids_within(self.txn, element),
                },
            ));
        }
        for (block, (cuts, inline, _)) in span.clone().zip(cuts) {
            if !gone.blocks.contains(&block) {
                self.cut(cuts, &inline);
            }
        }
        let mut rest = nodes;
        if let (Spot::Into(_), Some((first, others))) = (&spot, nodes.split_first()) {
            let caret = range.is_empty();
            let line = first.content.clone();
            let line = if caret {
                self.spaced(span.start, range.start, line)
            } else {
                line
            };
            self.insert_line(span.start, range.start, &line);
            rest = others;
        }
        match &spot {
            Spot::Into(element) | Spot::After(element) => self.insert_blocks(element, 1, rest),
            Spot::Before(element) | Spot::Instead(element) => self.insert_blocks(element, 0, rest),
            Spot::Items(element) => {
                let items = nodes.first().map(|list| list.content.clone()).unwrap_or_default();
                self.insert_blocks(element, 0, &items);
            }
        }
        for element in &gone.elements {
            tree::remove(self.txn, element);
        }
        for parent in &gone.need_paragraph {
            if parent.len(self.txn) == 0 {
                parent.insert(self.txn, 0, &[Node::paragraph("")]);
            }
        }
    }

    fn insert_blocks(&mut self, beside: &XmlElementRef, behind: u32, nodes: &[Node]) {
        if let Some((parent, index)) = tree::place_of(self.txn, beside) {
            parent.insert(self.txn, index + behind, nodes);
        }
    }

    /// Puts blocks after the top-level block that holds an offset.
    fn after_block(&mut self, offset: usize, nodes: &[Node]) {
        let root = self.txn.get_or_insert_xml_fragment(BODY_ROOT);
        let block = self
            .outline
            .block_at(offset)
            .and_then(|block| self.outline.blocks.get(block));
        let index = block.map_or_else(|| yrs::XmlFragment::len(&root, self.txn), |block| block.top + 1);
        Parent::Root(root).insert(self.txn, index, nodes);
    }

    /// Puts a line into a block, at an offset before which nothing was changed.
    fn insert_line(&mut self, block: usize, offset: usize, line: &[Node]) {
        let Some(target) = self.outline.blocks.get(block) else {
            return;
        };
        if let Some((text, index)) = self.outline.text_at(offset) {
            let len = yrs::Text::len(&text, self.txn);
            let at_an_end = index == 0 || index == len;
            let line = if at_an_end {
                line.to_vec()
            } else {
                without_breaks(line)
            };
            if insert_inline(&text, self.txn, index, &line).is_ok() {
                return;
            }
        }
        let child = target
            .pieces
            .iter()
            .take_while(|piece| piece.range.end <= offset)
            .count();
        let element = Parent::Element(target.element.clone());
        element.insert(self.txn, u32::try_from(child).unwrap_or(u32::MAX), line);
    }

    fn spaced(&self, block: usize, offset: usize, line: Vec<Node>) -> Vec<Node> {
        let Some(block) = self.outline.blocks.get(block) else {
            return line;
        };
        let before = self.outline.slice(block.range.start..offset).chars().last();
        let after = self.outline.slice(offset..block.range.end).chars().next();
        spaced(line, &self.proposal.payload, before, after)
    }

    /// What the proposal deletes of a block, and whether nothing is left of it then.
    pub(super) fn cuts(
        &self,
        block: usize,
        range: &Range<usize>,
    ) -> (Vec<TextCut>, Vec<XmlElementRef>, bool) {
        let outline = self.outline;
        let Some(block) = outline.blocks.get(block) else {
            return (Vec::new(), Vec::new(), false);
        };
        let (mut texts, mut inline, mut emptied) = (Vec::new(), Vec::new(), true);
        for piece in &block.pieces {
            let from = range.start.max(piece.range.start);
            let to = range.end.min(piece.range.end);
            match &piece.content {
                PieceContent::Text(text) => {
                    if from < to {
                        let within = from - piece.range.start..to - piece.range.start;
                        let cut = self.text_cut(text, piece.range.start, within);
                        emptied &= cut.len() == piece.range.len();
                        texts.push(cut);
                    } else {
                        emptied &= piece.range.is_empty();
                    }
                }
                PieceContent::Inline(element) => {
                    let id = element.as_ref_id();
                    let within =
                        range.start <= piece.range.start && piece.range.end <= range.end && !range.is_empty();
                    if within && self.named.contains_type(&id) {
                        inline.push(element.clone());
                    } else {
                        emptied = false;
                    }
                }
            }
        }
        (texts, inline, emptied)
    }

    fn text_cut(&self, text: &XmlTextRef, start: usize, within: Range<usize>) -> TextCut {
        let bound = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let all = runs(self.txn, text, bound(within.start), bound(within.end));
        let mut runs = self.named.cut(&all);
        for run in &mut runs {
            // No half of a surrogate pair, whatever ids it has.
            let from = start + run.index as usize;
            let whole = self.outline.whole_characters(from, true) - from;
            let until = self.outline.whole_characters(from + run.len as usize, false);
            run.len = bound(until.saturating_sub(from + whole));
            run.index += bound(whole);
            run.id.clock += bound(whole);
        }
        runs.retain(|run| run.len > 0);
        TextCut {
            text: text.clone(),
            start,
            runs,
        }
    }

    fn cut(&mut self, cuts: Vec<TextCut>, inline: &[XmlElementRef]) {
        for cut in cuts {
            let nodes = read_text(&cut.text, self.txn);
            for runs in cut.runs.chunk_by(|a, b| a.index + a.len == b.index) {
                let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
                    continue;
                };
                let range = first.index as usize..(last.index + last.len) as usize;
                let removed = Removed {
                    at: RelativePosition::of_item(first.id),
                    content: slice_inline(&nodes, range),
                    ids: runs.iter().map(Run::ids).collect(),
                };
                self.removed.push((cut.start + first.index as usize, removed));
            }
            for run in cut.runs.iter().rev() {
                yrs::Text::remove_range(&cut.text, self.txn, run.index, run.len);
            }
        }
        for element in inline {
            let offset = self.outline.offset_of_inline(element).unwrap_or(0);
            let content = vec![read_element(element, self.txn)];
            self.removed.push((
                offset,
                Removed {
                    at: tree::tombstone(element),
                    content,
                    ids: ids_within(self.txn, element),
                },
            ));
            tree::remove(self.txn, element);
        }
    }

    /// A range over several blocks without the ends of a block that it only touches, as a triple click selects.
    fn without_edges(&self, range: Range<usize>) -> Range<usize> {
        let Range { mut start, mut end } = range;
        while start < end
            && let Some(block) = self
                .outline
                .block_at(start)
                .and_then(|block| self.outline.blocks.get(block))
            && block.range.end == start
            && !block.range.is_empty()
        {
            start += 1;
        }
        while start < end
            && let Some(block) = self
                .outline
                .block_at(end)
                .and_then(|block| self.outline.blocks.get(block))
            && block.range.start == end
            && !block.range.is_empty()
        {
            end -= 1;
        }
        start..end
    }

    /// A range of a line without the spaces at its ends, which a payload in Markdown cannot have.
    fn without_spaces(&self, range: Range<usize>) -> Range<usize> {
        let text = self.outline.slice(range.clone());
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return range;
        }
        let before = text.len() - text.trim_start().len();
        let before = text.get(..before).unwrap_or_default().encode_utf16().count();
        let start = range.start + before;
        start..start + trimmed.encode_utf16().count()
    }
}

/// Whether every character of a range, and every line break in it, may be deleted.
pub(super) fn all_named<T: ReadTxn>(txn: &T, outline: &Outline, range: &Range<usize>, named: &Named) -> bool {
    outline
        .blocks
        .iter()
        .filter(|block| block.range.start < range.end && range.start < block.range.end)
        .flat_map(|block| &block.pieces)
        .filter(|piece| piece.range.start < range.end && range.start < piece.range.end)
        .all(|piece| match &piece.content {
            PieceContent::Inline(element) => named.contains_type(&element.as_ref_id()),
            PieceContent::Text(text) => {
                let bound = |offset: usize| {
                    u32::try_from(offset.saturating_sub(piece.range.start)).unwrap_or(u32::MAX)
                };
                let (from, to) = (bound(range.start), bound(range.end.min(piece.range.end)));
                let cut: u32 = named
                    .cut(&runs(txn, text, from, to))
                    .iter()
                    .map(|run| run.len)
                    .sum();
                cut == to - from
            }
        })
}
