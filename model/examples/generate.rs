//! Asks the model in the cache one question and says how fast it was; `--json` for programs that measure.
//!
//!   cargo run --release -p model --example generate -- "Continue this text: …" [--max 64] [--repeat 3]
//!       [--threads N] [--spin MICROSECONDS] [--prefix "Answer begins"] [--model FOLDER] [--variant q8] [--json]
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "its output is what it is for"
)]

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use model::{
    Artifact, ChatMessage, Chunk, EngineOptions, GenerateRequest, Generator, Locations, Runtime, Summary,
    Worker,
};

#[derive(Debug, Default)]
struct Arguments {
    prompt: String,
    prefix: Option<String>,
    folder: Option<String>,
    variant: Option<String>,
    max: usize,
    repeat: usize,
    threads: usize,
    spin_us: Option<u32>,
    json: bool,
}

fn arguments() -> Result<Arguments> {
    let mut found = Arguments {
        max: 64,
        repeat: 1,
        ..Arguments::default()
    };
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        let mut value = || given.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--max" => found.max = value()?.parse()?,
            "--repeat" => found.repeat = value()?.parse()?,
            "--threads" => found.threads = value()?.parse()?,
            "--prefix" => found.prefix = Some(value()?),
            "--model" => found.folder = Some(value()?),
            "--variant" => found.variant = Some(value()?),
            "--spin" => found.spin_us = Some(value()?.parse()?),
            "--json" => found.json = true,
            _ if word.starts_with("--") => bail!("unknown option {word}"),
            _ => found.prompt = word,
        }
    }
    if found.prompt.is_empty() {
        found.prompt = "Explain in two sentences what a lighthouse is for.".into();
    }
    Ok(found)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let places = Locations::from_environment();
    let folder = arguments
        .folder
        .as_ref()
        .map_or(places.model, std::path::PathBuf::from);
    let runtime = Runtime::load(&places.runtime)?;
    let artifact = Artifact::open_variant(&folder, arguments.variant.as_deref())?;
    let usual = EngineOptions::default();
    let options = EngineOptions {
        threads: arguments.threads,
        spin_us: arguments.spin_us.unwrap_or(usual.spin_us),
        ..usual
    };
    let worker = Worker::spawn(&runtime, artifact, options)?;
    let info = worker.info();
    if arguments.json {
        println!("{}", serde_json::to_string(info)?);
    } else {
        println!("{} ({}), {}", info.name, info.quantisation, info.device.summary());
        println!(
            "loaded in {} ms; measured at load: prefill {:.0}, decode {:.1} tokens/s",
            info.load_ms, info.prefill_tokens_per_second, info.decode_tokens_per_second
        );
    }
    for _ in 0..arguments.repeat {
        let mut request = GenerateRequest::greedy(vec![ChatMessage::user(&arguments.prompt)], arguments.max);
        request.answer_prefix.clone_from(&arguments.prefix);
        ask(&worker, request, arguments.json)?;
    }
    Ok(())
}

fn ask(worker: &Worker, request: GenerateRequest, json: bool) -> Result<()> {
    let start = Instant::now();
    let mut generation = worker.generate(request)?;
    let mut first = None;
    while let Some(chunk) = generation.blocking_next() {
        match chunk? {
            Chunk::Text(text) => {
                first.get_or_insert_with(|| start.elapsed());
                if !json {
                    print!("{text}");
                    std::io::stdout().flush()?;
                }
            }
            Chunk::Done(summary) => report(&summary, first.unwrap_or_default().as_secs_f64() * 1e3, json)?,
        }
    }
    Ok(())
}

fn report(summary: &Summary, first_ms: f64, json: bool) -> Result<()> {
    let read = summary.prompt_tokens - summary.reused_tokens;
    let prefill = read as f64 * 1e3 / summary.prefill_ms.max(1) as f64;
    let decode = summary.tokens.saturating_sub(1) as f64 * 1e3 / summary.decode_ms.max(1) as f64;
    if json {
        let mut line = serde_json::to_value(summary)?;
        line["firstTextMs"] = first_ms.into();
        line["prefillTokensPerSecond"] = prefill.into();
        line["decodeTokensPerSecond"] = decode.into();
        println!("{line}");
    } else {
        println!(
            "\n  prompt {} tokens ({} reused) in {} ms: {prefill:.0}/s; first text after {first_ms:.0} ms; {} tokens in {} ms: {decode:.1}/s; mean logprob {:.2}; {:?}",
            summary.prompt_tokens,
            summary.reused_tokens,
            summary.prefill_ms,
            summary.tokens,
            summary.decode_ms,
            summary.mean_logprob,
            summary.finish
        );
    }
    Ok(())
}
