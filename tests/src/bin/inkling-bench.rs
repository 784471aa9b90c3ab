//! `npm run bench`: runs the named benches, or all.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tests::bench::candidate::Kind;
use tests::bench::relay::{self, Work};
use tests::bench::{first_word, model};

#[derive(Parser)]
#[command(about = "Measures the real programs and prints tables.")]
struct Args {
    /// Which benches to run; all when none is named.
    benches: Vec<Bench>,
    /// The server's binary.
    #[arg(long, env = "INKLING_SERVER")]
    server: PathBuf,
    /// The folder with the peers' packages.
    #[arg(long, env = "INKLING_BENCH_PEERS")]
    peers: Option<PathBuf>,
    /// The editing trace of the automerge paper, as JSON.
    #[arg(long, env = "INKLING_TRACE")]
    trace: PathBuf,
    /// model: threads for both engines; 0: one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// relay: everything once and short, in less than a minute.
    #[arg(long)]
    quick: bool,
    /// relay: fail when ours does not reach what it is to reach.
    #[arg(long)]
    strict: bool,
    /// relay: only these servers.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// relay: only this work.
    #[arg(long, value_delimiter = ',')]
    work: Vec<Work>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    Relay,
    Model,
    FirstWord,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let wanted = |bench| args.benches.is_empty() || args.benches.contains(&bench);
    let mut not_met = 0;
    // The relay's comes last: it keeps this process off the first core.
    if wanted(Bench::Model) {
        model::run(args.threads).await?;
    }
    if wanted(Bench::FirstWord) {
        first_word::run(&args.server).await?;
    }
    if wanted(Bench::Relay) {
        not_met += relay::run(&relay::Options {
            server: args.server,
            peers: args.peers,
            trace: args.trace,
            servers: args.servers,
            work: args.work,
            quick: args.quick,
        })
        .await?;
    }
    if args.strict && not_met > 0 {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
