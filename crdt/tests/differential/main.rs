//! yjs and yrs side by side: the same random operations give the same state, whoever carries them out and whoever reads it.
//!
//! Each case is a document with clients of both makes around a relay's copy, offline now and then, in causal order as in the
//! product. `SEEDS=20000` runs more, `SEED=7` only that one;
//! with `CLOSELY=1` the states are compared after each round, and a failure says all that was done.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../common/cut.rs"]
#[expect(dead_code, reason = "plans are cut down elsewhere")]
mod cut;
mod node;
mod operations;
mod state;

use std::time::Instant;

use cut::setting;
use node::{Node, bytes};
use operations::{Taste, operate};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use state::{open, shown, snapshot, state};
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, ReadTxn as _, Snapshot, StateVector, Text as _, Transact as _, Update};

const SEEDS: u64 = 2_000;
/// Cases that share a line to Node.
const BATCH: u64 = 250;
const ROUNDS: usize = 10;

/// A client in Node, with a yrs document that has heard the same; or, without a name, one that is only here.
struct Client {
    name: Option<String>,
    doc: Doc,
    /// What is to be seen once Node has carried out what it was told: what yrs made of the same operations.
    expected: Option<Value>,
    /// Made and not sent, while it is offline.
    waiting: Vec<Vec<u8>>,
    online: bool,
}

/// One document.
struct Case {
    seed: u64,
    rng: StdRng,
    taste: Taste,
    relay: Doc,
    clients: Vec<Client>,
    /// What was said, when a single case is looked at: then the states are compared after each round.
    closely: Option<Vec<Value>>,
}

fn apply(doc: &Doc, update: &[u8]) {
    let update = Update::decode_v1(update).expect("an update");
    doc.transact_mut().apply_update(update).expect("it fits");
}

fn missing(doc: &Doc, state: &StateVector) -> Vec<u8> {
    doc.transact().encode_diff_v1(state)
}

/// An update in words.
fn state_of(update: &[u8]) -> String {
    format!("{:?}", Update::decode_v1(update).expect("an update"))
}

impl Case {
    fn new(seed: u64, node: &mut Node, closely: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let taste = Taste {
            marks: rng.random_bool(0.5),
            crowded: rng.random_bool(0.4),
        };
        let clients = (0..4)
            .map(|number| {
                // Small ids, those of a random 32 bits, and all the 53 bits that JavaScript can count.
                let client = match rng.random_range(0..3) {
                    0 => 10 + number,
                    1 => u64::from(rng.random::<u32>()),
                    _ => rng.random_range(1 << 52..1 << 53),
                };
                let name = (number < 2).then(|| format!("{seed}.{number}"));
                if let Some(name) = &name {
                    node.say(json!(["new", name, client]));
                }
                Client {
                    // Nobody but Node writes under the client's own id.
                    doc: open(if name.is_some() { 2 } else { client }),
                    name,
                    expected: None,
                    waiting: Vec::new(),
                    online: true,
                }
            })
            .collect();
        Self {
            seed,
            rng,
            taste,
            relay: open(1),
            clients,
            closely: closely.then(Vec::new),
        }
    }

    /// Everybody who is online hears the news, and everybody does something.
    fn begin_round(&mut self, node: &mut Node, last: bool) {
        for client in &mut self.clients {
            client.online = last || self.rng.random_bool(0.7);
            if client.online {
                let state = client.doc.transact().state_vector();
                let news = missing(&self.relay, &state);
                apply(&client.doc, &news);
                if let Some(said) = &mut self.closely {
                    said.push(json!(["hears", client.name, state_of(&news)]));
                }
                if let Some(name) = &client.name {
                    node.apply(name, &news);
                }
            }
            let count = if last { 0 } else { self.rng.random_range(0..4) };
            let scratch = open(3);
            if client.name.is_some() && count > 0 {
                apply(&scratch, &missing(&client.doc, &StateVector::default()));
            }
            for _ in 0..count {
                let before = client.doc.transact().snapshot();
                let doc = if client.name.is_some() {
                    &scratch
                } else {
                    &client.doc
                };
                let operation = operate(doc, &mut self.rng, self.taste);
                if let Some(said) = &mut self.closely {
                    said.push(json!([client.name, doc.client_id().get(), operation]));
                }
                match &client.name {
                    Some(name) => node.say(json!(["do", name, operation])),
                    None => {
                        let update = missing(&client.doc, &before.state_map);
                        client.waiting.push(update);
                    }
                }
            }
            if let Some(name) = &client.name {
                client.expected = (count > 0).then(|| state(&scratch));
                node.say(json!(["made", name]));
                if self.closely.is_some() {
                    node.say(json!(["state", name]));
                }
            }
        }
    }

    /// What was made reaches the relay: each client's in its order, the clients' in any. Whether there was anything.
    fn end_round(&mut self, answers: &mut impl Iterator<Item = Value>) -> bool {
        for client in self.clients.iter_mut().filter(|client| client.name.is_some()) {
            let made = answers.next().expect("an answer");
            for update in made.as_array().expect("a list").iter().map(bytes) {
                apply(&client.doc, &update);
                client.waiting.push(update);
            }
            if let Some(said) = &self.closely {
                let mut yjs = answers.next().expect("an answer");
                yjs.as_object_mut().expect("a state").remove("snapshot");
                assert_eq!(yjs, state(&client.doc), "{:?} after {}", client.name, json!(said));
            }
            if let Some(expected) = client.expected.take() {
                let name = client.name.as_deref().unwrap_or_default();
                assert_eq!(
                    state(&client.doc),
                    expected,
                    "SEED={}: yjs in {name}, and what yrs made of the same operations {}",
                    self.seed,
                    json!(self.closely)
                );
            }
        }
        let mut order: Vec<usize> = Vec::new();
        for (number, client) in self.clients.iter().enumerate() {
            if client.online {
                order.extend(std::iter::repeat_n(number, client.waiting.len()));
            }
        }
        order.shuffle(&mut self.rng);
        for number in &order {
            let update = self.clients[*number].waiting.remove(0);
            apply(&self.relay, &update);
        }
        !order.is_empty()
    }

    fn check(&self, answers: &mut impl Iterator<Item = Value>) {
        let repeat = format!("SEED={} cargo nextest run -p crdt --test differential", self.seed);
        let (there, saved) = (state(&self.relay), snapshot(&self.relay));
        for client in &self.clients {
            assert_eq!(state(&client.doc), there, "{repeat}: yrs and the relay's yrs");
            let own = snapshot(&client.doc);
            assert_eq!(own, saved, "{repeat}: {} and {}", shown(&own), shown(&saved));
            if client.name.is_some() {
                let mut yjs = answers.next().expect("an answer");
                let taken = yjs["snapshot"].take();
                yjs.as_object_mut().expect("a state").remove("snapshot");
                assert_eq!(yjs, there, "{repeat}: yjs and yrs");
                let taken = Snapshot::decode_v1(&bytes(&taken)).expect("a snapshot");
                assert_eq!(taken, saved, "{repeat}: {} and {}", shown(&taken), shown(&saved));
            }
        }
    }
}

#[test]
fn yjs_and_yrs_come_to_the_same() {
    let first: Option<u64> = setting("SEED");
    let count = setting("SEEDS").unwrap_or(first.map_or(SEEDS, |_| 1));
    let first = first.unwrap_or(0);
    let began = Instant::now();
    let mut node = Node::start();
    let mut seed = first;
    let mut marks = 0;
    while seed < first + count {
        let end = (seed + BATCH).min(first + count);
        let mut cases: Vec<Case> = (seed..end)
            .map(|seed| Case::new(seed, &mut node, setting::<u64>("CLOSELY").is_some()))
            .collect();
        for round in 0.. {
            let last = round >= ROUNDS;
            for case in &mut cases {
                case.begin_round(&mut node, last);
            }
            let mut answers = node.ask().into_iter();
            let mut moved = false;
            for case in &mut cases {
                moved |= case.end_round(&mut answers);
            }
            // Once more after the last word, so that everybody has heard it.
            if last && !moved && round > ROUNDS {
                break;
            }
            assert!(
                round < ROUNDS + 10,
                "yjs has something to say each time it hears something"
            );
        }
        for client in cases.iter().flat_map(|case| &case.clients) {
            if let Some(name) = &client.name {
                node.say(json!(["state", name]));
                node.say(json!(["end", name]));
            }
        }
        let mut answers = node.ask().into_iter();
        for case in &cases {
            case.check(&mut answers);
            marks += usize::from(case.taste.marks);
        }
        seed = end;
    }
    println!(
        "{count} cases in {:.1} s, {marks} of them with marks",
        began.elapsed().as_secs_f64()
    );
}

/// The comparison must be able to fail: one letter that only the relay's copy has.
#[test]
fn copies_that_are_apart_are_noticed() {
    let mut node = Node::start();
    let mut case = Case::new(1, &mut node, false);
    for round in 0..6 {
        case.begin_round(&mut node, round > 2);
        let mut answers = node.ask().into_iter();
        case.end_round(&mut answers);
    }
    for name in case.clients.iter().filter_map(|client| client.name.as_ref()) {
        node.say(json!(["state", name]));
    }
    let answers = node.ask();
    case.check(&mut answers.clone().into_iter());
    let text = case.relay.get_or_insert_text("t");
    text.insert(&mut case.relay.transact_mut(), 0, "x");
    let check = std::panic::AssertUnwindSafe(|| case.check(&mut answers.into_iter()));
    let said = cut::quietly(|| std::panic::catch_unwind(check));
    assert!(said.is_err());
}

/// Three copies get each other's updates in any order and then each other's whole: nothing is held back for ever, and all
/// are the same. The room never lets it come to that; a client that is not ours may.
#[test]
fn copies_that_got_updates_in_any_order_are_the_same_after_a_full_sync() {
    for seed in 0..500 {
        let mut rng = StdRng::seed_from_u64(seed);
        let docs: Vec<Doc> = (1..4).map(open).collect();
        let mut inboxes: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 3];
        for _ in 0..150 {
            let who = rng.random_range(0..3);
            if rng.random_bool(0.6) {
                let before = docs[who].transact().state_vector();
                let text = docs[who].get_or_insert_text("t");
                {
                    let mut txn = docs[who].transact_mut();
                    let len = text.len(&txn);
                    if len > 2 && rng.random_bool(0.3) {
                        text.remove_range(&mut txn, rng.random_range(0..len - 1), 1);
                    } else {
                        text.insert(&mut txn, rng.random_range(0..=len), "x");
                    }
                }
                let update = docs[who].transact().encode_state_as_update_v1(&before);
                for other in (0..3).filter(|other| *other != who) {
                    inboxes[other].push(update.clone());
                }
            } else if !inboxes[who].is_empty() {
                inboxes[who].shuffle(&mut rng);
                let count = rng.random_range(1..=inboxes[who].len());
                for update in inboxes[who].drain(..count) {
                    apply(&docs[who], &update);
                }
            }
        }
        for _ in 0..2 {
            for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                let state = docs[to].transact().state_vector();
                let update = docs[from].transact().encode_state_as_update_v1(&state);
                apply(&docs[to], &update);
            }
        }
        for doc in &docs {
            assert_eq!(state(doc), state(&docs[0]), "seed {seed}");
            assert_eq!(snapshot(doc), snapshot(&docs[0]), "seed {seed}");
            assert!(!doc.transact().has_missing_updates(), "seed {seed}");
        }
    }
}
