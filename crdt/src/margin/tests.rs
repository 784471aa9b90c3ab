//! The margin's entries, as written here and as others may write them.

use serde_json::json;
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, Map, MapPrelim, ReadTxn, TextPrelim, Transact, Update, WriteTxn};

use super::*;
use crate::anchor::Anchor;
use crate::content::to_any;
use crate::doc;
use crate::ids::Timestamp;

fn request_of(id: &str) -> Request {
    Request {
        id: id.into(),
        kind: RequestKind::Rewrite,
        by: Person {
            id: "u".into(),
            name: "Ünal".into(),
        },
        at: Timestamp(1_700_000_000_123),
        anchor: Anchor {
            quote: "words".into(),
            ..Anchor::default()
        },
        instruction: "shorter".into(),
        to: String::new(),
        state: RequestState::Open,
        lease: None,
        proposal: None,
        error: None,
    }
}

fn proposal_of(id: &str) -> Proposal {
    serde_json::from_value(json!({
        "id": id, "author": {"kind": "ai", "id": "m", "name": "Model", "model": "small"}, "kind": "replace",
        "anchor": {"start": {"assoc": 0}, "end": {"assoc": -1}, "quote": "words"}, "state": "streaming", "payload": "Be"
    }))
    .unwrap()
}

fn margin() -> Doc {
    let margin = doc::open(5);
    put_request(&mut margin.transact_mut(), &request_of("R1"));
    put_proposal(&mut margin.transact_mut(), &proposal_of("P1"));
    margin
}

#[test]
fn entries_are_read_as_they_were_written() {
    let margin = margin();
    let txn = margin.transact();
    assert_eq!(requests(&txn), [request_of("R1")]);
    assert_eq!(proposals(&txn), [proposal_of("P1")]);
    assert_eq!(problems(&txn), []);
    // What JavaScript finds: maps of plain values, numbers that are no BigInt, the payload a text.
    let entry = entry::map(&txn, REQUESTS_ROOT, "R1").unwrap();
    assert_eq!(
        entry.get(&txn, "at"),
        Some(yrs::Out::Any(Any::Number(1_700_000_000_123.0)))
    );
    assert!(matches!(entry.get(&txn, "by"), Some(yrs::Out::Any(Any::Map(_)))));
    assert!(entry.get(&txn, "lease").is_none());
    let entry = entry::map(&txn, PROPOSALS_ROOT, "P1").unwrap();
    assert!(matches!(entry.get(&txn, "payload"), Some(yrs::Out::YText(_))));
}

#[test]
fn writing_again_what_is_there_makes_no_update() {
    let margin = margin();
    let before = margin.transact().state_vector();
    put_request(&mut margin.transact_mut(), &request_of("R1"));
    put_proposal(&mut margin.transact_mut(), &proposal_of("P1"));
    assert_eq!(margin.transact().state_vector(), before);
}

#[test]
fn a_request_is_claimed_once_until_its_lease_runs_out() {
    let margin = margin();
    let mut txn = margin.transact_mut();
    assert!(claim(&mut txn, "R1", "a", Timestamp(10), Timestamp(20)));
    assert!(!claim(&mut txn, "R1", "b", Timestamp(19), Timestamp(30)));
    assert!(renew(&mut txn, "R1", "a", Timestamp(25)));
    assert!(!renew(&mut txn, "R1", "b", Timestamp(99)));
    assert!(!claim(&mut txn, "R1", "b", Timestamp(24), Timestamp(30)));
    assert!(claim(&mut txn, "R1", "b", Timestamp(25), Timestamp(30)));
    assert!(!renew(&mut txn, "R1", "a", Timestamp(40)), "it is another's now");
    assert!(!finish_request(&mut txn, "R1", "a", "P1"));
    assert!(release(&mut txn, "R1", "b"));
    assert_eq!(request(&txn, "R1").unwrap(), request_of("R1"));
    assert!(claim(&mut txn, "R1", "c", Timestamp(1), Timestamp(30)));
    assert!(finish_request(&mut txn, "R1", "c", "P1"));
    let done = request(&txn, "R1").unwrap();
    assert_eq!(
        (done.state, done.proposal.as_deref(), done.lease),
        (RequestState::Done, Some("P1"), None)
    );
    assert!(!claim(&mut txn, "R1", "d", Timestamp(99), Timestamp(100)));
    assert!(!cancel_request(&mut txn, "R1"));
    assert!(!claim(&mut txn, "nothing", "d", Timestamp(99), Timestamp(100)));
}

#[test]
fn a_request_to_one_peer_is_left_by_the_others() {
    let margin = doc::open(5);
    let mut txn = margin.transact_mut();
    put_request(
        &mut txn,
        &Request {
            to: "b".into(),
            ..request_of("R1")
        },
    );
    assert!(!claim(&mut txn, "R1", "a", Timestamp(1), Timestamp(2)));
    assert!(claim(&mut txn, "R1", "b", Timestamp(1), Timestamp(2)));
    assert!(fail_request(&mut txn, "R1", "b", "No model."));
    let failed = request(&txn, "R1").unwrap();
    assert_eq!(
        (failed.state, failed.error.as_deref()),
        (RequestState::Failed, Some("No model."))
    );
}

#[test]
fn cancelling_ends_the_lease_holders_work() {
    let margin = margin();
    let mut txn = margin.transact_mut();
    assert!(claim(&mut txn, "R1", "a", Timestamp(10), Timestamp(20)));
    assert!(cancel_request(&mut txn, "R1"));
    assert!(!renew(&mut txn, "R1", "a", Timestamp(30)));
    assert_eq!(request(&txn, "R1").unwrap().state, RequestState::Cancelled);
}

#[test]
fn of_two_claims_at_once_one_stands_everywhere() {
    let one = margin();
    let two = doc::open(6);
    let learn = |to: &Doc, from: &Doc| {
        let update = from
            .transact()
            .encode_state_as_update_v1(&to.transact().state_vector());
        to.transact_mut()
            .apply_update(Update::decode_v1(&update).unwrap())
            .unwrap();
    };
    learn(&two, &one);
    assert!(claim(
        &mut one.transact_mut(),
        "R1",
        "a",
        Timestamp(1),
        Timestamp(9)
    ));
    assert!(claim(
        &mut two.transact_mut(),
        "R1",
        "b",
        Timestamp(1),
        Timestamp(9)
    ));
    learn(&two, &one);
    learn(&one, &two);
    let holders: Vec<bool> = [("a", &one), ("b", &one), ("a", &two), ("b", &two)]
        .map(|(peer, margin)| renew(&mut margin.transact_mut(), "R1", peer, Timestamp(9)))
        .to_vec();
    assert_eq!(holders[0], holders[2]);
    assert_eq!(holders[1], holders[3]);
    assert_ne!(holders[0], holders[1]);
}

#[test]
fn a_payload_grows_until_it_ends() {
    let margin = margin();
    let mut txn = margin.transact_mut();
    append_payload(&mut txn, "P1", "tter ").unwrap();
    append_payload(&mut txn, "P1", "wörds 𝄞").unwrap();
    let stats = Stats {
        prompt_tokens: 7,
        tokens: 3,
        first_word_ms: 12,
        tokens_per_second: 30.5,
    };
    finish_proposal(&mut txn, "P1", ProposalState::Pending, Some(&stats), None).unwrap();
    let done = proposal(&txn, "P1").unwrap();
    assert_eq!(done.payload, "Better wörds 𝄞");
    assert_eq!((done.state, done.stats), (ProposalState::Pending, Some(stats)));
    assert_eq!(
        append_payload(&mut txn, "P1", "x"),
        Err(MarginError::Ended("P1".into()))
    );
    let again = finish_proposal(&mut txn, "P1", ProposalState::Failed, None, Some("x"));
    assert_eq!(again, Err(MarginError::Ended("P1".into())));
    assert_eq!(
        append_payload(&mut txn, "P2", "x"),
        Err(MarginError::Unknown("P2".into()))
    );
}

#[test]
fn what_cannot_be_read_is_passed_over_and_named() {
    let margin = margin();
    let mut txn = margin.transact_mut();
    let requests_root = txn.get_or_insert_map(REQUESTS_ROOT);
    requests_root.insert(&mut txn, "R0", "no map");
    let odd = requests_root.insert(&mut txn, "R2", MapPrelim::default());
    odd.insert(&mut txn, "kind", 7.0);
    let nested = requests_root.insert(&mut txn, "R3", MapPrelim::default());
    for (key, value) in serde_json::to_value(request_of("R3"))
        .unwrap()
        .as_object()
        .unwrap()
    {
        nested.insert(&mut txn, key.as_str(), to_any(value));
    }
    nested.insert(&mut txn, "id", "R1"); // the key counts
    nested.insert(&mut txn, "mood", "later version");
    let by = nested.insert(&mut txn, "by", MapPrelim::default()); // a client that nests maps
    by.insert(&mut txn, "name", "Ünal");
    let proposals_root = txn.get_or_insert_map(PROPOSALS_ROOT);
    let proposal_entry = proposals_root.insert(&mut txn, "P0", MapPrelim::default());
    for (key, value) in serde_json::to_value(proposal_of("P0"))
        .unwrap()
        .as_object()
        .unwrap()
    {
        proposal_entry.insert(&mut txn, key.as_str(), to_any(value)); // the payload a plain string
    }
    proposal_entry.insert(&mut txn, "stats", "none");
    proposal_entry.insert(&mut txn, "confidence", "high");

    let ids: Vec<String> = requests(&txn).into_iter().map(|request| request.id).collect();
    assert_eq!(ids, ["R1", "R3"]);
    let ids: Vec<String> = problems(&txn).into_iter().map(|problem| problem.id).collect();
    assert_eq!(ids, ["R0", "R2"]);
    assert_eq!(request(&txn, "R3").unwrap().by.name, "Ünal");
    assert!(claim(&mut txn, "R3", "a", Timestamp(1), Timestamp(2)));
    let mood = entry::map(&txn, REQUESTS_ROOT, "R3").unwrap().get(&txn, "mood");
    assert_eq!(
        mood,
        Some(yrs::Out::Any("later version".into())),
        "unknown fields stay"
    );
    assert!(!cancel_request(&mut txn, "R0") && !claim(&mut txn, "R2", "a", Timestamp(1), Timestamp(2)));
    let plain = proposal(&txn, "P0").unwrap();
    assert_eq!(
        (plain.payload.as_str(), plain.stats, plain.confidence),
        ("Be", None, None)
    );
    append_payload(&mut txn, "P0", "tter").unwrap();
    assert_eq!(proposal(&txn, "P0").unwrap().payload, "Better");
}

#[test]
fn a_base_that_is_none_names_nothing() {
    let body = doc::open(3);
    let root = doc::fragment(&body);
    crate::content::insert(
        &root,
        &mut body.transact_mut(),
        0,
        &[crate::node::Node::paragraph("x")],
    );
    let txn = body.transact();
    assert_eq!(Base::of(&txn).decode(), txn.state_vector());
    for text in ["", "?", "/////w==", "AQ=="] {
        let base = Base {
            state_vector: text.into(),
        };
        assert!(base.decode().is_empty(), "{text}");
    }
    let _ = TextPrelim::new("");
}
