//! One generation from prompt to end: read the prompt, then token by token, looking for a reader that left.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::confidence::TokenScore;
use super::guide::Guide;
use super::pace::PaceKeeper;
use super::sampler::SamplingParams;
use super::shape::Shape;
use super::steps::Steps;
use super::stop::{StopCondition, StopFilter};
use super::stream::{Chunk, FinishReason, GenerationSender, Summary};
use super::{GenerateError, GenerateRequest, Turn};
use crate::adapter::Adapter;
use crate::chat_template::ChatTemplate;
use crate::engine::{Engine, EngineError, PREFILL_CHUNK};
use crate::tokenizer::TextTokenizer;

/// A request ready to run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prompt: Prompt,
    pub(crate) params: SamplingParams,
    pub(crate) stop: StopCondition,
    /// What holds the answer to the shape that was asked for.
    pub(crate) guide: Option<Guide>,
    pub(crate) adapter: Option<Arc<Adapter>>,
    pub(crate) turn: Turn,
    /// How long it will take at most, as far as can be told.
    pub(crate) cost: Duration,
    pub(crate) reader: GenerationSender,
}

/// The tokens of a prompt, and how the answer's text joins the prefix that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// Spaces that ended the answer's prefix and were left to the model, to be taken off its text again.
    pub(crate) spaces: usize,
}

impl Prompt {
    /// Renders and encodes a request.
    ///
    /// A prefix that ends with spaces would cut a word from the space that its token begins with, and the
    /// model would continue badly; so the spaces are left out here and taken off the answer's beginning. Not where the answer
    /// is to have a shape, which says what it begins with; a paragraph may begin with spaces.
    pub(crate) fn new(
        request: &GenerateRequest,
        template: &ChatTemplate,
        tokenizer: &TextTokenizer,
        now: Option<u64>,
    ) -> Result<Self, GenerateError> {
        let mut messages = request.messages.clone();
        for message in &mut messages {
            message.content = tokenizer.defuse(&message.content);
        }
        let mut text = template.render(&messages, now).map_err(GenerateError::Template)?;
        let mut spaces = 0;
        if let Some(prefix) = &request.answer_prefix {
            let prefix = tokenizer.defuse(prefix);
            let whole = prefix.trim_end_matches(' ');
            if matches!(request.shape, None | Some(Shape::Paragraph { .. })) {
                spaces = prefix.len() - whole.len();
                text.push_str(whole);
            } else {
                text.push_str(&prefix);
            }
        }
        Ok(Self {
            tokens: tokenizer.encode(&text).map_err(GenerateError::Template)?,
            spaces,
        })
    }
}

/// The answer's text on its way to the reader.
struct Writer<'a> {
    reader: &'a GenerationSender,
    filter: StopFilter,
    /// Spaces still to be taken off the beginning.
    spaces: usize,
}

/// The reader is gone, or the worker is to end.
struct Left;

impl Writer<'_> {
    /// Shows text; returns the stop string if it is complete.
    fn write(&mut self, text: &str) -> Result<Option<String>, Left> {
        let (shown, stop) = self.filter.push(text);
        self.show(&shown)?;
        Ok(stop)
    }

    fn show(&mut self, text: &str) -> Result<(), Left> {
        let mut shown = text;
        while self.spaces > 0 && !shown.is_empty() {
            match shown.strip_prefix(' ') {
                Some(rest) => {
                    self.spaces -= 1;
                    shown = rest;
                }
                None => self.spaces = 0,
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        self.reader
            .blocking_send(Ok(Chunk::Text(shown.to_owned())))
            .map_err(|_| Left)
    }
}

/// What every job of a worker shares.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) tokenizer: &'a TextTokenizer,
    pub(crate) end_tokens: &'a [u32],
    /// The worker is to end.
    pub(crate) ending: &'a AtomicBool,
    pub(crate) pace: &'a PaceKeeper,
    /// Whether drafts are tried.
    pub(crate) drafts: bool,
}

/// Runs one job to its end. A reader that has left ends it within one step, without an error.
pub(crate) fn run(engine: &mut Engine, job: &Job, around: &Surroundings<'_>) {
    let reader = &job.reader;
    let last = match answer(engine, job, around) {
        Ok(Some(summary)) => Ok(Chunk::Done(summary)),
        Ok(None) if around.ending.load(Ordering::Relaxed) => Err(GenerateError::Gone),
        Ok(None) => return tracing::debug!("the reader left"),
        Err(error) => {
            tracing::warn!(%error, "a generation failed");
            Err(GenerateError::Failed(error.to_string()))
        }
    };
    let _ = reader.blocking_send(last); // the reader may have left just now
}

fn answer(engine: &mut Engine, job: &Job, around: &Surroundings<'_>) -> Result<Option<Summary>, EngineError> {
    let left = || job.reader.is_cancelled() || around.ending.load(Ordering::Relaxed);
    if job.prompt.tokens.is_empty() {
        return Err(EngineError::Empty); // the scores would be those of the request before
    }
    let started = Instant::now();
    let Some(reused) = read_prompt(engine, &job.prompt.tokens, &left)? else {
        return Ok(None);
    };
    let prefill = started.elapsed();
    around.pace.read(job.prompt.tokens.len() - reused, prefill);
    let decoding = Instant::now();

    let drafts = around.drafts && engine.is_in_place(); // a growing cache is copied for every draft that fails
    let mut steps = Steps::new(job.params.clone(), &job.prompt.tokens, drafts, job.guide.clone());
    let ends_with_line = job.guide.as_ref().is_some_and(Guide::ends_with_line);
    let mut detokenizer = around.tokenizer.detokenizer();
    let mut writer = Writer {
        reader: &job.reader,
        filter: StopFilter::new(&job.stop.strings),
        spaces: job.prompt.spaces,
    };
    let mut scores: Vec<TokenScore> = Vec::new();
    let finish = loop {
        if scores.len() >= job.stop.max_tokens {
            break FinishReason::MaxTokens;
        }
        if left() {
            return Ok(None);
        }
        let choice = steps.choose(engine)?;
        if around.end_tokens.contains(&choice.token) || job.stop.tokens.contains(&choice.token) {
            break FinishReason::EndToken;
        }
        let text = detokenizer.push(choice.token);
        let complete = steps.is_complete();
        let written = if complete && ends_with_line {
            writer.write(text.trim_end_matches('\n'))
        } else {
            writer.write(&text)
        };
        scores.push(TokenScore {
            text,
            logprob: choice.logprob,
        });
        match written {
            Ok(None) => {}
            Ok(Some(stop)) => break FinishReason::StopString(stop),
            Err(Left) => return Ok(None),
        }
        if complete {
            break FinishReason::Complete;
        }
        if steps.length(engine) >= engine.capacity() {
            break FinishReason::ContextFull;
        }
        let more = job.stop.max_tokens - scores.len();
        if more > 0 {
            steps.go_on(engine, choice.token, more)?;
        }
    };
    let decode = decoding.elapsed();
    around.pace.wrote(scores.len().saturating_sub(1), decode);
    let finish = match finish {
        stopped @ FinishReason::StopString(_) => stopped,
        other => {
            let stop = match writer.write(&detokenizer.finish()) {
                Ok(stop) => stop,
                Err(Left) => return Ok(None),
            };
            let rest = std::mem::replace(&mut writer.filter, StopFilter::new(&[])).finish();
            match stop {
                Some(stop) => FinishReason::StopString(stop),
                None if writer.show(&rest).is_err() => return Ok(None),
                None => other,
            }
        }
    };
    Ok(Some(Summary {
        finish,
        prompt_tokens: job.prompt.tokens.len(),
        reused_tokens: reused,
        tokens: scores.len(),
        prefill_ms: milliseconds(prefill),
        decode_ms: milliseconds(decode),
        mean_logprob: scores.iter().map(|score| f64::from(score.logprob)).sum::<f64>()
            / scores.len().max(1) as f64,
        scores,
        drafts: steps.drafts(),
    }))
}

/// Reads the prompt, reusing what the cache has of it. Returns how many tokens were reused; `None` when left.
fn read_prompt(
    engine: &mut Engine,
    prompt: &[u32],
    left: &dyn Fn() -> bool,
) -> Result<Option<usize>, EngineError> {
    let common = engine.turn_to(prompt)?;
    // the last token is read again in any case, because its scores are what the answer starts from; and with
    // one more, because a run of one token is another computation (see `Engine::reusable`)
    let reused = engine.rewind(common.min(prompt.len().saturating_sub(2)))?;
    let mut rest = prompt.get(reused..).unwrap_or_default();
    while !rest.is_empty() {
        if left() {
            return Ok(None);
        }
        let (chunk, after) = rest.split_at(next_run(rest.len()));
        engine.feed(chunk)?;
        rest = after;
    }
    Ok(Some(reused))
}

/// How many of the remaining tokens of a prompt the next run reads: never so many that one is left over.
const fn next_run(remaining: usize) -> usize {
    if remaining <= PREFILL_CHUNK {
        remaining
    } else if remaining == PREFILL_CHUNK + 1 {
        PREFILL_CHUNK - 1
    } else {
        PREFILL_CHUNK
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_read_whole_and_never_one_token_alone() {
        for length in 2..4 * PREFILL_CHUNK {
            let mut remaining = length;
            while remaining > 0 {
                let run = next_run(remaining);
                assert!((2..=PREFILL_CHUNK).contains(&run), "{length}: {run}");
                remaining -= run;
            }
        }
        assert_eq!(next_run(1), 1);
    }
}
