//! What becomes of the model's text: where it goes, what of it is ready, and how fast it came.

use std::time::Duration;

use crdt::anchor::Anchor;
use crdt::margin::{Base, ProposalKind, Stats};
use model::Summary;
use tokio::time::Instant;

use super::desk::Desk;
use crate::wardrobe::Worn;
use crate::writer::Writer;

/// What becomes of the model's text.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) kind: ProposalKind,
    pub(super) anchor: Anchor,
    pub(super) base: Base,
    pub(super) writer: Writer,
    pub(super) opening: &'static str,
    /// Words that are not in the proposal yet.
    pub(super) ready: String,
    pub(super) prompt_tokens: usize,
    /// What the model wears.
    pub(super) worn: Worn,
    pub(super) first_chunk: Option<Instant>,
    pub(super) last_chunk: Option<Instant>,
}

impl Answer {
    /// Tokens a second from the first piece to the last.
    pub(super) fn speed(&self, tokens: usize) -> Option<f64> {
        speed(tokens, self.last_chunk?.duration_since(self.first_chunk?))
    }

    /// How the writing went, by the model's own account or as it was seen from here.
    pub(super) fn stats(&self, summary: Option<&Summary>, desk: &Desk) -> Stats {
        let (prompt_tokens, tokens) = match summary {
            Some(summary) => (summary.prompt_tokens, summary.tokens),
            None => (
                self.prompt_tokens,
                desk.generator.count_tokens(self.writer.text()),
            ),
        };
        let by_model = summary
            .filter(|summary| summary.decode_ms > 0)
            .and_then(|summary| speed(summary.tokens, Duration::from_millis(summary.decode_ms)));
        Stats {
            prompt_tokens: prompt_tokens as u64,
            tokens: tokens as u64,
            first_word_ms: 0,
            tokens_per_second: by_model.or_else(|| self.speed(tokens)).unwrap_or(0.0),
        }
    }
}

/// Tokens a second, if there was more than one and it took long enough to tell.
fn speed(tokens: usize, took: Duration) -> Option<f64> {
    let steps = u32::try_from(tokens.saturating_sub(1))
        .ok()
        .filter(|steps| *steps > 0)?;
    (took > Duration::from_millis(50)).then(|| f64::from(steps) / took.as_secs_f64())
}

/// Below this the words that the model was least sure of are told.
const DOUBT: f64 = 0.25;

/// More of them than this say less.
const DOUBT_CHARS: usize = 80;

/// In which words the model may be wrong, if in any.
pub(super) fn doubt(summary: &Summary) -> Option<String> {
    let span = model::generate::confidence::weakest(&summary.scores)?;
    let sure = span.mean_logprob.exp();
    let words: String = span.text.chars().take(DOUBT_CHARS).collect();
    (sure < DOUBT && !words.is_empty())
        .then(|| format!("The model was least sure of “{words}” ({:.0} %).", sure * 100.0))
}
