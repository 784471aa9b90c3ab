//! Memory: at the start, for each document, for each connection that does nothing.

use std::time::Duration;

use anyhow::Context as _;

use super::super::candidate::{Candidate, Running};
use super::super::load::client::{Receiver, Sender, join_all};
use super::super::load::letters::Typist;
use super::super::stats::resident_kib;
use super::{Measures, Plan, Row};

/// Letters in each document.
const LETTERS: usize = 5;

/// Runs it against one server.
///
/// # Errors
/// When a connection is closed.
pub(super) async fn run(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let (documents, clients) = if plan.quick { (50, 10) } else { (500, 10) };
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let start = settled(&server).await?;
    // One client each, then the others: what the second step takes is the connections' alone.
    let mut open = Vec::new();
    let mut connect = async |clients: usize, write: bool| {
        let addresses: Vec<_> = (0..documents * clients)
            .map(|client| server.address(&format!("idle-{}", client / clients)))
            .collect();
        for (client, (sender, receiver)) in join_all(&addresses).await?.into_iter().enumerate() {
            if write {
                let mut typist = Typist::new(1 + client as u64);
                for _ in 0..LETTERS {
                    sender.update(&typist.key()).await?;
                }
            }
            open.push(listen(sender, receiver));
        }
        anyhow::Ok(())
    };
    connect(1, true).await?;
    let one_each = settled(&server).await?;
    connect(clients - 1, false).await?;
    let all = settled(&server).await?;
    for connection in &open {
        anyhow::ensure!(
            !connection.is_finished(),
            "a connection that does nothing was closed"
        );
    }
    let connection = (all - one_each) / (documents * (clients - 1)) as f64;
    let document = (one_each - start) / documents as f64 - connection;
    open.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(vec![
        (Row::MemoryAtStart, start / 1024.0),
        (Row::MemoryPerConnection, connection),
        (Row::MemoryPerDocument, document),
    ])
}

fn listen(sender: Sender, mut receiver: Receiver) -> tokio::task::JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move {
        let _open = sender;
        loop {
            receiver.next().await?;
        }
    })
}

/// Memory once it stays the same for half a second, or after five.
async fn settled(server: &Running) -> anyhow::Result<f64> {
    let now =
        || resident_kib(server.pid()).context("this system does not tell how much memory a process has");
    let mut before = now()?;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let after = now()?;
        if (after - before).abs() < 64.0 {
            return Ok(after);
        }
        before = after;
    }
    Ok(before)
}
