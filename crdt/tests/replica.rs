//! A client's copy: what it says and when, and what it believes about the others.

use crdt::awareness::{self, Entry, OUTDATED_AFTER, RENEW_EVERY};
use crdt::ids::Timestamp;
use crdt::protocol::{self, Message, SyncMessage};
use crdt::replica::{Replica, ReplicaError};
use serde_json::json;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, WriteTxn};

const NOW: Timestamp = Timestamp(1_000_000);

fn push(doc: &Doc, text: &str) -> Vec<u8> {
    let mut txn = doc.transact_mut();
    let line = txn.get_or_insert_text("t");
    line.push(&mut txn, text);
    txn.encode_update_v1()
}

fn text(doc: &Doc) -> String {
    let txn = doc.transact();
    txn.get_text("t")
        .map_or_else(String::new, |line| line.get_string(&txn))
}

fn whole(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

fn asks(frames: &[Vec<u8>]) -> usize {
    let is_step_1 = |frame: &&Vec<u8>| {
        matches!(
            protocol::decode(frame),
            Ok(Message::Sync(SyncMessage::SyncStep1(_)))
        )
    };
    frames.iter().filter(is_step_1).count()
}

#[test]
fn what_was_written_offline_is_in_the_answer_and_is_not_sent_twice() {
    let mut replica = Replica::new(5);
    push(replica.doc(), "offline ");
    assert!(replica.drain_updates().is_empty());
    assert_eq!(asks(&replica.connected()), 1);
    push(replica.doc(), "early ");
    assert!(
        replica.drain_updates().is_empty(),
        "the relay lacks what came before"
    );
    let question = protocol::step_1(&StateVector::default());
    let received = replica.receive(NOW, &question).unwrap();
    assert_eq!(received.replies, [protocol::step_2(&whole(replica.doc()))]);
    assert!(replica.drain_updates().is_empty());
    let update = push(replica.doc(), "online");
    assert_eq!(replica.drain_updates(), [protocol::update(&update)]);
    replica.disconnected();
    push(replica.doc(), "!");
    assert!(replica.drain_updates().is_empty());
}

#[test]
fn a_hole_is_healed_by_one_question() {
    let relay = crdt::doc::open(9);
    let mut replica = Replica::new(5);
    replica.connected();
    assert!(!replica.is_synced());
    replica.receive(NOW, &protocol::step_2(&whole(&relay))).unwrap();
    assert!(replica.is_synced());
    let [_lost, second, third] = ["one ", "two ", "three"].map(|words| push(&relay, words));
    let received = replica.receive(NOW, &protocol::update(&second)).unwrap();
    assert_eq!((asks(&received.replies), received.changed), (1, false));
    assert_eq!(
        asks(&replica.receive(NOW, &protocol::update(&third)).unwrap().replies),
        0
    );
    assert!(replica.is_holding_back());
    let healed = replica.receive(NOW, &protocol::step_2(&whole(&relay))).unwrap();
    assert!(healed.changed && !replica.is_holding_back());
    assert_eq!(text(replica.doc()), "one two three");
    // What came from the relay does not go back to it, and hearing it again changes nothing.
    replica
        .receive(NOW, &protocol::step_1(&StateVector::default()))
        .unwrap();
    assert!(replica.drain_updates().is_empty());
    assert!(!replica.receive(NOW, &protocol::update(&third)).unwrap().changed);
}

#[test]
fn what_is_no_message_is_an_error_and_the_copy_stays_usable() {
    let mut replica = Replica::new(5);
    for bytes in [
        vec![],
        vec![9],
        vec![0, 2, 1, 7],
        protocol::update(&[1, 1, 1, 0, 4, 1, 1, b't', 1, 0xff, 0]),
    ] {
        assert!(
            matches!(replica.receive(NOW, &bytes), Err(ReplicaError::Protocol(_))),
            "{bytes:?}"
        );
    }
    let good = protocol::update(&push(&crdt::doc::open(9), "good"));
    assert!(replica.receive(NOW, &good).unwrap().changed);
    let denied = replica.receive(NOW, &protocol::permission_denied("no")).unwrap();
    assert_eq!(denied.denied.as_deref(), Some("no"));
}

#[test]
fn the_others_are_forgotten_when_they_are_silent_and_the_own_state_is_renewed() {
    let mut replica = Replica::new(5);
    let says = |client, clock, state: Option<&str>| {
        awareness::encode(&[Entry {
            client,
            clock,
            state: state.map(str::to_owned),
        }])
    };
    let seen = |replica: &Replica| {
        replica
            .awareness()
            .others()
            .map(|(client, _)| client)
            .collect::<Vec<_>>()
    };
    let first = replica.set_local_state(NOW, Some(json!({ "a": 1 }))).unwrap();
    assert_eq!(first, says(5, 1, Some(r#"{"a":1}"#)));
    assert_eq!(replica.set_local_state(NOW, Some(json!({ "a": 1 }))), None);
    assert!(
        replica
            .receive(NOW, &says(7, 4, Some("{}")))
            .unwrap()
            .awareness_changed
    );
    // Old news, nonsense and an unchanged renewal change nothing.
    for (clock, state) in [(3, "[]"), (4, "[]"), (9, "{"), (5, "{}")] {
        assert!(
            !replica
                .receive(NOW, &says(7, clock, Some(state)))
                .unwrap()
                .awareness_changed
        );
    }
    assert_eq!(seen(&replica), [7]);
    let renewed = replica.tick(NOW.plus_ms(RENEW_EVERY));
    assert_eq!(
        (renewed.replies, renewed.awareness_changed),
        (vec![says(5, 2, Some(r#"{"a":1}"#))], false)
    );
    assert!(replica.tick(NOW.plus_ms(OUTDATED_AFTER)).awareness_changed);
    assert_eq!(seen(&replica), [] as [u64; 0]);
    // Its next state counts again; leaving is heard with the clock that is known.
    assert!(
        replica
            .receive(NOW, &says(7, 6, Some("{}")))
            .unwrap()
            .awareness_changed
    );
    assert!(replica.receive(NOW, &says(7, 6, None)).unwrap().awareness_changed);
    // Whoever says that this client is gone is told that it is not.
    let back = replica.receive(NOW, &says(5, 8, None)).unwrap().replies;
    assert_eq!(back, [says(5, 9, Some(r#"{"a":1}"#))]);
    assert_eq!(replica.set_local_state(NOW, None).unwrap(), says(5, 10, None));
    replica.receive(NOW, &says(8, 1, Some("{}"))).unwrap();
    assert!(replica.disconnected() && seen(&replica).is_empty());
}
