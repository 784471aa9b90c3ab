//! Back to an earlier version, as an edit like any other; and a document's content in another document.

use std::collections::HashMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};
use yrs::{
    Doc, In, ReadTxn, Text, Transact, TransactionMut, Xml, XmlElementRef, XmlFragment, XmlOut, XmlTextRef,
};

use super::align::{Step, align};
use crate::content::{self, ContentError, insert_inline, read_element, read_text, to_any};
use crate::decision::Revived;
use crate::decision::ids::{ids_of_text, ids_within, side_by_side};
use crate::decision::tree::Parent;
use crate::doc::BODY_ROOT;
use crate::node::{Node, push_inline};

/// Steps a transaction: within one transaction yrs gets slower with every item.
const STEPS_PER_TRANSACTION: usize = 64;

/// Texts with more pairs of words than this are written anew and not word by word.
const MAX_WORD_PAIRS: usize = 4_000_000;

/// Makes the text of `now` that of `then`, by the fewest blocks: equal ones are not touched, changed ones only in the words
/// that differ. Says which of what it wrote was what in `then`, so that it still counts as its author's.
///
/// The title and the decisions stay as they are.
///
/// # Errors
/// [`ContentError::Busy`] while a transaction of either is open.
pub fn restore(now: &Doc, then: &Doc) -> Result<Vec<Revived>, ContentError> {
    let then = then.try_transact().map_err(|_| ContentError::Busy)?;
    let root = crate::doc::fragment(now);
    let target = match then.get_xml_fragment(BODY_ROOT) {
        Some(root) => children(&Parent::Root(root), &then),
        None => Some(Vec::new()),
    };
    let current = {
        let txn = now.try_transact().map_err(|_| ContentError::Busy)?;
        children(&Parent::Root(root.clone()), &txn)
    };
    let mut restored = Vec::new();
    let (Some(current), Some(target)) = (current, target) else {
        // Text right in the root, which no editor writes: it cannot be told apart by blocks.
        let nodes = then
            .get_xml_fragment(BODY_ROOT)
            .map(|root| content::read(&root, &then))
            .unwrap_or_default();
        content::replace(now, &nodes)?;
        return Ok(restored);
    };
    let parent = Parent::Root(root);
    let steps = align(&nodes(&current), &nodes(&target));
    let mut at = 0;
    for steps in steps.chunks(STEPS_PER_TRANSACTION) {
        if steps.iter().all(|step| *step == Step::Same) {
            at += u32::try_from(steps.len()).unwrap_or(u32::MAX);
            continue;
        }
        let mut txn = now.try_transact_mut().map_err(|_| ContentError::Busy)?;
        Rewrite {
            then: &then,
            restored: &mut restored,
        }
        .steps(&mut txn, &parent, &current, &target, steps, &mut at);
    }
    Ok(restored)
}

/// Writes the text of `source` into `target`, which is empty. Says which of it was what in `source`.
///
/// # Errors
/// [`ContentError::NotEmpty`], or [`ContentError::Busy`] while a transaction of either is open.
pub fn copy(source: &Doc, target: &Doc) -> Result<Vec<Revived>, ContentError> {
    let from = source.try_transact().map_err(|_| ContentError::Busy)?;
    let Some(root) = from.get_xml_fragment(BODY_ROOT) else {
        return Ok(Vec::new());
    };
    content::fill(target, &content::read(&root, &from))?;
    let to = target.try_transact().map_err(|_| ContentError::Busy)?;
    let copied = to
        .get_xml_fragment(BODY_ROOT)
        .map(|root| Parent::Root(root).elements(&to))
        .unwrap_or_default();
    Ok(Parent::Root(root)
        .elements(&from)
        .iter()
        .zip(&copied)
        .flat_map(|(was, is)| side_by_side(&ids_within(&from, was), &ids_within(&to, is)))
        .collect())
}

type Child = (XmlElementRef, Node);

/// The children, if all of them are elements.
fn children<T: ReadTxn>(parent: &Parent, txn: &T) -> Option<Vec<Child>> {
    let elements = parent.elements(txn);
    (u32::try_from(elements.len()).ok()? == parent.len(txn)).then(|| {
        elements
            .into_iter()
            .map(|element| {
                let node = read_element(&element, txn);
                (element, node)
            })
            .collect()
    })
}

fn nodes(children: &[Child]) -> Vec<Node> {
    children.iter().map(|(_, node)| node.clone()).collect()
}

/// A rewrite on its way.
struct Rewrite<'a, T> {
    then: &'a T,
    restored: &'a mut Vec<Revived>,
}

impl<T: ReadTxn> Rewrite<'_, T> {
    /// Takes steps in one parent; `at` is where it stands there.
    fn steps(
        &mut self,
        txn: &mut TransactionMut<'_>,
        parent: &Parent,
        current: &[Child],
        target: &[Child],
        steps: &[Step],
        at: &mut u32,
    ) {
        for step in steps {
            match *step {
                Step::Same => *at += 1,
                Step::Removed { .. } => parent.remove(txn, *at),
                Step::Added { new } => {
                    if let Some(child) = target.get(new) {
                        self.add(txn, parent, *at, child);
                        *at += 1;
                    }
                }
                Step::Changed { old, new } => {
                    let (Some((element, node)), Some(child)) = (current.get(old), target.get(new)) else {
                        continue;
                    };
                    let before = self.restored.len();
                    if !self.change(txn, element, node, child) {
                        self.restored.truncate(before);
                        parent.remove(txn, *at);
                        self.add(txn, parent, *at, child);
                    }
                    *at += 1;
                }
            }
        }
    }

    fn add(&mut self, txn: &mut TransactionMut<'_>, parent: &Parent, at: u32, (was, node): &Child) {
        parent.insert(txn, at, std::slice::from_ref(node));
        if let Some(is) = parent.get(txn, at) {
            let pairs = side_by_side(&ids_within(self.then, was), &ids_within(txn, &is));
            self.restored.extend(pairs);
        }
    }

    /// Makes one element what it was, in place. `false`: it has to be written anew.
    fn change(
        &mut self,
        txn: &mut TransactionMut<'_>,
        element: &XmlElementRef,
        node: &Node,
        (was, target): &Child,
    ) -> bool {
        let here = Parent::Element(element.clone());
        let there = Parent::Element(was.clone());
        if let (Some(text), Some(before)) = (only_text(element, txn), only_text(was, self.then)) {
            if !self.words(txn, &text, &before) {
                return false;
            }
        } else if let (Some(current), Some(before)) = (children(&here, txn), children(&there, self.then)) {
            let steps = align(&nodes(&current), &nodes(&before));
            self.steps(txn, &here, &current, &before, &steps, &mut 0);
        } else {
            return false;
        }
        for (name, value) in &target.attrs {
            if node.attrs.get(name) != Some(value) {
                element.insert_attribute(txn, name.as_str(), In::Any(to_any(value)));
            }
        }
        for name in node.attrs.keys().filter(|name| !target.attrs.contains_key(*name)) {
            element.remove_attribute(txn, name);
        }
        read_element(element, txn) == *target
    }

    /// Makes a text what it was, word by word.
    fn words(&mut self, txn: &mut TransactionMut<'_>, text: &XmlTextRef, before: &XmlTextRef) -> bool {
        let (current, target) = (read_text(text, txn), read_text(before, self.then));
        let (old, new) = (Word::split(&current), Word::split(&target));
        let units = |words: &[Word]| words.iter().map(|word| word.units).sum::<u32>();
        // Something that is no text stands in it.
        if units(&old) != text.len(txn) || units(&new) != before.len(self.then) {
            return false;
        }
        if old.len().saturating_mul(new.len()) > MAX_WORD_PAIRS {
            return false;
        }
        let mut at = 0;
        let (old_names, new_names) = Word::names(&old, &new);
        for op in capture_diff_slices(Algorithm::Myers, &old_names, &new_names) {
            let was = old.get(op.old_range()).unwrap_or_default();
            let is = new.get(op.new_range()).unwrap_or_default();
            if matches!(op, DiffOp::Equal { .. }) {
                at += units(was);
                continue;
            }
            if !was.is_empty() {
                text.remove_range(txn, at, units(was));
            }
            let len = units(is);
            let mut nodes = Vec::new();
            for word in is {
                push_inline(&mut nodes, word.node.clone());
            }
            if len == 0 {
                continue;
            }
            if insert_inline(text, txn, at, &nodes).is_err() {
                return false;
            }
            let from = units(new.get(..op.new_range().start).unwrap_or_default());
            let pairs = side_by_side(
                &ids_of_text(self.then, before, from, from + len),
                &ids_of_text(txn, text, at, at + len),
            );
            self.restored.extend(pairs);
            at += len;
        }
        read_text(text, txn) == target
    }
}

/// The one text in an element that holds nothing else.
fn only_text<T: ReadTxn>(element: &XmlElementRef, txn: &T) -> Option<XmlTextRef> {
    let mut children = element.children(txn);
    match (children.next(), children.next()) {
        (Some(XmlOut::Text(text)), None) => Some(text),
        _ => None,
    }
}

/// A word, or what stands between two, with its marks.
struct Word {
    node: Node,
    units: u32,
}

impl Word {
    fn split(runs: &[Node]) -> Vec<Self> {
        let mut words = Vec::new();
        for run in runs {
            let text = run.text.as_deref().unwrap_or_default();
            let mut rest = text;
            while let Some(first) = rest.chars().next() {
                let letters = first.is_alphanumeric();
                let end = if letters {
                    rest.find(|char: char| !char.is_alphanumeric())
                        .unwrap_or(rest.len())
                } else {
                    first.len_utf8()
                };
                let (word, after) = rest.split_at(end);
                words.push(Self {
                    units: u32::try_from(word.encode_utf16().count()).unwrap_or(u32::MAX),
                    node: Node {
                        text: Some(word.to_owned()),
                        ..run.clone()
                    },
                });
                rest = after;
            }
        }
        words
    }
    /// Numbers that are equal where words are.
    fn names(old: &[Self], new: &[Self]) -> (Vec<u32>, Vec<u32>) {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut name = |word: &Self| {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            *known
                .entry(serde_json::to_string(&word.node).unwrap_or_default())
                .or_insert(next)
        };
        let old = old.iter().map(&mut name).collect();
        (old, new.iter().map(&mut name).collect())
    }
}
