//! Acknowledged edits: how long an acknowledgement takes, and how many are gone after `kill -9`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use super::super::candidate::Candidate;
use super::super::load::client::{Address, Incoming, Receiver, Sender, connect, join};
use super::super::load::letters::{Typist, reached};
use super::super::stats::Histogram;
use super::{Measures, PATIENCE, Plan, Row};

/// Documents that are written at once, one writer each.
const DOCUMENTS: usize = 50;
/// Letters of each writer a second.
const PER_SECOND: f64 = 4.0;
/// How long a document that lacks something is listened to after a restart.
const LATE_ANSWER: Duration = Duration::from_secs(1);

/// Time from an edit to `SyncStatus(true)`; nothing for servers that do not acknowledge.
///
/// # Errors
/// When an edit is refused or never acknowledged.
pub(super) async fn latency(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let letters = if plan.quick { 5 } else { 24 };
    let latency = Arc::new(Histogram::default());
    let mut writers = JoinSet::new();
    for document in 0..DOCUMENTS {
        let Some(address) = server.acknowledging(&format!("acknowledged-{document}")) else {
            return Ok(Vec::new());
        };
        let latency = Arc::clone(&latency);
        writers.spawn(async move {
            let (sender, mut receiver) = join(&address).await?;
            let mut typist = Typist::new(1 + document as u64);
            // Out of step with each other, as people are.
            tokio::time::sleep(Duration::from_millis(5 * document as u64)).await;
            let mut clock = tokio::time::interval(Duration::from_secs_f64(1.0 / PER_SECOND));
            for _ in 0..letters {
                clock.tick().await;
                let begin = Instant::now();
                sender.update(&typist.key()).await?;
                taken(&mut receiver).await?;
                latency.add(begin.elapsed());
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(vec![
        (Row::AcknowledgedP50, latency.quantile(0.5)),
        (Row::AcknowledgedP95, latency.quantile(0.95)),
        (Row::AcknowledgedP99, latency.quantile(0.99)),
    ])
}

/// Waits for the next acknowledgement.
async fn taken(receiver: &mut Receiver) -> anyhow::Result<()> {
    loop {
        let incoming = tokio::time::timeout(PATIENCE, receiver.next())
            .await
            .context("an edit is not acknowledged")??;
        if let Incoming::Status(taken) = incoming {
            ensure!(taken, "an edit was refused");
            return Ok(());
        }
    }
}

/// Kills the server while 50 documents are written, starts it again, and counts what is gone of what it had
/// acknowledged; or, where it acknowledges nothing, of what it had shown to somebody else.
///
/// # Errors
/// When the server does not come back.
pub(super) async fn crash(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let mut safe = Vec::new();
    let mut tasks = JoinSet::new();
    for document in 0..DOCUMENTS {
        let name = format!("crash-{document}");
        let known = Arc::new(AtomicU64::new(0));
        safe.push((name.clone(), Arc::clone(&known)));
        match server.acknowledging(&name) {
            Some(address) => {
                let (sender, receiver) = join(&address).await?;
                tasks.spawn(acknowledged(receiver, known));
                tasks.spawn(keep_writing(sender, document, None));
            }
            None => {
                let (_, receiver) = join(&server.address(&name)).await?;
                tasks.spawn(shown(receiver, known));
                let (sender, receiver) = join(&server.address(&name)).await?;
                tasks.spawn(keep_writing(sender, document, Some(receiver)));
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(if plan.quick {
        1500
    } else {
        plan.crash_after
    }))
    .await;
    server.kill();
    let before: Vec<u64> = safe
        .iter()
        .map(|(_, known)| known.load(Ordering::Acquire))
        .collect();
    tasks.shutdown().await;
    let server = candidate.start(data.path(), plan.pinned)?;
    let (mut acknowledged, mut lost) = (0, 0);
    let found = try_join_all(
        safe.iter()
            .zip(&before)
            .map(async |((name, _), before)| found(&server.address(name), *before).await),
    )
    .await?;
    for (before, found) in before.into_iter().zip(found) {
        acknowledged += before;
        lost += before.saturating_sub(found);
    }
    ensure!(acknowledged > 0, "nothing was acknowledged before the crash");
    Ok(vec![(Row::Lost, lost as f64 / acknowledged as f64 * 100.0)])
}

async fn keep_writing(sender: Sender, document: usize, receiver: Option<Receiver>) -> anyhow::Result<()> {
    let reading =
        receiver.map(|mut receiver| tokio::spawn(async move { while receiver.next().await.is_ok() {} }));
    let mut typist = Typist::new(1 + document as u64);
    let mut clock = tokio::time::interval(Duration::from_secs_f64(1.0 / PER_SECOND));
    loop {
        clock.tick().await;
        if let Err(error) = sender.update(&typist.key()).await {
            if let Some(reading) = reading {
                reading.abort();
            }
            return Err(error);
        }
    }
}

async fn acknowledged(mut receiver: Receiver, known: Arc<AtomicU64>) -> anyhow::Result<()> {
    loop {
        if matches!(receiver.next().await?, Incoming::Status(true)) {
            known.fetch_add(1, Ordering::AcqRel);
        }
    }
}

async fn shown(mut receiver: Receiver, known: Arc<AtomicU64>) -> anyhow::Result<()> {
    loop {
        if let Incoming::Update(update) | Incoming::Step2(update) = receiver.next().await? {
            reached(update, |_, clock| {
                known.fetch_max(clock, Ordering::AcqRel);
            })?;
        }
    }
}

/// How many letters are in a document; waits a moment for as many as there should be, since some servers answer before
/// they have read their files.
async fn found(address: &Address, expected: u64) -> anyhow::Result<u64> {
    let (_sender, mut receiver) = connect(address).await?;
    let mut found = 0;
    let end = tokio::time::Instant::now() + LATE_ANSWER;
    while found < expected {
        let Ok(incoming) = tokio::time::timeout_at(end, receiver.next()).await else {
            break;
        };
        if let Incoming::Update(update) | Incoming::Step2(update) = incoming? {
            reached(update, |_, clock| found = found.max(clock))?;
        }
    }
    Ok(found)
}
