//! Prefill and decode of the default model, tokens a second.

use anyhow::Context as _;
use model::{
    Artifact, ChatMessage, EngineOptions, GenerateRequest, Generator as _, Locations, Runtime, Shape,
    Summary, Worker,
};

use super::llama::{Llama, SET_UP};
use super::stats::{load, median, resident_kib, row};

/// A text to read: the opening of "Alice's Adventures in Wonderland" (Lewis Carroll, 1865).
const TEXT: &str = include_str!("../../data/alice.md");

/// Windows that are measured, after one that warms up.
const WINDOWS: usize = 20;

/// Tokens that are written in a window, at most: the model may end before.
const WRITTEN: usize = 64;

/// Windows of the long document, and its words: about 1,500 tokens.
const REUSE_WINDOWS: usize = 5;
const LONG_WORDS: usize = 1_120;

/// Windows for each kind of text that is written with drafts.
const DRAFT_WINDOWS: usize = 6;

/// Words of the text that are read in a window: about 256 tokens.
const WORDS: usize = 190;

/// Runs it and prints its rows.
///
/// # Errors
/// When the model or ONNX Runtime is missing.
pub async fn run() -> anyhow::Result<()> {
    println!("model (machine load {})", load());
    let worker = load_worker(true).await?;
    let info = worker.info();
    row(
        "the model",
        &format!("{} {}, {}", info.name, info.quantisation, info.device.summary()),
        "",
    );

    row(
        "loading it, with its measurement",
        &format!("{:.1} s", info.load_ms as f64 / 1000.0),
        "",
    );
    let mut llama = Llama::start(info.device.threads)?;
    let (mut summaries, mut prefills, mut decodes) = (Vec::new(), Vec::new(), Vec::new());
    for window in 0..=WINDOWS {
        let request = windowed(window);
        let (_, summary) = worker.generate(request.clone())?.collect().await?;
        // In turns, so that both meet the same machine.
        let beside = match &mut llama {
            Some(llama) => Some(llama.run(&worker.prompt_tokens(&request)?, summary.tokens.max(2))?),
            None => None,
        };
        if window == 0 {
            continue;
        }
        if let Some((read, written)) = beside {
            prefills.push(read / (summary.prefill_ms.max(1) as f64));
            let theirs = rate(summary.tokens.saturating_sub(1), written.round() as u64);
            decodes.extend(plain_rate(&summary).map(|ours| ours / theirs.max(0.001)));
        }
        summaries.push(summary);
    }
    let prefill = summaries
        .iter()
        .map(|one| rate(one.prompt_tokens - one.reused_tokens, one.prefill_ms));
    let decode = summaries.iter().filter_map(plain_rate);
    row(
        &format!(
            "prefill, {} tokens",
            range(summaries.iter().map(|one| one.prompt_tokens - one.reused_tokens))
        ),
        &spread(prefill.collect()),
        "",
    );
    row(
        &format!("decode, {} tokens", range(summaries.iter().map(|one| one.tokens))),
        &spread(decode.collect()),
        "",
    );
    if llama.is_some() {
        row("prefill, ratio to llama.cpp", &ratios(prefills), "3 or more");
        row("decode, ratio to llama.cpp", &ratios(decodes), "1 or more");
    } else {
        row(
            "beside llama.cpp",
            &format!("not measured: {SET_UP} installs it"),
            "",
        );
    }
    drop(llama);
    reuse(&worker).await?;
    let plain = load_worker(false).await?;
    drafts(&worker, &plain).await?;
    shapes(&plain).await?;
    drop(plain);
    if let Some(resident) = resident_kib(std::process::id()).map(|kib| kib / 1024.0) {
        row(
            "memory, two copies of the model loaded",
            &format!("{resident:.0} MB"),
            "",
        );
    }
    Ok(())
}

async fn load_worker(drafts: bool) -> anyhow::Result<Worker> {
    let places = Locations::from_environment();
    tokio::task::spawn_blocking(move || {
        let runtime = Runtime::load(&places.runtime)?;
        let options = EngineOptions {
            drafts,
            ..EngineOptions::default()
        };
        anyhow::Ok(Worker::spawn(&runtime, Artifact::open(&places.model)?, options)?)
    })
    .await?
    .context("the default model cannot be loaded; `npm run setup` fetches it")
}

/// A long document, asked about again after a small edit near its end.
async fn reuse(worker: &Worker) -> anyhow::Result<()> {
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    let (mut cold, mut warm, mut read) = (Vec::new(), Vec::new(), 0);
    for window in 0..REUSE_WINDOWS {
        let start = window * 37;
        let words: Vec<&str> = words
            .iter()
            .copied()
            .cycle()
            .skip(start)
            .take(LONG_WORDS)
            .collect();
        let document = words.join(" ");
        let (before, after) = document.split_at(document.len() - 200);
        let mut took = Vec::new();
        for text in [document.clone(), format!("{before}ten chars.{after}")] {
            let request = GenerateRequest::greedy(vec![ChatMessage::user(text)], 1);
            let (_, summary) = worker.generate(request)?.collect().await?;
            took.push(summary.prefill_ms as f64);
            read = read.max(summary.prompt_tokens);
        }
        cold.extend(took.first().copied());
        warm.extend(took.get(1).copied());
    }
    let ratios = cold
        .iter()
        .zip(&warm)
        .map(|(cold, warm)| 100.0 * warm / cold.max(1.0));
    let mut ratios: Vec<f64> = ratios.collect();
    for times in [&mut cold, &mut warm, &mut ratios] {
        times.sort_by(f64::total_cmp);
    }
    row(
        &format!("first token, {read} tokens, 10 characters changed"),
        &format!(
            "{:.0} ms cold, {:.0} ms again: {:.0} %  (most {:.0} %, n = {})",
            median(&cold),
            median(&warm),
            median(&ratios),
            ratios.last().copied().unwrap_or(0.0),
            ratios.len()
        ),
        "15 % or less",
    );
    Ok(())
}

/// Writing with drafts from the prompt and without, taking turns.
async fn drafts(with: &Worker, without: &Worker) -> anyhow::Result<()> {
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    let passage = |window: usize| {
        words
            .get(window * 60..window * 60 + 60)
            .unwrap_or_default()
            .join(" ")
    };
    let kinds: [(&str, &str, &str); 3] = [
        (
            "correcting",
            "Correct the spelling of this text and change nothing else.",
            "1.5 or more",
        ),
        (
            "summarising",
            "Summarise this text in one or two sentences.",
            "1.5 or more",
        ),
        (
            "writing anew",
            "Write about something else than this text.",
            "0.95 or more",
        ),
    ];
    for (name, told, goal) in kinds {
        let (mut shares, mut right, mut tokens) = (Vec::new(), 0, 0);
        for window in 0..DRAFT_WINDOWS {
            let mut request = GenerateRequest::greedy(
                vec![ChatMessage::user(format!("{told}\n\n{}", passage(window)))],
                WRITTEN,
            );
            if name == "correcting" {
                // The beginning of the corrected text, so that the model does what is measured.
                request.answer_prefix = Some(
                    passage(window)
                        .split_whitespace()
                        .take(6)
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            }
            let order = if window % 2 == 0 {
                [with, without]
            } else {
                [without, with]
            };
            let mut rates = [0.0; 2];
            for worker in order {
                let (_, summary) = worker.generate(request.clone())?.collect().await?;
                let drafts = std::ptr::eq(worker, with);
                rates[usize::from(drafts)] = plain_rate(&summary).unwrap_or(0.0);
                if drafts {
                    right += summary.drafts.right;
                    tokens += summary.tokens;
                }
            }
            if rates.iter().all(|rate| *rate > 0.0) {
                shares.push(rates[1] / rates[0]);
            }
        }
        row(
            &format!("{name}, with drafts to without"),
            &format!("{}; {right} of {tokens} tokens from drafts", ratios(shares)),
            goal,
        );
    }
    Ok(())
}

/// Writing a paragraph freely and held to being one, taking turns, without drafts: what the mask of allowed tokens costs.
async fn shapes(worker: &Worker) -> anyhow::Result<()> {
    let (mut shares, mut costs) = (Vec::new(), Vec::new());
    for window in 0..=2 * DRAFT_WINDOWS {
        let free = windowed(window);
        let mut held = free.clone();
        held.shape = Some(Shape::Paragraph { announced: false });
        let mut rates = [None; 2];
        let order = if window % 2 == 0 {
            [(0, free), (1, held)]
        } else {
            [(1, held), (0, free)]
        };
        for (index, request) in order {
            let (_, summary) = worker.generate(request)?.collect().await?;
            rates[index] = plain_rate(&summary);
        }
        // the first one compiles the grammar
        if let ([Some(free), Some(held)], 1..) = (rates, window) {
            shares.push(held / free);
            costs.push(1000.0 / held - 1000.0 / free);
        }
    }
    costs.sort_by(f64::total_cmp);
    row(
        "a paragraph, held to that to free",
        &format!(
            "{}; {:.2} ms a token for the mask",
            ratios(shares),
            median(&costs)
        ),
        "0.95 or more",
    );
    Ok(())
}

/// Tokens a second after the first one; `None` when there were too few to tell.
fn plain_rate(one: &Summary) -> Option<f64> {
    (one.tokens >= 8).then(|| rate(one.tokens - 1, one.decode_ms))
}

/// From the least to the most of some counts.
fn range(counts: impl Iterator<Item = usize>) -> String {
    let counts: Vec<usize> = counts.collect();
    match (counts.iter().min(), counts.iter().max()) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        (Some(all), _) => all.to_string(),
        _ => "no".to_owned(),
    }
}

/// A text to read that begins differently each time, so that nothing is kept from the time before, and to go on with.
fn windowed(window: usize) -> GenerateRequest {
    let words: Vec<&str> = TEXT.split_whitespace().skip(window).take(WORDS).collect();
    let mut request = GenerateRequest::greedy(vec![ChatMessage::user(words.join(" "))], WRITTEN);
    request.answer_prefix = Some("The story goes on: the".to_owned());
    request
}

/// Median, least and most of ratios.
fn ratios(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    format!(
        "{:.2}  (least {:.2}, most {:.2}, n = {})",
        median(&ratios),
        ratios.first().copied().unwrap_or(0.0),
        ratios.last().copied().unwrap_or(0.0),
        ratios.len()
    )
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
