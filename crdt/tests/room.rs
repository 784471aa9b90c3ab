//! The room with everything that can happen to it: many peers, lost frames, a store that fails, crashes.
//!
//! `SEED=…` runs one seed; `SEEDS=a..b` and `STEPS=…` choose how much.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how to repeat it"
)]

#[path = "room/decisions.rs"]
mod decisions;
#[path = "room/desk.rs"]
mod desk;
#[path = "room/flood.rs"]
mod flood;
#[path = "room/harness.rs"]
mod harness;
#[path = "room/presence.rs"]
mod presence;
#[path = "room/rest.rs"]
mod rest;
#[path = "room/rules.rs"]
mod rules;
#[path = "room/saving.rs"]
mod saving;

use crdt::ids::{Part, Role};
use harness::{Network, OnPanic};

const PEERS: [(Part, Role); 8] = [
    (Part::Body, Role::Owner),
    (Part::Body, Role::Editor),
    (Part::Body, Role::Editor),
    (Part::Body, Role::Suggester),
    (Part::Body, Role::Viewer),
    (Part::Margin, Role::Suggester),
    (Part::Margin, Role::Editor),
    (Part::Margin, Role::Viewer),
];

fn setting(name: &str) -> Option<String> {
    std::env::vars()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = setting("SEED") {
        let seed = seed.parse().unwrap();
        return seed..seed + 1;
    }
    let range = setting("SEEDS").unwrap_or_else(|| "0..60".to_owned());
    let (from, to) = range.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn whatever_happens_everybody_ends_up_with_the_same_and_nothing_acknowledged_is_lost() {
    let steps: usize = setting("STEPS").map_or(1_500, |steps| steps.parse().unwrap());
    let (mut records, mut refusals) = (0, 0);
    for seed in seeds() {
        let _print = OnPanic(seed, "room");
        let mut network = Network::new(seed, &PEERS);
        for _ in 0..steps {
            network.step();
        }
        network.settle();
        network.check();
        // A restart at rest loses nothing, and coming and going writes nothing.
        let (body, margin) = (network.room.state(Part::Body), network.room.state(Part::Margin));
        let before = network.disk.records;
        for _ in 0..3 {
            network.crash();
            network.settle();
            for peer in 0..PEERS.len() {
                network.disconnect(peer);
            }
            network.settle();
        }
        network.check();
        assert_eq!(
            (network.room.state(Part::Body), network.room.state(Part::Margin)),
            (body, margin)
        );
        assert_eq!(
            network.disk.records, before,
            "opening, closing or reconnecting made an edit"
        );
        records += before;
        refusals += network.peers.iter().map(|peer| peer.refusals).sum::<usize>();
    }
    println!("{records} records, {refusals} refusals");
    // The runs did what they are for.
    assert!(
        records > 100 && refusals > 10,
        "{records} records, {refusals} refusals"
    );
}

/// The harness must be able to fail: peers that were never brought together are apart.
#[test]
fn the_harness_notices_peers_that_are_apart() {
    let mut network = Network::new(1, &PEERS);
    network.edit(0);
    let apart = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| network.check()));
    assert!(apart.is_err());
}
