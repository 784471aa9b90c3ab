//! What happens in a run, as data: any part of a plan is a plan, so a failed one can be cut down.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::cut::cut_down;
use super::payloads::{PAYLOADS, WORDS};

/// One thing that happens. Numbers are taken modulo what there is; a step that makes no sense is passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Somebody types.
    Type { peer: u8, at: u32, text: String },
    /// Somebody deletes text within a block.
    Erase { peer: u8, at: u32, len: u32 },
    /// Somebody formats text within a block.
    Format { peer: u8, at: u32, len: u32, mark: u8 },
    /// Somebody breaks a block in two, as y-prosemirror does: the tail is deleted and written anew.
    Split { peer: u8, at: u32 },
    /// Somebody joins a block with the one before: its text is written anew there.
    Join { peer: u8, at: u32 },
    /// Somebody deletes a top-level block.
    DeleteBlock { peer: u8, at: u32 },
    /// Somebody adds a top-level block.
    AddBlock { peer: u8, at: u32, text: String },
    /// A model proposes something, having seen what this peer sees.
    Propose {
        peer: u8,
        kind: u8,
        at: u32,
        len: u32,
        payload: u8,
    },
    /// A peer's relay decides.
    Decide {
        peer: u8,
        proposal: u8,
        action: u8,
        force: bool,
    },
    /// Two peers tell each other everything.
    Sync { one: u8, two: u8 },
    /// A peer's relay repairs.
    Repair { peer: u8 },
    /// A peer starts anew from what it stored.
    Restart { peer: u8 },
}

/// A plan and with how many peers it is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The seed it came from, and that of the peers' client ids.
    pub(crate) seed: u64,
    /// How many peers.
    pub(crate) peers: u8,
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// A plan out of a seed.
    pub(crate) fn random(seed: u64, peers: u8, steps: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // Each run has its own temper: how often there is contact, and whether blocks are broken.
        let contact = rng.random_range(2..25);
        let blocks = rng.random_range(0..3) * 4;
        let steps = (0..steps)
            .map(|_| step(&mut rng, peers, contact, blocks))
            .collect();
        Self { seed, peers, steps }
    }

    /// Whether text is written anew under other ids, so that a copy of it no longer tells where it came from.
    pub(crate) fn copies_text(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Split { .. } | Step::Join { .. }))
    }

    /// The smallest part of the plan for which `fails` still holds.
    pub(crate) fn cut_down(&self, fails: impl Fn(&Self) -> bool) -> Self {
        let part = |steps: &[Step]| Self {
            steps: steps.to_vec(),
            ..self.clone()
        };
        part(&cut_down(&self.steps, |steps| fails(&part(steps))))
    }
}

fn step(rng: &mut StdRng, peers: u8, contact: u32, blocks: u32) -> Step {
    let peer = rng.random_range(0..peers);
    let at = rng.random_range(0..10_000);
    let len = rng.random_range(1..9);
    let roll = rng.random_range(0..100 + contact + blocks);
    match roll {
        0..22 => Step::Type {
            peer,
            at,
            text: words(rng),
        },
        22..32 => Step::Erase { peer, at, len },
        32..37 => Step::Format {
            peer,
            at,
            len,
            mark: rng.random_range(0..4),
        },
        37..39 => Step::DeleteBlock { peer, at },
        39..43 => Step::AddBlock {
            peer,
            at,
            text: words(rng),
        },
        43..63 => Step::Propose {
            peer,
            kind: rng.random_range(0..8),
            at,
            len: rng.random_range(1..30),
            payload: rng.random_range(0..PAYLOADS),
        },
        63..93 => Step::Decide {
            peer,
            proposal: rng.random_range(0..32),
            action: rng.random_range(0..8),
            force: rng.random_bool(0.6),
        },
        93..97 => Step::Repair { peer },
        97..100 => Step::Restart { peer },
        roll if roll < 100 + contact => Step::Sync {
            one: peer,
            two: rng.random_range(0..peers),
        },
        _ if rng.random_bool(0.6) => Step::Split { peer, at },
        _ => Step::Join { peer, at },
    }
}

fn words(rng: &mut StdRng) -> String {
    (0..rng.random_range(1..3))
        .map(|_| WORDS[rng.random_range(0..WORDS.len())])
        .collect()
}
