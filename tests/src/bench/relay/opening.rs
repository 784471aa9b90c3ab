//! Opening a large document after a restart: from the store, whole at a fresh client.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, Transact as _, Update};

use super::super::candidate::{Candidate, Kind, Running};
use super::super::load::client::{Address, Incoming, connect, join};
use super::super::paper::{Paper, read_blocks, read_text};
use super::super::stats::Meter;
use super::{Measures, PATIENCE, Plan, Row, middle};

/// One opening.
struct Opened {
    /// Until the last byte was at the socket, milliseconds.
    whole: f64,
    /// Until the client had taken it in, too.
    applied: f64,
    /// CPU time of the server, milliseconds.
    cpu: f64,
    /// Whether the first answer was the document.
    at_once: bool,
}

/// Runs it against one server.
///
/// # Errors
/// When what arrives is never the document.
pub(super) async fn run(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let paper = plan.paper()?;
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    for (name, update) in [("paper", &paper.text), ("blocks", &paper.blocks)] {
        store(&server.address(name), update).await?;
    }
    // Nobody is there any more; servers that save late save now.
    tokio::time::sleep(match candidate.kind() {
        Kind::YSweet => Duration::from_secs(12),
        Kind::Ours | Kind::YWebsocket | Kind::Hocuspocus => Duration::from_millis(1500),
    })
    .await;
    server.kill();

    let (mut texts, mut blocks) = (Vec::new(), Vec::new());
    for _ in 0..if plan.quick { 2 } else { 5 } {
        let server = candidate.start(data.path(), plan.pinned)?;
        texts.push(open(&server, "paper", read_text, &paper).await?);
        drop(server);
        let server = candidate.start(data.path(), plan.pinned)?;
        blocks.push(open(&server, "blocks", read_blocks, &paper).await?);
    }
    let empty = texts.iter().chain(&blocks).filter(|one| !one.at_once).count();
    Ok(vec![
        (Row::OpenText, middle(texts.iter().map(|one| one.whole))),
        (Row::OpenTextCpu, middle(texts.iter().map(|one| one.cpu))),
        (Row::OpenBlocks, middle(blocks.iter().map(|one| one.whole))),
        (Row::OpenBlocksCpu, middle(blocks.iter().map(|one| one.cpu))),
        (Row::OpenApplied, middle(blocks.iter().map(|one| one.applied))),
        (
            Row::OpenEmptyFirst,
            empty as f64 / (texts.len() + blocks.len()) as f64 * 100.0,
        ),
    ])
}

/// Sends the document and waits until somebody else has all of it.
async fn store(address: &Address, update: &[u8]) -> anyhow::Result<()> {
    let (_, mut other) = join(address).await?;
    let (sender, mut own) = join(address).await?;
    let draining = tokio::spawn(async move { while own.next().await.is_ok() {} });
    sender.update(update).await?;
    loop {
        let incoming = tokio::time::timeout(PATIENCE, other.next())
            .await
            .context("the document does not reach another client")??;
        if let Incoming::Update(seen) | Incoming::Step2(seen) = incoming
            && seen.len() > update.len() / 2
        {
            draining.abort();
            return Ok(());
        }
    }
}

async fn open(
    server: &Running,
    name: &str,
    read: impl Fn(&Doc) -> String,
    paper: &Paper,
) -> anyhow::Result<Opened> {
    let (meter, begin) = (Meter::start(server.pid()), Instant::now());
    let (_sender, mut receiver) = connect(&server.address(name)).await?;
    let doc = Doc::new();
    let mut answers = 0;
    loop {
        let incoming = tokio::time::timeout(PATIENCE, receiver.next())
            .await
            .context("the document that arrives is not the one that was stored")??;
        if let Incoming::Step2(update) | Incoming::Update(update) = incoming {
            let (arrived, cpu) = (begin.elapsed(), meter.stop().server);
            answers += 1;
            doc.transact_mut().apply_update(Update::decode_v1(update)?)?;
            let applied = begin.elapsed();
            if read(&doc) == paper.end {
                return Ok(Opened {
                    whole: arrived.as_secs_f64() * 1000.0,
                    applied: applied.as_secs_f64() * 1000.0,
                    cpu: cpu * 1000.0,
                    at_once: answers == 1,
                });
            }
        }
    }
}
