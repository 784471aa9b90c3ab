//! Prefill and decode of the default model, tokens a second.

use anyhow::Context as _;
use model::{
    Artifact, ChatMessage, EngineOptions, GenerateRequest, Generator as _, Locations, Runtime, Shape,
    Summary, Worker,
};

use super::llama::{Llama, SET_UP};
use super::stats::{cpu_time, load, median, resident_kib, row};

/// A text to read: the opening of "Alice's Adventures in Wonderland" (Lewis Carroll, 1865).
pub(super) const TEXT: &str = include_str!("../../data/alice.md");

/// Windows that are measured, after one that warms up.
const WINDOWS: usize = 20;

/// Tokens that are written in a window, at most: the model may end before.
const WRITTEN: usize = 64;

/// Windows of the long document, and its words: about 1,500 tokens.
const REUSE_WINDOWS: usize = 5;
const LONG_WORDS: usize = 1_120;

/// Windows for each kind of text that is written with drafts.
const DRAFT_WINDOWS: usize = 10;

/// Answers of fewer tokens say nothing.
const FEWEST: usize = 8;

/// Words of the text that are read in a window: about 256 tokens.
const WORDS: usize = 190;

/// What a window took, in milliseconds: by the clock, and of all threads of this process.
#[derive(Debug, Clone, Copy)]
struct Window {
    prefill: f64,
    decode: f64,
    prefill_cpu: f64,
    decode_cpu: f64,
}

/// Runs it with so many threads (0: one for each core) and prints its rows; `quick`: with few windows, which tell little.
///
/// # Errors
/// When the model or ONNX Runtime is missing.
pub async fn run(threads: usize, quick: bool) -> anyhow::Result<()> {
    println!("model (machine load {})", load());
    let few = |windows: usize| if quick { windows.div_ceil(5) } else { windows };
    let before = resident();
    let worker = load_worker(options(false, threads)).await?;
    let info = worker.info();
    row(
        "the model",
        &format!("{} {}, {}", info.name, info.quantisation, info.device.summary()),
        "",
    );
    let mut llama = Llama::start(info.device.threads)?;
    row(
        "loading it, with its measurement",
        &format!("{:.1} s", info.load_ms as f64 / 1000.0),
        "",
    );
    beside(&worker, llama.as_mut(), few(WINDOWS)).await?;
    reuse(&worker, llama.as_mut(), few(REUSE_WINDOWS)).await?;
    memory(&worker, before, llama.as_ref()).await?;
    drop(llama);
    drafts(
        &load_worker(options(true, threads)).await?,
        &worker,
        few(DRAFT_WINDOWS),
    )
    .await?;
    shapes(&worker, few(2 * DRAFT_WINDOWS)).await?;
    let one_by_one = EngineOptions {
        together: 1,
        ..options(false, threads)
    };
    let apart = load_worker(one_by_one).await?;
    super::together::run(&worker, &apart, few(DRAFT_WINDOWS)).await?;
    println!("(machine load {} at the end)", load());
    Ok(())
}

/// Resident memory of this process, MB.
fn resident() -> f64 {
    resident_kib(std::process::id()).unwrap_or(0.0) / 1024.0
}

/// CPU time of this process, milliseconds.
fn cpu() -> f64 {
    cpu_time(std::process::id()).unwrap_or_default().as_secs_f64() * 1000.0
}

/// Reads a text and goes on with it, in turns with llama.cpp.
async fn beside(worker: &Worker, mut llama: Option<&mut Llama>, windows: usize) -> anyhow::Result<()> {
    let (mut ours, mut ratios_of): (Vec<(Window, Summary)>, [Vec<f64>; 4]) = (Vec::new(), Default::default());
    for window in 0..=windows {
        let request = windowed(window);
        let (took, summary) = plain_window(worker, &request).await?;
        // In turns, so that both meet the same machine.
        let theirs = match &mut llama {
            Some(llama) => Some(llama.run(&worker.prompt_tokens(&request)?, summary.tokens.max(2), 0)?),
            None => None,
        };
        if window == 0 {
            continue;
        }
        if let Some(theirs) = theirs.filter(|_| summary.tokens >= FEWEST) {
            let [prefill, decode, prefill_cpu, decode_cpu] = &mut ratios_of;
            prefill.push(theirs.prefill / took.prefill.max(1.0));
            decode.push(theirs.decode / took.decode.max(1.0));
            prefill_cpu.push(theirs.prefill_cpu / took.prefill_cpu.max(1.0));
            decode_cpu.push(theirs.decode_cpu / took.decode_cpu.max(1.0));
        }
        ours.push((took, summary));
    }
    let prefill = ours
        .iter()
        .map(|(took, one)| rate(one.prompt_tokens, took.prefill.round() as u64));
    let decode = ours
        .iter()
        .filter(|(_, one)| one.tokens >= FEWEST)
        .map(|(took, one)| rate(one.tokens - 1, took.decode.round() as u64));
    row(
        &format!(
            "prefill, {} tokens",
            range(ours.iter().map(|(_, one)| one.prompt_tokens))
        ),
        &spread(prefill.collect()),
        "",
    );
    row(
        &format!(
            "decode, {} tokens, no drafts",
            range(ours.iter().map(|(_, one)| one.tokens))
        ),
        &spread(decode.collect()),
        "",
    );
    if llama.is_none() {
        row(
            "beside llama.cpp",
            &format!("not measured: {SET_UP} installs it"),
            "",
        );
        return Ok(());
    }
    let [prefill, decode, prefill_cpu, decode_cpu] = ratios_of;
    for (name, measured, goal) in [
        ("prefill, ratio to llama.cpp", prefill, "3 or more"),
        ("prefill, ratio of CPU time", prefill_cpu, ""),
        ("decode, ratio to llama.cpp", decode, "1 or more"),
        ("decode, ratio of CPU time", decode_cpu, ""),
    ] {
        row(name, &ratios(measured), goal);
    }
    Ok(())
}

/// Reads a prompt, then writes; apart, so that CPU time can be told apart.
async fn plain_window(worker: &Worker, request: &GenerateRequest) -> anyhow::Result<(Window, Summary)> {
    let mut first = request.clone();
    first.stop.max_tokens = 1;
    let begin = cpu();
    let (_, read) = worker.generate(first)?.collect().await?;
    let between = cpu();
    // What was read is still there; only its last two tokens are read again.
    let (_, mut written) = worker.generate(request.clone())?.collect().await?;
    let took = Window {
        prefill: read.prefill_ms as f64,
        decode: written.decode_ms as f64,
        prefill_cpu: between - begin,
        decode_cpu: cpu() - between - (written.prefill_ms as f64).min(60.0),
    };
    written.reused_tokens = read.reused_tokens;
    Ok((took, written))
}

/// What it costs in memory when it has read 2,048 tokens.
async fn memory(worker: &Worker, before: f64, llama: Option<&Llama>) -> anyhow::Result<()> {
    let words: Vec<&str> = TEXT.split_whitespace().cycle().skip(500).take(1_530).collect();
    let request = GenerateRequest::greedy(vec![ChatMessage::user(words.join(" "))], 2);
    let (_, summary) = worker.generate(request)?.collect().await?;
    let places = Locations::from_environment();
    let weights = Artifact::open(&places.model)?.weight_bytes as f64 / f64::from(1 << 20);
    let all = resident();
    row(
        &format!("memory, {} tokens of context just read", summary.prompt_tokens),
        &format!(
            "{all:.0} MB ({:.0} above the weights of {weights:.0}), of it {:.0} of documents",
            all - before - weights,
            worker.kept_bytes() as f64 / f64::from(1 << 20)
        ),
        "100 above, one document",
    );
    if let Some(theirs) = llama.and_then(|llama| resident_kib(llama.pid())) {
        row(
            "memory of llama.cpp, with Python",
            &format!("{:.0} MB", theirs / 1024.0),
            "",
        );
    }
    if let Some(llama) = llama {
        row(
            "loading of llama.cpp",
            &format!("{:.1} s", llama.load_ms() / 1000.0),
            "",
        );
    }
    Ok(())
}

fn options(drafts: bool, threads: usize) -> EngineOptions {
    EngineOptions {
        drafts,
        threads,
        ..EngineOptions::default()
    }
}

async fn load_worker(options: EngineOptions) -> anyhow::Result<Worker> {
    let places = Locations::from_environment();
    tokio::task::spawn_blocking(move || {
        let runtime = Runtime::load(&places.runtime)?;
        anyhow::Ok(Worker::spawn(&runtime, Artifact::open(&places.model)?, options)?)
    })
    .await?
    .context("the default model cannot be loaded; `npm run setup` fetches it")
}

/// A long document, asked about again after a small edit near its end.
async fn reuse(worker: &Worker, mut llama: Option<&mut Llama>, windows: usize) -> anyhow::Result<()> {
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    let (mut cold, mut warm, mut read) = (Vec::new(), Vec::new(), 0);
    let (mut cold_beside, mut warm_beside) = (Vec::new(), Vec::new());
    for window in 0..windows {
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
        let (mut took, mut theirs, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for text in [document.clone(), format!("{before}ten chars.{after}")] {
            let request = GenerateRequest::greedy(vec![ChatMessage::user(text)], 1);
            let tokens = worker.prompt_tokens(&request)?;
            let (_, summary) = worker.generate(request)?.collect().await?;
            took.push(summary.prefill_ms as f64);
            if let Some(llama) = &mut llama {
                let same = tokens.iter().zip(&last).take_while(|(a, b)| a == b).count();
                theirs.push(llama.run(&tokens, 1, same.min(tokens.len() - 1))?.prefill);
            }
            last = tokens;
            read = read.max(summary.prompt_tokens);
        }
        cold.extend(took.first().copied());
        warm.extend(took.get(1).copied());
        if let ([a, b], [x, y]) = (took.as_slice(), theirs.as_slice()) {
            cold_beside.push(x / a.max(1.0));
            warm_beside.push(y / b.max(1.0));
        }
    }
    let shares = cold
        .iter()
        .zip(&warm)
        .map(|(cold, warm)| 100.0 * warm / cold.max(1.0));
    let mut shares: Vec<f64> = shares.collect();
    for times in [&mut cold, &mut warm, &mut shares] {
        times.sort_by(f64::total_cmp);
    }
    row(
        &format!("first token, {read} tokens, 10 characters changed"),
        &format!(
            "{:.0} ms cold, {:.0} ms again: {:.0} %  (most {:.0} %, n = {})",
            median(&cold),
            median(&warm),
            median(&shares),
            shares.last().copied().unwrap_or(0.0),
            shares.len()
        ),
        "15 % or less",
    );
    if !cold_beside.is_empty() {
        row("  cold, ratio to llama.cpp", &ratios(cold_beside), "3 or more");
        row("  again, ratio to llama.cpp", &ratios(warm_beside), "");
    }
    Ok(())
}

/// Writing with drafts from the prompt and without, taking turns.
async fn drafts(with: &Worker, without: &Worker, windows: usize) -> anyhow::Result<()> {
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    let passage = |window: usize| {
        words
            .get(window * 60..window * 60 + 60)
            .unwrap_or_default()
            .join(" ")
    };
    let kinds: [(&str, &str, &str); 4] = [
        (
            "proof-reading",
            "Correct the spelling of this text and change nothing else.",
            "1.5 or more",
        ),
        (
            "rewriting",
            "Rewrite this text in the present tense.",
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
        let (mut shares, mut shares_cpu, mut right, mut tokens) = (Vec::new(), Vec::new(), 0, 0);
        for window in 0..windows {
            let mut request = GenerateRequest::greedy(
                vec![ChatMessage::user(format!("{told}\n\n{}", passage(window)))],
                WRITTEN,
            );
            if name == "proof-reading" || name == "rewriting" {
                // The beginning of the text, so that the model does what is measured.
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
            let mut took = [(0.0, 0.0); 2];
            for worker in order {
                let (window, summary) = plain_window(worker, &request).await?;
                let drafts = std::ptr::eq(worker, with);
                if summary.tokens >= FEWEST {
                    took[usize::from(drafts)] = (window.decode, window.decode_cpu);
                }
                if drafts {
                    right += summary.drafts.right;
                    tokens += summary.tokens;
                }
            }
            if took.iter().all(|(wall, cpu)| *wall > 0.0 && *cpu > 0.0) {
                shares.push(took[0].0 / took[1].0);
                shares_cpu.push(took[0].1 / took[1].1);
            }
        }
        row(
            &format!("{name}, with drafts to without"),
            &format!("{}; {right} of {tokens} tokens from drafts", ratios(shares)),
            goal,
        );
        row("  by CPU time", &ratios(shares_cpu), "");
    }
    Ok(())
}

/// Writing a paragraph freely and held to being one, taking turns, without drafts: what the mask of allowed tokens costs.
async fn shapes(worker: &Worker, windows: usize) -> anyhow::Result<()> {
    let (mut shares, mut costs) = (Vec::new(), Vec::new());
    for window in 0..=windows {
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
    (one.tokens >= FEWEST).then(|| rate(one.tokens - 1, one.decode_ms))
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
pub(super) fn ratios(mut ratios: Vec<f64>) -> String {
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
