//! `npm run bench`: runs the named benches, or all.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use tests::bench;

#[derive(Parser)]
#[command(about = "Measures the real programs and prints tables.")]
struct Args {
    /// Which benches to run; all when none is named.
    benches: Vec<Bench>,
    /// The server's binary.
    #[arg(long, env = "INKLING_SERVER")]
    server: PathBuf,
    /// The editing trace of the automerge paper, as JSON.
    #[arg(long, env = "INKLING_TRACE")]
    trace: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    Relay,
    Open,
    Model,
    FirstWord,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wanted = |bench| args.benches.is_empty() || args.benches.contains(&bench);
    if wanted(Bench::Relay) {
        bench::relay::run(&args.server).await?;
    }
    if wanted(Bench::Open) {
        bench::open::run(&args.server, &args.trace).await?;
    }
    if wanted(Bench::Model) {
        bench::model::run().await?;
    }
    if wanted(Bench::FirstWord) {
        bench::first_word::run(&args.server).await?;
    }
    Ok(())
}
