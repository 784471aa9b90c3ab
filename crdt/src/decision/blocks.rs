//! Which blocks an accept leaves without anything in them, and where blocks of its own go.

use std::collections::HashSet;
use std::ops::Range;

use yrs::{BranchID, ReadTxn, XmlElementRef};

use super::ids::Named;
use super::tree::{self, Parent};
use crate::anchor::{AsRefId, Block, Outline};
use crate::doc::BODY_ROOT;
use crate::node::Node;

/// Where the payload's blocks go.
#[derive(Debug, Clone)]
pub(super) enum Spot {
    /// The first into this block's line, the others after it.
    Into(XmlElementRef),
    /// All after this element.
    After(XmlElementRef),
    /// All before this element.
    Before(XmlElementRef),
    /// All in the place of this element.
    Instead(XmlElementRef),
    /// The items of the only one, a list, in the place of this item.
    Items(XmlElementRef),
}

/// What is taken out.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) elements: Vec<XmlElementRef>,
    /// The blocks that are in these elements.
    pub(super) blocks: HashSet<usize>,
    /// Parents that must not stay empty.
    pub(super) need_paragraph: Vec<Parent>,
}

/// The blocks of a proposal's range.
pub(super) struct Blocks<'a> {
    outline: &'a Outline,
    named: &'a Named,
    first: &'a Block,
    span: Range<usize>,
    caret: bool,
    at_start: bool,
    /// For each block of the span: whether nothing is left in it.
    emptied: Vec<bool>,
    root: Option<Parent>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new<T: ReadTxn>(
        txn: &T,
        outline: &'a Outline,
        named: &'a Named,
        span: Range<usize>,
        range: &Range<usize>,
        emptied: Vec<bool>,
    ) -> Option<Self> {
        let first = outline.blocks.get(span.start)?;
        Some(Self {
            outline,
            named,
            first,
            span,
            caret: range.is_empty(),
            at_start: first.range.start == range.start,
            emptied,
            root: txn.get_xml_fragment(BODY_ROOT).map(Parent::Root),
        })
    }

    /// Where `nodes` go, and which elements have to stay for that.
    pub(super) fn spot<T: ReadTxn>(
        &self,
        txn: &T,
        nodes: &[Node],
        insert: bool,
    ) -> (Spot, HashSet<BranchID>) {
        let block = self.first;
        let own = &block.element;
        let Some(first) = nodes.first() else {
            return (Spot::After(own.clone()), HashSet::new());
        };
        let chain = self.gone_chain(txn, own);
        let items = chain.iter().find(|(element, parent)| {
            matches!(tree::kind(element), "listItem" | "taskItem")
                && nodes.len() == 1
                && first.kind == parent.kind()
        });
        // A caret in an empty item does not mean its list.
        let reach = if self.caret { 1 } else { chain.len() };
        let instead = chain
            .iter()
            .take(reach)
            .rfind(|(_, parent)| parent.holds_blocks());
        let whole_list = |(element, _): &&(XmlElementRef, Parent)| element != own;

        let paragraphs = block.kind == "paragraph" && first.kind == "paragraph";
        let alike = paragraphs || (!chain.is_empty() && self.is_alike(txn, own, first));
        if let Some((element, _)) = instead.filter(whole_list) {
            return (Spot::Instead(element.clone()), self.ancestors(txn, element));
        }
        if let Some((element, _)) = items {
            return (Spot::Items(element.clone()), self.ancestors(txn, element));
        }
        if alike && block.kind != "codeBlock" {
            return (Spot::Into(own.clone()), self.with_ancestors(txn, own));
        }
        if let Some((element, parent)) = instead {
            let leads = parent.begins_with_paragraph()
                && parent.elements(txn).first().is_some_and(|child| child == element);
            if !leads || first.kind == "paragraph" {
                return (Spot::Instead(element.clone()), self.ancestors(txn, element));
            }
        }
        let beside = self.block_level(txn, own);
        let leads = Parent::of(txn, &beside).is_some_and(|parent| parent.begins_with_paragraph());
        let keep = self.with_ancestors(txn, own);
        if insert && self.at_start && !block.range.is_empty() && !leads {
            return (Spot::Before(beside), keep);
        }
        (Spot::After(beside), keep)
    }

    /// The elements that are taken out: each that is left with nothing and may be deleted, but not those to keep.
    pub(super) fn gone<T: ReadTxn>(&self, txn: &T, keep: &HashSet<BranchID>, nothing_comes: bool) -> Gone {
        let mut gone = Gone::default();
        let Some(root) = &self.root else {
            return gone;
        };
        if self.caret && nothing_comes {
            return gone;
        }
        self.collect(txn, root, keep, &mut gone);
        for element in &gone.elements {
            gone.blocks
                .extend(self.outline.span_of(&element.as_ref_id()).into_iter().flatten());
        }
        gone
    }

    fn collect<T: ReadTxn>(&self, txn: &T, parent: &Parent, keep: &HashSet<BranchID>, gone: &mut Gone) {
        let children = parent.elements(txn);
        let fixed = matches!(parent.kind(), "table" | "tableRow"); // rows and cells stay while the table does
        let going: Vec<bool> = children
            .iter()
            .map(|child| !fixed && !keep.contains(&child.as_ref_id()) && self.is_gone(txn, child, keep))
            .collect();
        for (index, child) in children.iter().enumerate() {
            if going.get(index) != Some(&true) {
                if self.touches(child) && !self.is_block(child) {
                    self.collect(txn, &Parent::Element(child.clone()), keep, gone);
                }
                continue;
            }
            let next = (index + 1..children.len()).find(|next| going.get(*next) == Some(&false));
            let next = next.and_then(|next| children.get(next));
            let leads = index == 0 || going.iter().take(index).all(|going| *going);
            if parent.begins_with_paragraph()
                && leads
                && next.is_none_or(|next| tree::kind(next) != "paragraph")
            {
                // The item stays and needs its paragraph, if this is one.
                if index == 0 && self.is_block(child) {
                    continue;
                }
            }
            gone.elements.push(child.clone());
        }
        if parent.holds_blocks() && !going.is_empty() && going.iter().all(|going| *going) {
            gone.need_paragraph.push(parent.clone());
        }
    }

    fn is_gone<T: ReadTxn>(&self, txn: &T, element: &XmlElementRef, keep: &HashSet<BranchID>) -> bool {
        let id = element.as_ref_id();
        let Some(span) = self.outline.span_of(&id) else {
            return false;
        };
        if keep.contains(&id) || !self.named.contains_type(&id) {
            return false;
        }
        if self.is_block(element) {
            return self.is_emptied(span.start);
        }
        if span.is_empty() {
            // An image or a rule: only between two blocks of the range.
            return self.span.start < span.start && span.start < self.span.end;
        }
        let children = tree::elements(txn, element);
        !children.is_empty() && children.iter().all(|child| self.is_gone(txn, child, keep))
    }

    fn is_emptied(&self, block: usize) -> bool {
        let index = block.checked_sub(self.span.start);
        index
            .and_then(|index| self.emptied.get(index))
            .copied()
            .unwrap_or(false)
    }

    fn is_block(&self, element: &XmlElementRef) -> bool {
        let span = self.outline.span_of(&element.as_ref_id());
        let block = span
            .filter(|span| !span.is_empty())
            .and_then(|span| self.outline.blocks.get(span.start));
        block.is_some_and(|block| block.element == *element)
    }

    fn touches(&self, element: &XmlElementRef) -> bool {
        self.outline
            .span_of(&element.as_ref_id())
            .is_some_and(|span| span.start < self.span.end && self.span.start < span.end)
    }

    /// The block and those around it that would be gone, each with its parent.
    fn gone_chain<T: ReadTxn>(&self, txn: &T, block: &XmlElementRef) -> Vec<(XmlElementRef, Parent)> {
        let mut chain = Vec::new();
        let mut element = block.clone();
        while self.is_gone(txn, &element, &HashSet::new())
            && let Some(parent) = Parent::of(txn, &element)
        {
            chain.push((element, parent.clone()));
            match parent {
                Parent::Element(parent) => element = parent,
                Parent::Root(_) => break,
            }
        }
        chain
    }

    /// The element itself or the nearest one around it that stands among blocks.
    fn block_level<T: ReadTxn>(&self, txn: &T, element: &XmlElementRef) -> XmlElementRef {
        let mut element = element.clone();
        while let Some(parent) = Parent::of(txn, &element) {
            match parent {
                Parent::Element(parent) if !Parent::Element(parent.clone()).holds_blocks() => {
                    element = parent;
                }
                Parent::Element(_) | Parent::Root(_) => break,
            }
        }
        element
    }

    fn is_alike<T: ReadTxn>(&self, txn: &T, element: &XmlElementRef, node: &Node) -> bool {
        let own = crate::content::read_element(element, txn);
        own.kind == node.kind && own.attrs == node.attrs
    }

    fn ancestors<T: ReadTxn>(&self, txn: &T, element: &XmlElementRef) -> HashSet<BranchID> {
        let mut ids = HashSet::new();
        let mut element = element.clone();
        while let Some(Parent::Element(parent)) = Parent::of(txn, &element) {
            ids.insert(parent.as_ref_id());
            element = parent;
        }
        ids
    }

    fn with_ancestors<T: ReadTxn>(&self, txn: &T, element: &XmlElementRef) -> HashSet<BranchID> {
        let mut ids = self.ancestors(txn, element);
        ids.insert(element.as_ref_id());
        ids
    }
}
