//! Time to open a large document: the editing trace of the automerge paper, from the store to a fresh client.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, GetString as _, ReadTxn as _, StateVector, Text as _, Transact as _, Update};

use super::client::connect;
use super::server::Server;
use super::stats::{Sample, cpu_time, load, row};

/// How many times the document is opened by a fresh client after a restart of the server.
const ROUNDS: usize = 7;

/// An editing trace: <https://github.com/josephg/editing-traces> (position, deleted characters, inserted text).
#[derive(Deserialize)]
struct Trace {
    #[serde(rename = "endContent")]
    end: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<(u32, u32, String)>,
}

/// Builds the document, stores it, and opens it again and again after restarts.
///
/// # Errors
/// When what arrives is not the whole document.
pub async fn run(program: &Path, trace: &Path) -> anyhow::Result<()> {
    println!("open the automerge-paper document (machine load {})", load());
    let file = std::fs::read(trace)
        .with_context(|| format!("{} is missing; `npm run bench` fetches it", trace.display()))?;
    let trace: Trace = serde_json::from_slice(&file)?;
    let (update, edits) = replay(&trace);
    row(
        "the document",
        &format!("{edits} edits, {} KB as one v1 update", update.len() / 1024),
        "",
    );

    let data = tempfile::tempdir()?;
    let server = Server::start(program, data.path(), &["--no-ai"])?;
    let (mut sender, mut receiver) = connect(&server.url("paper")).await?;
    receiver.step_2().await?;
    sender.update(&update).await?;
    loop {
        // Seen by another client and stored: the server is asked to stop, which saves everything.
        let (_sender, mut other) = connect(&server.url("paper")).await?;
        if other.step_2().await?.len() > update.len() / 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.kill();

    let (mut cold, mut warm, mut cpu) = (Sample::default(), Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        let server = Server::start(program, data.path(), &["--no-ai"])?;
        let before = cpu_time(server.pid());
        cold.add(open(&server, &trace.end).await?);
        if let (Some(before), Some(after)) = (before, cpu_time(server.pid())) {
            cpu.add(after - before);
        }
        warm.add(open(&server, &trace.end).await?);
    }
    row("from the store, whole at a fresh client", &cold.summary(), "");
    row("again while the room is open", &warm.summary(), "");
    row(
        "server CPU of the first opening (10 ms steps)",
        &cpu.summary(),
        "2 ms",
    );
    Ok(())
}

/// Connects, waits for everything, and only then looks whether it is right.
async fn open(server: &Server, expected: &str) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let (_sender, mut receiver) = connect(&server.url("paper")).await?;
    let update = receiver.step_2().await?;
    let time = begin.elapsed();
    let doc = Doc::new();
    let text = doc.get_or_insert_text("bench");
    doc.transact_mut().apply_update(Update::decode_v1(&update)?)?;
    ensure!(
        text.get_string(&doc.transact()) == expected,
        "the document that arrived is not the one that was stored"
    );
    Ok(time)
}

/// One transaction an edit: all in one takes minutes.
fn replay(trace: &Trace) -> (Vec<u8>, usize) {
    let doc = Doc::with_client_id(1);
    let text = doc.get_or_insert_text("bench");
    let mut edits = 0;
    for (at, delete, insert) in trace.txns.iter().flat_map(|txn| &txn.patches) {
        let mut txn = doc.transact_mut();
        if *delete > 0 {
            text.remove_range(&mut txn, *at, *delete);
        }
        if !insert.is_empty() {
            text.insert(&mut txn, *at, insert);
        }
        edits += 1;
    }
    let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
    (update, edits)
}
