//! Bytes that no correct client sends: the body of a suggester's document never changes, and nobody else is disturbed.
//!
//! `SEED=…` runs another seed; `FRAMES=…` chooses how many frames.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how to repeat it"
)]

#[path = "../room/harness.rs"]
#[expect(dead_code, reason = "the simulation uses the rest")]
mod harness;
mod readers;
mod scene;

use crdt::awareness::{self, Entry};
use crdt::ids::{DocId, Part, PeerKind, Role};
use crdt::protocol;
use crdt::protocol::update::MAX_ELEMENT_DEPTH;
use crdt::room::{CLOSE_PROTOCOL, CLOSE_TOO_BIG, Effect, Event, Limits, Outgoing, Room, Stored};
use harness::{OnPanic, identity, text};
use scene::{HOSTILE, NOW, Scene, WRITER};
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, ReadTxn, StateVector, Text, Transact, Update, WriteTxn, XmlElementPrelim, XmlFragment};

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::vars()
        .find(|(known, _)| known == name)
        .map_or(otherwise, |(_, value)| value.parse().unwrap())
}

#[test]
fn whoever_may_write_can_write_nonsense_and_nobody_else_is_disturbed() {
    let seed = setting("SEED", 2);
    let _print = OnPanic(seed, "hostile");
    silence_yrs();
    let mut scene = Scene::new(seed, Role::Editor, PeerKind::Human);
    let mut closed = 0;
    for number in 0..setting("FRAMES", 100_000) / 10 {
        let part = if number % 2 == 0 { Part::Body } else { Part::Margin };
        let bytes = scene.hostile_bytes();
        if scene.attack(part, bytes) {
            closed += 1;
            scene.join(HOSTILE, part);
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
    let mut scene = Scene::new(3, Role::Editor, PeerKind::Human);
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
    let mut scene = Scene::new(4, Role::Editor, PeerKind::Human);
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
    let mut scene = Scene::new(5, Role::Suggester, PeerKind::Human);
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
    let mut scene = Scene::new(6, Role::Suggester, PeerKind::Human);
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
