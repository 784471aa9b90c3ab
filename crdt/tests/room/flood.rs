//! What is small to send and large to take in: bounded before it costs anything, and at its sender's expense.

use crate::desk::{ALICE, BOB, Desk, acks, asks, messages, records, texts, whole, write};
use crate::harness::identity;
use crdt::ids::{ConnId, Part, PeerKind, Role};
use crdt::protocol::update::UpdateFacts;
use crdt::protocol::{self, MAX_MESSAGES, ProtocolError};
use crdt::room::{CLOSE_POLICY, CLOSE_PROTOCOL, Effect, Event, Limits};
use serde_json::json;
use yrs::{ReadTxn, StateVector, Transact};

fn closed(effects: &[Effect]) -> Option<(ConnId, u16, &str)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Close {
            conn, code, reason, ..
        } => Some((*conn, *code, reason.as_str())),
        _ => None,
    })
}

/// An update with `count` blocks of two bytes each.
fn dense(count: u32) -> Vec<u8> {
    let mut update = vec![1];
    put(&mut update, count);
    update.extend_from_slice(&[5, 0]); // client, clock
    for _ in 0..count {
        update.extend_from_slice(&[0, 1]); // collected, one clock
    }
    update.push(0); // no deletions
    update
}

fn put(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

#[test]
fn a_frame_asks_for_the_document_once_and_holds_few_messages() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Viewer);
    let question = protocol::step_1(&StateVector::default());
    assert_eq!(
        messages(&desk.say(ALICE, Part::Body, question.clone()), ALICE).len(),
        2
    );
    let effects = desk.say(ALICE, Part::Body, question.repeat(2));
    assert!(messages(&effects, ALICE).is_empty(), "{effects:?}");
    assert_eq!(closed(&effects).map(|closed| closed.1), Some(CLOSE_PROTOCOL));

    desk.join(BOB, Part::Body, Role::Viewer);
    let query = protocol::query_awareness();
    let most = desk.say(BOB, Part::Body, query.repeat(MAX_MESSAGES));
    assert_eq!(closed(&most), None);
    let effects = desk.say(BOB, Part::Body, query.repeat(MAX_MESSAGES + 1));
    assert_eq!(effects.len(), 1, "nothing of it is done: {effects:?}");
    assert!(
        matches!(closed(&effects), Some((BOB, CLOSE_PROTOCOL, reason)) if reason.contains("too many messages"))
    );
}

#[test]
fn lists_that_no_document_has_are_not_read_in() {
    let mut clients = Vec::new();
    put(&mut clients, protocol::MAX_CLIENTS as u32 + 1);
    clients.resize(clients.len() + 2 * protocol::MAX_CLIENTS + 2, 1);
    assert!(matches!(
        protocol::decode_state_vector(&clients),
        Err(ProtocolError::TooMany(_))
    ));
    let mut states = Vec::new();
    put(&mut states, 1 << 17);
    states.resize(states.len() + (3 << 17), 0);
    assert!(matches!(
        protocol::decode_awareness(&states),
        Err(ProtocolError::TooMany(_))
    ));
}

#[test]
fn an_update_with_more_blocks_than_its_size_explains_is_refused_unread() {
    let update = dense(20_000);
    assert!(
        UpdateFacts::scan(&update).is_ok(),
        "it is well formed, and the store may hold it"
    );
    assert!(matches!(
        UpdateFacts::scan_foreign(&update),
        Err(ProtocolError::TooMany(_))
    ));
    assert!(UpdateFacts::scan_foreign(&dense(100)).is_ok());
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    let effects = desk.say(ALICE, Part::Body, protocol::update(&update));
    assert!(
        matches!(closed(&effects), Some((ALICE, CLOSE_PROTOCOL, reason)) if reason.contains("too many blocks"))
    );
}

#[test]
fn what_a_reader_sends_is_not_looked_into_beyond_the_size_of_the_document() {
    let mut desk = Desk::new(Limits {
        max_read_only_update: 1000,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.join(BOB, Part::Body, Role::Suggester);
    let doc = crdt::doc::open(50);
    write(&doc, &"known ".repeat(2000));
    desk.say(ALICE, Part::Body, protocol::step_2(&whole(&doc)));
    // Larger than the limit, but all of it is known: the answer of any client to the room's question.
    let effects = desk.say(BOB, Part::Body, protocol::step_2(&whole(&doc)));
    assert!(
        !acks(&effects, BOB).contains(&false) && closed(&effects).is_none(),
        "{effects:?}"
    );
    // Not even an update; had it been read, the connection would have been closed.
    let effects = desk.say(BOB, Part::Body, protocol::update(&vec![0xff; 20_000]));
    assert_eq!((acks(&effects, BOB), closed(&effects)), (vec![false], None));
    // The margin is theirs to write, so there it is read.
    desk.join(BOB, Part::Margin, Role::Suggester);
    let effects = desk.say(BOB, Part::Margin, protocol::update(&vec![0xff; 20_000]));
    assert_eq!(closed(&effects).map(|closed| closed.1), Some(CLOSE_PROTOCOL));
}

#[test]
fn who_asks_and_never_answers_is_closed() {
    let mut desk = Desk::new(Limits {
        max_questions: 4,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let question = || protocol::step_1(&StateVector::default());
    // Who answers may ask for ever.
    for _ in 0..20 {
        let effects = desk.say(ALICE, Part::Body, question());
        assert_eq!((asks(&effects, ALICE), closed(&effects)), (1, None));
        desk.say(ALICE, Part::Body, protocol::step_2(&[0, 0]));
    }
    let end = (0..5).find_map(|_| closed(&desk.say(ALICE, Part::Body, question())).map(|closed| closed.1));
    assert_eq!(end, Some(CLOSE_POLICY));
}

#[test]
fn who_sends_holes_and_never_what_is_missing_is_closed() {
    let mut desk = Desk::new(Limits {
        max_put_off: 3,
        ..Limits::default()
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    let doc = crdt::doc::open(50);
    write(&doc, "lost");
    let gap = protocol::update(&write(&doc, "gap"));
    let ends: Vec<_> = (0..4)
        .map(|_| closed(&desk.say(ALICE, Part::Body, gap.clone())).map(|closed| closed.1))
        .collect();
    assert_eq!(ends, [None, None, None, Some(CLOSE_POLICY)]);
}

#[test]
fn repeating_what_is_known_while_the_store_is_slow_costs_one_answer() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    let update = protocol::update(&write(&crdt::doc::open(50), "x"));
    let first = desk.say(ALICE, Part::Body, update.clone());
    for _ in 0..1000 {
        assert!(desk.say(ALICE, Part::Body, update.clone()).is_empty());
    }
    assert!(format!("{:?}", desk.room).matches("SyncStatus").count() < 3);
    assert_eq!(acks(&desk.commit(&first), ALICE).len(), 1001);
}

#[test]
fn an_ai_stays_a_suggester_and_a_connection_stays_one_peers() {
    let mut desk = Desk::new(Limits::default());
    let welcome = desk.join_as(ALICE, Part::Body, Role::Owner, PeerKind::Ai);
    assert_eq!(texts(&welcome, ALICE)[0]["role"], "suggester");
    for part in [Part::Body, Part::Margin] {
        desk.event(Event::SetRole {
            conn: ALICE,
            part,
            role: Role::Owner,
        });
    }
    let update = protocol::update(&write(&crdt::doc::open(50), "x"));
    assert!(records(&desk.say(ALICE, Part::Body, update.clone())).is_empty());
    // The same connection as somebody else, or as no AI: refused, and the first stays what it is.
    for (name, kind) in [("peer #1", PeerKind::Human), ("mallory", PeerKind::Ai)] {
        let effects = desk.event(Event::Join {
            conn: ALICE,
            part: Part::Margin,
            identity: identity(name, kind),
            role: Role::Owner,
        });
        assert_eq!(
            closed(&effects).map(|closed| closed.1),
            Some(CLOSE_POLICY),
            "{name}"
        );
    }
    assert!(records(&desk.say(ALICE, Part::Body, update)).is_empty());
    assert!(
        desk.room
            .connections()
            .all(|(_, who, role, _)| { who.kind == PeerKind::Ai && role == Role::Suggester })
    );
}

#[test]
fn each_part_has_a_role_of_its_own() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Suggester);
    desk.join(ALICE, Part::Margin, Role::Owner);
    let update = |client, part| {
        let doc = crdt::doc::open(client);
        (part, protocol::update(&write(&doc, "x")))
    };
    for ((part, bytes), written) in [(update(50, Part::Body), 0), (update(51, Part::Margin), 1)] {
        assert_eq!(records(&desk.say(ALICE, part, bytes)).len(), written, "{part:?}");
    }
    // What decides is the role in the body, from whichever link it is asked.
    for part in [Part::Body, Part::Margin] {
        let payload = json!({"type": "decide", "seq": 1, "proposal": "x", "action": "accept"}).to_string();
        let effects = desk.event(Event::Stateless {
            conn: ALICE,
            part,
            payload,
        });
        assert_eq!(texts(&effects, ALICE)[0]["code"], "forbidden", "{part:?}");
    }
    desk.event(Event::SetRole {
        conn: ALICE,
        part: Part::Margin,
        role: Role::Viewer,
    });
    let (part, bytes) = update(52, Part::Margin);
    assert!(
        records(&desk.say(ALICE, part, bytes)).is_empty(),
        "taken away at once"
    );
    assert!(
        desk.room
            .document(Part::Body)
            .transact()
            .state_vector()
            .is_empty()
    );
}
