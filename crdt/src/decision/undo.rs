//! Taking text out again that a decision brought in, and putting back what it took out: from the record alone.

use std::collections::BTreeMap;

use yrs::branch::{Branch, BranchPtr};
use yrs::{
    BranchID, ID, ReadTxn, Text, TransactionMut, WriteTxn, XmlElementRef, XmlFragment, XmlOut, XmlTextRef,
};

use super::ids::{Ids, ids_of_text, ids_within, side_by_side, unit_at};
use super::record::{Removed, Revived};
use super::tree::{self, Parent};
use crate::anchor::{ItemId, Outline, Place};
use crate::content::{insert_inline, plain_text};
use crate::doc::BODY_ROOT;
use crate::ids::IdRange;
use crate::node::Node;

/// Deletes what is alive of some ids. A block in which somebody else has written since stays, with their text.
///
/// Whether anything was deleted.
pub(super) fn withdraw(txn: &mut TransactionMut<'_>, ranges: &[IdRange]) -> bool {
    let ids = Ids::new(ranges.iter().copied());
    let Alive { texts, elements } = alive(txn, ranges);
    let mut deleted = !texts.is_empty();
    for (text, mut units) in texts {
        units.sort_unstable();
        for part in units.chunk_by(|a, b| a + 1 == *b).rev() {
            if let (Some(first), Ok(len)) = (part.first(), u32::try_from(part.len())) {
                text.remove_range(txn, *first, len);
            }
        }
    }
    // An element is made before what is in it, so what is around others comes first and takes them with it.
    for element in elements {
        if !BranchPtr::from(AsRef::<Branch>::as_ref(&element)).is_deleted()
            && is_hollow(txn, &element, &ids)
            && may_go(txn, &element)
        {
            deleted |= tree::remove(txn, &element);
        }
    }
    deleted
}

/// What is alive of some ids.
pub(super) struct Alive {
    /// The units of text, as indices in theirs.
    texts: Vec<(XmlTextRef, Vec<u32>)>,
    /// The elements, in the order in which they were made.
    elements: Vec<XmlElementRef>,
}

impl Alive {
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.elements.is_empty()
    }
}

pub(super) fn alive<T: ReadTxn>(txn: &T, ranges: &[IdRange]) -> Alive {
    let mut alive = Alive {
        texts: Vec::new(),
        elements: Vec::new(),
    };
    let state = txn.state_vector();
    for range in ranges {
        let Some(first) = (ItemId {
            client: range.client,
            clock: range.clock,
        })
        .to_yrs() else {
            continue;
        };
        for clock in range.clock..range.end().min(state.get(&first.client)) {
            let id = ID::new(first.client, clock);
            if let Some(branch) = BranchID::get_nested(txn, &id) {
                if !branch.is_deleted()
                    && let Ok(XmlOut::Element(element)) = XmlOut::try_from(branch)
                {
                    alive.elements.push(element);
                }
            } else if let Some((text, index)) = unit_at(txn, id) {
                match alive.texts.last_mut().filter(|(last, _)| *last == text) {
                    Some((_, units)) => units.push(index),
                    None => alive.texts.push((text, vec![index])),
                }
            }
        }
    }
    // The units of one text, however its ids are spread.
    let mut texts: Vec<(XmlTextRef, Vec<u32>)> = Vec::new();
    for (text, units) in alive.texts {
        match texts.iter_mut().find(|(other, _)| *other == text) {
            Some((_, all)) => all.extend(units),
            None => texts.push((text, units)),
        }
    }
    alive.texts = texts;
    alive
}

/// Whether an element and all in it has these ids, and there is no text in it.
fn is_hollow<T: ReadTxn>(txn: &T, element: &XmlElementRef, ids: &Ids) -> bool {
    tree::item_of(element).is_some_and(|id| ids.contains(id))
        && element.children(txn).all(|child| match child {
            XmlOut::Text(text) => text.len(txn) == 0,
            XmlOut::Element(child) => is_hollow(txn, &child, ids),
            XmlOut::Fragment(_) => false,
        })
}

/// Whether what is around an element can be without it.
fn may_go<T: ReadTxn>(txn: &T, element: &XmlElementRef) -> bool {
    let Some((parent, index)) = tree::place_of(txn, element) else {
        return false;
    };
    if matches!(parent, Parent::Root(_)) || matches!(parent.kind(), "paragraph" | "heading") {
        return true;
    }
    let siblings = parent.elements(txn);
    let next_leads = siblings
        .get(1)
        .is_some_and(|next| tree::kind(next) == "paragraph");
    siblings.len() > 1 && (!parent.begins_with_paragraph() || index > 0 || next_leads)
}

/// What goes back to one place.
struct Return {
    branch: BranchPtr,
    index: u32,
    nodes: Vec<Node>,
    ids: Vec<IdRange>,
}

/// Puts back what was taken out, where it was. Says which of it has which ids now, or `None` if there was a place for
/// none of it.
///
/// What has no place any more goes after the block of what came before it; but if nothing has a place, only if `some`:
/// if the rest of the decision can be undone.
pub(super) fn restore(txn: &mut TransactionMut<'_>, removed: &[Removed], some: bool) -> Option<Vec<Revived>> {
    // All places first: what is put back must not move the places of the rest.
    let mut returns: BTreeMap<(usize, u32), Return> = BTreeMap::new();
    let mut order: Vec<BranchID> = Vec::new();
    let mut lost: Vec<(u32, Node)> = Vec::new();
    let mut near = None;
    // A root that came with an update has no type before it is opened, and nothing could be put back into it.
    let root = txn.get_or_insert_xml_fragment(BODY_ROOT);
    let outline = Outline::read(txn);
    for entry in removed {
        let place = entry.at.resolve(txn).filter(|place| outline.holds(&place.branch));
        let Some(Place { branch, index }) = place else {
            let at = near.unwrap_or(u32::MAX);
            lost.extend(as_blocks(&entry.content).into_iter().map(|node| (at, node)));
            continue;
        };
        near = top_of(txn, branch, index).or(near);
        let number = order
            .iter()
            .position(|other| *other == branch.id())
            .unwrap_or_else(|| {
                order.push(branch.id());
                order.len() - 1
            });
        let back = returns.entry((number, index)).or_insert_with(|| Return {
            branch,
            index,
            nodes: Vec::new(),
            ids: Vec::new(),
        });
        back.nodes.extend(entry.content.iter().cloned());
        back.ids.extend(&entry.ids);
    }
    let found = !returns.is_empty();
    // From the back, so that the indices stay right.
    let revived = returns
        .into_values()
        .rev()
        .flat_map(|back| put_back(txn, back))
        .collect();
    if found || some {
        for (at, node) in lost.into_iter().rev() {
            if node.kind != "paragraph" || !plain_text(std::slice::from_ref(&node)).trim().is_empty() {
                Parent::Root(root.clone()).insert(txn, at.saturating_add(1), &[node]);
            }
        }
    }
    found.then_some(revived)
}

fn put_back(txn: &mut TransactionMut<'_>, back: Return) -> Vec<Revived> {
    let Return {
        branch,
        index,
        nodes,
        ids,
    } = back;
    let parent = match XmlOut::try_from(branch) {
        Ok(XmlOut::Text(text)) => {
            // A record that says otherwise was not written by an accept; a text cannot hold more.
            let nodes: Vec<Node> = nodes.into_iter().filter(Node::is_text).collect();
            let before = text.len(txn);
            if insert_inline(&text, txn, index, &nodes).is_err() {
                return Vec::new();
            }
            let len = text.len(txn) - before;
            return side_by_side(&ids, &ids_of_text(txn, &text, index, index + len));
        }
        Ok(XmlOut::Element(element)) => Parent::Element(element),
        Ok(XmlOut::Fragment(root)) => Parent::Root(root),
        Err(_) => return Vec::new(),
    };
    let before = parent.len(txn);
    parent.insert(txn, index, &nodes);
    let now: Vec<IdRange> = (index..index + (parent.len(txn) - before))
        .filter_map(|child| parent.get(txn, child))
        .flat_map(|element| ids_within(txn, &element))
        .collect();
    side_by_side(&ids, &now)
}

/// Which child of the root a place is in.
fn top_of<T: ReadTxn>(txn: &T, branch: BranchPtr, index: u32) -> Option<u32> {
    let mut element = match XmlOut::try_from(branch) {
        Ok(XmlOut::Text(text)) => yrs::Xml::parent(&text).and_then(XmlOut::into_xml_element)?,
        Ok(XmlOut::Element(element)) => element,
        Ok(XmlOut::Fragment(_)) | Err(_) => return Some(index),
    };
    loop {
        match tree::place_of(txn, &element)? {
            (Parent::Root(_), index) => return Some(index),
            (Parent::Element(parent), _) => element = parent,
        }
    }
}

/// What can stand by itself at the top level.
fn as_blocks(nodes: &[Node]) -> Vec<Node> {
    let mut blocks: Vec<Node> = Vec::new();
    for node in nodes {
        let around = match node.kind.as_str() {
            "listItem" => "bulletList",
            "taskItem" => "taskList",
            "tableRow" => "table",
            "tableCell" | "tableHeader" => {
                blocks.extend(as_blocks(&node.content));
                continue;
            }
            _ if node.is_inline() => "paragraph",
            _ => {
                blocks.push(node.clone());
                continue;
            }
        };
        match blocks.last_mut() {
            Some(last) if last.kind == around && around == "paragraph" => last.content.push(node.clone()),
            _ => blocks.push(Node::element(around, vec![node.clone()])),
        }
    }
    blocks
}
