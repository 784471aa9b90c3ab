//! The peer with the real model: the same ways to end as with a script, all kinds of requests, and the time to the first
//! word. Needs what `node scripts/model/fetch.mjs` fetches.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that fails says where, and the figures are for whoever reads the log"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use crdt::margin::{Proposal, ProposalKind, ProposalState, Request, RequestKind, RequestState};
use model::{Artifact, EngineOptions, GenerateRequest, Generator, Locations, Runtime, Worker};
use support::{Human, Relay, Running, clock, peer, run};
use tokio::time::Instant;

const HERE: Duration = Duration::ZERO;

/// Loads the model, or says in words what is missing.
fn load() -> Arc<Worker> {
    let places = Locations::from_environment();
    let missing = |what: &dyn std::fmt::Display| -> ! {
        panic!(
            "{what}\nThis test runs the real model: fetch it with `{}`.",
            model::config::FETCH_COMMAND
        )
    };
    let runtime = Runtime::load(&places.runtime).unwrap_or_else(|error| missing(&error));
    let artifact = Artifact::open(&places.model).unwrap_or_else(|error| missing(&error));
    Arc::new(
        Worker::spawn(&runtime, artifact, EngineOptions::default()).unwrap_or_else(|error| missing(&error)),
    )
}

const TITLE: &str = "The flood";

const TEXT: [&str; 4] = [
    "The river had risen all week, and by Thursday the lower fields were under water.",
    "Old Marta moved the goats up to the barn and counted them twice.",
    "Nobody in the village could remember a spring like this one, and the children was playing on a raft that they has \
     made out of old doors.",
    "On Friday the mayor called everybody to the church.",
];

struct Scene {
    relay: Relay,
    human: Human,
    running: Running,
}

async fn scene(worker: &Arc<Worker>) -> Scene {
    let clock = clock();
    let relay = Relay::new();
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    human.write(&TEXT).await;
    human.name(TITLE).await;
    let running = run(&relay, peer("bot", &clock, worker), "bot", HERE);
    human
        .until("the peer is here", |human| human.sees("bot").is_some())
        .await;
    Scene {
        relay,
        human,
        running,
    }
}

impl Scene {
    async fn ask(&mut self, request: Request) -> String {
        self.human.ask(request).await
    }

    /// Asks for something long (a continuation may be over after one sentence) and waits for its first words.
    async fn begin(&mut self) -> String {
        let mut request = self.human.at_end(RequestKind::Ask);
        request.instruction = "Write a long story about the flood and what the village did after it.".into();
        let id = self.ask(request).await;
        self.human
            .until("words", |human| answer(human, &id).is_some())
            .await;
        id
    }

    /// Asks and waits for the whole answer.
    async fn answer(&mut self, request: Request) -> Proposal {
        let id = self.ask(request).await;
        self.human.until("an end", |human| has_ended(human, &id)).await;
        let request = self.human.find(&id);
        assert_eq!(request.state, RequestState::Done, "{:?}", request.error);
        let proposal = answer(&self.human, &id).expect("a request that is done has an answer");
        assert_eq!(request.proposal.as_ref(), Some(&proposal.id));
        assert_eq!(proposal.state, ProposalState::Pending);
        proposal
    }
}

fn has_ended(human: &Human, request: &str) -> bool {
    !matches!(
        human.find(request).state,
        RequestState::Open | RequestState::Claimed
    )
}

/// The newest proposal for a request.
fn answer(human: &Human, request: &str) -> Option<Proposal> {
    human
        .proposals()
        .into_iter()
        .rev()
        .find(|proposal| proposal.request == request)
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

#[tokio::test]
async fn every_kind_of_request_gets_an_answer_of_its_kind() {
    let worker = load();
    let mut scene = scene(&worker).await;
    let before = scene.relay.body_state();

    let request = scene.human.at_end(RequestKind::Continue);
    let proposal = scene.answer(request).await;
    println!("continue: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(proposal.kind, ProposalKind::Insert);
    assert!(words(&proposal.payload) >= 5, "{}", proposal.payload);
    assert!(
        !TEXT.concat().contains(proposal.payload.trim()),
        "it goes on and does not repeat"
    );
    let stats = proposal.stats.unwrap();
    assert!(
        stats.tokens_per_second > 0.0 && stats.tokens > 5 && stats.prompt_tokens > 60,
        "{stats:?}"
    );

    let wrong = "the children was playing on a raft that they has made out of old doors";
    let request = scene.human.about(RequestKind::Rewrite, wrong);
    let proposal = scene.answer(request).await;
    println!("rewrite: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(
        (proposal.kind, proposal.anchor.quote.as_str()),
        (ProposalKind::Replace, wrong)
    );
    assert!(
        (6..40).contains(&words(&proposal.payload)),
        "{}",
        proposal.payload
    );
    assert!(!proposal.payload.to_lowercase().starts_with("sure"));
    assert!(!proposal.payload.contains('\n'), "one paragraph stays one");
    assert!((0.0..=1.0).contains(&proposal.confidence.expect("the model says how sure it is")));

    let request = scene.human.at_end(RequestKind::Summarise);
    let proposal = scene.answer(request).await;
    println!("summarise: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(proposal.kind, ProposalKind::Comment);
    assert!(
        (5..100).contains(&words(&proposal.payload)),
        "{}",
        proposal.payload
    );

    let mut request = scene.human.at_end(RequestKind::Brainstorm);
    request.instruction = "things the village could do against the flood".into();
    let proposal = scene.answer(request).await;
    println!("brainstorm: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(proposal.kind, ProposalKind::Comment);
    assert!(proposal.payload.starts_with("1. "), "{}", proposal.payload);
    assert!(words(&proposal.payload) >= 6, "{}", proposal.payload);

    let mut request = scene.human.at_end(RequestKind::Ask);
    request.instruction = "Write one sentence about the mayor.".into();
    let proposal = scene.answer(request).await;
    println!("ask: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(proposal.kind, ProposalKind::Insert);
    assert!(words(&proposal.payload) >= 4, "{}", proposal.payload);

    let mut request = scene.human.about(RequestKind::Ask, TEXT[1]);
    request.instruction = "Make it shorter.".into();
    let proposal = scene.answer(request).await;
    println!("ask, selection: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(
        (proposal.kind, proposal.anchor.quote.as_str()),
        (ProposalKind::Replace, TEXT[1])
    );

    let mut request = scene.human.about(RequestKind::Ask, TEXT[1]);
    request.instruction = "Who moved the goats?".into();
    let proposal = scene.answer(request).await;
    println!("ask, question: {:?}\n{:?}", proposal.payload, proposal.stats);
    assert_eq!(proposal.kind, ProposalKind::Comment);

    assert_eq!(scene.relay.body_state(), before, "a peer never writes the body");
}

#[tokio::test]
async fn every_way_to_break_off_ends_cleanly_and_frees_the_model() {
    let worker = load();
    cancelled(&worker).await;
    edited_below(&worker).await;
    deleted_below(&worker).await;
    link_lost(&worker).await;
    crashed(&worker).await;
}

/// The model is free: it takes up something else within a few steps.
async fn assert_free(worker: &Worker) {
    let asked = Instant::now();
    let mut next = worker
        .generate(GenerateRequest::greedy(vec![model::ChatMessage::user("Hi")], 1))
        .unwrap();
    let first = next.next().await;
    assert!(matches!(first, Some(Ok(_))), "{first:?}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

async fn cancelled(worker: &Arc<Worker>) {
    let mut scene = scene(worker).await;
    let id = scene.begin().await;
    scene.human.cancel(&id).await;
    let asked = Instant::now();
    scene
        .human
        .until("cancelled", |human| {
            human.proposal().unwrap().state == ProposalState::Cancelled
        })
        .await;
    println!("cancelled after {:?}", asked.elapsed());
    assert_free(worker).await;
    let payload = scene.human.proposal().unwrap().payload;
    scene.human.idle(Duration::from_millis(500)).await;
    assert_eq!(scene.human.proposal().unwrap().payload, payload);
}

async fn edited_below(worker: &Arc<Worker>) {
    let mut scene = scene(worker).await;
    let request = scene.human.about(RequestKind::Rewrite, TEXT[2]);
    let id = scene.ask(request).await;
    scene
        .human
        .until("words", |human| human.proposal().is_some())
        .await;
    scene.human.type_at(2, 10, "at all ").await;
    scene.human.type_at(0, 0, "It rained. ").await;
    scene.human.until("an end", |human| has_ended(human, &id)).await;
    assert_eq!(scene.human.find(&id).state, RequestState::Done);
    let proposal = scene.human.proposal().unwrap();
    assert_eq!(
        (proposal.state, proposal.anchor.quote.as_str()),
        (ProposalState::Pending, TEXT[2])
    );
    assert!(
        matches!(scene.human.resolve(&proposal.anchor), crdt::anchor::Resolved::Found(found) if found.stale)
    );
}

async fn deleted_below(worker: &Arc<Worker>) {
    let mut scene = scene(worker).await;
    let id = scene.begin().await;
    scene.human.delete_paragraphs(2, 2).await;
    scene.human.until("an end", |human| has_ended(human, &id)).await;
    scene
        .human
        .until("its end", |human| {
            human.proposal().unwrap().state != ProposalState::Streaming
        })
        .await;
    assert_eq!(scene.human.find(&id).state, RequestState::Failed);
    assert!(scene.human.find(&id).error.unwrap().contains("deleted"));
    assert_eq!(scene.human.proposal().unwrap().state, ProposalState::Cancelled);
    assert_free(worker).await;
}

async fn link_lost(worker: &Arc<Worker>) {
    let mut scene = scene(worker).await;
    let id = scene.begin().await;
    scene.relay.cut("bot");
    let (peer, _) = scene.running.ended().await;
    assert_free(worker).await;
    scene.human.idle(Duration::from_millis(100)).await;
    assert_eq!(scene.human.proposal().unwrap().state, ProposalState::Streaming);
    let _running = run(&scene.relay, peer, "bot", HERE);
    scene.human.until("an end", |human| has_ended(human, &id)).await;
    let states: Vec<_> = scene
        .human
        .proposals()
        .iter()
        .map(|proposal| proposal.state)
        .collect();
    assert_eq!(states, [ProposalState::Cancelled, ProposalState::Pending]);
}

async fn crashed(worker: &Arc<Worker>) {
    let mut scene = scene(worker).await;
    let id = scene.begin().await;
    scene.running.crash();
    let heir = peer("heir", &scene.human.clock(), worker);
    let _running = run(&scene.relay, heir, "heir", HERE);
    scene.human.until("an end", |human| has_ended(human, &id)).await;
    assert_eq!(scene.human.find(&id).state, RequestState::Done);
    let ends: Vec<_> = scene
        .human
        .proposals()
        .iter()
        .map(|p| (p.author.id.clone(), p.state))
        .collect();
    assert_eq!(
        ends,
        [
            ("bot".into(), ProposalState::Cancelled),
            ("heir".into(), ProposalState::Pending)
        ]
    );
}

#[tokio::test]
async fn two_peers_on_one_model_answer_one_request_once() {
    let worker = load();
    let mut scene = scene(&worker).await;
    let late = Duration::from_millis(30);
    let _rival = run(
        &scene.relay,
        peer("rival", &scene.human.clock(), &worker),
        "rival",
        late,
    );
    scene
        .human
        .until("the rival is here", |human| human.sees("rival").is_some())
        .await;
    scene.human.idle(Duration::from_millis(200)).await;
    for round in 1..=2 {
        let request = scene.human.at_end(RequestKind::Continue);
        scene.answer(request).await;
        scene.human.idle(Duration::from_millis(500)).await;
        let proposals = scene.human.proposals();
        assert_eq!(proposals.len(), round, "{proposals:#?}");
    }
}

/// 500 words, none of them twice in the same place.
fn long_document() -> Vec<String> {
    let sentences = [
        "The river had risen all week, and by Thursday the lower fields were under water.",
        "Old Marta moved the goats up to the barn and counted them twice.",
        "Nobody in the village could remember a spring like this one.",
        "The bridge held, but the road beyond it was gone, and with it the only way to the town.",
        "In the evening they lit lamps along the dam so that those who kept watch could see the water.",
    ];
    (0..7)
        .map(|paragraph| {
            let mut text = format!("On day {} it went on like this.", paragraph + 1);
            for sentence in 0..sentences.len() - 1 {
                text.push(' ');
                text.push_str(sentences[(paragraph + sentence) % sentences.len()]);
            }
            text
        })
        .collect()
}

#[tokio::test]
async fn the_first_word_comes_soon_in_a_document_of_500_words() {
    /// Generous, because other tests may run beside this one; the figure is printed, and measured by the bench.
    const BOUND: Duration = Duration::from_secs(5);

    let worker = load();
    let info = worker.info();
    println!(
        "reads {:.0} and writes {:.0} tokens a second",
        info.prefill_tokens_per_second, info.decode_tokens_per_second
    );
    let clock = clock();
    let relay = Relay::new();
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    let text = long_document();
    let count: usize = text.iter().map(|paragraph| words(paragraph)).sum();
    assert!((480..520).contains(&count), "{count}");
    human
        .write(&text.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    human.name(TITLE).await;
    let _running = run(&relay, peer("bot", &clock, &worker), "bot", HERE);
    human
        .until("the peer is here", |human| human.sees("bot").is_some())
        .await;
    let mut took = Vec::new();
    for round in 0..5 {
        // Each time elsewhere, so that nothing that was read before helps.
        human.type_at(round, 0, &format!("{round} ")).await;
        let request = human.about(RequestKind::Continue, &text[6 - usize::try_from(round).unwrap()]);
        let asked = Instant::now();
        let id = human.ask(request).await;
        human.until("a word", |human| answer(human, &id).is_some()).await;
        took.push(asked.elapsed());
        human.cancel(&id).await;
        human
            .until("its end", |human| {
                answer(human, &id).unwrap().state != ProposalState::Streaming
            })
            .await;
    }
    took.sort_unstable();
    println!("first word after {took:?}");
    assert!(took[2] < BOUND, "{took:?}");
}
