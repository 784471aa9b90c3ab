//! One rule of the room at a time: who may what, and what is asked and answered.

use crate::desk::{ALICE, BOB, Desk, NOW, acks, asks, messages, records, texts, whole, write};
use crate::harness::identity;
use crdt::authorship::Authorship;
use crdt::ids::{IdRange, Part, PeerKind, Role};
use crdt::protocol::{self, Message, SyncMessage};
use crdt::room::{CLOSE_POLICY, Effect, Event, Limits, Outgoing, Room};
use serde_json::json;
use yrs::{ReadTxn, StateVector, Text, Transact};

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
        part: Part::Body,
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
