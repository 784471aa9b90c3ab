//! What makes it fast must not change what it writes: kept caches, drafts.
use model::generate::steps::NEAR_TIE;
use model::{ChatMessage, EngineOptions, GenerateRequest, Generator, SamplingParams, Summary, Worker};
use proptest::prelude::*;

use crate::support::{ask, collect, engine, real, tiny, worker};

fn answer(worker: &Worker, request: &GenerateRequest) -> (String, Summary) {
    collect(worker.generate(request.clone()).unwrap())
}

/// Waits until the worker has noted what it keeps, which it does after the last word.
fn is_cached(worker: &Worker, request: &GenerateRequest, tokens: usize) {
    while worker.cached_tokens(request) != tokens {
        std::thread::yield_now();
    }
}

fn without_drafts() -> EngineOptions {
    EngineOptions {
        drafts: false,
        ..EngineOptions::default()
    }
}

const LETTER: &str = "Dear neighbours, the bridge over the little river will be closed from Monday to Friday, because the wooden \
    boards have to be replaced. Please use the road behind the mill. The children's path to school is not affected.";

/// Runs of several tokens and of one go through other kernels; [`NEAR_TIE`] is what drafts allow for that.
#[test]
fn margins_after_several_tokens_are_near_those_after_single_ones() {
    let artifact = real();
    let tokenizer = model::tokenizer::TextTokenizer::open(&artifact.tokenizer).unwrap();
    let tokens = tokenizer.encode(LETTER).unwrap();
    let mut engine = engine(&artifact);
    let mut most = 0f32;
    for (from, to) in [(8, 13), (20, 28), (30, 35)] {
        engine.rewind(0).unwrap();
        engine.feed(&tokens[..from]).unwrap();
        engine.feed_all(&tokens[from..to]).unwrap();
        let rows: Vec<Vec<f32>> = (0..to - from).map(|row| engine.row(row).to_vec()).collect();
        engine.rewind(from).unwrap();
        for (row, token) in rows.iter().zip(&tokens[from..to]) {
            let alone = engine.feed(&[*token]).unwrap();
            // what counts is how far the best two are from each other
            let best = crate::support::argmax(alone) as usize;
            let second = (0..alone.len())
                .filter(|token| *token != best)
                .max_by(|a, b| alone[*a].total_cmp(&alone[*b]))
                .unwrap();
            let apart = (row[best] - row[second]) - (alone[best] - alone[second]);
            most = most.max(apart.abs());
        }
    }
    println!("margins differ by up to {most}");
    assert!(most < NEAR_TIE, "{most}");
}

#[test]
fn drafts_change_the_speed_and_not_the_text() {
    let (with, without) = (
        worker(real(), EngineOptions::default()),
        worker(real(), without_drafts()),
    );
    let requests = [
        ask(&format!("Repeat this text without changing it.\n\n{LETTER}"), 48),
        ask("Write three sentences about a lighthouse.", 32),
    ];
    for (index, request) in requests.iter().enumerate() {
        let ((text, summary), (expected, plain)) = (answer(&with, request), answer(&without, request));
        assert_eq!(text, expected);
        assert_eq!(plain.drafts, model::Drafts::default());
        assert_eq!(summary.tokens, plain.tokens);
        println!("{:?} of {} tokens", summary.drafts, summary.tokens);
        assert!(
            index > 0 || summary.drafts.right > summary.tokens / 3,
            "{:?}",
            summary.drafts
        );
        for (a, b) in summary.scores.iter().zip(&plain.scores) {
            assert_eq!(a.text, b.text);
            assert!((a.logprob - b.logprob).abs() < NEAR_TIE, "{a:?} {b:?}");
        }
    }
    let sampled = GenerateRequest {
        params: SamplingParams {
            temperature: 0.3,
            ..SamplingParams::lively(5)
        },
        ..requests[0].clone()
    };
    let (_, summary) = answer(&with, &sampled);
    assert!(
        summary.drafts.right > 0,
        "chance agrees with a good draft: {:?}",
        summary.drafts
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever was asked before, of whichever document, with drafts or without: the answer is a cold worker's.
    #[test]
    fn nothing_that_was_kept_changes_an_answer(
        documents in proptest::collection::vec("[a-c ]{1,90}", 1..4),
        requests in proptest::collection::vec((0usize..4, 0usize..90, "[a-z]{0,3}", 1usize..24), 2..6),
    ) {
        let warm = worker(tiny("fp32"), EngineOptions { kept_bytes: 100 << 10, ..EngineOptions::default() });
        let mut documents = documents;
        for (which, at, edit, tokens) in requests {
            let which = which % documents.len();
            let document = &mut documents[which];
            let at = at.min(document.len());
            document.insert_str(at, &edit);
            document.truncate(120);
            let mut request = GenerateRequest::greedy(vec![ChatMessage::user(document.clone())], tokens);
            // a random model's scores are near each other: a penalty makes the text less monotonous
            request.params.repetition_penalty = 1.2;
            let cold = worker(tiny("plain"), without_drafts());
            let (expected, _) = answer(&cold, &request);
            let (text, summary) = answer(&warm, &request);
            prop_assert_eq!(text, expected);
            prop_assert!(summary.reused_tokens <= summary.prompt_tokens - 2);
            is_cached(&warm, &request, summary.prompt_tokens);
        }
    }
}

#[test]
fn each_document_is_read_from_where_it_changed() {
    let worker = worker(tiny("fp32"), EngineOptions::default());
    let text = |name: &str, end: &str| ask(&format!("{name} {}{end}", "word ".repeat(20)), 2);
    answer(&worker, &text("first", "."));
    answer(&worker, &text("second", "."));
    let (_, again) = answer(&worker, &text("first", " more."));
    assert!(again.reused_tokens > 100, "{again:?}");
    let (_, again) = answer(&worker, &text("second", " more."));
    assert!(again.reused_tokens > 100, "{again:?}");
    is_cached(&worker, &text("second", " more."), again.prompt_tokens);
    assert!(worker.cached_tokens(&text("third", ".")) < 30);
}
