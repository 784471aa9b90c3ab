//! How work ends before its time: cancelled, crashed, cut off, or the text is gone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod support;

use std::time::Duration;

use ai_peer::Ended;
use crdt::anchor::Resolved;
use crdt::margin::{ProposalKind, ProposalState, RequestKind, RequestState};
use support::script::{Script, Step};
use support::{Human, Relay, Running, clock, peer, run};
use tokio::time::Instant;

const HERE: Duration = Duration::ZERO;

/// A relay, a person with a text, and a peer with this model.
async fn scene(script: &std::sync::Arc<Script>) -> (Relay, Human, Running) {
    let clock = clock();
    let relay = Relay::new();
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    human.write(&["The river rose.", "Marta moved the goats."]).await;
    let running = run(&relay, peer("bot", &clock, script), "bot", HERE);
    human
        .until("the peer is here", |human| human.sees("bot").is_some())
        .await;
    (relay, human, running)
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_stops_the_model_at_once() {
    let script = Script::slow();
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("words", |human| {
            human
                .proposal()
                .is_some_and(|proposal| proposal.payload.len() > 8)
        })
        .await;
    human.cancel(&id).await;
    let asked = Instant::now();
    human
        .until("cancelled", |human| {
            human.proposal().unwrap().state == ProposalState::Cancelled
        })
        .await;
    assert!(asked.elapsed() < Duration::from_millis(50));
    let payload = human.proposal().unwrap().payload;
    human.idle(Duration::from_secs(5)).await;
    assert_eq!((script.running(), script.cancelled()), (0, 1));
    assert_eq!(human.proposal().unwrap().payload, payload);
    assert_eq!(human.find(&id).state, RequestState::Cancelled);
    assert_eq!(human.sees("bot").unwrap()["ai"]["state"], "idle");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_while_it_thinks_leaves_no_proposal() {
    let script = Script::new(vec![vec![Step::Hang]]);
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("it thinks", |human| {
            human.find(&id).state == RequestState::Claimed
        })
        .await;
    human.idle(Duration::from_millis(400)).await;
    human.cancel(&id).await;
    human.idle(Duration::from_secs(1)).await;
    assert_eq!((script.running(), human.proposals().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_edit_under_a_running_proposal_does_not_stop_it_but_shows() {
    let script = Script::slow();
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.about(RequestKind::Rewrite, "moved the goats");
    let id = human.ask(request).await;
    human
        .until("words", |human| {
            human
                .proposal()
                .is_some_and(|proposal| !proposal.payload.is_empty())
        })
        .await;
    human.type_at(1, 10, "all ").await; // within
    human.type_at(0, 0, "Once. ").await; // elsewhere
    human
        .until("pending", |human| {
            human.proposal().unwrap().state == ProposalState::Pending
        })
        .await;
    assert_eq!(human.find(&id).state, RequestState::Done);
    let proposal = human.proposal().unwrap();
    assert_eq!(proposal.kind, ProposalKind::Replace);
    assert_eq!(proposal.anchor.quote, "moved the goats");
    let Resolved::Found(found) = human.resolve(&proposal.anchor) else {
        panic!("the words are there");
    };
    assert!(found.stale);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_whose_text_is_deleted_ends_with_words() {
    for kind in [RequestKind::Rewrite, RequestKind::Continue] {
        let script = Script::slow();
        let (_relay, mut human, _running) = scene(&script).await;
        let request = match kind {
            RequestKind::Rewrite => human.about(kind, "moved the goats"),
            _ => human.at_end(kind),
        };
        let id = human.ask(request).await;
        human
            .until("words", |human| {
                human
                    .proposal()
                    .is_some_and(|proposal| !proposal.payload.is_empty())
            })
            .await;
        human.delete_paragraphs(1, 1).await;
        human
            .until("ended", |human| {
                human.proposal().unwrap().state == ProposalState::Cancelled
            })
            .await;
        human.idle(Duration::from_secs(1)).await;
        assert_eq!(script.running(), 0);
        let (request, proposal) = (human.find(&id), human.proposal().unwrap());
        assert_eq!(request.state, RequestState::Failed);
        assert_eq!(
            request.error.as_deref(),
            Some("the text that this was about has been deleted")
        );
        assert_eq!(proposal.error, request.error);
        assert!(!proposal.payload.is_empty(), "its words stay");
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_peer_crashes_another_takes_over() {
    let script = Script::slow();
    let (relay, mut human, first) = scene(&script).await;
    let clock = human.clock();
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("words", |human| {
            human
                .proposal()
                .is_some_and(|proposal| !proposal.payload.is_empty())
        })
        .await;
    first.crash();
    let crashed = Instant::now();
    let _second = run(&relay, peer("heir", &clock, &script), "heir", HERE);
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    assert!(
        crashed.elapsed() < Duration::from_secs(14),
        "{:?}",
        crashed.elapsed()
    );
    let proposals = human.proposals();
    assert_eq!(proposals.len(), 2, "{proposals:#?}");
    assert_eq!(proposals[0].author.id, "bot");
    assert_eq!(proposals[0].state, ProposalState::Cancelled);
    assert!(proposals[0].error.is_some());
    assert_eq!(
        (proposals[1].author.id.as_str(), proposals[1].state),
        ("heir", ProposalState::Pending)
    );
    assert_eq!(human.find(&id).proposal.as_ref(), Some(&proposals[1].id));
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_ends_what_runs_and_a_new_one_takes_it_up() {
    let script = Script::slow();
    let (relay, mut human, running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("words", |human| {
            human
                .proposal()
                .is_some_and(|proposal| !proposal.payload.is_empty())
        })
        .await;
    relay.cut("bot");
    let (peer, ended) = running.ended().await;
    assert_eq!(ended, Ended::Closed);
    human.idle(Duration::from_secs(1)).await;
    assert_eq!(script.running(), 0, "the model is stopped");
    assert_eq!(
        human.proposal().unwrap().state,
        ProposalState::Streaming,
        "nobody could say so yet"
    );
    assert!(human.sees("bot").is_none());

    let again = Instant::now();
    let running = run(&relay, peer, "bot", HERE);
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    assert!(
        again.elapsed() < Duration::from_secs(3),
        "its own lease holds nobody up: {:?}",
        again.elapsed()
    );
    let proposals = human.proposals();
    assert_eq!(proposals.len(), 2, "{proposals:#?}");
    assert_eq!(proposals[0].state, ProposalState::Cancelled);
    assert_eq!(
        proposals[0].error.as_deref(),
        Some("the connection was lost before the end")
    );
    assert_eq!(proposals[1].state, ProposalState::Pending);
    assert!(running.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_gives_its_request_back() {
    let script = Script::slow();
    let (_relay, mut human, running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("words", |human| {
            human
                .proposal()
                .is_some_and(|proposal| !proposal.payload.is_empty())
        })
        .await;
    let (_, ended) = running.leave().await;
    assert_eq!(ended, Ended::Shutdown);
    human
        .until("given back", |human| human.find(&id).state == RequestState::Open)
        .await;
    let proposal = human.proposal().unwrap();
    assert_eq!(proposal.state, ProposalState::Cancelled);
    assert_eq!(proposal.error.as_deref(), Some("the model left before the end"));
    assert_eq!(human.find(&id).lease, None);
    human.until("gone", |human| human.sees("bot").is_none()).await;
    assert_eq!(script.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_somebody_ends_stops_growing() {
    for state in [ProposalState::Rejected, ProposalState::Cancelled] {
        let script = Script::slow();
        let (_relay, mut human, _running) = scene(&script).await;
        let request = human.at_end(RequestKind::Continue);
        let id = human.ask(request).await;
        human
            .until("words", |human| {
                human
                    .proposal()
                    .is_some_and(|proposal| !proposal.payload.is_empty())
            })
            .await;
        let proposal = human.proposal().unwrap().id;
        human.set_proposal(&proposal, state).await;
        human
            .until("done", |human| human.find(&id).state == RequestState::Done)
            .await;
        human.idle(Duration::from_secs(5)).await;
        assert_eq!((script.running(), human.proposal().unwrap().state), (0, state));
    }
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_is_decided_while_it_grows_stops() {
    let script = Script::slow();
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("words", |human| {
            human
                .proposal()
                .is_some_and(|proposal| !proposal.payload.is_empty())
        })
        .await;
    let proposal = human.proposal().unwrap();
    human.set_proposal(&proposal.id, ProposalState::Pending).await;
    human.reject(&proposal.id).await;
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    human.idle(Duration::from_secs(5)).await;
    assert_eq!(script.running(), 0);
    let after = human.proposal().unwrap();
    assert_eq!(human.state_of(&proposal.id), Some(ProposalState::Rejected));
    assert!(
        after.payload.len() <= proposal.payload.len() + 8,
        "{}",
        after.payload
    );
}
