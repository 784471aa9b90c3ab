//! People who type: how long a letter takes to the others' sockets, with few and with many connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::super::candidate::Candidate;
use super::super::load::client::{Incoming, Receiver, Sender, join_all};
use super::super::load::letters::{Typist, reached};
use super::super::stats::{Histogram, Meter};
use super::{Measures, PATIENCE, Plan, Row};

/// People in a document.
const PEOPLE: usize = 10;

/// So many connections, and so many edits of each a second.
#[derive(Debug, Clone, Copy)]
struct Shape {
    connections: usize,
    edits_per_second: f64,
    rows: [Row; 3],
    load: Row,
}

/// 100 connections, 50 edits a second in all.
const FEW: Shape = Shape {
    connections: 100,
    edits_per_second: 0.5,
    rows: [Row::FewP50, Row::FewP95, Row::FewP99],
    load: Row::LoadFew,
};

/// 4,000 connections, 96,000 deliveries a second in all.
const MANY: Shape = Shape {
    connections: 4000,
    edits_per_second: 96_000.0 / (PEOPLE as f64 - 1.0) / 4000.0,
    rows: [Row::ManyP50, Row::ManyP95, Row::ManyP99],
    load: Row::LoadMany,
};

/// One document: when each of its people typed each letter, in nanoseconds since the begin.
#[derive(Debug)]
struct Document {
    first_client: u64,
    letters: Vec<Vec<AtomicU64>>,
    received: AtomicU64,
}

/// Runs the small load.
///
/// # Errors
/// When a delivery is missing or a connection is closed.
pub(super) async fn few(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    run(candidate, plan, FEW).await
}

/// Runs the large load.
///
/// # Errors
/// As [`few`].
pub(super) async fn many(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let shape = if plan.quick {
        Shape {
            connections: 400,
            ..MANY
        }
    } else {
        MANY
    };
    run(candidate, plan, shape).await
}

async fn run(candidate: &Candidate, plan: &Plan, shape: Shape) -> anyhow::Result<Measures> {
    let measured = Duration::from_millis(if plan.quick { 1000 } else { 6000 });
    let warm_up = Duration::from_millis(if plan.quick { 500 } else { 2000 });
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let begin = Instant::now();
    let latency = Arc::new(Histogram::default());
    // Counts from here on; before, the server warms up.
    let counted_from = Arc::new(AtomicU64::new(u64::MAX));
    let most = (shape.edits_per_second * (warm_up + measured).as_secs_f64()) as usize + 2;
    let (mut documents, mut senders, mut readers) = (Vec::new(), Vec::new(), JoinSet::new());
    for index in 0..shape.connections / PEOPLE {
        let document = Arc::new(Document {
            first_client: 1 + (index * PEOPLE) as u64,
            letters: (0..PEOPLE)
                .map(|_| (0..most).map(|_| AtomicU64::new(0)).collect())
                .collect(),
            received: AtomicU64::new(0),
        });
        let address = server.address(&format!("human-{index}"));
        let mut people = Vec::new();
        for (me, (sender, receiver)) in join_all(&vec![address; PEOPLE]).await?.into_iter().enumerate() {
            people.push(sender);
            readers.spawn(read(
                receiver,
                me,
                Arc::clone(&document),
                begin,
                Arc::clone(&latency),
                Arc::clone(&counted_from),
            ));
        }
        documents.push(document);
        senders.push(people);
    }
    let mut writers = JoinSet::new();
    for (index, (document, people)) in documents.iter().zip(senders).enumerate() {
        let end = Instant::now() + warm_up + measured;
        // Documents begin one after the other, so that their letters do not come in one heap.
        let delay = Duration::from_secs_f64(1.0 / shape.edits_per_second / PEOPLE as f64)
            .mul_f64((index as f64 * 0.618).fract());
        let document = Arc::clone(document);
        writers.spawn(write(people, document, shape.edits_per_second, begin, delay, end));
    }
    tokio::time::sleep(warm_up).await;
    let meter = Meter::start(server.pid());
    counted_from.store(begin.elapsed().as_nanos() as u64, Ordering::Release);
    tokio::time::sleep(measured).await;
    let metered = meter.stop();
    let mut open = Vec::new();
    let mut expected = 0;
    while let Some(written) = writers.join_next().await {
        let (typed, people) = written??;
        expected += typed * (PEOPLE as u64 - 1);
        open.push(people);
    }
    let received = || {
        documents
            .iter()
            .map(|one| one.received.load(Ordering::Acquire))
            .sum::<u64>()
    };
    let end = Instant::now() + PATIENCE;
    while received() < expected {
        if let Some(ended) = readers.try_join_next() {
            ended??;
        }
        ensure!(
            Instant::now() < end,
            "{} of {expected} deliveries are missing",
            expected - received()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut measures: Measures = shape
        .rows
        .into_iter()
        .zip([0.5, 0.95, 0.99].map(|share| latency.quantile(share)))
        .collect();
    measures.push((shape.load, metered.load_percent));
    Ok(measures)
}

async fn write(
    people: Vec<Sender>,
    document: Arc<Document>,
    edits_per_second: f64,
    begin: Instant,
    delay: Duration,
    end: Instant,
) -> anyhow::Result<(u64, Vec<Sender>)> {
    tokio::time::sleep(delay).await;
    let mut typists: Vec<Typist> = (0..PEOPLE as u64)
        .map(|me| Typist::new(document.first_client + me))
        .collect();
    let mut clock = tokio::time::interval(Duration::from_secs_f64(1.0 / edits_per_second / PEOPLE as f64));
    let mut typed = 0;
    for me in (0..PEOPLE).cycle() {
        clock.tick().await;
        if Instant::now() >= end {
            break;
        }
        let letter = typists[me].typed() as usize;
        let Some(sent) = document.letters[me].get(letter) else {
            break;
        };
        let update = typists[me].key();
        sent.store(begin.elapsed().as_nanos() as u64, Ordering::Release);
        people[me].update(&update).await?;
        typed += 1;
    }
    Ok((typed, people))
}

async fn read(
    mut receiver: Receiver,
    me: usize,
    document: Arc<Document>,
    begin: Instant,
    latency: Arc<Histogram>,
    counted_from: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut seen = [0_usize; PEOPLE];
    loop {
        let (Incoming::Update(update) | Incoming::Step2(update)) = receiver.next().await? else {
            continue;
        };
        let now = begin.elapsed().as_nanos() as u64;
        reached(update, |client, clock| {
            let Some(person) = client.checked_sub(document.first_client).map(|one| one as usize) else {
                return;
            };
            if person >= PEOPLE || person == me {
                return;
            }
            for letter in seen[person]..clock as usize {
                let sent = document.letters[person][letter].load(Ordering::Acquire);
                if sent >= counted_from.load(Ordering::Acquire) {
                    latency.add(Duration::from_nanos(now.saturating_sub(sent)));
                }
                document.received.fetch_add(1, Ordering::AcqRel);
            }
            seen[person] = seen[person].max(clock as usize);
        })?;
    }
}
