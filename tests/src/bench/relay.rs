//! Propagation between two people, and saturated deliveries.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::sync::{Mutex, Notify};

use super::client::{Incoming, Typist, connect};
use super::server::Server;
use super::stats::{Sample, cpu_time, load, resident_mb, row};

/// Two people: a letter each every 50 ms (20 a second, a fast typist's bursts), for so many letters.
const LETTERS: usize = 300;
const KEY_INTERVAL: Duration = Duration::from_millis(50);

/// Saturation: so many documents with so many clients each, one of which writes with so many edits in flight.
const DOCUMENTS: usize = 10;
const CLIENTS: usize = 10;
const IN_FLIGHT: u64 = 8;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(6);

/// Runs both and prints their rows.
///
/// # Errors
/// When a delivery is missing or a connection is closed.
pub async fn run(program: &Path) -> anyhow::Result<()> {
    println!(
        "relay (acknowledgements durable, SQLite synchronous=FULL; machine load {})",
        load()
    );
    let data = tempfile::tempdir()?;
    let server = Server::start(program, data.path(), &["--no-ai"])?;
    if let Some(memory) = resident_mb(server.pid()) {
        row("memory at the start", &format!("{memory:.1} MB"), "10 MB");
    }
    let latency = propagation(&server).await?;
    row(
        "two people typing: key to the other's socket",
        &latency.summary(),
        "p95 < 10 ms",
    );
    saturation(&server).await
}

async fn propagation(server: &Server) -> anyhow::Result<Sample> {
    let sent: [Arc<Mutex<Vec<Instant>>>; 2] = Default::default();
    let mut tasks = Vec::new();
    for me in 0..2_usize {
        let (mut sender, mut receiver) = connect(&server.url("two-people")).await?;
        receiver.step_2().await?;
        let mine = Arc::clone(&sent[me]);
        let theirs = Arc::clone(&sent[1 - me]);
        tokio::spawn(async move {
            let mut typist = Typist::new(me as u64 + 1);
            // Out of step with each other, as people are.
            tokio::time::sleep(Duration::from_millis(500 + 17 * me as u64)).await;
            let mut clock = tokio::time::interval(KEY_INTERVAL);
            for _ in 0..LETTERS {
                clock.tick().await;
                let update = typist.key();
                mine.lock().await.push(Instant::now());
                sender.update(&update).await?;
            }
            anyhow::Ok(sender)
        });
        tasks.push(tokio::spawn(async move {
            let mut sample = Sample::default();
            while sample.len() < LETTERS {
                if matches!(receiver.next().await?, Incoming::Update(_)) {
                    let now = Instant::now();
                    // First in, first out: the nth update that arrives is the nth that was sent.
                    let begin = theirs.lock().await[sample.len()];
                    sample.add(now - begin);
                }
            }
            anyhow::Ok(sample)
        }));
    }
    let mut all = Sample::default();
    for task in tasks {
        all.extend(&task.await??);
    }
    Ok(all)
}

async fn saturation(server: &Server) -> anyhow::Result<()> {
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for doc in 0..DOCUMENTS {
        let name = format!("saturated-{doc}");
        let counters: Arc<Vec<AtomicU64>> = Arc::new((1..CLIENTS).map(|_| AtomicU64::new(0)).collect());
        let progress = Arc::new(Notify::new());
        for reader in 0..CLIENTS - 1 {
            let (sender, mut receiver) = connect(&server.url(&name)).await?;
            receiver.step_2().await?;
            let (counters, progress, delivered) = (
                Arc::clone(&counters),
                Arc::clone(&progress),
                Arc::clone(&delivered),
            );
            tasks.push(tokio::spawn(async move {
                let _open = sender;
                loop {
                    if matches!(receiver.next().await?, Incoming::Update(_)) {
                        counters[reader].fetch_add(1, Ordering::Release);
                        delivered.fetch_add(1, Ordering::Relaxed);
                        progress.notify_one();
                    }
                }
            }));
        }
        let (mut sender, mut receiver) = connect(&server.url(&name)).await?;
        receiver.step_2().await?;
        // A writer that does not read would be cut off for being slow.
        tasks.push(tokio::spawn(async move {
            loop {
                receiver.next().await?;
            }
        }));
        tasks.push(tokio::spawn(async move {
            let mut typist = Typist::new(1000 + doc as u64);
            let mut sent = 0_u64;
            loop {
                let slowest = counters
                    .iter()
                    .map(|counter| counter.load(Ordering::Acquire))
                    .min()
                    .unwrap_or(sent);
                if sent - slowest < IN_FLIGHT {
                    sender.update(&typist.key()).await?;
                    sent += 1;
                } else {
                    progress.notified().await;
                }
            }
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let own = std::process::id();
    let (begin, first, cpu, generator) = (
        Instant::now(),
        delivered.load(Ordering::Relaxed),
        cpu_time(server.pid()),
        cpu_time(own),
    );
    tokio::time::sleep(MEASURED).await;
    let count = delivered.load(Ordering::Relaxed) - first;
    let seconds = begin.elapsed().as_secs_f64();
    for task in &tasks {
        ensure!(!task.is_finished(), "a connection was closed under load");
    }
    tasks
        .iter()
        .for_each(|task: &tokio::task::JoinHandle<anyhow::Result<()>>| task.abort());
    let shape = format!("{DOCUMENTS} documents x {CLIENTS} clients, {IN_FLIGHT} edits in flight");
    row(
        "saturated deliveries",
        &format!("{:.0} /s  ({shape})", count as f64 / seconds),
        "",
    );
    if let (Some(before), Some(after)) = (cpu, cpu_time(server.pid())) {
        let micros = (after - before).as_secs_f64() * 1e6 / count.max(1) as f64;
        row("server CPU per delivery", &format!("{micros:.2} us"), "2 us");
    }
    if let (Some(before), Some(after)) = (generator, cpu_time(own)) {
        row(
            "the load's own CPU",
            &format!(
                "{:.0} % of one core",
                (after - before).as_secs_f64() / seconds * 100.0
            ),
            "",
        );
    }
    Ok(())
}
