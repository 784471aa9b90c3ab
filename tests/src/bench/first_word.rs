//! Time from asking to the first visible word: a request in the margin of a 500-word document, over the real server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use crdt::anchor::Anchor;
use crdt::margin::{Person, Request, RequestKind, RequestState};
use crdt::replica::Replica;
use crdt::{Timestamp, content, doc, margin, markdown};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use yrs::Transact as _;

use super::server::Server;
use super::stats::{Sample, load, row};

/// The opening of "Alice's Adventures in Wonderland" (Lewis Carroll, 1865), 542 words.
const TEXT: &str = include_str!("../../data/alice.md");

/// Requests that are measured; before each one some letters are typed at the end.
const ROUNDS: usize = 8;

/// How long anything here may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs it and prints its rows.
///
/// # Errors
/// When no AI peer comes or no word arrives.
pub async fn run(program: &Path) -> anyhow::Result<()> {
    println!(
        "first visible word, 542-word document, default model (machine load {})",
        load()
    );
    let data = tempfile::tempdir()?;
    let server = Server::start(program, data.path(), &[])?;
    let mut body = Peer::connect(&server.url("alice"), 11).await?;
    let mut beside = Peer::connect(&server.url("alice~margin"), 12).await?;
    fill(body.replica.doc())?;
    body.flush().await?;
    body.until("an AI peer", |replica| {
        replica
            .awareness()
            .others()
            .any(|(_, state)| state["user"]["kind"] == "ai")
    })
    .await?;

    let mut warm = Sample::default();
    for round in 0..=ROUNDS {
        type_some(body.replica.doc(), round);
        body.flush().await?;
        let id = format!("request-{round}");
        let request = {
            let txn = body.replica.doc().transact();
            Request {
                id: id.clone(),
                kind: RequestKind::Continue,
                by: Person {
                    id: "bench".into(),
                    name: "Bench".into(),
                },
                at: now(),
                anchor: Anchor::for_caret(&txn, usize::MAX),
                instruction: String::new(),
                to: String::new(),
                state: RequestState::Open,
                lease: None,
                proposal: None,
                error: None,
            }
        };
        let begin = Instant::now();
        margin::put_request(&mut beside.replica.doc().transact_mut(), &request);
        beside.flush().await?;
        beside
            .until("the first word", |replica| {
                margin::proposals(&replica.doc().transact())
                    .iter()
                    .any(|one| one.request == id && !one.payload.trim().is_empty())
            })
            .await?;
        let time = begin.elapsed();
        if round == 0 {
            let mut cold = Sample::default();
            cold.add(time);
            row(
                "the first request to this document",
                &format!("{:.0} ms", cold.quantile(1.0)),
                "1000 ms",
            );
        } else {
            warm.add(time);
        }
        // A short answer has ended by itself: then there is nothing to cancel.
        if margin::cancel_request(&mut beside.replica.doc().transact_mut(), &id) {
            beside.flush().await?;
        }
        beside
            .until("the peer is free again", |replica| {
                margin::proposals(&replica.doc().transact())
                    .iter()
                    .all(|one| one.request != id || one.state != margin::ProposalState::Streaming)
            })
            .await?;
    }
    row(
        "each later one, after some typing",
        &warm.summary(),
        "250 ms with a warm prefix",
    );
    Ok(())
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

fn fill(document: &yrs::Doc) -> anyhow::Result<()> {
    Ok(content::fill(document, &markdown::parse(TEXT))?)
}

/// A few words at the end, as a person would before asking again.
fn type_some(document: &yrs::Doc, round: usize) {
    let fragment = doc::fragment(document);
    let mut txn = document.transact_mut();
    let end = yrs::XmlFragment::len(&fragment, &txn);
    content::insert(
        &fragment,
        &mut txn,
        end,
        &markdown::parse(&format!("And then, for the {round}th time, she")),
    );
}

/// A replica with its socket.
struct Peer {
    replica: Replica,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Peer {
    async fn connect(url: &str, client: u32) -> anyhow::Result<Self> {
        let (socket, _) = tokio_tungstenite::connect_async(url).await?;
        let mut peer = Self {
            replica: Replica::new(client),
            socket,
        };
        for frame in peer.replica.connected() {
            peer.send(frame).await?;
        }
        peer.until("the first sync", Replica::is_synced).await?;
        Ok(peer)
    }

    async fn send(&mut self, frame: Vec<u8>) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::Binary(Bytes::from(frame))).await?)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        for frame in self.replica.drain_updates() {
            self.send(frame).await?;
        }
        Ok(())
    }

    /// Takes in frames until `condition` holds.
    async fn until(&mut self, what: &str, condition: impl Fn(&Replica) -> bool) -> anyhow::Result<()> {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !condition(&self.replica) {
            let message = tokio::time::timeout_at(end, self.socket.next())
                .await
                .with_context(|| format!("waited in vain for {what}"))?;
            let Some(message) = message else {
                bail!("the relay closed the connection while waiting for {what}")
            };
            if let Message::Binary(frame) = message? {
                let received = self.replica.receive(now(), &frame)?;
                for reply in received.replies {
                    self.send(reply).await?;
                }
            }
        }
        Ok(())
    }
}
