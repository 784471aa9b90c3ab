//! How fast a model is here, measured when it is loaded.
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::device::{Place, Provider};
use crate::engine::{Engine, LoadError};
use crate::generate::Pace;
use crate::tokenizer::TextTokenizer;

/// Text for the measurement: ordinary English, about 70 tokens.
const SAMPLE: &str = "The committee met again in the old library on the first Monday of the month. Rain had kept most of \
    the visitors away, and those who came spoke quietly about the plans for the garden, the price of paper, and whether \
    the reading room should stay open on Sundays. Nobody was in a hurry to go home before the tea was ready.";

/// Steps measured when a model is loaded, after two that are not.
const SAMPLE_STEPS: usize = 6;

/// What a token more in a run that checks a draft costs on a processor, as a share of a run of one: 0.14 and 0.15 were measured
/// for the default model in 8 bits on two cores, for runs of two to eight tokens.
const DRAFT_COST_PROCESSOR: f32 = 0.15;
/// And on a graphics card, which waits for the weights either way.
const DRAFT_COST_CARD: f32 = 0.03;

/// What a request more in a run of one token for each costs on a processor: 0.39 and, of five more, 0.38 were measured as above, with
/// 256 tokens of context each.
const ROW_COST_PROCESSOR: f32 = 0.38;

/// What a request more in a run costs there, as a share of a run of one.
pub(super) const fn row_cost(provider: Provider) -> f32 {
    match provider.place() {
        Place::Processor => ROW_COST_PROCESSOR,
        Place::Card => DRAFT_COST_CARD,
    }
}

/// What a token more in a run costs there. Not measured when a model is loaded: which drafts are tried decides which near ties
/// are looked at twice, and the same request is to have the same answer whatever else the machine does.
pub(super) const fn draft_cost(provider: Provider) -> f32 {
    match provider.place() {
        Place::Processor => DRAFT_COST_PROCESSOR,
        Place::Card => DRAFT_COST_CARD,
    }
}

/// A short run of the real thing: it also makes the first request as fast as later ones.
pub(super) fn measure(engine: &mut Engine, tokenizer: &TextTokenizer) -> Result<Pace, LoadError> {
    let provider = engine.device().provider;
    let failed = |error| LoadError::first_run(provider, &error);
    let mut tokens = tokenizer.encode(SAMPLE).map_err(LoadError::FirstRun)?;
    let known = engine.vocabulary();
    tokens.retain(|token| (*token as usize) < known);
    tokens.truncate(64.min(engine.capacity().saturating_sub(SAMPLE_STEPS)));
    let Some(&next) = tokens.first() else {
        return Ok(Pace {
            prefill: 0.0,
            decode: 0.0,
        });
    };
    engine.feed(&[next]).map_err(failed)?;
    engine.feed(&[next]).map_err(failed)?;
    engine.rewind(0).map_err(failed)?;
    engine.reserve(tokens.len() + SAMPLE_STEPS).map_err(failed)?;
    let start = Instant::now();
    engine.feed(&tokens).map_err(failed)?;
    let prefill = tokens.len() as f64 / start.elapsed().as_secs_f64().max(1e-9);
    let start = Instant::now();
    for _ in 0..SAMPLE_STEPS {
        engine.feed(&[next]).map_err(failed)?;
    }
    let decode = SAMPLE_STEPS as f64 / start.elapsed().as_secs_f64().max(1e-9);
    engine.reset().map_err(failed)?;
    engine.runs().store(0, Ordering::Relaxed);
    Ok(Pace { prefill, decode })
}
