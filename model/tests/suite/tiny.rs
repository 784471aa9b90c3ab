//! The tiny model against a forward pass in numpy, with its cache in place and growing.
use proptest::prelude::*;

use crate::support::{argmax, engine, json, tiny};

fn prompt(fixture: &serde_json::Value) -> Vec<u32> {
    serde_json::from_value(fixture["prompt"].clone()).unwrap()
}

fn assert_near(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() < 1e-3, "score {index}: {a} for {b}");
    }
}

#[test]
fn both_caches_give_numpys_scores_and_greedy_tokens() {
    let fixture = json("tiny.json");
    let expected: Vec<f32> = serde_json::from_value(fixture["scores"].clone()).unwrap();
    let tokens: Vec<u32> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
    for (variant, in_place) in [("fp32", true), ("plain", false)] {
        let mut engine = engine(&tiny(variant));
        assert_eq!(engine.is_in_place(), in_place);
        let mut scores = engine.feed(&prompt(&fixture)).unwrap().to_vec();
        assert_near(&scores, &expected);
        for token in &tokens {
            assert_eq!(argmax(&scores), *token, "{variant}");
            scores = engine.feed(&[*token]).unwrap().to_vec();
        }
    }
}

/// A graph that returns longer tensors cannot write into a buffer; told otherwise, the engine finds out by itself.
#[test]
fn a_cache_is_written_in_place_only_where_that_works() {
    let opened = |variant, cache| {
        let options = model::EngineOptions {
            cache,
            ..model::EngineOptions::default()
        };
        model::engine::Engine::open(&crate::support::runtime(), &tiny(variant), &options).unwrap()
    };
    let fixture = json("tiny.json");
    let expected: Vec<f32> = serde_json::from_value(fixture["scores"].clone()).unwrap();
    for (variant, plan, in_place) in [
        ("plain", model::CachePlan::InPlace, false),
        ("fp32", model::CachePlan::InPlace, true),
        ("fp32", model::CachePlan::Growing, false),
    ] {
        let mut engine = opened(variant, plan);
        assert_eq!(engine.is_in_place(), in_place, "{variant} {plan:?}");
        assert_near(engine.feed(&prompt(&fixture)).unwrap(), &expected);
    }
}

#[test]
fn a_rewound_cache_is_as_if_the_rest_had_never_been() {
    let fixture = json("tiny.json");
    let prompt = prompt(&fixture);
    for variant in ["fp32", "plain"] {
        let mut engine = engine(&tiny(variant));
        let expected = engine.feed(&prompt).unwrap().to_vec();
        engine.feed(&[70, 71, 72]).unwrap();
        assert_eq!(engine.rewind(10).unwrap(), 10);
        assert_eq!(engine.tokens(), &prompt[..10]);
        let again = engine.feed(&prompt[10..]).unwrap().to_vec();
        assert_near(&again, &expected);
    }
}

#[test]
fn a_full_context_is_an_error_and_leaves_the_cache_usable() {
    for variant in ["fp32", "plain"] {
        let mut engine = engine(&tiny(variant));
        assert_eq!(engine.capacity(), 256, "the model's own limit");
        engine.feed(&vec![65; 255]).unwrap();
        assert!(engine.feed(&[65, 66]).unwrap_err().to_string().contains("256"));
        assert!(engine.feed(&[]).is_err());
        engine.feed(&[66]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However tokens are divided into runs and whatever was there before, the scores are the same.
    #[test]
    fn the_division_into_runs_does_not_matter(
        tokens in proptest::collection::vec(0u32..258, 4..60),
        cuts in proptest::collection::vec(1usize..20, 1..6),
        other in proptest::collection::vec(0u32..258, 0..20),
        common in 0usize..30,
    ) {
        for variant in ["fp32", "plain"] {
            let mut engine = engine(&tiny(variant));
            let whole = engine.feed(&tokens).unwrap().to_vec();
            let common = engine.rewind(common.min(tokens.len() - 1)).unwrap();
            if !other.is_empty() {
                engine.feed(&other).unwrap();
            }
            let mut rest = &tokens[engine.rewind(common).unwrap()..];
            let mut sizes = cuts.iter().cycle();
            while !rest.is_empty() {
                let (run, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                engine.feed(run).unwrap();
                rest = after;
            }
            for (a, b) in engine.scores().iter().zip(&whole) {
                prop_assert!((a - b).abs() < 1e-3, "{} for {}", a, b);
            }
        }
    }
}
