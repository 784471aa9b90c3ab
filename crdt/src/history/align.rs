//! Which block of one tree is which of another.

use std::collections::HashMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::content::plain_text;
use crate::node::Node;

/// Blocks that differ count as one that was changed when at least this part of their words is the same.
const ALIKE: f64 = 0.3;

/// The most pairs of blocks of one stretch that are compared word by word; longer stretches are paired in their order.
const MAX_PAIRS: usize = 64 * 64;

/// One step on the way from the old blocks to the new ones, in their order. The numbers are indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Equal.
    Same,
    /// The same block with other content.
    Changed { old: usize, new: usize },
    /// Not there any more.
    Removed { old: usize },
    /// Not there before.
    Added { new: usize },
}

/// The way from `old` to `new` that keeps most blocks.
pub(super) fn align(old: &[Node], new: &[Node]) -> Vec<Step> {
    let mut names: HashMap<String, u32> = HashMap::new();
    let mut name = |node: &Node| {
        let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
        *names
            .entry(serde_json::to_string(node).unwrap_or_default())
            .or_insert(next)
    };
    let named =
        |nodes: &[Node], name: &mut dyn FnMut(&Node) -> u32| nodes.iter().map(name).collect::<Vec<u32>>();
    let (old_names, new_names) = (named(old, &mut name), named(new, &mut name));
    let mut steps = Vec::new();
    // Anchored at blocks that occur once on each side: quick on books, where most blocks are unlike all others.
    for op in capture_diff_slices(Algorithm::Patience, &old_names, &new_names) {
        match op {
            DiffOp::Equal { len, .. } => steps.extend(std::iter::repeat_n(Step::Same, len)),
            DiffOp::Delete {
                old_index, old_len, ..
            } => steps.extend((old_index..old_index + old_len).map(|old| Step::Removed { old })),
            DiffOp::Insert {
                new_index, new_len, ..
            } => steps.extend((new_index..new_index + new_len).map(|new| Step::Added { new })),
            DiffOp::Replace {
                old_index,
                old_len,
                new_index,
                new_len,
            } => {
                let was = old.get(old_index..old_index + old_len).unwrap_or_default();
                let is = new.get(new_index..new_index + new_len).unwrap_or_default();
                steps.extend(pair(was, is).into_iter().map(|step| match step {
                    Step::Same => Step::Same,
                    Step::Changed { old, new } => Step::Changed {
                        old: old + old_index,
                        new: new + new_index,
                    },
                    Step::Removed { old } => Step::Removed { old: old + old_index },
                    Step::Added { new } => Step::Added { new: new + new_index },
                }));
            }
        }
    }
    steps
}

/// Pairs the blocks of a stretch in which none is equal: those that are most alike, in order.
fn pair(old: &[Node], new: &[Node]) -> Vec<Step> {
    if old.len().saturating_mul(new.len()) > MAX_PAIRS {
        return in_order(old, new);
    }
    let old_words: Vec<Words> = old.iter().map(Words::of).collect();
    let new_words: Vec<Words> = new.iter().map(Words::of).collect();
    let width = new.len() + 1;
    // best[i * width + j]: how much of old[i..] and new[j..] can be kept.
    let mut best = vec![0.0_f64; (old.len() + 1) * width];
    let mut alike = vec![0.0_f64; old.len() * new.len()];
    let at = |best: &[f64], i: usize, j: usize| best.get(i * width + j).copied().unwrap_or_default();
    for (i, (node, words)) in old.iter().zip(&old_words).enumerate().rev() {
        for (j, (other, others)) in new.iter().zip(&new_words).enumerate().rev() {
            let same = if node.kind == other.kind {
                words.alike(others)
            } else {
                0.0
            };
            let kept = if same >= ALIKE {
                same + at(&best, i + 1, j + 1)
            } else {
                0.0
            };
            let most = kept.max(at(&best, i + 1, j)).max(at(&best, i, j + 1));
            if let Some(cell) = best.get_mut(i * width + j) {
                *cell = most;
            }
            if let Some(cell) = alike.get_mut(i * new.len() + j) {
                *cell = same;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut steps = Vec::new();
    while i < old.len() && j < new.len() {
        let same = alike.get(i * new.len() + j).copied().unwrap_or_default();
        if same >= ALIKE && at(&best, i, j) <= same + at(&best, i + 1, j + 1) {
            steps.push(Step::Changed { old: i, new: j });
            (i, j) = (i + 1, j + 1);
        } else if at(&best, i + 1, j) >= at(&best, i, j + 1) {
            steps.push(Step::Removed { old: i });
            i += 1;
        } else {
            steps.push(Step::Added { new: j });
            j += 1;
        }
    }
    steps.extend((i..old.len()).map(|old| Step::Removed { old }));
    steps.extend((j..new.len()).map(|new| Step::Added { new }));
    steps
}

fn in_order(old: &[Node], new: &[Node]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, (was, is)) in old.iter().zip(new).enumerate() {
        if was.kind == is.kind {
            steps.push(Step::Changed {
                old: index,
                new: index,
            });
        } else {
            steps.extend([Step::Removed { old: index }, Step::Added { new: index }]);
        }
    }
    let both = old.len().min(new.len());
    steps.extend((both..old.len()).map(|old| Step::Removed { old }));
    steps.extend((both..new.len()).map(|new| Step::Added { new }));
    steps
}

/// Whether one block may be the other with other words. Without words there is nothing to tell by.
pub(super) fn are_alike(old: &Node, new: &Node) -> bool {
    let (old_words, new_words) = (Words::of(old), Words::of(new));
    old.kind == new.kind && old_words.total > 0 && old_words.alike(&new_words) >= ALIKE
}

/// The words of a block, each with how often it occurs.
struct Words {
    counts: HashMap<String, usize>,
    total: usize,
}

impl Words {
    fn of(node: &Node) -> Self {
        let mut counts = HashMap::new();
        let mut total = 0;
        for word in plain_text(std::slice::from_ref(node)).split_whitespace() {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
            total += 1;
        }
        Self { counts, total }
    }

    /// From 0 (nothing in common) to 1.
    #[expect(clippy::cast_precision_loss, reason = "a block has fewer words than 2^52")]
    fn alike(&self, other: &Self) -> f64 {
        if self.total + other.total == 0 {
            return 1.0; // two pictures, two rules: only their attributes differ
        }
        let common: usize = self
            .counts
            .iter()
            .map(|(word, count)| other.counts.get(word).map_or(0, |others| *count.min(others)))
            .sum();
        2.0 * common as f64 / (self.total + other.total) as f64
    }
}
