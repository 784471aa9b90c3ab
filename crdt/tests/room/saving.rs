//! One rule of the room at a time: what is kept, and what is said when it cannot be.

use crate::desk::{ALICE, BOB, Desk, acks, asks, records, texts, whole, write};
use crdt::ids::{DocId, Part, Role};
use crdt::protocol;
use crdt::room::{Effect, Event, Limits, OpenError, Outgoing, Room, Stored};
use serde_json::json;
use yrs::{ReadTxn, Transact};

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
    // Neither saved nor lost: it is asked for again.
    assert!(acks(&effects, ALICE).is_empty());
    assert!(
        matches!(&effects[..], [Effect::Send { message: Outgoing::Denied(words), .. }] if words.contains("disk is full")),
        "{effects:?}"
    );
    desk.event(Event::Tick);
    let saved = desk.event(Event::Committed { seq: 1 });
    assert_eq!(acks(&saved, ALICE), [true]);
    assert_eq!(asks(&saved, ALICE), 1);
    let again = desk.say(ALICE, Part::Body, protocol::step_2(&refused));
    assert_eq!(desk.room.state(Part::Body), doc.transact().snapshot());
    // The client counted one change, and hears once that it is saved.
    assert_eq!(acks(&desk.commit(&again), ALICE), [true]);
}

/// A store that is only slow is no reason to lose a change, nor to keep its writer waiting for ever.
#[test]
fn what_a_slow_store_leaves_no_room_for_is_asked_for_again() {
    let mut desk = Desk::new(Limits {
        max_unsaved: 200,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    desk.say(ALICE, Part::Body, protocol::step_2(&whole(&doc)));
    let first = desk.say(
        ALICE,
        Part::Body,
        protocol::update(&write(&doc, &"a".repeat(150))),
    );
    let late = write(&doc, &"b".repeat(150));
    let effects = desk.say(ALICE, Part::Body, protocol::update(&late));
    assert_eq!(records(&effects), []);
    let saved = desk.commit(&first);
    assert_eq!((acks(&saved, ALICE), asks(&saved, ALICE)), (vec![true], 1));
    let again = desk.say(ALICE, Part::Body, protocol::step_2(&late));
    assert_eq!(acks(&desk.commit(&again), ALICE), [true]);
    assert_eq!(desk.room.state(Part::Body), doc.transact().snapshot());
}

/// However large a write is: when nothing waits for the store, it is taken.
#[test]
fn a_write_larger_than_what_may_wait_is_taken_by_an_idle_store() {
    let mut desk = Desk::new(Limits {
        max_unsaved: 200,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    desk.say(ALICE, Part::Body, protocol::step_2(&whole(&doc)));
    let large = desk.say(
        ALICE,
        Part::Body,
        protocol::update(&write(&doc, &"a".repeat(900))),
    );
    assert_eq!(acks(&desk.commit(&large), ALICE), [true]);
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
