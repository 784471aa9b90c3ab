//! How fast a model is here, measured when it is loaded.
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::engine::{Engine, LoadError};
use crate::generate::Pace;
use crate::tokenizer::TextTokenizer;

/// Text for the measurement: ordinary English, about 70 tokens.
const SAMPLE: &str = "The committee met again in the old library on the first Monday of the month. Rain had kept most of \
    the visitors away, and those who came spoke quietly about the plans for the garden, the price of paper, and whether \
    the reading room should stay open on Sundays. Nobody was in a hurry to go home before the tea was ready.";

/// Steps measured when a model is loaded, after two that are not.
const SAMPLE_STEPS: usize = 6;

/// Tokens of a run that checks a draft, as measured.
const SAMPLE_DRAFT: usize = 4;

/// What a token more in a run costs, as a share of a run of one token: on a device that waits for memory, as usual, and
/// where it computes as long as it reads. A measurement tells which of them holds and no more: whether drafts are tried
/// is to be the same whenever a model is loaded on a machine.
const DRAFT_COSTS: [f32; 3] = [0.03, 0.15, 0.6];
const USUAL_DRAFT_COST: f32 = 0.15;

/// A short run of the real thing: it also makes the first request as fast as later ones. Returns the pace, and what a token
/// more in a run that checks a draft costs, as a share of a run of one.
pub(super) fn measure(engine: &mut Engine, tokenizer: &TextTokenizer) -> Result<(Pace, f32), LoadError> {
    let failed = |error: crate::engine::EngineError| LoadError::FirstRun(error.to_string());
    let mut tokens = tokenizer.encode(SAMPLE).map_err(LoadError::FirstRun)?;
    let known = engine.vocabulary();
    tokens.retain(|token| (*token as usize) < known);
    tokens.truncate(64.min(engine.capacity().saturating_sub(SAMPLE_STEPS + SAMPLE_DRAFT)));
    let Some(&next) = tokens.first() else {
        let unknown = Pace {
            prefill: 0.0,
            decode: 0.0,
        };
        return Ok((unknown, USUAL_DRAFT_COST));
    };
    engine.feed(&[next]).map_err(failed)?;
    engine.feed(&[next]).map_err(failed)?;
    engine.rewind(0).map_err(failed)?;
    engine
        .reserve(tokens.len() + SAMPLE_STEPS + SAMPLE_DRAFT)
        .map_err(failed)?;
    let start = Instant::now();
    engine.feed(&tokens).map_err(failed)?;
    let prefill = tokens.len() as f64 / start.elapsed().as_secs_f64().max(1e-9);
    let (mut single, mut several, mut written) = (Duration::MAX, Duration::MAX, Duration::ZERO);
    for _ in 0..SAMPLE_STEPS {
        let start = Instant::now();
        engine.feed(&[next]).map_err(failed)?;
        written += start.elapsed();
        single = single.min(start.elapsed());
        if engine.is_in_place() {
            // in turns, and the least of each: the machine may have other work
            let start = Instant::now();
            engine.feed_all(&[next; SAMPLE_DRAFT]).map_err(failed)?;
            several = several.min(start.elapsed());
            engine
                .rewind(engine.tokens().len() - SAMPLE_DRAFT)
                .map_err(failed)?;
        }
    }
    let decode = SAMPLE_STEPS as f64 / written.as_secs_f64().max(1e-9);
    let draft_cost = if several == Duration::MAX {
        USUAL_DRAFT_COST
    } else {
        let ratio = several.as_secs_f32() / single.as_secs_f32().max(1e-6);
        draft_class((ratio - 1.0) / (SAMPLE_DRAFT - 1) as f32)
    };
    engine.reset().map_err(failed)?;
    engine.runs().store(0, Ordering::Relaxed);
    tracing::debug!(draft_cost, "a token more in a run, as a share of a run of one");
    Ok((Pace { prefill, decode }, draft_cost))
}

/// The nearest of [`DRAFT_COSTS`], by ratio.
fn draft_class(measured: f32) -> f32 {
    let apart = |cost: &f32| (measured.max(0.01) / cost).ln().abs();
    let near = |a: &f32, b: &f32| apart(a).total_cmp(&apart(b));
    DRAFT_COSTS.into_iter().min_by(near).unwrap_or(USUAL_DRAFT_COST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_cost_is_one_of_few() {
        for (measured, class) in [(-0.2, 0.03), (0.02, 0.03), (0.1, 0.15), (0.25, 0.15), (0.9, 0.6)] {
            assert_eq!(draft_class(measured), class, "{measured}");
        }
    }
}
