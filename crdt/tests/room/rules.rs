//! One rule of the room at a time.

use crdt::authorship::Authorship;
use crdt::ids::{ConnId, DocId, IdRange, Part, PeerKind, Role, Timestamp};
use crdt::protocol::{self, Message, SyncMessage};
use crdt::room::{CLOSE_POLICY, Effect, Event, Limits, OpenError, Outgoing, Record, Room, Stored};
use serde_json::{Value, json};
use yrs::{Doc, ReadTxn, StateVector, Text, Transact, WriteTxn};

use crate::harness::identity;

const NOW: Timestamp = Timestamp(5_000);
const ALICE: ConnId = ConnId(1);
const BOB: ConnId = ConnId(2);

pub(crate) struct Desk {
    pub(crate) room: Room,
    pub(crate) now: Timestamp,
    chance: u128,
}

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::open(&Stored::default(), limits)
    }

    pub(crate) fn open(stored: &Stored, limits: Limits) -> Self {
        let room = Room::open(DocId::parse("plan").unwrap(), stored, 9, limits).unwrap();
        Self {
            room,
            now: NOW,
            chance: 0,
        }
    }

    pub(crate) fn open_as(stored: &Stored, client_id: u32) -> Self {
        let room = Room::open(
            DocId::parse("plan").unwrap(),
            stored,
            client_id,
            Limits::default(),
        )
        .unwrap();
        Self {
            room,
            now: NOW,
            chance: 1000,
        }
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<Effect> {
        let chance = &mut self.chance;
        self.room.handle(
            self.now,
            &mut || {
                *chance += 1;
                *chance
            },
            event,
        )
    }

    pub(crate) fn join(&mut self, conn: ConnId, part: Part, role: Role) -> Vec<Effect> {
        self.join_as(conn, part, role, PeerKind::Human)
    }

    fn join_as(&mut self, conn: ConnId, part: Part, role: Role, kind: PeerKind) -> Vec<Effect> {
        let identity = identity(&format!("peer {conn}"), kind);
        let mut effects = self.event(Event::Join {
            conn,
            part,
            identity,
            role,
        });
        effects.extend(self.say(conn, part, protocol::step_1(&StateVector::default())));
        effects
    }

    pub(crate) fn say(&mut self, conn: ConnId, part: Part, bytes: Vec<u8>) -> Vec<Effect> {
        self.event(Event::Message { conn, part, bytes })
    }

    pub(crate) fn tell(&mut self, conn: ConnId, payload: &Value) -> Vec<Effect> {
        self.event(Event::Stateless {
            conn,
            part: Part::Body,
            payload: payload.to_string(),
        })
    }

    pub(crate) fn commit(&mut self, effects: &[Effect]) -> Vec<Effect> {
        let seq = records(effects).iter().map(|record| record.seq).max().unwrap();
        self.event(Event::Committed { seq })
    }
}

pub(crate) fn records(effects: &[Effect]) -> Vec<Record> {
    effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Append(record) = effect {
                Some(record.clone())
            } else {
                None
            }
        })
        .collect()
}

fn acks(effects: &[Effect], conn: ConnId) -> Vec<bool> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                to,
                message: Outgoing::SyncStatus(saved),
                ..
            } if *to == conn => Some(*saved),
            _ => None,
        })
        .collect()
}

pub(crate) fn texts(effects: &[Effect], conn: ConnId) -> Vec<Value> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                to,
                message: Outgoing::Stateless(text),
                ..
            } if *to == conn => Some(serde_json::from_str(text).unwrap()),
            Effect::Broadcast {
                part: Part::Body,
                message: Outgoing::Stateless(text),
                ..
            } => Some(serde_json::from_str(text).unwrap()),
            _ => None,
        })
        .collect()
}

fn messages(effects: &[Effect], conn: ConnId) -> Vec<Message> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                to,
                message: Outgoing::Y(bytes),
                ..
            } if *to == conn => Some(protocol::decode(bytes).unwrap()),
            _ => None,
        })
        .collect()
}

fn asks(effects: &[Effect], conn: ConnId) -> usize {
    let steps = messages(effects, conn);
    steps
        .iter()
        .filter(|message| matches!(message, Message::Sync(SyncMessage::SyncStep1(_))))
        .count()
}

fn write(doc: &Doc, text: &str) -> Vec<u8> {
    let before = doc.transact().state_vector();
    {
        let mut txn = doc.transact_mut();
        let line = txn.get_or_insert_text("t");
        line.push(&mut txn, text);
    }
    doc.transact().encode_diff_v1(&before)
}

fn whole(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

#[test]
fn a_room_can_live_in_a_task() {
    fn is_send<T: Send>() {}
    is_send::<Room>();
    is_send::<crdt::Replica>();
}

#[test]
fn joining_tells_who_one_is_and_asks_once() {
    let mut desk = Desk::new(Limits::default());
    let effects = desk.join(ALICE, Part::Body, Role::Editor);
    let welcome = json!({ "type": "welcome", "role": "editor", "peer": "peer #1" });
    assert_eq!(texts(&effects, ALICE), [welcome]);
    // Both questions of the handshake, the client's and the room's, are asked once and answered once.
    let [
        Message::Sync(SyncMessage::SyncStep1(_)),
        Message::Sync(SyncMessage::SyncStep2(_)),
    ] = &messages(&effects, ALICE)[..]
    else {
        panic!("{effects:?}")
    };
    // A later one (forced sync) is answered with a question, so that its answer is acknowledged.
    let again = desk.say(ALICE, Part::Body, protocol::step_1(&StateVector::default()));
    assert_eq!((messages(&again, ALICE).len(), asks(&again, ALICE)), (2, 1));
    assert!(texts(&desk.join(ALICE, Part::Margin, Role::Editor), ALICE).is_empty());
    let open: Vec<_> = desk
        .room
        .connections()
        .map(|(conn, _, role, parts)| (conn, role, parts))
        .collect();
    assert_eq!(open, [(ALICE, Role::Editor, [true, true])]);
}

#[test]
fn two_rooms_do_not_ask_each_other_for_ever() {
    let mut desks = [Desk::new(Limits::default()), Desk::new(Limits::default())];
    let mut under_way: Vec<(usize, Vec<u8>)> = Vec::new();
    let join = Event::Join {
        conn: ALICE,
        part: Part::Body,
        identity: identity("other", PeerKind::Relay),
        role: Role::Editor,
    };
    for (from, desk) in desks.iter_mut().enumerate() {
        under_way.extend(outgoing(&desk.event(join.clone())).map(|bytes| (1 - from, bytes)));
    }
    for _ in 0..20 {
        for (to, bytes) in std::mem::take(&mut under_way) {
            let effects = desks[to].say(ALICE, Part::Body, bytes);
            under_way.extend(outgoing(&effects).map(|bytes| (1 - to, bytes)));
        }
    }
    assert_eq!(under_way, []);
}

fn outgoing(effects: &[Effect]) -> impl Iterator<Item = Vec<u8>> {
    let bytes: Vec<Vec<u8>> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                message: Outgoing::Y(bytes),
                ..
            } => Some(bytes.clone()),
            _ => None,
        })
        .collect();
    bytes.into_iter()
}

#[test]
fn a_write_reaches_the_others_at_once_and_is_acknowledged_when_it_is_saved() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.join(BOB, Part::Body, Role::Viewer);
    let update = write(&crdt::doc::open(50), "Grüße");
    let effects = desk.say(ALICE, Part::Body, protocol::update(&update));
    let [
        Effect::Broadcast {
            part: Part::Body,
            except: Some(ALICE),
            message: Outgoing::Y(told),
        },
        Effect::Append(record),
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*told, protocol::update(&update));
    assert_eq!(
        (record.seq, record.body.as_ref(), record.margin.as_ref()),
        (1, Some(&update), None)
    );
    assert_eq!((record.author.id.as_str(), record.at), ("peer #1", NOW));
    assert_eq!(
        record.ranges,
        [IdRange {
            client: 50,
            clock: 0,
            len: 5
        }]
    );
    // The same again is nothing new, but must not be acknowledged earlier than the first.
    assert_eq!(desk.say(ALICE, Part::Body, protocol::update(&update)), []);
    assert_eq!(
        acks(&desk.event(Event::Committed { seq: 1 }), ALICE),
        [true, true]
    );
    assert!(desk.room.is_saved());
    let mut authors = Authorship::default();
    authors.record(&record.author, &record.ranges);
    assert_eq!(
        authors.author(50, 4).map(|author| author.name.as_str()),
        Some("peer #1")
    );
    assert_eq!(authors.author(50, 5), None);
}

#[test]
fn what_a_role_does_not_allow_is_refused_in_words_and_the_connection_stays() {
    let mut desk = Desk::new(Limits::default());
    desk.join(BOB, Part::Body, Role::Suggester);
    desk.join(BOB, Part::Margin, Role::Suggester);
    let doc = crdt::doc::open(51);
    // The answer to the room's question, with nothing in it: no write.
    let effects = desk.say(BOB, Part::Body, protocol::step_2(&whole(&doc)));
    assert_eq!(acks(&effects, BOB), [true]);
    let before = desk.room.state(Part::Body);
    let update = write(&doc, "mine");
    for message in [protocol::update(&update), protocol::step_2(&update)] {
        let effects = desk.say(BOB, Part::Body, message);
        let [
            Effect::Send {
                message: Outgoing::SyncStatus(false),
                ..
            },
            Effect::Send {
                message: Outgoing::Denied(words),
                ..
            },
        ] = &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert!(words.contains("permission denied"), "{words}");
    }
    assert_eq!(desk.room.state(Part::Body), before);
    let in_margin = desk.say(BOB, Part::Margin, protocol::update(&update));
    assert_eq!(
        records(&in_margin)[0].margin_ranges,
        [IdRange {
            client: 51,
            clock: 0,
            len: 4
        }]
    );
    // With more rights it is asked for what was refused.
    let promoted = desk.event(Event::SetRole {
        conn: BOB,
        role: Role::Editor,
    });
    assert_eq!(texts(&promoted, BOB)[0]["role"], "editor");
    assert_eq!(asks(&promoted, BOB), 1);
    assert_eq!(
        records(&desk.say(BOB, Part::Body, protocol::step_2(&whole(&doc)))).len(),
        1
    );
}

#[test]
fn deleting_needs_the_right_as_well() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.join(BOB, Part::Body, Role::Viewer);
    let doc = crdt::doc::open(50);
    desk.say(ALICE, Part::Body, protocol::update(&write(&doc, "Grüße")));
    let delete = {
        let line = doc.get_or_insert_text("t");
        let mut txn = doc.transact_mut();
        line.remove_range(&mut txn, 1, 2);
        txn.encode_update_v1()
    };
    assert_eq!(
        acks(&desk.say(BOB, Part::Body, protocol::update(&delete)), BOB),
        [false]
    );
    assert!(desk.room.state(Part::Body).delete_set.is_empty());
    assert_eq!(
        records(&desk.say(ALICE, Part::Body, protocol::update(&delete))).len(),
        1
    );
    // Now that it is deleted, saying so is no write.
    assert_eq!(desk.say(BOB, Part::Body, protocol::step_2(&whole(&doc))), []);
    assert_eq!(acks(&desk.event(Event::Committed { seq: 2 }), BOB), [true]);
}

#[test]
fn a_hole_is_asked_about_once_and_every_update_is_acknowledged_in_the_end() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.join(BOB, Part::Body, Role::Viewer);
    let doc = crdt::doc::open(50);
    let handshake = desk.say(ALICE, Part::Body, protocol::step_2(&whole(&doc)));
    assert_eq!(acks(&handshake, ALICE), [true]);
    let [_lost, second, third] = ["one", "two", "three"].map(|text| write(&doc, text));
    let effects = desk.say(ALICE, Part::Body, protocol::update(&second));
    assert_eq!(
        (asks(&effects, ALICE), effects.len()),
        (1, 1),
        "it is neither kept nor told: {effects:?}"
    );
    assert_eq!(desk.say(ALICE, Part::Body, protocol::update(&third)), []);
    assert_eq!(desk.room.state(Part::Body).state_map, StateVector::default());
    let effects = desk.say(ALICE, Part::Body, protocol::step_2(&whole(&doc)));
    assert_eq!(records(&effects).len(), 1);
    // The two updates, which the client counts; not the answer, which it does not.
    assert_eq!(acks(&desk.commit(&effects), ALICE), [true, true]);
    assert_eq!(desk.room.state(Part::Body), doc.transact().snapshot());
}

#[test]
fn a_copy_that_keeps_having_gaps_is_closed() {
    let mut desk = Desk::new(Limits {
        max_holes: 2,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    let kept = crdt::doc::open(60);
    write(&doc, "lost");
    let gap = write(&doc, "gap");
    let closed = (0..3).find_map(|turn| {
        // One part whole, one with a gap: the whole part counts.
        let part = write(&kept, "x");
        let both = yrs::merge_updates_v1([&part[..], &gap[..]]).unwrap();
        let effects = desk.say(ALICE, Part::Body, protocol::step_2(&both));
        if turn < 2 {
            assert_eq!(
                records(&effects)[0].ranges,
                [IdRange {
                    client: 60,
                    clock: turn,
                    len: 1
                }]
            );
            assert!(!desk.room.document(Part::Body).transact().has_missing_updates());
        }
        effects
            .into_iter()
            .find(|effect| matches!(effect, Effect::Close { .. }))
    });
    let Some(Effect::Close {
        conn: ALICE,
        code: CLOSE_POLICY,
        ..
    }) = closed
    else {
        panic!("{closed:?}")
    };
}

#[test]
fn a_store_that_fails_is_told_to_all_and_nothing_is_acknowledged_until_it_works() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    let first = desk.say(ALICE, Part::Body, protocol::update(&write(&doc, "a")));
    let failed = desk.event(Event::StoreFailed {
        seq: 1,
        reason: "the disk is full".to_owned(),
    });
    let words = json!({ "type": "storage", "ok": false, "message": "the disk is full" });
    assert_eq!(texts(&failed, ALICE), std::slice::from_ref(&words));
    // Whoever comes now is told as well; what is written now waits, in order.
    assert_eq!(texts(&desk.join(BOB, Part::Body, Role::Editor), BOB)[1], words);
    assert_eq!(
        records(&desk.say(ALICE, Part::Body, protocol::update(&write(&doc, "b")))),
        []
    );
    assert_eq!(
        desk.event(Event::Committed { seq: 1 }),
        [],
        "a late word about what had failed"
    );
    assert!(!desk.room.is_saved());
    let retried = records(&desk.event(Event::Tick));
    assert_eq!(
        retried.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(retried[0], records(&first)[0]);
    assert_eq!(records(&desk.event(Event::Tick)), [], "asked already");
    let saved = desk.event(Event::Committed { seq: 2 });
    assert_eq!(acks(&saved, ALICE), [true, true]);
    assert_eq!(texts(&saved, ALICE), [json!({ "type": "storage", "ok": true })]);
    assert!(desk.room.is_saved());
}

#[test]
fn what_cannot_be_saved_is_bounded_and_asked_for_again() {
    let mut desk = Desk::new(Limits {
        max_unsaved: 200,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    desk.say(ALICE, Part::Body, protocol::step_2(&whole(&doc)));
    desk.say(
        ALICE,
        Part::Body,
        protocol::update(&write(&doc, &"a".repeat(150))),
    );
    desk.event(Event::StoreFailed {
        seq: 1,
        reason: "the disk is full".to_owned(),
    });
    let refused = write(&doc, &"b".repeat(150));
    let effects = desk.say(ALICE, Part::Body, protocol::update(&refused));
    assert_eq!(acks(&effects, ALICE), [false]);
    assert!(
        matches!(&effects[1], Effect::Send { message: Outgoing::Denied(words), .. } if words.contains("disk is full"))
    );
    desk.event(Event::Tick);
    let saved = desk.event(Event::Committed { seq: 1 });
    assert_eq!(asks(&saved, ALICE), 1);
    desk.say(ALICE, Part::Body, protocol::step_2(&refused));
    assert_eq!(desk.room.state(Part::Body), doc.transact().snapshot());
}

#[test]
fn a_full_document_says_so() {
    let mut desk = Desk::new(Limits {
        max_part: 1_000,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    let small = desk.say(
        ALICE,
        Part::Body,
        protocol::update(&write(&doc, &"a".repeat(600))),
    );
    assert_eq!(records(&small).len(), 1);
    let large = desk.say(
        ALICE,
        Part::Body,
        protocol::update(&write(&doc, &"b".repeat(600))),
    );
    assert!(
        matches!(&large[..], [_, Effect::Send { message: Outgoing::Denied(words), .. }] if words.contains("full"))
    );
}

#[test]
fn a_room_opens_again_from_its_records_and_names_what_is_damaged() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.join(ALICE, Part::Margin, Role::Editor);
    let doc = crdt::doc::open(50);
    let mut tail = Vec::new();
    for text in ["one ", "two ", "three "] {
        tail.extend(records(&desk.say(
            ALICE,
            Part::Body,
            protocol::update(&write(&doc, text)),
        )));
    }
    tail.extend(records(&desk.say(
        ALICE,
        Part::Margin,
        protocol::update(&write(&crdt::doc::open(51), "m")),
    )));
    let stored = Stored {
        tail,
        next_seq: 5,
        ..Stored::default()
    };
    let again = Desk::open(&stored, Limits::default());
    assert_eq!(again.room.state(Part::Body), desk.room.state(Part::Body));
    assert_eq!(again.room.state(Part::Margin), desk.room.state(Part::Margin));

    // A snapshot may hold more than it says; what it holds twice does no harm.
    desk.event(Event::Committed { seq: 2 });
    let snapshot = desk.room.snapshot();
    assert_eq!(snapshot.seq, 2);
    let compacted = Stored {
        snapshot_body: Some(snapshot.body),
        snapshot_margin: Some(snapshot.margin),
        tail: stored.tail[2..].to_vec(),
        next_seq: 5,
    };
    assert_eq!(
        Desk::open(&compacted, Limits::default()).room.state(Part::Body),
        desk.room.state(Part::Body)
    );

    let open = |stored: &Stored| {
        Room::open(DocId::parse("plan").unwrap(), stored, 9, Limits::default()).unwrap_err()
    };
    let mut damaged = stored.clone();
    damaged.tail[1].body.as_mut().unwrap().truncate(3);
    assert!(matches!(
        open(&damaged),
        OpenError::Record {
            seq: 2,
            part: Part::Body,
            ..
        }
    ));
    assert!(
        open(&damaged).to_string().contains("record 2"),
        "{}",
        open(&damaged)
    );
    let mut missing = stored.clone();
    missing.tail.remove(1);
    assert!(matches!(
        open(&missing),
        OpenError::Missing {
            expected: 2,
            found: 3,
            ..
        }
    ));
    let mut cut = stored.clone();
    cut.tail.pop();
    assert!(matches!(
        open(&cut),
        OpenError::Missing {
            expected: 4,
            found: 5,
            ..
        }
    ));
    let headless = Stored {
        tail: stored.tail[1..].to_vec(),
        next_seq: 5,
        ..Stored::default()
    };
    assert!(matches!(
        open(&headless),
        OpenError::Incomplete { part: Part::Body, .. }
    ));
    let snapshot = Stored {
        snapshot_margin: Some(vec![1, 2, 3]),
        ..Stored::default()
    };
    assert!(matches!(
        open(&snapshot),
        OpenError::Snapshot {
            part: Part::Margin,
            ..
        }
    ));
}

/// After a reconnection the others must believe the state of somebody whom they saw leave.
#[test]
fn somebody_who_comes_back_is_seen_at_once() {
    let mut desk = Desk::new(Limits::default());
    let mut bob = crdt::Replica::new(60);
    desk.join(BOB, Part::Body, Role::Viewer);
    let says = crdt::awareness::encode(&[crdt::awareness::Entry {
        client: 50,
        clock: 3,
        state: Some("{}".to_owned()),
    }]);
    let mut seen = Vec::new();
    for conn in [ConnId(3), ConnId(4)] {
        desk.join(conn, Part::Body, Role::Editor);
        for effects in [
            desk.say(conn, Part::Body, says.clone()),
            desk.event(Event::Leave {
                conn,
                part: Part::Body,
            }),
        ] {
            for effect in effects {
                if let Effect::Broadcast {
                    message: Outgoing::Y(bytes),
                    ..
                } = effect
                {
                    bob.receive(NOW, &bytes).unwrap();
                    seen.push(bob.awareness().others().count());
                }
            }
        }
    }
    assert_eq!(seen, [1, 0, 1, 0]);
}

/// Stock clients forget whoever is not renewed for 30 s, so renewals are passed on: together, once per tick.
#[test]
fn renewals_travel_together() {
    let mut desk = Desk::new(Limits::default());
    let says = |client, clock| {
        crdt::awareness::encode(&[crdt::awareness::Entry {
            client,
            clock,
            state: Some("{}".to_owned()),
        }])
    };
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        desk.join(conn, Part::Body, Role::Editor);
        desk.say(conn, Part::Body, says(client, 1));
    }
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        assert_eq!(desk.say(conn, Part::Body, says(client, 2)), []);
    }
    let effects = desk.event(Event::Tick);
    // Nobody is told about themselves: a newer state of theirs may be under way.
    for (conn, other) in [(ALICE, 51), (BOB, 50)] {
        let [Message::Awareness(update)] = &messages(&effects, conn)[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(
            update
                .clients
                .keys()
                .map(|client| client.get())
                .collect::<Vec<_>>(),
            [other]
        );
    }
    assert_eq!(desk.event(Event::Tick), []);
    // Without renewals they are gone, although their connections are not.
    desk.now = desk.now.plus_ms(60_000);
    let effects = desk.event(Event::Tick);
    assert!(
        matches!(&effects[..], [Effect::Broadcast { except: None, .. }]),
        "{effects:?}"
    );
}
