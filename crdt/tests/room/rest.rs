//! A room at rest answers with bytes, and nobody can tell it from one that is awake.

use crate::desk::{ALICE, BOB, Desk, acks, asks, messages, records, whole, write};
use crdt::ids::{ConnId, DocId, Part, PeerKind, Role};
use crdt::protocol::{self, Message, SyncMessage};
use crdt::room::{Event, Limits, Room, Stored};
use yrs::{ReadTxn, StateVector, Transact};

/// A document in a store, and the same document.
fn stored() -> (Stored, yrs::Doc) {
    let doc = crdt::doc::open(50);
    write(&doc, "It was a dark and stormy night.");
    let stored = Stored {
        snapshot_body: Some(whole(&doc)),
        next_seq: 1,
        ..Stored::default()
    };
    (stored, doc)
}

fn at_rest(stored: Stored) -> Desk {
    let room = Room::open_at_rest(DocId::parse("plan").unwrap(), stored, 9, Limits::default()).unwrap();
    Desk::with(room)
}

fn enter(conn: ConnId, role: Role) -> Event {
    Desk::join_event(conn, Part::Body, role, PeerKind::Human)
}

#[test]
fn whoever_has_nothing_is_answered_without_decoding() {
    let (stored, doc) = stored();
    let mut desk = at_rest(stored);
    let joined = desk.event(enter(ALICE, Role::Editor));
    assert_eq!(asks(&joined, ALICE), 0, "it does not know what it has");
    let question = Event::Message {
        conn: ALICE,
        part: Part::Body,
        bytes: protocol::step_1(&StateVector::default()),
    };
    assert!(!desk.room.must_wake_for(&question));
    let answer = desk.event(question);
    assert!(!desk.room.is_awake());
    // What they have is asked before they get the document: afterwards they would send all of it back.
    let [
        Message::Sync(SyncMessage::SyncStep1(state)),
        Message::Sync(SyncMessage::SyncStep2(update)),
    ] = &messages(&answer, ALICE)[..]
    else {
        panic!("{answer:?}")
    };
    assert!(state.is_empty());
    assert_eq!(*update, whole(&doc));
    // A Hocuspocus client counts its handshake as one change.
    let reply = desk.say(ALICE, Part::Body, protocol::step_2(&[0, 0]));
    assert_eq!(acks(&reply, ALICE), [true]);
    assert!(!desk.room.is_awake());
}

#[test]
fn a_write_wakes_it_and_rest_changes_nothing() {
    let (stored, doc) = stored();
    let mut desk = at_rest(stored);
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.join(BOB, Part::Body, Role::Viewer);
    for round in 0..3 {
        desk.say(BOB, Part::Body, protocol::step_1(&StateVector::default()));
        let update = write(&doc, &format!("{round}"));
        let bytes = protocol::update(&update);
        let event = Event::Message {
            conn: ALICE,
            part: Part::Body,
            bytes,
        };
        assert!(desk.room.must_wake_for(&event));
        desk.room.wake().unwrap();
        let effects = desk.event(event);
        assert_eq!(records(&effects).len(), 1);
        assert_eq!(acks(&desk.commit(&effects), ALICE), [true]);
        let before = desk.room.state(Part::Body);
        assert_eq!(before, doc.transact().snapshot());
        desk.room.rest();
        assert!(!desk.room.is_awake());
        assert_eq!(desk.room.snapshot().body.len(), whole(&doc).len());
        assert_eq!(desk.room.state(Part::Body), before);
        desk.room.rest();
    }
}

#[test]
fn somebody_who_brings_something_is_asked_for_it() {
    let (stored, doc) = stored();
    let copy = crdt::doc::open(51);
    let update = yrs::updates::decoder::Decode::decode_v1(&whole(&doc)).unwrap();
    copy.transact_mut().apply_update(update).unwrap();
    write(&copy, "Offline.");
    let mut desk = at_rest(stored);
    desk.event(enter(ALICE, Role::Editor));
    let state = copy.transact().state_vector();
    let question = Event::Message {
        conn: ALICE,
        part: Part::Body,
        bytes: protocol::step_1(&state),
    };
    assert!(desk.room.must_wake_for(&question));
    desk.room.wake().unwrap();
    let answer = desk.event(question);
    assert_eq!(asks(&answer, ALICE), 1);
    let theirs = copy.transact().encode_diff_v1(&doc.transact().state_vector());
    desk.say(ALICE, Part::Body, protocol::step_2(&theirs));
    assert_eq!(desk.room.state(Part::Body), copy.transact().snapshot());
}

/// Two rooms that are linked wait for each other's question.
#[test]
fn another_room_is_asked_even_so() {
    let (stored, _) = stored();
    let mut desk = at_rest(stored);
    let join = Desk::join_event(ALICE, Part::Body, Role::Owner, PeerKind::Relay);
    assert!(desk.room.must_wake_for(&join));
    assert_eq!(asks(&desk.event(join), ALICE), 1);
}

#[test]
fn damage_is_named_when_it_is_decoded() {
    let (mut stored, _) = stored();
    stored.snapshot_body = Some(vec![1, 2, 3]);
    let mut room = Room::open_at_rest(DocId::parse("plan").unwrap(), stored, 9, Limits::default()).unwrap();
    let error = room.wake().unwrap_err().to_string();
    assert!(error.contains("snapshot of its Body is damaged"), "{error}");
}
