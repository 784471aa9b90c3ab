//! The program `inkling-peer` over real sockets, with the real model.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod support;

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crdt::margin::{ProposalState, RequestKind, RequestState};
use support::server::Server;
use support::{Human, Relay, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

const DOC: &str = "Plan für Ünal";

fn start(url: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_inkling-peer"))
        .args(["--url", url, "--doc", DOC])
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("INKLING_KEY")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits for the end; how it ended and what it said.
async fn end(mut child: Child) -> (ExitStatus, String) {
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let ended = async {
        stderr.read_to_string(&mut said).await.unwrap();
        child.wait().await.unwrap()
    };
    let status = timeout(Duration::from_secs(60), ended).await.expect("it ends");
    (status, said)
}

async fn interrupt(child: &Child) {
    let id = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await.unwrap();
    assert!(sent.success());
}

fn sees_ai(human: &Human) -> bool {
    human.sees_kind("ai").is_some()
}

#[tokio::test]
async fn it_answers_comes_back_after_a_break_and_leaves_cleanly() {
    let clock = clock();
    let relay = Relay::new();
    let server = Server::start(&relay, DOC).await;
    let mut human = Human::join(&relay, "ann", &clock, 1).await;
    human
        .write(&[
            "The river had risen all week.",
            "Old Marta moved the goats up to the barn.",
        ])
        .await;
    let child = start(&server.url(), &["--key", "secret", "--name", "Helper"]);
    human.until("it is here", sees_ai).await;
    let seen = human.sees_kind("ai").unwrap();
    assert_eq!(seen["user"]["name"], "Helper");
    assert!(
        seen["user"]["licence"].is_string() && seen["user"]["model"].is_string(),
        "{seen}"
    );

    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human
        .until("done", |human| human.find(&id).state == RequestState::Done)
        .await;
    assert_eq!(human.proposal().unwrap().state, ProposalState::Pending);
    assert_eq!(human.proposal().unwrap().author.name, "Helper");

    server.drop_sockets();
    human.until("it is gone", |human| !sees_ai(human)).await;
    human.until("it is back", sees_ai).await;
    let request = human.at_end(RequestKind::Continue);
    let id = human.ask(request).await;
    human.until("words", |human| human.proposals().len() == 2).await;

    let asked = Instant::now();
    interrupt(&child).await;
    human.until("it is gone", |human| !sees_ai(human)).await;
    let (status, said) = end(child).await;
    assert!(status.success(), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    human.idle(Duration::from_millis(100)).await;
    // It may have been quicker than the signal.
    let (state, proposal) = (human.find(&id).state, human.proposals().remove(1));
    match proposal.state {
        ProposalState::Cancelled => assert_eq!(state, RequestState::Open),
        ProposalState::Pending => assert_eq!(state, RequestState::Done),
        other => panic!("left {other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let relay = Relay::new();
    let server = Server::start(&relay, DOC).await;
    let (status, said) = end(start(&server.url(), &["--key", "wrong"])).await;
    assert!(!status.success() && said.contains("--key"), "{said}");
    let (status, said) = end(start(&server.url(), &["--model-dir", "/nowhere"])).await;
    assert!(!status.success() && said.contains("/nowhere"), "{said}");
    let (status, said) = end(start(&server.url(), &["--ort-lib", "/nowhere"])).await;
    assert!(!status.success() && said.contains("/nowhere"), "{said}");
    let (status, said) = end(start(&server.url(), &["--ca", "/nowhere.pem"])).await;
    assert!(!status.success() && said.contains("/nowhere.pem"), "{said}");
    let (status, said) = end(start(&server.url(), &["--adapter", "gone"])).await;
    assert!(
        !status.success() && said.contains("“gone” is not on this machine"),
        "{said}"
    );
    let elsewhere = server.url().replace("/y", "/nothing");
    let (status, said) = end(start(&elsewhere, &["--key", "secret"])).await;
    assert!(!status.success() && said.contains("/y"), "{said}");
}

/// A key has no flag: it is read from a file or the environment, and is the one that the endpoint gets.
#[tokio::test]
async fn the_endpoints_key_is_on_no_command_line() {
    let relay = Relay::new();
    let server = Server::start(&relay, DOC).await;
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = format!("http://{}/v1", endpoint.local_addr().unwrap());
    let (status, said) = end(start(
        &server.url(),
        &["--engine-url", &engine, "--engine-key", "k"],
    ))
    .await;
    assert!(
        !status.success() && said.contains("unexpected argument"),
        "{said}"
    );
    let (status, said) = end(start(
        &server.url(),
        &["--engine-url", &engine, "--engine-key-file", "/nowhere"],
    ))
    .await;
    assert!(
        !status.success() && said.contains("cannot be read from /nowhere"),
        "{said}"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::io::Write::write_all(&mut std::fs::File::create(&file).unwrap(), b" from-file\n").unwrap();
    let named = file.display().to_string();
    for (arguments, wanted) in [
        (vec!["--engine-key-file", named.as_str()], "Bearer from-file"),
        (vec![], "Bearer from-environment"),
    ] {
        let child = Command::new(env!("CARGO_BIN_EXE_inkling-peer"))
            .args(["--url", &server.url(), "--doc", DOC, "--engine-url", &engine])
            .args(arguments)
            .env("INKLING_ENGINE_KEY", "from-environment")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut asked, _) = timeout(Duration::from_secs(60), endpoint.accept())
            .await
            .unwrap()
            .unwrap();
        let mut request = vec![0; 4096];
        let read = asked.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        assert!(request.contains(wanted), "{request}");
        let refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        asked.write_all(refusal).await.unwrap();
        let (status, said) = end(child).await;
        assert!(!status.success() && said.contains("--engine-key-file"), "{said}");
    }
}
