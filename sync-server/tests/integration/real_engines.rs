//! The real model of this machine beside a real engine of another make, with everything that is sent to it recorded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ai_peer::Thresholds;
use ai_peer::privacy::Place;
use crdt::margin::RequestKind;
use model::{Artifact, EngineOptions, Locations, RemoteEngine, RemoteError, RemoteOptions, Runtime, Worker};
use sync_server::ai::Seat;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::engines::Scene;

#[path = "../../../model/tests/suite/other_engine.rs"]
mod other_engine;
#[path = "../../../model/tests/suite/requantise.rs"]
mod requantise;

use other_engine::OtherEngine;

/// How often the engine is asked before it counts as broken: it is known to break off.
const ROUNDS: usize = 10;

/// The model as this engine reads it, made once for all runs.
fn eight_bits(gguf: &Path) -> PathBuf {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smollm2-q8.gguf");
    if !made.is_file() {
        let beside = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        requantise::to_eight_bits(gguf, beside.path());
        beside.persist(&made).unwrap();
    }
    made
}

fn start() -> OtherEngine {
    let gguf = Locations::from_environment().cache.join("engine/model.gguf");
    OtherEngine::start(|_| eight_bits(&gguf))
}

/// Connects through the recorder as soon as it answers.
async fn connect(engine: &mut OtherEngine, recorder: u16) -> RemoteEngine {
    loop {
        let url = format!("http://127.0.0.1:{recorder}/v1").parse().unwrap();
        let options = RemoteOptions {
            context: 1024,
            ..RemoteOptions::new(url)
        };
        let connected = tokio::task::spawn_blocking(move || RemoteEngine::connect(options))
            .await
            .unwrap();
        match connected {
            Ok(engine) => return engine,
            // it is flaky: a first answer may break off
            Err(RemoteError::Unreachable { .. } | RemoteError::FirstAnswer(_)) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => panic!("{error}"),
        }
        engine.assert_runs();
    }
}

/// Hands everything on to the engine, and keeps what was sent.
async fn record(engine: u16) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let Ok(server) = tokio::net::TcpStream::connect(("127.0.0.1", engine)).await else {
                    return;
                };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let there = async {
                    let mut bytes = [0; 4096];
                    while let Ok(count) = from_client.read(&mut bytes).await {
                        if count == 0 {
                            break;
                        }
                        kept.lock().unwrap().extend_from_slice(&bytes[..count]);
                        if to_server.write_all(&bytes[..count]).await.is_err() {
                            break;
                        }
                    }
                };
                // Whoever hangs up first ends both ways, as without a recorder.
                tokio::select! {
                    () = there => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    (port, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_in_the_bytes_that_leave_for_a_real_engine() {
    let mut engine = start();
    let (recorder, sent) = record(engine.port).await;
    let remote = Arc::new(connect(&mut engine, recorder).await);
    let places = Locations::from_environment();
    let small = tokio::task::spawn_blocking(move || {
        let runtime = Runtime::load(&places.runtime).unwrap();
        let artifact = Artifact::open(&places.model).unwrap();
        Arc::new(Worker::spawn(&runtime, artifact, EngineOptions::default()).unwrap())
    });
    let small = Seat {
        name: "Small".into(),
        ..Seat::local(small.await.unwrap())
    };
    let big = Seat {
        name: "Big".into(),
        place: Some(Place::Internet), // it is on this machine, and treated as if it were not
        state: Ok(remote),
    };
    // The small model is never sure enough.
    let unsure = Thresholds { mean: 1.0, span: 1.0 };
    let mut scene = Scene::start(vec![small, big], unsure).await;
    sent.lock().unwrap().clear();

    scene.see(&["Small"]).await;
    scene.ask("kept", RequestKind::Ask).await;
    let kept = scene.settled("kept").await.expect("the model here answers");
    assert!(kept.rationale.unwrap().contains("but this document stays here"));
    assert!(sent.lock().unwrap().is_empty(), "something has left");

    scene.allow("masked", &["Big"]).await;
    scene.agree("masked", &["Big"]).await;
    scene.see(&["Big", "Small"]).await;
    // The engine breaks off now and then. Before its first word the model here stands in, and says so.
    let mut answered = false;
    for round in 0..ROUNDS {
        let id = format!("larger {round}");
        scene.ask(&id, RequestKind::Ask).await;
        let Some(answer) = scene.settled(&id).await else {
            continue;
        };
        let why = answer.rationale.unwrap();
        if answer.author.name == "Big" {
            assert!(why.contains("personal data was masked"), "{why}");
            answered = true;
            break;
        }
        assert!(
            why.contains("Big was asked first, and there was no answer"),
            "{why}"
        );
    }
    assert!(answered, "the larger one never answered");
    let mut further = false;
    for round in 0..ROUNDS {
        let (id, before) = (format!("typing {round}"), scene.further().len());
        scene.ask(&id, RequestKind::Continue).await;
        let Some(answer) = scene.settled(&id).await else {
            continue;
        };
        assert_eq!(answer.author.name, "Small", "it writes while somebody types");
        let asked = scene
            .further()
            .into_iter()
            .nth(before)
            .expect("the larger one is asked as well");
        if let Some(more) = scene.settled(&asked.id).await {
            assert_eq!(more.author.name, "Big");
            assert!(more.rationale.unwrap().contains("Small was not sure"));
            further = true;
            break;
        }
    }
    assert!(further, "the larger one never answered as well");
    let bytes = String::from_utf8_lossy(&sent.lock().unwrap()).into_owned();
    assert!(
        bytes.contains("It rained.") && bytes.contains("[EMAIL_1]"),
        "{bytes}"
    );
    for personal in ["ada@", "example.org", "Anna", "Gram"] {
        assert!(!bytes.contains(personal), "{personal} in {bytes}");
    }
    assert!(!scene.departures().await.is_empty());
    scene.end().await;
}
