//! Adapters that a document names, worn by the real model. Needs what `node scripts/model/fetch.mjs` fetches.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use ai_peer::wardrobe::Chosen;
use ai_peer::{AiPeer, Config};
use crdt::margin::{Proposal, Request, RequestKind, RequestState};
use crdt::policy::Adapters;
use model::manager::AdapterLibrary;
use model::{Artifact, EngineOptions, Generator, Locations, Runtime, Worker};
use support::adapter::write_peft;
use support::{Human, Relay, Running, ai_identity, clock, peer, run};

const TEXT: &str = "the children was playing on a raft that they has made out of old doors";

async fn scene(relay: &Relay, name: &str, peer: AiPeer) -> (Human, Running) {
    let mut human = Human::join(relay, "ann", &clock(), 1).await;
    if human.text().trim().is_empty() {
        human
            .write(&["The river rose.", TEXT, "On Friday it was over."])
            .await;
    }
    let running = run(relay, peer, name, Duration::ZERO);
    human
        .until("the peer is here", |human| human.sees(name).is_some())
        .await;
    (human, running)
}

/// Asks, and waits for what comes of it.
async fn ask(human: &mut Human, request: Request) -> Result<Proposal, String> {
    let id = human.ask(request).await;
    let over = |human: &Human| matches!(human.find(&id).state, RequestState::Done | RequestState::Failed);
    human.until("it is over", over).await;
    match human.find(&id) {
        Request {
            state: RequestState::Done,
            proposal,
            ..
        } => {
            let mut proposals = human.proposals().into_iter();
            Ok(proposals.find(|one| Some(&one.id) == proposal.as_ref()).unwrap())
        }
        Request { error, .. } => Err(error.unwrap()),
    }
}

#[tokio::test]
async fn the_model_wears_what_the_document_names_and_the_proposal_says_so() {
    let places = Locations::from_environment();
    let artifact = Artifact::open(&places.model).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let (peft, library) = (
        folder.path().join("peft"),
        AdapterLibrary::new(folder.path().join("adapters")),
    );
    write_peft(&artifact.folder, &peft, 5);
    let added = library.add(&peft, Some("law"), &artifact).unwrap();
    assert_eq!(added.record.rank, 4);
    let options = EngineOptions {
        adapters: Some(folder.path().join("adapters")),
        ..EngineOptions::default()
    };
    let runtime = Runtime::load(&places.runtime).unwrap_or_else(|error| panic!("{error}"));
    let worker = Arc::new(Worker::spawn(&runtime, artifact.clone(), options).unwrap());

    let plain = Relay::new();
    let (mut human, running) = scene(&plain, "plain", peer("plain", &clock(), &worker)).await;
    let request = human.about(RequestKind::Rewrite, TEXT);
    let bare = ask(&mut human, request).await.unwrap();
    assert_eq!(bare.author.adapter, None);
    running.leave().await;

    let relay = Relay::new();
    let generator: Arc<dyn Generator> = worker.clone();
    let wardrobe = Chosen {
        adapters: Adapters {
            usual: Some("law".into()),
            commands: [
                (RequestKind::Continue, None),
                (RequestKind::Summarise, Some("later".into())),
            ]
            .into(),
        },
        library: library.clone(),
    };
    let config = Config {
        wardrobe: Some(Arc::new(wardrobe)),
        ..Config::new(clock())
    };
    let dressed = AiPeer::new(ai_identity("bot"), generator, config);
    let (mut human, running) = scene(&relay, "bot", dressed).await;
    let before = relay.body_state();
    // the same words at the same temperature of zero: the adapter is what differs
    let request = human.about(RequestKind::Rewrite, TEXT);
    let worn = ask(&mut human, request).await.unwrap();
    assert_eq!(worn.author.adapter.as_deref(), Some("law"));
    assert_ne!(worn.payload, bare.payload);
    let request = human.at_end(RequestKind::Continue);
    let own = ask(&mut human, request).await.unwrap();
    assert_eq!(own.author.adapter, None, "this command is to be written without");

    // one that is missing: words, and nothing is lost
    let request = human.at_end(RequestKind::Summarise);
    let words = ask(&mut human, request.clone()).await.unwrap_err();
    assert!(words.contains("“later” is not on this machine"), "{words}");
    library.add(&peft, Some("later"), &artifact).unwrap();
    let request = human.at_end(RequestKind::Summarise);
    let added = ask(&mut human, request).await.unwrap();
    assert_eq!(added.author.adapter.as_deref(), Some("later"));
    assert_eq!(relay.body_state(), before, "a peer never writes the body");
    running.leave().await;
}
