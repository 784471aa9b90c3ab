//! What differs between two versions, for people: as text and as blocks.

use serde::Serialize;
use similar::{Algorithm, ChangeTag, TextDiff};

use super::align::{Step, align, are_alike};
use crate::content::block_texts;
use crate::node::Node;

/// Two texts with more pairs of words than this are shown as one that was taken out and one that came in.
const MAX_WORD_PAIRS: usize = 4_000_000;

/// What became of a stretch of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TextChange {
    /// It is in both.
    Equal,
    /// Only in the later one.
    Insert,
    /// Only in the earlier one.
    Delete,
}

/// A stretch of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TextRun {
    /// What became of it.
    pub change: TextChange,
    /// The text; blocks end in a line break.
    pub text: String,
}

/// What became of a block. The numbers count blocks of the same parent from 0, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "camelCase")]
#[allow(
    clippy::large_enum_variant,
    reason = "a list of changes is short; how large a node is depends on a feature of serde_json"
)]
pub enum BlockChange {
    /// It is new.
    Added {
        /// Where it is.
        to: usize,
        /// What it is.
        block: Node,
    },
    /// It is gone.
    Removed {
        /// Where it was.
        from: usize,
        /// What it was.
        block: Node,
    },
    /// It is the same with other content.
    Changed {
        /// Where it was.
        from: usize,
        /// Where it is.
        to: usize,
        /// What it was.
        before: Node,
        /// What it is.
        after: Node,
        /// Its text, word by word.
        text: Vec<TextRun>,
        /// What became of the blocks in it, if it holds some.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        blocks: Vec<Self>,
    },
    /// It is the same elsewhere.
    Moved {
        /// Where it was.
        from: usize,
        /// Where it is.
        to: usize,
        /// What it is.
        block: Node,
    },
}

/// The text of both versions, word by word.
#[must_use]
pub fn text(before: &[Node], after: &[Node]) -> Vec<TextRun> {
    // Line by line first: words are compared within lines that are alike, so that a book takes no longer than its changes.
    let lines = |nodes: &[Node]| -> Vec<Node> {
        block_texts(nodes)
            .iter()
            .map(|line| Node::paragraph(line))
            .collect()
    };
    let (old, new) = (lines(before), lines(after));
    let line = |nodes: &[Node], index: usize| -> String {
        let text = nodes
            .get(index)
            .and_then(|node| node.content.first()?.text.clone());
        text.unwrap_or_default() + "\n"
    };
    let mut runs = Vec::new();
    let mut at = 0; // in the new one
    for step in align(&old, &new) {
        match step {
            Step::Same => push(&mut runs, TextChange::Equal, &line(&new, at)),
            Step::Changed { old: was, new: is } => words(&mut runs, &line(&old, was), &line(&new, is)),
            Step::Removed { old: was } => push(&mut runs, TextChange::Delete, &line(&old, was)),
            Step::Added { new: is } => push(&mut runs, TextChange::Insert, &line(&new, is)),
        }
        at += usize::from(!matches!(step, Step::Removed { .. }));
    }
    runs
}

/// The blocks that differ, in the order of the later version.
#[must_use]
pub fn blocks(before: &[Node], after: &[Node]) -> Vec<BlockChange> {
    let mut changes = Vec::new();
    for step in align(before, after) {
        let change = match step {
            Step::Same => None,
            Step::Changed { old, new } => before
                .get(old)
                .zip(after.get(new))
                .map(|(was, is)| changed((old, was), (new, is))),
            Step::Removed { old } => before.get(old).map(|block| BlockChange::Removed {
                from: old,
                block: block.clone(),
            }),
            Step::Added { new } => after.get(new).map(|block| BlockChange::Added {
                to: new,
                block: block.clone(),
            }),
        };
        changes.extend(change);
    }
    moves(changes)
}

fn changed((from, was): (usize, &Node), (to, is): (usize, &Node)) -> BlockChange {
    let inner = |node: &Node| !node.content.is_empty() && !node.content.iter().any(Node::is_inline);
    BlockChange::Changed {
        from,
        to,
        before: was.clone(),
        after: is.clone(),
        text: text(std::slice::from_ref(was), std::slice::from_ref(is)),
        blocks: if inner(was) && inner(is) {
            blocks(&was.content, &is.content)
        } else {
            Vec::new()
        },
    }
}

/// A block that went out in one place and came in in another was moved; if it is not quite the same, it was changed, too.
fn moves(changes: Vec<BlockChange>) -> Vec<BlockChange> {
    let mut gone: Vec<(usize, Node)> = changes
        .iter()
        .filter_map(|change| match change {
            BlockChange::Removed { from, block } => Some((*from, block.clone())),
            BlockChange::Added { .. } | BlockChange::Changed { .. } | BlockChange::Moved { .. } => None,
        })
        .collect();
    let mut take = |same: &dyn Fn(&Node) -> bool| {
        let index = gone.iter().position(|(_, block)| same(block))?;
        Some(gone.remove(index))
    };
    // All that are equal first, so that none of them counts as another one with other words.
    let equal: Vec<Option<usize>> = changes
        .iter()
        .map(|change| match change {
            BlockChange::Added { block, .. } => take(&|other| other == block).map(|(from, _)| from),
            BlockChange::Removed { .. } | BlockChange::Changed { .. } | BlockChange::Moved { .. } => None,
        })
        .collect();
    let mut elsewhere = Vec::new();
    let mut found = Vec::new();
    for (change, equal) in changes.into_iter().zip(equal) {
        found.push(match (change, equal) {
            (BlockChange::Added { to, block }, Some(from)) => {
                elsewhere.push(from);
                BlockChange::Moved { from, to, block }
            }
            (BlockChange::Added { to, block }, None) => match take(&|other| are_alike(other, &block)) {
                Some((from, was)) => {
                    elsewhere.push(from);
                    changed((from, &was), (to, &block))
                }
                None => BlockChange::Added { to, block },
            },
            (other, _) => other,
        });
    }
    found.retain(|change| !matches!(change, BlockChange::Removed { from, .. } if elsewhere.contains(from)));
    found
}

fn words(runs: &mut Vec<TextRun>, old: &str, new: &str) {
    let count = |text: &str| text.split_whitespace().count().max(1);
    if count(old).saturating_mul(count(new)) > MAX_WORD_PAIRS {
        push(runs, TextChange::Delete, old);
        push(runs, TextChange::Insert, new);
        return;
    }
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .diff_words(old, new);
    for change in diff.iter_all_changes() {
        let kind = match change.tag() {
            ChangeTag::Equal => TextChange::Equal,
            ChangeTag::Insert => TextChange::Insert,
            ChangeTag::Delete => TextChange::Delete,
        };
        push(runs, kind, change.value());
    }
}

fn push(runs: &mut Vec<TextRun>, change: TextChange, text: &str) {
    match runs.last_mut() {
        Some(last) if last.change == change => last.text.push_str(text),
        _ => runs.push(TextRun {
            change,
            text: text.to_owned(),
        }),
    }
}
