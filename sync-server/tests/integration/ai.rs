//! The AI peers in process: a scripted model in the documents that people have open, and a model that cannot be loaded.

use std::sync::Arc;
use std::time::Duration;

use crdt::Node;
use crdt::anchor::Anchor;
use crdt::margin::{self, Person, ProposalState, Request, RequestKind, RequestState};
use model::Generator;
use sync_server::{ai, clock};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use yrs::Transact;

use crate::client::{Client, PATIENCE};
use crate::process::{self, Process};
use crate::relay::{Served, config, eventually};
use script::{Script, Step};

#[path = "../../../ai-peer/tests/support/script.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the suites that use all of it"
)]
pub(crate) mod script;

/// A person with a document open.
struct Author {
    body: Client,
    margin: Client,
}

impl Author {
    async fn opens(served: &Served, doc: &str) -> Self {
        Self {
            body: Client::y(&served.ws(), doc).await,
            margin: Client::y(&served.ws(), &format!("{doc}~margin")).await,
        }
    }

    /// Writes a sentence, and asks for the next; the request's id.
    async fn asks(&mut self, id: &str) -> String {
        let body = self.body.replica.doc().clone();
        if crdt::anchor::Outline::read(&body.transact()).len() < 2 {
            crdt::content::fill(&body, &[Node::paragraph("It rained.")]).unwrap();
            self.body.flush().await.unwrap();
        }
        let anchor = Anchor::for_words(&body.transact(), "It rained.").unwrap();
        let request = Request {
            id: id.to_owned(),
            kind: RequestKind::Continue,
            by: Person {
                id: "anna".into(),
                name: "Anna".into(),
            },
            at: clock::now(),
            anchor,
            instruction: String::new(),
            to: String::new(),
            state: RequestState::Open,
            lease: None,
            proposal: None,
            error: None,
        };
        margin::put_request(&mut self.margin.replica.doc().transact_mut(), &request);
        self.margin.flush().await.unwrap();
        request.id
    }
}

fn attend(served: &Served, script: &Arc<Script>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let generator: Arc<dyn Generator> = script.clone();
    let task = tokio::spawn(ai::attend(served.relay.clone(), generator, async {
        drop(stopped.await);
    }));
    (stop, task)
}

fn states(margin: &Client) -> (Vec<RequestState>, Vec<ProposalState>) {
    let txn = margin.replica.doc().transact();
    (
        margin::requests(&txn)
            .iter()
            .map(|request| request.state)
            .collect(),
        margin::proposals(&txn)
            .iter()
            .map(|proposal| proposal.state)
            .collect(),
    )
}

#[tokio::test]
async fn peers_that_are_stopped_give_back_what_they_hold() {
    let served = Served::start(config()).await;
    let script = Script::new(vec![vec![Step::Words(" It rained on and on", 1), Step::Hang]]);
    let (stop, task) = attend(&served, &script);
    let mut anna = Author::opens(&served, "plan").await;
    anna.asks("r1").await;
    anna.margin
        .until("the proposal grows", |margin| {
            states(margin).1 == [ProposalState::Streaming]
        })
        .await;
    drop(stop);
    timeout(PATIENCE, task).await.unwrap().unwrap();
    // The relay has taken it in before they were gone, so that it may be shut down now.
    let late = Client::y(&served.ws(), "plan~margin").await;
    assert_eq!(
        states(&late),
        (vec![RequestState::Open], vec![ProposalState::Cancelled])
    );
    let left = margin::proposals(&late.replica.doc().transact()).remove(0);
    assert!(left.error.unwrap().contains("left before the end"));
    eventually("the model stops", || async { script.running() == 0 }).await;
    served.stop().await;
}

#[tokio::test]
async fn a_document_that_is_opened_again_has_a_peer_again() {
    let served = Served::start(config()).await;
    let script = Script::new(vec![vec![Step::Text(" It rained on."), Step::Done]]);
    let (stop, task) = attend(&served, &script);
    for round in 0..3 {
        let mut anna = Author::opens(&served, "plan").await;
        let id = anna.asks(&format!("r{round}")).await;
        anna.margin
            .until("it is answered", |margin| {
                let request = margin::request(&margin.replica.doc().transact(), &id);
                request.is_some_and(|request| request.state == RequestState::Done)
            })
            .await;
        drop(anna);
        if round == 0 {
            let mut open = served.relay.open_documents();
            timeout(PATIENCE, open.wait_for(|open| open.is_empty()))
                .await
                .unwrap()
                .unwrap();
        }
    }
    drop(stop);
    timeout(PATIENCE, task).await.unwrap().unwrap();
    served.stop().await;
}

#[tokio::test]
async fn a_server_whose_model_is_broken_lives_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir_all(model.join("onnx")).unwrap();
    std::fs::File::create(model.join("onnx/model.onnx")).unwrap();
    let port = process::free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = process::command(&["--listen", &listen, "--data"]);
    command
        .arg(folder.path().join("data"))
        .arg("--model-dir")
        .arg(&model)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut server = Process::spawn(command, port).await;
    let status = || async {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        http_get(socket, "/api/v1/status").await
    };
    let told = timeout(PATIENCE, async {
        loop {
            let status = status().await;
            if let Some(problem) = status["modelProblem"].as_str() {
                return problem.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert!(told.contains("lacks config.json"), "{told}");
    assert!(server.is_running());
    assert!(server.terminate().await.success());
}

/// One request; the answer's JSON.
async fn http_get(mut socket: tokio::net::TcpStream, path: &str) -> serde_json::Value {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}
