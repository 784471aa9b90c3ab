//! Bytes that no correct client sends: the body of a suggester's document never changes, and nobody else is disturbed.
//!
//! `SEED=…` runs another seed; `FRAMES=…` chooses how many frames.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how to repeat it"
)]

#[path = "room/harness.rs"]
#[expect(dead_code, reason = "the simulation uses the rest")]
mod harness;

use crdt::awareness::{self, Entry};
use crdt::ids::{ConnId, DocId, Part, PeerKind, Role, Timestamp};
use crdt::protocol;
use crdt::protocol::update::MAX_ELEMENT_DEPTH;
use crdt::room::{CLOSE_PROTOCOL, CLOSE_TOO_BIG, Effect, Event, Limits, Outgoing, Room, Stored};
use harness::{OnPanic, edit_body, identity, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, ReadTxn, StateVector, Text, Transact, Update, WriteTxn, XmlElementPrelim, XmlFragment};

const NOW: Timestamp = Timestamp(1_000_000);
const WRITER: ConnId = ConnId(1);
const HOSTILE: ConnId = ConnId(2);

struct Scene {
    room: Room,
    rng: StdRng,
    /// Updates that somebody really made: the best bytes to damage.
    real: Vec<Vec<u8>>,
    writer: Doc,
    saved: u64,
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::vars()
        .find(|(known, _)| known == name)
        .map_or(otherwise, |(_, value)| value.parse().unwrap())
}

impl Scene {
    fn new(seed: u64, role: Role) -> Self {
        let room = Room::open(
            DocId::parse("plan").unwrap(),
            &Stored::default(),
            9,
            Limits::default(),
        )
        .unwrap();
        let mut scene = Self {
            room,
            rng: StdRng::seed_from_u64(seed),
            real: Vec::new(),
            writer: crdt::doc::open(50),
            saved: 0,
        };
        for part in [Part::Body, Part::Margin] {
            scene.join(WRITER, part, Role::Editor);
            scene.join(HOSTILE, part, role);
        }
        for _ in 0..60 {
            scene.write();
        }
        scene
    }

    fn join(&mut self, conn: ConnId, part: Part, role: Role) {
        let identity = identity(&conn.to_string(), PeerKind::Human);
        self.event(Event::Join {
            conn,
            part,
            identity,
            role,
        });
        self.event(Event::Message {
            conn,
            part,
            bytes: protocol::step_1(&StateVector::default()),
        });
    }

    fn event(&mut self, event: Event) -> Vec<Effect> {
        let rng = &mut self.rng;
        let effects = self.room.handle(NOW, &mut || rng.random(), event);
        // The disk is quick and sure.
        let last = effects
            .iter()
            .filter_map(|effect| {
                if let Effect::Append(record) = effect {
                    Some(record.seq)
                } else {
                    None
                }
            })
            .max();
        if let Some(seq) = last {
            self.saved = seq;
            self.room.handle(NOW, &mut || 0, Event::Committed { seq });
        }
        effects
    }

    /// An honest edit of the body and of the margin; both must get through.
    fn write(&mut self) {
        let before = self.writer.transact().state_vector();
        edit_body(&self.writer, &mut self.rng);
        let update = self.writer.transact().encode_diff_v1(&before);
        self.event(Event::Message {
            conn: WRITER,
            part: Part::Body,
            bytes: protocol::update(&update),
        });
        self.real.push(update);
        assert_eq!(
            self.room.state(Part::Body),
            self.writer.transact().snapshot(),
            "an honest edit was lost"
        );
    }

    /// Sends hostile bytes; returns whether the connection was closed, which must be told to nobody else.
    fn attack(&mut self, part: Part, bytes: Vec<u8>) -> bool {
        let effects = self.event(Event::Message {
            conn: HOSTILE,
            part,
            bytes,
        });
        let mut closed = false;
        for effect in &effects {
            if let Effect::Close {
                conn,
                part: closed_part,
                code,
                reason,
            } = effect
            {
                assert_eq!((*conn, *closed_part), (HOSTILE, part));
                assert!(*code >= 1000 && !reason.is_empty());
                closed = true;
            }
        }
        closed
    }

    /// Bytes that are nearly right, or not at all.
    fn hostile_bytes(&mut self) -> Vec<u8> {
        let mut bytes = match self.rng.random_range(0..10) {
            0 => (0..self.rng.random_range(0..80))
                .map(|_| self.rng.random())
                .collect(),
            1 => self.a_real_write(),
            2 => {
                let state = (0..self.rng.random_range(0..4))
                    .map(|_| {
                        (
                            yrs::ClientID::new(self.rng.random_range(48..52)),
                            self.rng.random_range(0..300),
                        )
                    })
                    .collect();
                protocol::step_1(&state)
            }
            3 => {
                let client = self.rng.random_range(0..5);
                let state = *["{}", "null", "{", "[1]", "\u{0}"].choose(&mut self.rng).unwrap();
                awareness::encode(&[Entry {
                    client,
                    clock: self.rng.random(),
                    state: Some(state.to_owned()),
                }])
            }
            4 => {
                // What has been written already, as a write: it must pass without an effect.
                protocol::update(self.real.choose(&mut self.rng).unwrap())
            }
            5 => {
                // Two halves that do not belong together.
                let first = self.real.choose(&mut self.rng).unwrap();
                let second = self.real.choose(&mut self.rng).unwrap();
                let at = self.rng.random_range(0..first.len());
                let from = self.rng.random_range(0..second.len());
                protocol::step_2(&[&first[..at], &second[from..]].concat())
            }
            _ => protocol::update(self.real.choose(&mut self.rng).unwrap()),
        };
        if self.rng.random_bool(0.8) {
            for _ in 0..self.rng.random_range(1..4) {
                self.damage(&mut bytes);
            }
        }
        bytes
    }

    /// A correct update by a client of its own.
    fn a_real_write(&mut self) -> Vec<u8> {
        let doc = crdt::doc::open(self.rng.random_range(60..64));
        if self.rng.random_bool(0.5) {
            let update = self
                .writer
                .transact()
                .encode_state_as_update_v1(&StateVector::default());
            doc.transact_mut()
                .apply_update(Update::decode_v1(&update).unwrap())
                .unwrap();
        }
        let before = doc.transact().state_vector();
        edit_body(&doc, &mut self.rng);
        let update = doc.transact().encode_diff_v1(&before);
        if self.rng.random_bool(0.5) {
            protocol::update(&update)
        } else {
            protocol::step_2(&update)
        }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..bytes.len());
        match self.rng.random_range(0..5) {
            0 => bytes[at] = self.rng.random(),
            1 => bytes[at] ^= 1 << self.rng.random_range(0..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, self.rng.random()),
            _ => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(&mut self.rng).unwrap(),
        }
    }
}

#[test]
fn a_suggester_changes_nothing_in_the_body_whatever_it_sends() {
    let seed = setting("SEED", 1);
    let _print = OnPanic(seed, "hostile");
    let mut scene = Scene::new(seed, Role::Suggester);
    let before = scene.room.state(Part::Body);
    let (mut closed, mut refused) = (0, 0);
    for _ in 0..setting("FRAMES", 100_000) {
        let bytes = scene.hostile_bytes();
        let effects = scene.event(Event::Message {
            conn: HOSTILE,
            part: Part::Body,
            bytes,
        });
        for effect in effects {
            match effect {
                Effect::Close { conn, .. } => {
                    assert_eq!(conn, HOSTILE);
                    closed += 1;
                    scene.join(HOSTILE, Part::Body, Role::Suggester);
                }
                Effect::Append(record) => panic!("it wrote: {record:?}"),
                Effect::Broadcast {
                    message: Outgoing::Y(message),
                    ..
                } => {
                    assert_eq!(message[0], protocol::AWARENESS, "it told the others {message:?}");
                }
                Effect::Send {
                    to,
                    message: Outgoing::SyncStatus(false),
                    ..
                } if to == HOSTILE => refused += 1,
                Effect::Broadcast { .. } | Effect::Send { .. } => {}
            }
        }
        assert_eq!(scene.room.state(Part::Body), before);
    }
    assert!(
        closed > 1_000 && refused > 1_000,
        "{closed} closed, {refused} refused: the frames miss their aim"
    );
    scene.write();
}

#[test]
fn whoever_may_write_can_write_nonsense_and_nobody_else_is_disturbed() {
    let seed = setting("SEED", 2);
    let _print = OnPanic(seed, "hostile");
    silence_yrs();
    let mut scene = Scene::new(seed, Role::Editor);
    let mut closed = 0;
    for number in 0..setting("FRAMES", 100_000) / 10 {
        let part = if number % 2 == 0 { Part::Body } else { Part::Margin };
        let bytes = scene.hostile_bytes();
        if scene.attack(part, bytes) {
            closed += 1;
            scene.join(HOSTILE, part, Role::Editor);
        }
        if number % 100 == 0 {
            // An honest client that starts now can read it all, and write.
            let _ = (scene.room.body_markdown(), scene.room.title());
            let outline = crdt::anchor::Outline::read(&scene.room.document(Part::Body).transact());
            let _ = (
                outline.text(),
                crdt::margin::problems(&scene.room.document(Part::Margin).transact()),
            );
            let honest = crdt::doc::open(1_000 + number);
            for part in [Part::Body, Part::Margin] {
                assert!(!scene.room.document(part).transact().has_missing_updates());
            }
            let snapshot = scene.room.snapshot();
            honest
                .transact_mut()
                .apply_update(Update::decode_v1(&snapshot.body).unwrap())
                .unwrap();
            assert_eq!(honest.transact().snapshot(), scene.room.state(Part::Body));
            assert_eq!(
                text(&honest.transact(), Part::Body),
                text(&scene.room.document(Part::Body).transact(), Part::Body)
            );
            let stored = Stored {
                snapshot_body: Some(snapshot.body),
                snapshot_margin: Some(snapshot.margin),
                tail: Vec::new(),
                next_seq: snapshot.seq + 1,
            };
            let again = Room::open(DocId::parse("plan").unwrap(), &stored, 10, Limits::default()).unwrap();
            assert_eq!(again.state(Part::Body), scene.room.state(Part::Body));
            assert_eq!(again.state(Part::Margin), scene.room.state(Part::Margin));
        }
    }
    assert!(closed > 100, "{closed} closed: the frames miss their aim");
}

/// The room catches what yrs panics about; it would only fill the log.
fn silence_yrs() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info
            .location()
            .is_some_and(|location| location.file().contains("yrs-"))
        {
            usual(info);
        }
    }));
}

fn update_of(doc: &Doc, change: impl FnOnce(&Doc)) -> Vec<u8> {
    let before = doc.transact().state_vector();
    change(doc);
    doc.transact().encode_diff_v1(&before)
}

#[test]
fn elements_cannot_be_nested_until_the_stack_runs_out() {
    let mut scene = Scene::new(3, Role::Editor);
    let doc = crdt::doc::open(70);
    // Ten levels at a time, each update correct in itself.
    let mut inner = None;
    let mut levels = 0;
    let closed = (0..100).any(|_| {
        let update = update_of(&doc, |doc| {
            let mut txn = doc.transact_mut();
            for _ in 0..10 {
                inner = Some(match inner.take() {
                    None => txn
                        .get_or_insert_xml_fragment("default")
                        .push_back(&mut txn, XmlElementPrelim::empty("blockquote")),
                    Some(outer) => {
                        XmlFragment::push_back(&outer, &mut txn, XmlElementPrelim::empty("blockquote"))
                    }
                });
            }
        });
        levels += 10;
        scene.attack(Part::Body, protocol::update(&update))
    });
    assert!(
        closed && levels > MAX_ELEMENT_DEPTH && levels <= MAX_ELEMENT_DEPTH + 20,
        "{levels} levels"
    );

    // All at once, from the inside out, in maps.
    let doc = crdt::doc::open(71);
    let update = update_of(&doc, |doc| {
        let mut txn = doc.transact_mut();
        let mut map = txn.get_or_insert_map("proposals");
        for _ in 0..5_000 {
            map = map.insert(&mut txn, "x", yrs::MapPrelim::default());
        }
    });
    assert!(scene.attack(Part::Margin, protocol::update(&update)));
}

#[test]
fn a_message_that_is_too_large_closes_only_its_connection() {
    let mut room = Room::open(
        DocId::parse("plan").unwrap(),
        &Stored::default(),
        9,
        Limits {
            max_message: 1_000,
            ..Limits::default()
        },
    )
    .unwrap();
    for conn in [WRITER, HOSTILE] {
        room.handle(
            NOW,
            &mut || 0,
            Event::Join {
                conn,
                part: Part::Body,
                identity: identity("x", PeerKind::Human),
                role: Role::Editor,
            },
        );
    }
    let effects = room.handle(
        NOW,
        &mut || 0,
        Event::Message {
            conn: HOSTILE,
            part: Part::Body,
            bytes: vec![0; 1_001],
        },
    );
    assert!(
        matches!(
            &effects[..],
            [Effect::Close {
                conn: HOSTILE,
                code: CLOSE_TOO_BIG,
                ..
            }]
        ),
        "{effects:?}"
    );
    assert_eq!(room.connections().count(), 1);
}

/// An update that is well formed and yet cannot be: its parent is a piece of text.
#[test]
fn an_update_that_contradicts_the_document_leaves_no_trace() {
    let mut scene = Scene::new(4, Role::Editor);
    let doc = crdt::doc::open(80);
    let good = update_of(&doc, |doc| {
        let mut txn = doc.transact_mut();
        txn.get_or_insert_text("t").insert(&mut txn, 0, "ab");
    });
    assert!(!scene.attack(Part::Body, protocol::update(&good)));
    let before = scene.room.state(Part::Body);
    // Client 81: a good text in the root "u" first, then a text whose parent is the letter 80:0.
    let bad = [
        2, 1, 81, 0, 4, 1, 1, b'u', 1, b'x', 1, 79, 0, 4, 0, 80, 0, 1, b'y', 0,
    ];
    assert!(scene.attack(Part::Body, protocol::update(&bad)));
    assert_eq!(scene.room.state(Part::Body), before);
    scene.write_after_contradiction(&before);
}

impl Scene {
    fn write_after_contradiction(&mut self, before: &yrs::Snapshot) {
        let doc = crdt::doc::open(82);
        let update = update_of(&doc, |doc| {
            let mut txn = doc.transact_mut();
            txn.get_or_insert_text("t").insert(&mut txn, 0, "c");
        });
        let effects = self.event(Event::Message {
            conn: WRITER,
            part: Part::Body,
            bytes: protocol::update(&update),
        });
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Append(_))));
        assert_ne!(self.room.state(Part::Body), *before);
    }
}

#[test]
fn only_ones_own_presence_can_be_changed() {
    let mut scene = Scene::new(5, Role::Suggester);
    let says = |clock, state: &str| {
        awareness::encode(&[Entry {
            client: 50,
            clock,
            state: Some(state.to_owned()),
        }])
    };
    let told = scene.event(Event::Message {
        conn: WRITER,
        part: Part::Body,
        bytes: says(1, r#"{"cursor":1}"#),
    });
    assert!(matches!(
        &told[..],
        [Effect::Broadcast {
            except: Some(WRITER),
            ..
        }]
    ));
    for (clock, state) in [(2, "null"), (1, "null"), (7, r#"{"cursor":9}"#)] {
        assert_eq!(
            scene.event(Event::Message {
                conn: HOSTILE,
                part: Part::Body,
                bytes: says(clock, state)
            }),
            []
        );
    }
    // Nor does a state that is no JSON, or too long, or unchanged, reach anybody.
    let long = format!("\"{}\"", "x".repeat(20_000));
    for (clock, state) in [(2, "{"), (3, &long[..]), (4, r#"{"cursor":1}"#)] {
        assert_eq!(
            scene.event(Event::Message {
                conn: WRITER,
                part: Part::Body,
                bytes: says(clock, state)
            }),
            []
        );
    }
    let gone = scene.event(Event::Leave {
        conn: WRITER,
        part: Part::Body,
    });
    let [
        Effect::Broadcast {
            message: Outgoing::Y(message),
            ..
        },
    ] = &gone[..]
    else {
        panic!("{gone:?}")
    };
    let Ok(protocol::Message::Awareness(update)) = protocol::decode(message) else {
        panic!()
    };
    assert_eq!(&*update.clients[&yrs::ClientID::new(50)].json, "null");
}

#[test]
fn nonsense_is_answered_in_words() {
    let mut scene = Scene::new(6, Role::Suggester);
    let effects = scene.event(Event::Message {
        conn: HOSTILE,
        part: Part::Body,
        bytes: vec![77],
    });
    let [
        Effect::Close {
            conn: HOSTILE,
            part: Part::Body,
            code: CLOSE_PROTOCOL,
            reason,
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert!(reason.contains("unknown type 77"), "{reason}");
    // Whoever is closed is forgotten: what it sent after that counts no more.
    assert_eq!(
        scene.event(Event::Message {
            conn: HOSTILE,
            part: Part::Body,
            bytes: vec![77]
        }),
        []
    );
    // Its margin is another matter.
    let question = protocol::step_1(&StateVector::default());
    assert!(
        !scene
            .event(Event::Message {
                conn: HOSTILE,
                part: Part::Margin,
                bytes: question
            })
            .is_empty()
    );
}
