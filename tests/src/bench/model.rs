//! Prefill and decode of the default model, tokens a second.

use anyhow::Context as _;
use model::{
    Artifact, ChatMessage, EngineOptions, GenerateRequest, Generator as _, Locations, Runtime, StopCondition,
    Summary, Worker,
};

use super::stats::{load, median, row};

/// A text to read: the opening of "Alice's Adventures in Wonderland" (Lewis Carroll, 1865).
const TEXT: &str = include_str!("../../data/alice.md");

/// Windows that are measured, after one that warms up.
const WINDOWS: usize = 9;

/// Tokens that are written in a window.
const WRITTEN: usize = 64;

/// Words of the text that are read in a window: about 256 tokens.
const WORDS: usize = 190;

/// Runs it and prints its rows.
///
/// # Errors
/// When the model or ONNX Runtime is missing.
pub async fn run() -> anyhow::Result<()> {
    println!("model (machine load {})", load());
    let places = Locations::from_environment();
    let worker = tokio::task::spawn_blocking(move || {
        let runtime = Runtime::load(&places.runtime)?;
        anyhow::Ok(Worker::spawn(
            &runtime,
            Artifact::open(&places.model)?,
            EngineOptions::default(),
        )?)
    })
    .await?
    .context("the default model cannot be loaded; `npm run setup` fetches it")?;
    let info = worker.info();
    row(
        "the model",
        &format!("{} {}, {}", info.name, info.quantisation, info.device.summary()),
        "",
    );

    let mut summaries = Vec::new();
    for window in 0..=WINDOWS {
        let summary = one(&worker, window).await?;
        if window > 0 {
            summaries.push(summary);
        }
    }
    let prefill = summaries
        .iter()
        .map(|one| rate(one.prompt_tokens - one.reused_tokens, one.prefill_ms));
    let decode = summaries
        .iter()
        .map(|one| rate(one.tokens.saturating_sub(1), one.decode_ms));
    let read = summaries.first().map_or(0, |one| one.prompt_tokens);
    row(&format!("prefill, {read} tokens"), &spread(prefill.collect()), "");
    row(
        &format!("decode, {WRITTEN} tokens"),
        &spread(decode.collect()),
        "",
    );
    Ok(())
}

/// Reads a text that begins differently each time, so that nothing is kept from the time before, and writes on.
async fn one(worker: &Worker, window: usize) -> anyhow::Result<Summary> {
    let words: Vec<&str> = TEXT.split_whitespace().skip(window).take(WORDS).collect();
    let mut request = GenerateRequest::greedy(vec![ChatMessage::user(words.join(" "))], WRITTEN);
    // The model's own end would make windows of different lengths.
    request.stop = StopCondition {
        max_tokens: WRITTEN,
        ..StopCondition::default()
    };
    request.answer_prefix = Some("The story goes on: the".to_owned());
    let (_, summary) = worker.generate(request)?.collect().await?;
    Ok(summary)
}

fn rate(tokens: usize, ms: u64) -> f64 {
    tokens as f64 / (ms.max(1) as f64 / 1000.0)
}

/// Median, least and most of rates.
fn spread(mut rates: Vec<f64>) -> String {
    rates.sort_by(f64::total_cmp);
    let (least, most) = (
        rates.first().copied().unwrap_or(0.0),
        rates.last().copied().unwrap_or(0.0),
    );
    format!(
        "{:.1} tokens/s  (least {least:.1}, most {most:.1}, n = {})",
        median(&rates),
        rates.len()
    )
}
