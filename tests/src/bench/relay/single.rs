//! Every keystroke of the paper as an update of its own: how fast, and does it stay as fast?

use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::watch;

use super::super::candidate::Candidate;
use super::super::load::client::{Incoming, Sender, join};
use super::super::load::letters::reached;
use super::super::paper::Paper;
use super::{Measures, PATIENCE, Plan, Row};

/// Edits that are on their way at once.
const IN_FLIGHT: usize = 64;
/// Who writes the last letter.
const LAST: u64 = 2;

/// Runs it against one server.
///
/// # Errors
/// When an edit does not arrive, or a connection is closed.
pub(super) async fn run(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let paper = plan.paper()?;
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let address = server.address("single");
    let (_open, mut reader) = join(&address).await?;
    let (sender, mut own) = join(&address).await?;
    let draining = tokio::spawn(async move { while own.next().await.is_ok() {} });
    let clocks: Vec<u64> = paper.edits.iter().map(|edit| edit.clock).collect();
    let count = clocks.len();
    let (progress, seen) = watch::channel(0_usize);
    let writer = tokio::spawn(write(sender, paper, seen));

    let begin = Instant::now();
    let mut tenths = [0.0; 11];
    let mut arrived = 0;
    while arrived < count {
        let incoming = tokio::time::timeout(PATIENCE, reader.next())
            .await
            .with_context(|| format!("after {arrived} edits of {count} nothing arrives any more"))??;
        let (Incoming::Update(update) | Incoming::Step2(update)) = incoming else {
            continue;
        };
        let before = arrived;
        reached(update, |client, clock| {
            if client == LAST {
                arrived = count;
            } else {
                // Edits that only delete have no clock of their own: they count with the one before.
                arrived = arrived.max(clocks.partition_point(|known| *known <= clock));
            }
        })?;
        let now = begin.elapsed().as_secs_f64();
        tenths[before * 10 / count + 1..=arrived * 10 / count].fill(now);
        if arrived > before {
            progress.send_replace(arrived);
        }
    }
    writer.await??;
    draining.abort();
    Ok(vec![
        (Row::Single, count as f64 / tenths[10]),
        (Row::SingleSlower, (tenths[10] - tenths[9]) / tenths[1]),
    ])
}

async fn write(
    sender: Sender,
    paper: std::sync::Arc<Paper>,
    mut seen: watch::Receiver<usize>,
) -> anyhow::Result<Sender> {
    for (index, edit) in paper.edits.iter().enumerate() {
        while index >= *seen.borrow_and_update() + IN_FLIGHT {
            seen.changed().await?;
        }
        sender.update(&edit.update).await?;
    }
    sender.update(&Paper::full_stop(LAST)).await?;
    Ok(sender)
}
