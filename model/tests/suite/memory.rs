//! What a model costs in memory, and that it stays so: ordinary requests, and requests whose readers leave.
//!
//! `REQUESTS=10000` for a soak.
use model::{Chunk, EngineOptions, Generation, Generator, Worker};

use crate::support::{ask, engine, real, resident, tiny, worker};

/// Requests after those that fill what stays; enough to show what each of them would leave behind.
const REQUESTS: usize = 36;

/// Resident memory that may come and go without anything being left behind, in MB.
const SWAY: f64 = 12.0;

fn setting(name: &str) -> Option<usize> {
    std::env::vars()
        .find(|(known, _)| known == name)
        .and_then(|(_, value)| value.parse().ok())
}

/// Memory grew by no more than it sways.
fn assert_flat(before: Option<f64>, after: Option<f64>, what: &str) {
    if let (Some(before), Some(after)) = (before, after) {
        assert!(
            after < before + SWAY,
            "{what}: {before:.1} MB before, {after:.1} MB after"
        );
    }
}

fn drain(mut generation: Generation) {
    while let Some(chunk) = generation.blocking_next() {
        chunk.unwrap();
    }
}

/// Waits until the worker has noticed that nobody waits.
fn idle(worker: &Worker) {
    while worker.unfinished() > 0 {
        std::thread::yield_now();
    }
}

/// Prompts of many lengths, answers of several tokens, with drafts and without: many shapes of runs.
fn short_requests(worker: &Worker, from: usize, count: usize) {
    for number in from..from + count {
        let text = format!("Number {number}. {}", "One two. ".repeat(number % 7));
        drain(worker.generate(ask(&text, 1 + number % 4)).unwrap());
    }
    idle(worker);
}

#[test]
fn ten_thousand_short_requests_leave_memory_flat() {
    let requests = setting("REQUESTS").unwrap_or(REQUESTS);
    let kept = 24 << 20;
    let worker = worker(
        real(),
        EngineOptions {
            kept_bytes: kept,
            ..EngineOptions::default()
        },
    );
    short_requests(&worker, 0, 24);
    let before = resident();
    short_requests(&worker, 24, requests);
    assert!(
        worker.kept_bytes() > 0 && worker.kept_bytes() <= kept,
        "{}",
        worker.kept_bytes()
    );
    assert_flat(before, resident(), &format!("{requests} requests"));
}

#[test]
fn what_is_kept_of_requests_costs_what_is_counted() {
    let options = EngineOptions {
        kept_bytes: 24 << 20,
        ..EngineOptions::default()
    };
    let worker = worker(real(), options);
    drain(worker.generate(ask("Hello.", 2)).unwrap());
    idle(&worker);
    let before = resident();
    // documents that have nothing in common, of which only the last few can be kept
    for number in 0..8 {
        let text = format!("{number} {}", format!("word{number} ").repeat(50));
        drain(worker.generate(ask(&text, 2)).unwrap());
    }
    idle(&worker);
    assert!(worker.kept_bytes() <= 24 << 20, "{}", worker.kept_bytes());
    if let (Some(before), Some(after)) = (before, resident()) {
        let kept = worker.kept_bytes() as f64 / 1e6;
        println!("{kept:.0} MB are kept; {before:.0} MB before, {after:.0} MB after");
        assert!(
            after - before < kept + 2.0 * SWAY,
            "{kept:.0} MB are kept: {before:.0} MB before, {after:.0} MB after"
        );
    }
}

#[test]
fn a_long_context_costs_its_keys_and_values_and_little_more() {
    let artifact = real();
    let mut engine = engine(&artifact);
    let before = resident();
    let tokens: Vec<u32> = (0..2048).map(|index| 300 + (index * 7919) % 40_000).collect();
    engine.reserve(tokens.len()).unwrap();
    for run in tokens.chunks(model::engine::PREFILL_CHUNK) {
        engine.feed(run).unwrap();
    }
    let kept = engine.kept_bytes() as f64 / (1 << 20) as f64;
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{kept:.0} MB of keys and values: {before:.0} MB before, {after:.0} MB after");
        assert!(
            after - before < kept + 3.0 * SWAY,
            "{kept:.0} MB of keys and values: {before:.0} MB before, {after:.0} MB after"
        );
    }
    engine.reset().unwrap();
    assert_eq!(engine.kept_bytes(), 0, "what was held is given back");
}

/// Readers leave while they wait, while their prompt is read, and after each token.
#[test]
fn who_leaves_at_any_step_leaves_nothing_behind() {
    for variant in ["fp32", "plain"] {
        let options = EngineOptions {
            kept_bytes: 64 << 10,
            ..EngineOptions::default()
        };
        let worker = worker(tiny(variant), options);
        let long = "x".repeat(3 * model::engine::PREFILL_CHUNK);
        let round = || {
            for step in 0..24 {
                let mut generation = worker.generate(ask(&format!("Tell me {step}."), 60)).unwrap();
                for _ in 0..step {
                    assert!(matches!(generation.blocking_next(), Some(Ok(Chunk::Text(_)))));
                }
                let waiting = worker.generate(ask("And me.", 5)).unwrap();
                drop(waiting);
                drop(generation);
                idle(&worker);
            }
            for step in 1..=4 {
                let before = worker.runs();
                let reading = worker.generate(ask(&long, 1)).unwrap();
                while worker.runs() < before + step && worker.unfinished() > 0 {
                    std::thread::yield_now();
                }
                drop(reading);
                idle(&worker);
            }
            worker.kept_bytes()
        };
        round();
        let (kept, before) = (round(), resident());
        for _ in 0..6 {
            let again = round();
            assert!(
                again <= kept.max(64 << 10),
                "{variant}: {kept} bytes kept, then {again}"
            );
        }
        assert_flat(before, resident(), variant);
        // and it still answers
        drain(worker.generate(ask("Tell me.", 5)).unwrap());
    }
}

/// Resident memory of the mapped files of weights in MB; `None` where the system does not tell.
fn resident_weights() -> Option<f64> {
    let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let (mut kib, mut is_weights) = (0.0, false);
    for line in maps.lines() {
        if line.split_whitespace().next()?.contains('-') {
            is_weights = line.contains("_data");
        } else if let Some(size) = line.strip_prefix("Rss:")
            && is_weights
        {
            kib += size.trim().trim_end_matches(" kB").parse::<f64>().unwrap();
        }
    }
    Some(kib / 1024.0)
}

/// What is packed for the processor is not there a second time, and the rows of embeddings that were read do not pile up.
#[test]
fn the_pages_of_weights_that_are_packed_are_given_back() {
    let mut engine = engine(&real());
    let loaded = resident_weights();
    let tokens: Vec<u32> = (0..512).map(|index| (index * 7919) % 49_000).collect();
    let mut first = Vec::new();
    for round in 0..2 {
        engine.rewind(0).unwrap();
        for run in tokens.chunks(model::engine::PREFILL_CHUNK) {
            engine.feed(run).unwrap();
        }
        for token in &tokens[..70] {
            engine.feed(&[*token]).unwrap();
        }
        if round == 0 {
            first = engine.scores().to_vec();
        }
    }
    assert!(first == engine.scores(), "rows are read again from the file");
    if let (Some(loaded), Some(after)) = (loaded, resident_weights()) {
        println!("{loaded:.1} MB of mapped weights after loading, {after:.1} MB after reading");
        // the system brings in more than was asked for, by its own rules; the table and the scales are 43 MB
        assert!(loaded < 8.0 && after < 20.0, "{loaded} MB, {after} MB");
    }
}
