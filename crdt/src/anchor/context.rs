//! What stands around an anchor, for whoever is asked to write there.

use std::ops::Range;

use serde_json::Value;
use yrs::types::ToJson;
use yrs::{ReadTxn, Xml, XmlElementRef, XmlFragment, XmlOut};

use super::outline::{AsRefId, Block, Outline};
use super::{Anchor, Resolved};
use crate::content::{from_any, read};
use crate::doc::{self, BODY_ROOT};
use crate::node::{Node, NodeAttrs};

/// How much of the surroundings is wanted, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextLimits {
    /// Before the anchor.
    pub before: usize,
    /// After it.
    pub after: usize,
}

/// A heading above an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// Its words.
    pub text: String,
}

/// What stands around an anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// The document's title.
    pub title: Option<String>,
    /// The headings that the anchor is under, the highest first.
    pub headings: Vec<Heading>,
    /// Text before the anchor: what stands before it in its own block, and as many whole blocks as fit. Blocks are joined by `\n`.
    pub before: String,
    /// Text after the anchor, likewise.
    pub after: String,
    /// What the anchor holds now, as a tree; empty for a caret. `markdown::write` makes Markdown of it.
    pub selection: Vec<Node>,
    /// What the anchor holds now, as text.
    pub selected_text: String,
    /// Whether that has changed since the anchor was made.
    pub stale: bool,
}

impl Anchor {
    /// What stands around the anchor, or `None` if it cannot be found.
    #[must_use]
    pub fn context<T: ReadTxn>(&self, txn: &T, limits: ContextLimits) -> Option<Context> {
        let outline = Outline::read(txn);
        let Resolved::Found(found) = self.resolve_in(&outline, txn) else {
            return None;
        };
        Some(Context {
            title: doc::title(txn),
            headings: headings(&outline, txn, found.range.start),
            before: before(&outline, found.range.start, limits.before),
            after: after(&outline, found.range.end, limits.after),
            selection: slice(&outline, txn, found.range),
            selected_text: found.text,
            stale: found.stale,
        })
    }
}

fn before(outline: &Outline, offset: usize, limit: usize) -> String {
    let Some(own) = outline.block_at(offset) else {
        return String::new();
    };
    let start = |block: &Block| block.range.start;
    let mut from = outline.blocks.get(own).map_or(offset, start);
    for block in outline.blocks.get(..own).unwrap_or_default().iter().rev() {
        if outline.slice(block.range.start..offset).chars().count() > limit {
            break;
        }
        from = block.range.start;
    }
    let text = outline.slice(from..offset);
    let Some(excess) = text
        .chars()
        .count()
        .checked_sub(limit)
        .filter(|excess| *excess > 0)
    else {
        return text;
    };
    // Its own block alone is too long: begin it at a word.
    let cut: String = text.chars().skip(excess).collect();
    match cut.find(char::is_whitespace) {
        Some(space) => cut.get(space..).unwrap_or_default().trim_start().to_owned(),
        None => cut,
    }
}

fn after(outline: &Outline, offset: usize, limit: usize) -> String {
    let Some(own) = outline.block_at(offset) else {
        return String::new();
    };
    let mut until = outline.blocks.get(own).map_or(offset, |block| block.range.end);
    for block in outline.blocks.get(own + 1..).unwrap_or_default() {
        if outline.slice(offset..block.range.end).chars().count() > limit {
            break;
        }
        until = block.range.end;
    }
    let text = outline.slice(offset..until);
    if text.chars().count() <= limit {
        return text;
    }
    let cut: String = text.chars().take(limit).collect();
    match cut.rfind(char::is_whitespace) {
        Some(space) => cut.get(..space).unwrap_or_default().trim_end().to_owned(),
        None => cut,
    }
}

fn headings<T: ReadTxn>(outline: &Outline, txn: &T, offset: usize) -> Vec<Heading> {
    let mut trail: Vec<Heading> = Vec::new();
    for block in outline.blocks.iter().take_while(|block| block.range.end < offset) {
        if block.kind != "heading" {
            continue;
        }
        let attrs = Node {
            attrs: attrs(&block.element, txn),
            ..Node::default()
        };
        let level = attrs
            .int_attr("level")
            .and_then(|level| u8::try_from(level).ok())
            .unwrap_or(1);
        trail.retain(|heading| heading.level < level);
        trail.push(Heading {
            level,
            text: outline.slice(block.range.clone()),
        });
    }
    trail
}

/// A range of the body as a tree: whole blocks, but for the first and the last, which are cut.
pub(crate) fn slice<T: ReadTxn>(outline: &Outline, txn: &T, range: Range<usize>) -> Vec<Node> {
    let blocks = outline.block_at(range.start).zip(outline.block_at(range.end));
    let (Some((first, last)), Some(root), false) =
        (blocks, txn.get_xml_fragment(BODY_ROOT), range.is_empty())
    else {
        return Vec::new();
    };
    let cut = Cut {
        outline,
        range,
        blocks: first..last + 1,
    };
    cut.children(txn, &root)
}

struct Cut<'a> {
    outline: &'a Outline,
    range: Range<usize>,
    blocks: Range<usize>,
}

impl Cut<'_> {
    fn children<P: XmlFragment, T: ReadTxn>(&self, txn: &T, parent: &P) -> Vec<Node> {
        parent
            .children(txn)
            .filter_map(|child| match child {
                XmlOut::Element(element) => self.element(txn, &element),
                XmlOut::Text(_) | XmlOut::Fragment(_) => None,
            })
            .collect()
    }

    fn element<T: ReadTxn>(&self, txn: &T, element: &XmlElementRef) -> Option<Node> {
        let span = self.outline.span_of(&element.as_ref_id())?;
        let leaf = span.is_empty();
        if leaf && !(self.blocks.start < span.start && span.start < self.blocks.end)
            || !leaf && (span.end <= self.blocks.start || self.blocks.end <= span.start)
        {
            return None;
        }
        let content = match self.outline.blocks.get(span.start) {
            Some(block) if !leaf && block.element == *element => {
                let within =
                    |offset: usize| offset.clamp(block.range.start, block.range.end) - block.range.start;
                slice_inline(
                    &read(element, txn),
                    within(self.range.start)..within(self.range.end),
                )
            }
            _ => self.children(txn, element),
        };
        Some(Node {
            kind: element.try_tag().map(ToString::to_string).unwrap_or_default(),
            attrs: attrs(element, txn),
            content,
            ..Node::default()
        })
    }
}

/// A range of inline nodes, in UTF-16 units; a line break counts as one.
pub(crate) fn slice_inline(nodes: &[Node], range: Range<usize>) -> Vec<Node> {
    let mut at = 0;
    let mut cut = Vec::new();
    for node in nodes {
        let Some(text) = &node.text else {
            let len = usize::from(node.kind == "hardBreak");
            if range.start <= at && at + len <= range.end {
                cut.push(node.clone());
            }
            at += len;
            continue;
        };
        let mut kept = String::new();
        for char in text.chars() {
            if range.start <= at && at < range.end {
                kept.push(char);
            }
            at += char.len_utf16();
        }
        if !kept.is_empty() {
            cut.push(Node {
                text: Some(kept),
                ..node.clone()
            });
        }
    }
    cut
}

fn attrs<T: ReadTxn>(element: &XmlElementRef, txn: &T) -> NodeAttrs {
    element
        .attributes(txn)
        .map(|(name, value)| (name.to_owned(), from_any(&value.to_json(txn))))
        .filter(|(_, value)| *value != Value::Null)
        .collect()
}
