//! The peer over a real room in memory, with a model that follows a script and a clock that is turned by hand.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod support;

use std::time::Duration;

use ai_peer::Ended;
use crdt::Role;
use crdt::margin::{AuthorKind, ProposalKind, ProposalState, RequestKind, RequestState};
use support::script::{Script, Step};
use support::{Human, Relay, Running, ai_identity, clock, peer, run};

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

/// What a peer that thinks tells the others.
fn assert_shows_itself(seen: &serde_json::Value, request: &str) {
    assert_eq!(seen["ai"]["request"], request);
    assert_eq!(seen["user"]["kind"], "ai");
    assert_eq!(seen["user"]["model"], "Script 1");
    assert_eq!(seen["user"]["device"], "CPU");
    assert_eq!(seen["user"]["quantisation"], "q8");
    assert_eq!(seen["user"]["licence"], "MIT");
    assert_eq!(seen["cursor"]["anchor"], seen["cursor"]["head"]);
    assert!(seen["cursor"]["head"]["item"]["clock"].is_u64(), "{seen}");
}

/// The payloads that a proposal has on its way to `words`.
async fn watch_grow(human: &mut Human, words: &str) -> Vec<String> {
    let mut grown = vec![String::new()];
    loop {
        let last = grown.last().unwrap().clone();
        human
            .until("it grows or ends", |human| {
                human.proposal().is_some_and(|proposal| {
                    proposal.payload != last || proposal.state != ProposalState::Streaming
                })
            })
            .await;
        let proposal = human.proposal().unwrap();
        if proposal.payload != last {
            grown.push(proposal.payload.clone());
        }
        if proposal.state != ProposalState::Streaming {
            break;
        }
        assert_eq!(
            proposal.payload.matches("**").count() % 2,
            0,
            "an open mark: {}",
            proposal.payload
        );
        let rest = words.strip_prefix(&proposal.payload).unwrap();
        assert!(
            rest.is_empty() || rest.starts_with(' '),
            "half a word: {}",
            proposal.payload
        );
    }
    grown
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_word_by_word_beside_the_text() {
    let script = Script::new(vec![vec![
        Step::Wait(400),
        Step::Words(" Nobody could **remember a spring** like this one.", 100),
        Step::Done,
    ]]);
    let (relay, mut human, running) = scene(&script).await;
    human.name("Spring").await;
    human.idle(Duration::from_millis(10)).await;
    let before = relay.body_state();
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("it thinks", |human| {
            human.sees("bot").unwrap()["ai"]["state"] == "thinking"
        })
        .await;
    assert_shows_itself(&human.sees("bot").unwrap(), &id);
    human
        .until("it is claimed", |human| {
            human.find(&id).state == RequestState::Claimed
        })
        .await;

    let grown = watch_grow(&mut human, " Nobody could **remember a spring** like this one.").await;
    assert!(grown.len() > 5, "{grown:?}");
    let proposal = human.proposal().unwrap();
    assert_eq!(
        proposal.payload,
        " Nobody could **remember a spring** like this one."
    );
    assert_eq!(proposal.state, ProposalState::Pending);
    assert_eq!(proposal.kind, ProposalKind::Insert);
    assert_eq!(
        (proposal.author.kind, proposal.author.id.as_str()),
        (AuthorKind::Ai, "bot")
    );
    assert_eq!(proposal.author.model.as_deref(), Some("Script 1"));
    assert_eq!(proposal.author.device.as_deref(), Some("CPU"));
    assert_eq!(
        (proposal.request.as_str(), proposal.requester.id.as_str()),
        (id.as_str(), "ann")
    );
    assert_eq!(proposal.base.decode(), before.state_map);
    assert_eq!(
        proposal.rationale.as_deref(),
        Some("The model was least sure of “one two three four” (25 %).")
    );
    assert!((proposal.confidence.unwrap() - (-0.5_f64).exp()).abs() < 1e-9);
    let stats = proposal.stats.unwrap();
    assert_eq!((stats.prompt_tokens, stats.tokens), (40, 11));
    assert!((stats.tokens_per_second - 20.0).abs() < 1e-6);
    assert!((500..700).contains(&stats.first_word_ms), "{stats:?}");
    let request = human.find(&id);
    assert_eq!(
        (request.state, request.proposal.as_deref()),
        (RequestState::Done, Some(proposal.id.as_str()))
    );
    assert_eq!(request.lease, None);

    human
        .until("it is idle", |human| {
            human.sees("bot").unwrap()["ai"]["state"] == "idle"
        })
        .await;
    assert_eq!(relay.body_state(), before, "a peer never writes the body");
    let asked = &script.asked()[0];
    assert!(asked.messages.last().unwrap().content.contains("Title: Spring"));
    assert!(
        asked
            .answer_prefix
            .as_ref()
            .unwrap()
            .ends_with("Marta moved the goats.")
    );

    let (_, ended) = running.leave().await;
    assert_eq!(ended, Ended::Shutdown);
    human
        .until("it is gone", |human| human.sees("bot").is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn two_peers_that_want_one_request_make_one_proposal() {
    let mut yielded = 0;
    for latencies in [[0, 0], [0, 60], [60, 0], [40, 40], [5, 90], [250, 5]] {
        let clock = clock();
        let relay = Relay::new();
        let mut human = Human::join(&relay, "ann", &clock, 1).await;
        human.write(&["The river rose."]).await;
        let script = Script::new(vec![vec![
            Step::Words(" one two three four.", 20),
            Step::Wait(2000),
            Step::Done,
        ]]);
        let ids = ["one", "two"];
        let running: Vec<Running> = ids
            .iter()
            .zip(latencies)
            .map(|(id, ms)| run(&relay, peer(id, &clock, &script), id, Duration::from_millis(ms)))
            .collect();
        human
            .until("both are here", |human| {
                ids.iter().all(|id| human.sees(id).is_some())
            })
            .await;
        human.idle(Duration::from_secs(1)).await;
        for round in 1..=3 {
            let request = human.at_end(RequestKind::Continue);
            let id = human.ask(request).await;
            human
                .until("done", |human| human.find(&id).state == RequestState::Done)
                .await;
            human.idle(Duration::from_secs(15)).await;
            let proposals = human.proposals();
            assert_eq!(proposals.len(), round, "latencies {latencies:?}: {proposals:#?}");
            assert!(
                proposals
                    .iter()
                    .all(|proposal| proposal.state == ProposalState::Pending)
            );
            assert_eq!(human.find(&id).proposal.as_ref(), Some(&proposals[round - 1].id));
        }
        assert_eq!(script.running(), 0);
        assert!(running.iter().all(Running::is_running));
        yielded += script.cancelled();
    }
    assert!(yielded > 0, "they did compete");
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_keeps_nobody_else_waiting() {
    let script = Script::new(vec![
        vec![Step::Words(" it goes on", 100), Step::Hang],
        vec![Step::Text(" A short one."), Step::Done],
    ]);
    let (_relay, mut human, running) = scene(&script).await;
    let long = human.at_end(RequestKind::Continue);
    let long = human.ask(long).await;
    human
        .until("it writes", |human| {
            human
                .proposal()
                .is_some_and(|proposal| !proposal.payload.is_empty())
        })
        .await;
    let short = human.at_end(RequestKind::Continue);
    let short = human.ask(short).await;
    human
        .until("the short one is done", |human| {
            human.find(&short).state == RequestState::Done
        })
        .await;
    assert_eq!(human.find(&long).state, RequestState::Claimed);
    assert_eq!(human.sees("bot").unwrap()["ai"]["request"], long.as_str());
    // to cancel one leaves the other alone, and the peer goes on
    human.cancel(&long).await;
    human
        .until("it is cancelled", |human| {
            human
                .proposals()
                .iter()
                .any(|proposal| proposal.request == long && proposal.state == ProposalState::Cancelled)
        })
        .await;
    assert_eq!(script.running(), 0);
    assert!(running.is_running());
    let again = human.at_end(RequestKind::Continue);
    let again = human.ask(again).await;
    human
        .until("it answers as before", |human| {
            human.find(&again).state == RequestState::Done
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn two_peers_share_the_work() {
    let clock = clock();
    let relay = Relay::new();
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    human.write(&["The river rose."]).await;
    let script = Script::slow();
    let _one = run(&relay, peer("one", &clock, &script), "one", HERE);
    let _two = run(&relay, peer("two", &clock, &script), "two", HERE);
    human
        .until("both are here", |human| {
            human.sees("one").is_some() && human.sees("two").is_some()
        })
        .await;
    for _ in 0..4 {
        let request = human.at_end(RequestKind::Continue);
        human.ask(request).await;
    }
    let mut named = human.at_end(RequestKind::Continue);
    named.to = "nobody".into();
    let named = human.ask(named).await;
    human
        .until("all are done", |human| {
            human
                .proposals()
                .iter()
                .filter(|proposal| proposal.state == ProposalState::Pending)
                .count()
                == 4
        })
        .await;
    human.idle(Duration::from_secs(30)).await;
    let proposals = human.proposals();
    assert_eq!(proposals.len(), 4, "{proposals:#?}");
    assert!(
        ["one", "two"]
            .iter()
            .all(|id| proposals.iter().any(|proposal| proposal.author.id == *id))
    );
    assert_eq!(
        human.find(&named).state,
        RequestState::Open,
        "nobody takes what is for another"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_write_is_told_so_and_stops() {
    let clock = clock();
    let relay = Relay::new();
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    human.write(&["The river rose."]).await;
    let (body, margin) = relay.connect(&ai_identity("bot"), Role::Viewer, HERE);
    let script = Script::slow();
    let mut bot = peer("bot", &clock, &script);
    let task = tokio::spawn(async move { bot.run(body, margin, std::future::pending()).await });
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    let ended = task.await.unwrap();
    assert!(
        matches!(&ended, Ended::Refused(words) if !words.is_empty()),
        "{ended:?}"
    );
    human.idle(Duration::from_secs(1)).await;
    assert_eq!(
        (human.find(&id).state, human.proposals().len()),
        (RequestState::Open, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_model_cannot_do_is_said_in_words() {
    let half = vec![Step::Words(" one two three", 100), Step::Fail];
    let script = Script::new(vec![vec![Step::Fail], half]);
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("failed", |human| human.find(&id).state == RequestState::Failed)
        .await;
    assert_eq!(
        human.find(&id).error.as_deref(),
        Some("the model failed: out of memory")
    );
    assert_eq!(human.proposals().len(), 0);

    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("failed", |human| human.find(&id).state == RequestState::Failed)
        .await;
    let proposal = human.proposal().unwrap();
    assert_eq!(
        (proposal.state, proposal.payload.as_str()),
        (ProposalState::Failed, " one two")
    );
    assert_eq!(proposal.error.as_deref(), Some("the model failed: out of memory"));

    let request = human.at_end(RequestKind::Rewrite);
    let id = human.ask(request).await;
    human
        .until("failed", |human| human.find(&id).state == RequestState::Failed)
        .await;
    assert_eq!(
        human.find(&id).error.as_deref(),
        Some("select the text that is to be rewritten")
    );
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_is_waited_for_and_an_empty_answer_asked_again() {
    let script = Script::busy(
        vec![
            vec![Step::Done],
            vec![Step::Words(" Well, then.", 10), Step::Done],
        ],
        3,
    );
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    assert_eq!(human.proposal().unwrap().payload, " Well, then.");
    let asked = script.asked();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].params.seed, asked[1].params.seed);

    let mute = Script::new(vec![vec![Step::Done]]);
    let (_relay, mut human, _running) = scene(&mute).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("failed", |human| human.find(&id).state == RequestState::Failed)
        .await;
    assert!(human.find(&id).error.unwrap().contains("nothing to say"));
    assert_eq!((mute.asked().len(), human.proposals().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_cut_at_the_quota_and_an_answer_cut_short_ends_with_a_word() {
    let line = "- many words in one more line of a list that does not end\n";
    let flood = Box::leak(line.repeat(2000).into_boxed_str());
    let script = Script::new(vec![
        vec![Step::Text(" one two thr"), Step::Cut],
        vec![Step::Text(flood), Step::Hang],
    ]);
    let (_relay, mut human, _running) = scene(&script).await;
    let request = human.about(RequestKind::Rewrite, "river");
    human.ask(request).await;
    human
        .until("pending", |human| {
            human
                .proposal()
                .is_some_and(|proposal| proposal.state == ProposalState::Pending)
        })
        .await;
    assert_eq!(human.proposal().unwrap().payload, "one two");

    let request = human.about(RequestKind::Rewrite, "river");
    human.ask(request).await;
    human
        .until("pending", |human| {
            human
                .proposals()
                .get(1)
                .is_some_and(|proposal| proposal.state == ProposalState::Pending)
        })
        .await;
    let proposal = human.proposals().remove(1);
    assert!(
        (60_000..=64 << 10).contains(&proposal.payload.len()),
        "{}",
        proposal.payload.len()
    );
    assert!(proposal.error.unwrap().contains("cut"));
    human.idle(Duration::from_secs(1)).await;
    assert_eq!(script.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_overtakes_its_text_waits_for_it() {
    let clock = clock();
    let relay = Relay::new();
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    human.write(&["The river rose."]).await;
    let script = Script::slow();
    let mut bot = peer("bot", &clock, &script);
    let late = Duration::from_millis(900);
    let (body, margin) = relay.connect_unequal(&ai_identity("bot"), Role::Suggester, late, HERE);
    let _task = tokio::spawn(async move { bot.run(body, margin, std::future::pending()).await });
    human
        .until("the peer is here", |human| human.sees("bot").is_some())
        .await;
    human.idle(Duration::from_secs(3)).await;
    human.type_at(0, 15, " Then the bridge went.").await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    let prefix = script.asked()[0].answer_prefix.clone().unwrap();
    assert!(prefix.ends_with("Then the bridge went."), "{prefix}");
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_as_long_as_it_takes() {
    let words = Box::leak(" word".repeat(30).into_boxed_str());
    let script = Script::new(vec![vec![
        Step::Wait(20_000),
        Step::Words(words, 1000),
        Step::Done,
    ]]);
    let (relay, mut human, _running) = scene(&script).await;
    let clock = human.clock();
    let _rival = run(&relay, peer("rival", &clock, &script), "rival", HERE);
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    assert_eq!(human.proposal().unwrap().state, ProposalState::Pending);
    assert_eq!(
        script.asked().len() - script.cancelled(),
        1,
        "one peer wrote all of it"
    );
}
