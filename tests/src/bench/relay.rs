//! The relay beside its peers: the same load on each in turn, in one run.
//!
//! Each round starts each server afresh on an empty folder, in rotating order, so that what else happens on the machine
//! meets all of them. Ratios of one run mean something; absolute figures only with the machine they come from.

mod acknowledged;
mod churn;
mod human;
mod idle;
mod opening;
pub mod rows;
mod saturation;
mod single;
mod stalled;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::candidate::{Candidate, Kind};
use super::paper::Paper;
use super::report::{Report, middle as middle_of};
use super::stats::load;
use rows::Row;

/// What one piece of work measured.
type Measures = Vec<(Row, f64)>;

/// How long a delivery may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Edits of the trace that the short mode replays.
const QUICK_EDITS: usize = 10_000;

/// A piece of work: some rows that come from one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// Memory of connections and documents.
    Idle,
    /// Deliveries at saturation.
    Saturated,
    /// 100 connections.
    Few,
    /// 4,000 connections.
    Many,
    /// Time to an acknowledgement.
    Acknowledged,
    /// Opening a large document after a restart.
    Open,
    /// A large document, edit by edit.
    Single,
    /// Leaving, editing offline, coming back.
    Churn,
    /// A reader that stops reading.
    Stalled,
    /// `kill -9`.
    Crash,
}

impl Work {
    const ALL: [Self; 10] = [
        Self::Idle,
        Self::Saturated,
        Self::Few,
        Self::Many,
        Self::Acknowledged,
        Self::Open,
        Self::Single,
        Self::Churn,
        Self::Stalled,
        Self::Crash,
    ];

    const fn rounds(self, plan: &Plan) -> usize {
        if plan.quick {
            return 1;
        }
        match self {
            Self::Saturated => 5,
            Self::Few | Self::Crash => 3,
            Self::Many | Self::Acknowledged => 2,
            Self::Idle | Self::Open | Self::Single | Self::Churn | Self::Stalled => 1,
        }
    }

    async fn run(self, candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
        match self {
            Self::Idle => idle::run(candidate, plan).await,
            Self::Saturated => saturation::run(candidate, plan).await,
            Self::Few => human::few(candidate, plan).await,
            Self::Many => human::many(candidate, plan).await,
            Self::Acknowledged => acknowledged::latency(candidate, plan).await,
            Self::Open => opening::run(candidate, plan).await,
            Self::Single => single::run(candidate, plan).await,
            Self::Churn => churn::run(candidate, plan).await,
            Self::Stalled => stalled::run(candidate, plan).await,
            Self::Crash => acknowledged::crash(candidate, plan).await,
        }
    }
}

/// What is to be run.
#[derive(Debug)]
pub struct Options {
    /// Our program.
    pub server: PathBuf,
    /// The folder of the peers' packages.
    pub peers: Option<PathBuf>,
    /// The editing trace.
    pub trace: PathBuf,
    /// Only these servers; all when empty.
    pub servers: Vec<Kind>,
    /// Only this work; all when empty.
    pub work: Vec<Work>,
    /// Everything once and short, to see that it works.
    pub quick: bool,
}

/// How each piece of work is to be done.
#[derive(Debug)]
struct Plan {
    quick: bool,
    /// The server has the first core to itself, the load has the others.
    pinned: bool,
    /// After how many milliseconds of writing the server is killed.
    crash_after: u64,
    trace: PathBuf,
    paper: OnceLock<Arc<Paper>>,
}

impl Plan {
    /// The paper; replayed when it is first asked for.
    fn paper(&self) -> anyhow::Result<Arc<Paper>> {
        if let Some(paper) = self.paper.get() {
            return Ok(Arc::clone(paper));
        }
        let most = if self.quick { QUICK_EDITS } else { usize::MAX };
        let paper = Arc::new(Paper::read(&self.trace, most)?);
        println!(
            "  the paper: {} edits; as a text {} KB, as blocks {} KB",
            paper.edits.len(),
            paper.text.len() / 1024,
            paper.blocks.len() / 1024
        );
        Ok(Arc::clone(self.paper.get_or_init(|| paper)))
    }
}

/// Runs it and prints the table; returns how many bars ours did not meet.
///
/// # Errors
/// When ours loses a delivery or a connection; a peer that does has no figure.
pub async fn run(options: &Options) -> anyhow::Result<usize> {
    let (candidates, missing) =
        Candidate::installed(&options.servers, &options.server, options.peers.as_deref());
    ensure!(
        !candidates.is_empty(),
        "no server to measure: {}",
        missing.join(", ")
    );
    let mut plan = Plan {
        quick: options.quick,
        pinned: pin_load(),
        crash_after: 0,
        trace: options.trace.clone(),
        paper: OnceLock::new(),
    };
    introduce(&candidates, &missing, &plan);

    let mut report = Report::default();
    let mut failed = Vec::new();
    let mut ours_failed = None;
    'all: for work in Work::ALL {
        if !options.work.is_empty() && !options.work.contains(&work) {
            continue;
        }
        for round in 0..work.rounds(&plan) {
            plan.crash_after = 3000 + 2500 * round as u64;
            for turn in 0..candidates.len() {
                let candidate = &candidates[(turn + round) % candidates.len()];
                let name = candidate.kind().name();
                let begin = Instant::now();
                match work.run(candidate, &plan).await {
                    Ok(measures) => {
                        for (row, value) in measures {
                            report.add(row, candidate.kind(), value);
                        }
                    }
                    Err(error) if candidate.kind() == Kind::Ours => {
                        ours_failed = Some(error.context(format!("{work:?} with {name}")));
                        break 'all;
                    }
                    Err(error) => failed.push(format!("{work:?} with {name}: {error:#}")),
                }
                println!(
                    "  {work:?}, round {}, {name}: {:.1} s (machine load {})",
                    round + 1,
                    begin.elapsed().as_secs_f64(),
                    load()
                );
            }
        }
    }
    let kinds: Vec<Kind> = candidates.iter().map(Candidate::kind).collect();
    let (met, not_met) = report.print(&kinds);
    for failure in failed {
        println!("no figure: {failure}");
    }
    println!(
        "{met} bars met, {not_met} not met. Where the load's own CPU is over 90 % of a core, the rate is the load's, not the \
         server's: look at the CPU of a delivery instead."
    );
    ours_failed.map_or(Ok(not_met), Err)
}

fn introduce(candidates: &[Candidate], missing: &[String], plan: &Plan) {
    println!(
        "relay beside its peers{}; machine load {}",
        if plan.quick {
            ", short mode: figures say only that it works"
        } else {
            ""
        },
        load()
    );
    println!(
        "  {}",
        if plan.pinned {
            "each server alone on the first core, the load (this process) on the others"
        } else {
            "servers and load share all cores"
        }
    );
    for candidate in candidates {
        let kind = candidate.kind();
        println!("  {:<12} {}", kind.name(), kind.durability());
    }
    for one in missing {
        println!("  {one}");
    }
}

/// Leaves the first core to the servers; `false` where this cannot be done.
fn pin_load() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return false;
    }
    let done = Command::new("taskset")
        .args([
            "-a",
            "-c",
            "-p",
            &format!("1-{}", cores - 1),
            &std::process::id().to_string(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    middle_of(&values.collect::<Vec<_>>())
}
