//! What happens in a run, as data: any part of a plan is a plan, so a failed one can be cut down.

use crdt::ids::{PeerKind, Role};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::cut::cut_down;
use super::payloads::{PAYLOADS, WORDS};

/// An edit, made by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Edit {
    Type { at: u32, text: String },
    Erase { at: u32, len: u32 },
    Format { at: u32, len: u32, mark: u8 },
    Split { at: u32 },
    Join { at: u32 },
    DeleteBlock { at: u32 },
    AddBlock { at: u32, text: String },
}

/// One thing that happens. Numbers are taken modulo what there is; a step that makes no sense is passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Somebody edits their copy of the body, whether they may or not.
    Edit { who: u8, edit: Edit },
    /// Somebody asks a model for something.
    Ask { who: u8, at: u32, len: u32 },
    /// Somebody proposes something themselves.
    Propose {
        who: u8,
        kind: u8,
        at: u32,
        len: u32,
        payload: u8,
    },
    /// Somebody takes their request back.
    CancelRequest { who: u8, request: u8 },
    /// A model goes on with its work: looks for a request, claims it, begins, streams some words, or ends.
    Work { who: u8, payload: u8 },
    /// Somebody asks the room for a decision.
    Decide {
        who: u8,
        proposal: u8,
        action: u8,
        force: bool,
    },
    /// Somebody asks the room for a preview.
    Preview { who: u8, proposal: u8 },
    /// Somebody's caret moves.
    Caret { who: u8, at: u8 },
    /// Frames reach the room from somebody.
    Up { who: u8, count: u8 },
    /// Frames reach somebody from the room.
    Down { who: u8, count: u8 },
    /// Frames of a part go through the link between the relays, up or down.
    Pipe { body: bool, up: bool, count: u8 },
    /// A frame that is under way is lost, comes twice, or overtakes the one before.
    Disturb { who: u8, up: bool, how: u8 },
    /// The frames that are under way to the room arrive as one.
    Concatenate { who: u8 },
    /// Somebody connects.
    Connect { who: u8 },
    /// Somebody's connection ends, and both sides know.
    Leave { who: u8 },
    /// Somebody's connection is gone, and the room does not know: what was under way arrives later, beside what they say
    /// on their next one.
    Vanish { who: u8 },
    /// A frame of such a connection arrives; after the last of them the room hears that it has ended.
    Late { which: u8 },
    /// The link between the relays ends.
    Part,
    /// The link between the relays comes up.
    Meet,
    /// Somebody's window starts anew, from what it has stored or from nothing.
    Reopen { who: u8, stored: bool },
    /// What somebody may do changes.
    Role { who: u8, role: u8 },
    /// A relay's store writes some of what it was given.
    Write { site: u8, count: u8 },
    /// A relay's store cannot write.
    Fail { site: u8 },
    /// A relay's log is replaced by a snapshot.
    Compact { site: u8 },
    /// A relay ends as by `kill -9` and starts again.
    Crash { site: u8 },
    /// Time passes everywhere.
    Tick { ms: u16 },
    /// The clock of a relay or of somebody jumps.
    Clock { whose: u8, seconds: i16 },
}

/// Somebody who takes part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) site: u8,
    pub(crate) role: Role,
    pub(crate) kind: PeerKind,
}

/// A plan and who carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The seed it came from, and that of the ids.
    pub(crate) seed: u64,
    /// One relay, or two with a link between them.
    pub(crate) sites: u8,
    /// The people and the models.
    pub(crate) cast: Vec<Member>,
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// A plan out of a seed.
    pub(crate) fn random(seed: u64, steps: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let sites = if rng.random_bool(0.4) { 2 } else { 1 };
        let cast = cast(&mut rng, sites);
        // Each run has its own temper: whether blocks are broken, whether frames are disturbed, how often things end.
        let temper = Temper {
            blocks: rng.random_bool(0.5),
            disturbed: rng.random_bool(0.4),
            rough: rng.random_bool(0.6),
            who: cast.len() as u8,
        };
        let mut all = Vec::new();
        while all.len() < steps {
            if rng.random_bool(0.03) {
                all.extend(scene(&mut rng, &temper));
            } else {
                all.push(step(&mut rng, &temper));
            }
        }
        all.truncate(steps);
        Self {
            seed,
            sites,
            cast,
            steps: all,
        }
    }

    /// Whether text is written anew under other ids, so that a copy of it no longer tells where it came from.
    pub(crate) fn copies_text(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(
                step,
                Step::Edit {
                    edit: Edit::Split { .. } | Edit::Join { .. },
                    ..
                }
            )
        })
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

struct Temper {
    blocks: bool,
    disturbed: bool,
    rough: bool,
    who: u8,
}

/// An owner, a model, and whoever else there is.
fn cast(rng: &mut StdRng, sites: u8) -> Vec<Member> {
    let mut cast = vec![
        Member {
            site: 0,
            role: Role::Owner,
            kind: PeerKind::Human,
        },
        Member {
            site: sites - 1,
            role: Role::Editor,
            kind: PeerKind::Human,
        },
        Member {
            site: rng.random_range(0..sites),
            role: Role::Suggester,
            kind: PeerKind::Ai,
        },
    ];
    for _ in 0..rng.random_range(0..4) {
        let (role, kind) = match rng.random_range(0..5) {
            0 => (Role::Suggester, PeerKind::Ai),
            1 => (Role::Suggester, PeerKind::Human),
            2 => (Role::Viewer, PeerKind::Human),
            _ => (Role::Editor, PeerKind::Human),
        };
        cast.push(Member {
            site: rng.random_range(0..sites),
            role,
            kind,
        });
    }
    cast
}

/// What chance alone seldom puts together: a proposal that is accepted and taken back at once, or accepted by two relays that
/// are apart. The first two of the cast may decide, at either end of the link.
fn scene(rng: &mut StdRng, temper: &Temper) -> Vec<Step> {
    let propose = Step::Propose {
        who: rng.random_range(0..temper.who),
        kind: rng.random_range(0..8),
        at: rng.random_range(0..10_000),
        len: rng.random_range(1..30),
        payload: rng.random_range(0..PAYLOADS),
    };
    let decide = |who, action| Step::Decide {
        who,
        // The last that there is, whatever others there are; see `World::candidate`.
        proposal: u8::MAX - 1,
        action,
        force: true,
    };
    let everybody = |up: bool| {
        (0..temper.who).map(move |who| {
            let count = 60;
            if up {
                Step::Up { who, count }
            } else {
                Step::Down { who, count }
            }
        })
    };
    let pipes = || {
        [(true, true), (true, false), (false, true), (false, false)].map(|(body, up)| Step::Pipe {
            body,
            up,
            count: 200,
        })
    };
    let mut steps: Vec<Step> = (0..temper.who).map(|who| Step::Connect { who }).collect();
    steps.push(Step::Meet);
    for _ in 0..2 {
        steps.extend(everybody(true));
        steps.extend(everybody(false));
        steps.extend(pipes());
    }
    steps.push(propose);
    steps.extend(everybody(true));
    steps.extend(pipes());
    steps.extend(everybody(false));
    if rng.random_bool(0.5) {
        steps.extend([decide(0, 0), Step::Up { who: 0, count: 60 }]);
        steps.extend([Step::Down { who: 0, count: 60 }, decide(0, 7)]);
        steps.push(Step::Up { who: 0, count: 60 });
    } else {
        steps.push(Step::Part);
        steps.extend([decide(0, 0), decide(1, 0)]);
        steps.extend(everybody(true));
        if rng.random_bool(0.3) {
            steps.extend(everybody(false));
            steps.extend([decide(1, 7), Step::Up { who: 1, count: 60 }]);
        }
        steps.push(Step::Meet);
    }
    steps
}

fn step(rng: &mut StdRng, temper: &Temper) -> Step {
    let who = rng.random_range(0..temper.who);
    let at = rng.random_range(0..10_000);
    let site = rng.random_range(0..2);
    match rng.random_range(0..1000) {
        0..150 => Step::Edit {
            who,
            edit: edit(rng, at, temper.blocks),
        },
        150..175 => Step::Ask {
            who,
            at,
            len: rng.random_range(0..20),
        },
        175..200 => Step::Propose {
            who,
            kind: rng.random_range(0..8),
            at,
            len: rng.random_range(1..30),
            payload: rng.random_range(0..PAYLOADS),
        },
        200..205 => Step::CancelRequest {
            who,
            request: rng.random_range(0..8),
        },
        205..290 => Step::Work {
            who: rng.random_range(0..8),
            payload: rng.random_range(0..PAYLOADS),
        },
        290..350 => Step::Decide {
            who,
            proposal: rng.random_range(0..32),
            action: rng.random_range(0..8),
            force: rng.random_bool(0.6),
        },
        350..355 => Step::Preview {
            who,
            proposal: rng.random_range(0..8),
        },
        355..370 => Step::Caret {
            who,
            at: rng.random(),
        },
        370..560 => Step::Up {
            who,
            count: rng.random_range(1..12),
        },
        560..740 => Step::Down {
            who,
            count: rng.random_range(1..12),
        },
        740..800 => Step::Pipe {
            body: rng.random_bool(0.5),
            up: rng.random_bool(0.5),
            count: rng.random_range(1..12),
        },
        800..815 if temper.disturbed => Step::Disturb {
            who,
            up: rng.random_bool(0.5),
            how: rng.random_range(0..3),
        },
        800..815 => Step::Concatenate { who },
        815..870 => Step::Connect { who },
        870..875 => Step::Leave { who },
        875..885 => Step::Vanish { who },
        885..895 => Step::Late { which: rng.random() },
        895..902 => Step::Meet,
        902..906 => Step::Part,
        906..909 => Step::Reopen {
            who,
            stored: rng.random_bool(0.6),
        },
        909..917 => Step::Role {
            who,
            role: rng.random_range(0..4),
        },
        917..967 => Step::Write {
            site,
            count: rng.random_range(1..20),
        },
        967..971 if temper.rough => Step::Fail { site },
        971..975 => Step::Compact { site },
        975..979 if temper.rough => Step::Crash { site },
        979..982 => Step::Clock {
            whose: rng.random_range(0..10),
            seconds: rng.random_range(-4_000..4_000),
        },
        _ => Step::Tick {
            ms: rng.random_range(1..20_000),
        },
    }
}

fn edit(rng: &mut StdRng, at: u32, blocks: bool) -> Edit {
    let len = rng.random_range(1..9);
    match rng.random_range(0..20) {
        0..10 => Edit::Type { at, text: words(rng) },
        10..13 => Edit::Erase { at, len },
        13..15 => Edit::Format {
            at,
            len,
            mark: rng.random_range(0..4),
        },
        15 if blocks => Edit::DeleteBlock { at },
        16..18 if blocks => Edit::Split { at },
        18 if blocks => Edit::Join { at },
        _ => Edit::AddBlock { at, text: words(rng) },
    }
}

fn words(rng: &mut StdRng) -> String {
    (0..rng.random_range(1..3))
        .map(|_| WORDS[rng.random_range(0..WORDS.len())])
        .collect()
}
