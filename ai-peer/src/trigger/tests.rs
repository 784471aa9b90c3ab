//! The trigger, played through with made-up margins.

use super::*;
use crdt::margin::{Author, Base, Person, ProposalKind};

const TIMES: LeaseTimes = LeaseTimes {
    length: 10_000,
    renew: 3_000,
};

fn request(id: &str, state: RequestState, lease: Option<(&str, u64)>) -> Request {
    Request {
        id: id.to_owned(),
        kind: RequestKind::Continue,
        by: Person::default(),
        at: Timestamp(0),
        anchor: crdt::anchor::Anchor::default(),
        instruction: String::new(),
        to: String::new(),
        state,
        lease: lease.map(|(peer, until)| Lease {
            peer: peer.to_owned(),
            until: Timestamp(until),
        }),
        proposal: None,
        error: None,
    }
}

fn open(id: &str) -> Request {
    request(id, RequestState::Open, None)
}

fn proposal(id: &str, request: &str, author: &str, state: ProposalState) -> Proposal {
    Proposal {
        id: id.to_owned(),
        request: request.to_owned(),
        author: Author {
            kind: AuthorKind::Ai,
            id: author.to_owned(),
            name: author.to_owned(),
            model: None,
            quantisation: None,
            adapter: None,
            device: None,
        },
        requester: Person::default(),
        kind: ProposalKind::Insert,
        anchor: crdt::anchor::Anchor::default(),
        base: Base::default(),
        payload: String::new(),
        state,
        at: Timestamp(0),
        rationale: None,
        confidence: None,
        stats: None,
        error: None,
    }
}

fn held(request: &str, until: u64) -> Held {
    Held {
        request: request.to_owned(),
        until: Timestamp(until),
        proposal: None,
    }
}

fn claim(request: &str, from: Option<&str>, until: u64) -> Action {
    Action::Claim {
        request: request.to_owned(),
        from: from.map(str::to_owned),
        until: Timestamp(until),
    }
}

fn stop_of(why: Stop) -> Action {
    Action::Stop {
        request: "a".to_owned(),
        why,
    }
}

#[test]
fn several_are_worked_on_and_nobody_takes_all_the_room() {
    let mut trigger = Trigger::new("me", TIMES, 3);
    let by = |id: &str, person: &str, at: u64| {
        let mut request = open(id);
        request.by.id = person.to_owned();
        request.at = Timestamp(at);
        request
    };
    let mut requests = vec![
        by("a", "anna", 1),
        by("b", "anna", 2),
        by("c", "anna", 3),
        by("d", "ben", 9),
    ];
    let claimed = |plan: Plan| -> Vec<String> {
        let ids = plan.actions.into_iter().map(|action| match action {
            Action::Claim { request, .. } => request,
            other => panic!("{other:?}"),
        });
        ids.collect()
    };
    let plan = trigger.next(Timestamp(10), &requests, &[], &[], false);
    assert_eq!(claimed(plan), ["a", "d", "b"], "ben is not behind all of anna's");
    for request in &mut requests[..2] {
        request.state = RequestState::Claimed;
        request.lease = Some(Lease {
            peer: "me".to_owned(),
            until: Timestamp(10_010),
        });
    }
    let (a, b) = (held("a", 10_010), held("b", 10_010));
    assert_eq!(
        claimed(trigger.next(Timestamp(11), &requests, &[], &[&a, &b], false)),
        ["d"]
    );
    assert_eq!(
        trigger
            .next(Timestamp(11), &requests, &[], &[&a, &b], true)
            .actions,
        [],
        "others may want it"
    );
    requests[1].state = RequestState::Cancelled;
    let plan = trigger.next(Timestamp(12), &requests, &[], &[&a, &b], false);
    let stop = Action::Stop {
        request: "b".to_owned(),
        why: Stop::Cancelled,
    };
    assert_eq!(plan.actions, [stop, claim("d", None, 10_012)]);
}

#[test]
fn the_oldest_open_request_is_claimed_and_one_at_a_time() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let mut late = open("a");
    late.at = Timestamp(9);
    let requests = [late, open("b"), open("c")];
    let plan = trigger.next(Timestamp(100), &requests, &[], &[], false);
    assert_eq!(plan.actions, [claim("b", None, 10_100)]);

    let requests = [
        request("b", RequestState::Claimed, Some(("me", 10_100))),
        open("c"),
    ];
    let plan = trigger.next(Timestamp(200), &requests, &[], &[&held("b", 10_100)], false);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.wake, Some(Timestamp(3_100)));
}

#[test]
fn what_is_for_others_or_of_no_kind_for_text_is_left_alone() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let mut for_other = open("a");
    for_other.to = "other".into();
    let mut caption = open("b");
    caption.kind = RequestKind::Caption;
    let ended = [RequestState::Done, RequestState::Failed, RequestState::Cancelled];
    let mut requests: Vec<_> = ended.iter().map(|state| request("c", *state, None)).collect();
    requests.extend([for_other, caption]);
    assert_eq!(
        trigger.next(Timestamp(0), &requests, &[], &[], false),
        Plan::default()
    );
    let mut for_me = open("z");
    for_me.to = "me".into();
    requests.push(for_me);
    assert_eq!(
        trigger.next(Timestamp(0), &requests, &[], &[], false).actions,
        [claim("z", None, 10_000)]
    );
}

#[test]
fn the_own_lease_is_renewed_and_then_followed() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let requests = [request("a", RequestState::Claimed, Some(("me", 10_000)))];
    let plan = trigger.next(Timestamp(3_000), &requests, &[], &[&held("a", 10_000)], false);
    let until = Timestamp(13_000);
    assert_eq!(
        plan.actions,
        [Action::Renew {
            request: "a".into(),
            until
        }]
    );
    assert_eq!(plan.wake, Some(Timestamp(6_000)));
}

#[test]
fn work_stops_when_the_request_is_cancelled_removed_or_taken() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let held = held("a", 10_000);
    let mut stop = |requests: &[Request]| trigger.next(Timestamp(1), requests, &[], &[&held], false).actions;
    assert_eq!(
        stop(&[request("a", RequestState::Cancelled, Some(("me", 10_000)))]),
        [stop_of(Stop::Cancelled)]
    );
    assert_eq!(stop(&[]), [stop_of(Stop::Removed)]);
    for taken in [
        request("a", RequestState::Claimed, Some(("other", 10_000))),
        // Another process that was given the same id.
        request("a", RequestState::Claimed, Some(("me", 10_001))),
        request("a", RequestState::Claimed, None),
        open("a"),
        request("a", RequestState::Done, None),
    ] {
        assert_eq!(stop(&[taken]), [stop_of(Stop::LeaseLost)]);
    }
}

#[test]
fn a_lease_is_respected_until_it_was_not_renewed_before_our_eyes() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    // Our clock is far ahead of the other's: by its word the lease ran out long ago.
    for now in (100_000..130_000).step_by(3_000) {
        let renewed = [request("a", RequestState::Claimed, Some(("other", now - 50_000)))];
        assert_eq!(
            trigger.next(Timestamp(now), &renewed, &[], &[], false).actions,
            []
        );
    }
    let stuck = [request("a", RequestState::Claimed, Some(("other", 77_000)))];
    assert_eq!(
        trigger.next(Timestamp(127_000), &stuck, &[], &[], false).actions,
        []
    );
    let plan = trigger.next(Timestamp(132_999), &stuck, &[], &[], false);
    assert_eq!((plan.actions, plan.wake), (vec![], Some(Timestamp(133_000))));
    let plan = trigger.next(Timestamp(133_000), &stuck, &[], &[], false);
    assert_eq!(plan.actions, [claim("a", Some("other"), 143_000)]);

    // Our clock is far behind: the lease seems to last for ever.
    let mut trigger = Trigger::new("me", TIMES, 1);
    let stuck = [request("a", RequestState::Claimed, Some(("other", 900_000)))];
    assert_eq!(trigger.next(Timestamp(0), &stuck, &[], &[], false).actions, []);
    assert_eq!(
        trigger.next(Timestamp(19_999), &stuck, &[], &[], false).actions,
        []
    );
    assert_eq!(
        trigger.next(Timestamp(20_000), &stuck, &[], &[], false).actions,
        [claim("a", Some("other"), 30_000)]
    );
}

#[test]
fn a_crashed_peer_leaves_neither_request_nor_half_a_proposal() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let requests = [request("a", RequestState::Claimed, Some(("other", 5_000)))];
    let proposals = [proposal("p", "a", "other", ProposalState::Streaming)];
    assert_eq!(
        trigger
            .next(Timestamp(0), &requests, &proposals, &[], false)
            .actions,
        []
    );
    let plan = trigger.next(Timestamp(6_000), &requests, &proposals, &[], false);
    let discard = Action::Discard { proposal: "p".into() };
    assert_eq!(plan.actions, [discard.clone(), claim("a", Some("other"), 16_000)]);

    // The same for a request that asks for somebody else, but for the claim.
    let mut trigger = Trigger::new("me", TIMES, 1);
    let mut requests = requests;
    requests[0].to = "other".into();
    assert_eq!(
        trigger
            .next(Timestamp(0), &requests, &proposals, &[], false)
            .actions,
        []
    );
    let release = Action::Release {
        request: "a".into(),
        from: "other".into(),
    };
    let plan = trigger.next(Timestamp(6_000), &requests, &proposals, &[], false);
    assert_eq!(plan.actions, [discard, release]);
}

#[test]
fn a_half_proposal_whose_request_has_ended_is_discarded_after_a_while() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let requests = [request("a", RequestState::Cancelled, Some(("other", 5_000)))];
    let proposals = [
        proposal("p", "a", "other", ProposalState::Streaming),
        proposal("q", "a", "other", ProposalState::Pending),
        Proposal {
            author: Author {
                kind: AuthorKind::Human,
                ..proposal("", "", "", ProposalState::Streaming).author
            },
            ..proposal("r", "", "somebody", ProposalState::Streaming)
        },
    ];
    let plan = trigger.next(Timestamp(1_000), &requests, &proposals, &[], false);
    assert_eq!((plan.actions, plan.wake), (vec![], Some(Timestamp(11_000))));
    let plan = trigger.next(Timestamp(11_000), &requests, &proposals, &[], false);
    assert_eq!(plan.actions, [Action::Discard { proposal: "p".into() }]);
}

#[test]
fn the_own_proposal_is_not_discarded() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let requests = [request("a", RequestState::Cancelled, None)];
    let proposals = [proposal("p", "a", "me", ProposalState::Streaming)];
    let held = Held {
        proposal: Some("p".into()),
        ..held("a", 10_000)
    };
    for now in [0, 50_000] {
        let plan = trigger.next(Timestamp(now), &requests, &proposals, &[&held], false);
        assert_eq!(plan.actions, [stop_of(Stop::Cancelled)]);
    }
}

#[test]
fn work_that_broke_off_here_is_taken_up_at_once() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let requests = [request("a", RequestState::Claimed, Some(("me", 10_000)))];
    assert_eq!(trigger.next(Timestamp(0), &requests, &[], &[], false).actions, []);
    trigger.abandon(&held("a", 10_000));
    assert_eq!(
        trigger.next(Timestamp(5), &requests, &[], &[], false).actions,
        [claim("a", Some("me"), 10_005)]
    );
}

#[test]
fn a_request_that_breaks_whoever_takes_it_is_given_up() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let proposals = ["p", "q", "r"].map(|id| Proposal {
        error: Some(AUTHOR_GONE.to_owned()),
        ..proposal(id, "a", "other", ProposalState::Cancelled)
    });
    let plan = trigger.next(Timestamp(0), &[open("a")], &proposals[..2], &[], false);
    assert_eq!(plan.actions, [claim("a", None, 10_000)]);
    let plan = trigger.next(Timestamp(0), &[open("a")], &proposals, &[], false);
    let until = Timestamp(10_000);
    assert_eq!(
        plan.actions,
        [Action::GiveUp {
            request: "a".into(),
            from: None,
            until
        }]
    );
}

#[test]
fn being_interrupted_is_no_failure() {
    let mut trigger = Trigger::new("me", TIMES, 1);
    let words = [
        None,
        Some("the model left before the end"),
        Some("the connection was lost before the end"),
    ];
    let proposals: Vec<Proposal> = (0..9)
        .map(|n| Proposal {
            error: words[n % 3].map(str::to_owned),
            ..proposal(&format!("p{n}"), "a", "other", ProposalState::Cancelled)
        })
        .collect();
    let plan = trigger.next(Timestamp(0), &[open("a")], &proposals, &[], false);
    assert_eq!(plan.actions, [claim("a", None, 10_000)]);
}
