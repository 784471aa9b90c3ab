//! Several requests at the same time: whose turn it is, and that nobody's answer is another one for it.
use model::{
    Chunk, EngineOptions, GenerateRequest, Generation, Generator as _, Priority, Summary, Turn, Worker,
};
use proptest::prelude::*;

use crate::support::{ask, collect, real, tiny, worker};

const STORY: &str = "The relay keeps every document that somebody has open, and a record of who wrote what. When a window asks, it \
    sends the document and then each change as it comes. Nothing is told to be saved before it lies on the disk. A peer that falls \
    behind is cut off and comes back, and what it wrote meanwhile is merged. Suggestions wait in the margin until a person takes them.";

fn of(requester: &str, priority: Priority, request: GenerateRequest) -> GenerateRequest {
    let turn = Turn {
        requester: requester.to_owned(),
        priority,
    };
    GenerateRequest { turn, ..request }
}

fn alone() -> EngineOptions {
    EngineOptions {
        together: 1,
        drafts: false,
        ..EngineOptions::default()
    }
}

/// Waits until this one writes.
fn begun(worker: &Worker, request: GenerateRequest) -> (String, Generation) {
    let mut generation = worker.generate(request).unwrap();
    match generation.blocking_next() {
        Some(Ok(Chunk::Text(first))) => (first, generation),
        other => panic!("{other:?}"),
    }
}

fn rest((first, generation): (String, Generation)) -> (String, Summary) {
    let (text, summary) = collect(generation);
    (first + &text, summary)
}

#[test]
fn the_default_model_answers_several_as_it_answers_each_alone() {
    let questions = [
        "Name three colours of the sky and say when they are seen.",
        "Why do cats sleep so much?",
        &format!("What is kept?\n{STORY}"),
        "Write a short letter to a friend about a walk in the mountains, with a beginning and an end.",
    ];
    let one = worker(real(), alone());
    let expected: Vec<_> = questions
        .iter()
        .map(|question| collect(one.generate(ask(question, 60)).unwrap()))
        .collect();
    let apart = one.runs();

    let all = worker(
        real(),
        EngineOptions {
            drafts: false,
            ..EngineOptions::default()
        },
    );
    let running: Vec<_> = questions
        .iter()
        .map(|question| begun(&all, ask(question, 60)))
        .collect();
    for (running, (expected, alone)) in running.into_iter().zip(&expected) {
        let (text, summary) = rest(running);
        assert_eq!(&text, expected);
        assert_eq!((summary.tokens, &summary.finish), (alone.tokens, &alone.finish));
    }
    // one run is four tokens, but for near ties
    assert!(
        all.runs() * 3 < apart * 2,
        "{} runs for all, {apart} apart",
        all.runs()
    );
}

#[test]
fn who_types_does_not_wait_for_a_long_proposal() {
    let worker = worker(real(), EngineOptions::default());
    let long = of(
        "anna",
        Priority::Proposal,
        ask("Tell a long story about a lighthouse.", 200),
    );
    let proposal = begun(&worker, long);
    let ghost = of("ben", Priority::Typing, ask("Finish: the tide was", 4));
    assert!(collect(worker.generate(ghost).unwrap()).1.tokens > 0);
    let before = worker.runs();
    let (_, summary) = rest(proposal);
    assert!(worker.runs() > before + 60, "it was over before: {summary:?}");
}

#[test]
fn what_somebody_else_is_reading_is_copied_and_not_read_again() {
    let about = |question: &str, tokens| {
        let system = model::ChatMessage::system(format!("Answer about this text.\n{STORY}"));
        GenerateRequest::greedy(vec![system, model::ChatMessage::user(question)], tokens)
    };
    let questions = [
        "What does the relay keep?",
        "What happens to a peer that falls behind?",
    ];
    let expected =
        questions.map(|question| collect(worker(real(), alone()).generate(about(question, 40)).unwrap()).0);
    let both = worker(
        real(),
        EngineOptions {
            drafts: false,
            ..EngineOptions::default()
        },
    );
    let first = begun(&both, about(questions[0], 40));
    let (text, summary) = collect(both.generate(about(questions[1], 40)).unwrap());
    assert_eq!(text, expected[1]);
    assert!(summary.reused_tokens > 80, "{summary:?}");
    assert_eq!(rest(first).0, expected[0]);
    // and afterwards both are there to be reused
    for question in questions {
        let (_, summary) = collect(both.generate(about(question, 2)).unwrap());
        assert_eq!(summary.reused_tokens, summary.prompt_tokens - 2, "{question}");
    }
}

#[test]
fn as_many_as_memory_has_room_for() {
    // the tiny model's context is small: a limit of one byte leaves room for nobody beside
    let options = EngineOptions {
        kept_bytes: 1,
        ..EngineOptions::default()
    };
    let worker = worker(tiny("fp32"), options);
    let alone: Vec<_> = (0..3)
        .map(|n| collect(worker.generate(ask(&format!("{n}?"), 20)).unwrap()).0)
        .collect();
    let before = worker.runs();
    let running: Vec<_> = (0..3)
        .map(|n| worker.generate(ask(&format!("{n}?"), 20)).unwrap())
        .collect();
    let texts: Vec<_> = running
        .into_iter()
        .map(|generation| collect(generation).0)
        .collect();
    assert_eq!(texts, alone);
    assert!(worker.runs() >= before + 3 * 20, "each had runs of its own");
}

/// One of those that are answered at the same time.
#[derive(Debug, Clone)]
struct Asked {
    text: String,
    tokens: usize,
    /// How many pieces are read of it before the reader leaves.
    leaves: Option<usize>,
    typing: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let text = prop_oneof!["[a-d ]{1,60}", "the same [a-d]{0,3}", "[a-z]{100,150}"];
    (
        text,
        1usize..30,
        proptest::option::weighted(0.2, 0usize..10),
        any::<bool>(),
    )
        .prop_map(|(text, tokens, leaves, typing)| Asked {
            text,
            tokens,
            leaves,
            typing,
        })
}

fn request(asked: &Asked) -> GenerateRequest {
    let priority = if asked.typing {
        Priority::Typing
    } else {
        Priority::Proposal
    };
    of(&asked.text, priority, ask(&asked.text, asked.tokens))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whoever else asks, whenever they ask, and whether they stay: an answer is what it is alone.
    #[test]
    fn nobodys_answer_depends_on_who_else_asks(
        all in proptest::collection::vec(asked(), 2..9),
        drafts in any::<bool>(),
        variant in prop_oneof![3 => Just("fp32"), 1 => Just("plain")],
        together in 2usize..6,
    ) {
        let one = worker(tiny(variant), alone());
        let options = EngineOptions { together, drafts, ..EngineOptions::default() };
        let many = worker(tiny(variant), options);
        let running: Vec<_> = all.iter().map(|asked| many.generate(request(asked)).unwrap()).collect();
        for (asked, mut generation) in all.iter().zip(running) {
            if let Some(pieces) = asked.leaves {
                for _ in 0..pieces {
                    generation.blocking_next();
                }
                continue;
            }
            let (text, summary) = collect(generation);
            let (expected, alone) = collect(one.generate(request(asked)).unwrap());
            prop_assert_eq!((text, summary.tokens, summary.finish), (expected, alone.tokens, alone.finish));
        }
    }
}
