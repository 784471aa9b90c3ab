//! As many deliveries as the server can make: each writer has so many edits in flight and sends the next one when all
//! the others of its document have got one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::super::candidate::Candidate;
use super::super::load::client::{Incoming, Receiver, join_all};
use super::super::load::letters::{Typist, reached};
use super::super::stats::Meter;
use super::{Measures, PATIENCE, Plan, Row};

/// So many documents with so many clients each, one of which writes with so many edits in flight.
const DOCUMENTS: usize = 10;
const CLIENTS: usize = 10;
const IN_FLIGHT: u64 = 8;

/// One document's state: how many edits each reader has, and that somebody got one.
#[derive(Debug)]
struct Progress {
    readers: Vec<AtomicU64>,
    changed: Notify,
}

impl Progress {
    fn slowest(&self) -> u64 {
        let edits = self.readers.iter().map(|reader| reader.load(Ordering::Acquire));
        edits.min().unwrap_or_default()
    }

    fn delivered(&self) -> u64 {
        self.readers
            .iter()
            .map(|reader| reader.load(Ordering::Acquire))
            .sum()
    }
}

/// Runs it against one server.
///
/// # Errors
/// When a delivery is missing or a connection is closed.
pub(super) async fn run(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let stop = Arc::new(Notify::new());
    let mut documents: Vec<Arc<Progress>> = Vec::new();
    let (mut readers, mut writers) = (JoinSet::new(), JoinSet::new());
    for document in 0..DOCUMENTS {
        let address = server.address(&format!("saturated-{document}"));
        let me = 1000 + document as u64;
        let progress = Arc::new(Progress {
            readers: (1..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
            changed: Notify::new(),
        });
        let mut clients = join_all(&vec![address; CLIENTS]).await?;
        let (sender, mut receiver) = clients.pop().context("a document without a writer")?;
        for (reader, (_, receiver)) in clients.into_iter().enumerate() {
            readers.spawn(read(receiver, Arc::clone(&progress), reader, me));
        }
        // A writer that does not read would be cut off for being slow.
        readers.spawn(async move {
            loop {
                receiver.next().await?;
            }
        });
        documents.push(Arc::clone(&progress));
        let stop = Arc::clone(&stop);
        writers.spawn(async move {
            let mut typist = Typist::new(me);
            let stopped = stop.notified();
            tokio::pin!(stopped);
            loop {
                let changed = progress.changed.notified();
                if typist.typed() - progress.slowest() < IN_FLIGHT {
                    sender.update(&typist.key()).await?;
                    continue;
                }
                tokio::select! {
                    () = changed => {}
                    () = &mut stopped => break,
                }
            }
            anyhow::Ok(typist.typed())
        });
    }
    let (warm_up, measured) = if plan.quick { (400, 1500) } else { (2000, 6000) };
    tokio::time::sleep(Duration::from_millis(warm_up)).await;
    let delivered = || documents.iter().map(|document| document.delivered()).sum::<u64>();
    let (meter, before) = (Meter::start(server.pid()), delivered());
    tokio::time::sleep(Duration::from_millis(measured)).await;
    let (count, metered) = (delivered() - before, meter.stop());

    stop.notify_waiters();
    let mut sent = 0;
    while let Some(written) = tokio::time::timeout(PATIENCE, writers.join_next())
        .await
        .context("a writer waits for a delivery that does not come")?
    {
        sent += written?? * (CLIENTS as u64 - 1);
    }
    let end = tokio::time::Instant::now() + PATIENCE;
    while delivered() < sent {
        if let Some(ended) = readers.try_join_next() {
            ended??;
        }
        ensure!(
            tokio::time::Instant::now() < end,
            "{} of {sent} deliveries are missing",
            sent - delivered()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(vec![
        (Row::Saturated, count as f64 / metered.seconds),
        (Row::CpuPerDelivery, metered.server * 1e6 / count.max(1) as f64),
        (Row::LoadSaturated, metered.load_percent),
    ])
}

async fn read(
    mut receiver: Receiver,
    progress: Arc<Progress>,
    reader: usize,
    writer: u64,
) -> anyhow::Result<()> {
    loop {
        let (Incoming::Update(update) | Incoming::Step2(update)) = receiver.next().await? else {
            continue;
        };
        reached(update, |client, clock| {
            if client == writer {
                progress.readers[reader].fetch_max(clock, Ordering::AcqRel);
                progress.changed.notify_one();
            }
        })?;
    }
}
