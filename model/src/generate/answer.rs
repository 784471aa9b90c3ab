//! One answer from prompt to end, in turns: read a piece of the prompt, or write a token. Others may have theirs between.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::confidence::TokenScore;
use super::guide::Guide;
use super::job::{Job, Left, Writer};
use super::pace::PaceKeeper;
use super::sampler::Choice;
use super::steps::{NEAR_TIE, Steps};
use super::stream::{Chunk, FinishReason, Summary};
use super::{GenerateError, Priority};
use crate::engine::{Engine, EngineError, PREFILL_CHUNK, Seat};
use crate::tokenizer::{Detokenizer, TextTokenizer};

/// What every job of a worker shares.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) tokenizer: &'a TextTokenizer,
    pub(crate) end_tokens: &'a [u32],
    /// The worker is to end.
    pub(crate) ending: &'a AtomicBool,
    pub(crate) pace: &'a PaceKeeper,
    /// What a token more in a run costs, as a share of a run of one; `None`: drafts are not tried.
    pub(crate) draft_cost: Option<f32>,
    /// What a request more in a run costs, the same way.
    pub(crate) row_cost: f32,
}

/// How long a piece of a prompt may take that nobody else waits for.
const PIECE_SECONDS: f64 = 0.2;

/// And how much longer than usual it may be.
const MOST_PIECES: usize = 8;

/// How an answer ends.
#[derive(Debug)]
pub(crate) enum End {
    /// It is finished.
    Finished(FinishReason),
    /// Nobody reads it any more, or the worker is to end.
    Left,
}

/// `None`: it goes on.
pub(crate) type Turned = Result<Option<End>, EngineError>;

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    around: &'a Surroundings<'a>,
    job: Job,
    seat: Seat,
    /// Tokens of the prompt that are in the cache.
    read: usize,
    reused: usize,
    steps: Steps,
    detokenizer: Detokenizer,
    writer: Writer,
    scores: Vec<TokenScore>,
    /// The token that was written last and is to be fed next.
    next: Option<u32>,
    began: Instant,
    /// When the prompt was read, and how long its runs took.
    was_read: Option<Instant>,
    reading: Duration,
    /// How long the runs took that it wrote in.
    writing: Duration,
}

impl<'a> Answer<'a> {
    /// Takes up a request: finds what was read before, and takes a seat. `None` when memory is short: the reader has been told.
    pub(crate) fn begin(job: Job, engine: &mut Engine, around: &'a Surroundings<'a>) -> Option<Self> {
        let began = Instant::now();
        let reused = match find(engine, &job.prompt.tokens) {
            Ok(reused) => reused,
            Err(error) => {
                tracing::warn!(%error, "a request cannot be taken up");
                let failed = GenerateError::Failed(error.to_string());
                let _ = job.reader.blocking_send(Err(failed)); // it may have left
                return None;
            }
        };
        // a growing cache is copied for every draft that fails
        let draft_cost = around.draft_cost.filter(|_| engine.is_in_place());
        let steps = Steps::new(
            job.params.clone(),
            &job.prompt.tokens,
            draft_cost,
            job.guide.clone(),
        );
        Some(Self {
            around,
            seat: engine.take_seat(),
            read: reused,
            reused,
            steps,
            detokenizer: around.tokenizer.detokenizer(),
            writer: Writer::new(&job.reader, &job.stop.strings, job.prompt.spaces),
            scores: Vec::new(),
            next: None,
            began,
            was_read: None,
            reading: Duration::ZERO,
            writing: Duration::ZERO,
            job,
        })
    }

    pub(crate) const fn job(&self) -> &Job {
        &self.job
    }

    pub(crate) const fn seat(&self) -> Seat {
        self.seat
    }

    /// Whether the prompt is still being read.
    pub(crate) const fn is_reading(&self) -> bool {
        self.was_read.is_none()
    }

    pub(crate) const fn priority(&self) -> Priority {
        self.job.turn.priority
    }

    /// Tokens that it may have at the end, prompt and answer.
    pub(crate) fn most_tokens(&self) -> usize {
        self.job.most_tokens()
    }

    /// Whether nobody waits for more.
    pub(crate) fn is_left(&self) -> bool {
        self.job.reader.is_cancelled() || self.around.ending.load(Ordering::Relaxed)
    }

    /// Reads the next piece of the prompt; after the last one the first token is written. `others`: whether anybody waits for a turn.
    pub(crate) fn read(&mut self, engine: &mut Engine, others: bool) -> Turned {
        if self.is_left() {
            return Ok(Some(End::Left));
        }
        engine.sit(self.seat)?;
        let rest = self.job.prompt.tokens.get(self.read..).unwrap_or_default();
        let begin = Instant::now();
        let piece = rest
            .get(..next_run(rest.len(), self.piece(others)))
            .unwrap_or_default();
        engine.feed(piece)?;
        self.read += piece.len();
        self.reading += begin.elapsed();
        if self.read < self.job.prompt.tokens.len() {
            return Ok(None);
        }
        self.around.pace.read(self.read - self.reused, self.reading);
        self.was_read = Some(Instant::now());
        if self.job.stop.max_tokens == 0 {
            return Ok(Some(End::Finished(FinishReason::MaxTokens)));
        }
        let choice = self.steps.choose(engine)?;
        Ok(self.take(&choice, self.steps.length(engine), engine.capacity()))
    }

    /// Tokens of the prompt to read at once. Larger pieces are read faster (64 tokens 1.27 ms each, 128 tokens 1.19 ms), but for
    /// so long nobody else has a turn, and nobody can leave: what is typed goes out of date with the next key.
    fn piece(&self, others: bool) -> usize {
        if others || self.priority() == Priority::Typing {
            return PREFILL_CHUNK;
        }
        let tokens = self.around.pace.now().prefill * PIECE_SECONDS;
        let pieces = (tokens as usize / PREFILL_CHUNK).clamp(1, MOST_PIECES);
        pieces * PREFILL_CHUNK
    }

    /// Writes the next token, and those after it whose scores a draft has brought.
    pub(crate) fn write(&mut self, engine: &mut Engine) -> Turned {
        let begin = Instant::now();
        engine.sit(self.seat)?;
        let ended = self.write_on(engine);
        self.writing += begin.elapsed();
        ended
    }

    fn write_on(&mut self, engine: &mut Engine) -> Turned {
        while let Some(token) = self.next.take() {
            if self.is_left() {
                return Ok(Some(End::Left));
            }
            let more = self.job.stop.max_tokens - self.scores.len();
            self.steps.go_on(engine, token, more)?;
            let choice = self.steps.choose(engine)?;
            if let Some(end) = self.take(&choice, self.steps.length(engine), engine.capacity()) {
                return Ok(Some(end));
            }
            // what a draft has brought is gone with the next run, which may be somebody else's
            if !self.next.is_some_and(|next| self.steps.is_ahead(next)) {
                break;
            }
        }
        Ok(None)
    }

    /// Whether it gets on better alone, with a draft, than in a run together with others of `members` in all.
    pub(crate) fn prefers_alone(&self, members: usize) -> bool {
        let more = self.job.stop.max_tokens - self.scores.len();
        let members = members as f32;
        self.steps.promise(more) > members / (members - 1.0).mul_add(self.around.row_cost, 1.0)
    }

    /// The token to feed next, in a run together with others.
    pub(crate) fn give_token(&mut self, engine: &mut Engine) -> Result<(Seat, u32), EngineError> {
        if self.steps.has_draft() {
            engine.sit(self.seat)?;
            self.steps.drop_draft(engine)?;
        }
        Ok((self.seat, self.next.unwrap_or_default()))
    }

    /// Writes the next token by the scores of a run together with others; `None`: [`Self::write_again`] is to choose.
    pub(crate) fn take_scores(
        &mut self,
        engine: &Engine,
        row: usize,
        took: Duration,
    ) -> Result<Option<Option<End>>, EngineError> {
        self.writing += took;
        let near_tie = if engine.is_exact_together() { 0.0 } else { NEAR_TIE };
        let Some(choice) = self.steps.choose_from(engine.row(row), near_tie)? else {
            return Ok(None);
        };
        Ok(Some(self.take(
            &choice,
            engine.length_of(self.seat),
            engine.capacity(),
        )))
    }

    /// Feeds the last token again, alone, and writes the next.
    pub(crate) fn write_again(&mut self, engine: &mut Engine) -> Turned {
        let begin = Instant::now();
        engine.sit(self.seat)?;
        let length = engine.tokens().len();
        engine.rewind(length.saturating_sub(1))?;
        engine.feed(&[self.next.unwrap_or_default()])?;
        let choice = self.steps.choose(engine)?;
        self.writing += begin.elapsed();
        Ok(self.take(&choice, engine.tokens().len(), engine.capacity()))
    }

    /// A token was chosen: shows its text. `length`: tokens in the cache.
    fn take(&mut self, choice: &Choice, length: usize, capacity: usize) -> Option<End> {
        self.next = None;
        if self.around.end_tokens.contains(&choice.token) || self.job.stop.tokens.contains(&choice.token) {
            return Some(End::Finished(FinishReason::EndToken));
        }
        let text = self.detokenizer.push(choice.token);
        let complete = self.steps.is_complete();
        let ends_with_line = || self.job.guide.as_ref().is_some_and(Guide::ends_with_line);
        let written = if complete && ends_with_line() {
            self.writer.write(text.trim_end_matches('\n'))
        } else {
            self.writer.write(&text)
        };
        self.scores.push(TokenScore {
            text,
            logprob: choice.logprob,
        });
        match written {
            Ok(None) => {}
            Ok(Some(stop)) => return Some(End::Finished(FinishReason::StopString(stop))),
            Err(Left) => return Some(End::Left),
        }
        if complete {
            return Some(End::Finished(FinishReason::Complete));
        }
        if self.scores.len() >= self.job.stop.max_tokens {
            return Some(End::Finished(FinishReason::MaxTokens));
        }
        if length >= capacity {
            return Some(End::Finished(FinishReason::ContextFull));
        }
        self.next = Some(choice.token);
        None
    }

    /// Tells the reader the last of it.
    pub(crate) fn end(mut self, end: Result<End, String>) {
        let last = match end {
            Ok(End::Finished(finish)) => match self.summary(finish) {
                Ok(summary) => Ok(Chunk::Done(summary)),
                Err(Left) => return,
            },
            Ok(End::Left) if self.around.ending.load(Ordering::Relaxed) => Err(GenerateError::Gone),
            Ok(End::Left) => return tracing::debug!("the reader left"),
            Err(words) => Err(GenerateError::Failed(words)),
        };
        let _ = self.job.reader.blocking_send(last); // the reader may have left just now
    }

    fn summary(&mut self, finish: FinishReason) -> Result<Summary, Left> {
        self.around
            .pace
            .wrote(self.scores.len().saturating_sub(1), self.writing);
        let detokenizer = std::mem::replace(&mut self.detokenizer, self.around.tokenizer.detokenizer());
        let finish = match finish {
            stopped @ FinishReason::StopString(_) => stopped,
            other => match self.writer.write(&detokenizer.finish())? {
                Some(stop) => FinishReason::StopString(stop),
                None => {
                    self.writer.finish()?;
                    other
                }
            },
        };
        let was_read = self.was_read.unwrap_or(self.began);
        let scores = std::mem::take(&mut self.scores);
        Ok(Summary {
            finish,
            prompt_tokens: self.job.prompt.tokens.len(),
            reused_tokens: self.reused,
            tokens: scores.len(),
            prefill_ms: milliseconds(was_read - self.began),
            decode_ms: milliseconds(was_read.elapsed()),
            mean_logprob: scores.iter().map(|score| f64::from(score.logprob)).sum::<f64>()
                / scores.len().max(1) as f64,
            scores,
            drafts: self.steps.drafts(),
        })
    }
}

/// Turns to what was read of a prompt before; returns how much of it need not be read again.
fn find(engine: &mut Engine, prompt: &[u32]) -> Result<usize, EngineError> {
    if prompt.is_empty() {
        return Err(EngineError::Empty); // the scores would be those of the request before
    }
    let common = engine.turn_to(prompt)?;
    // the last token is read again in any case, because its scores are what the answer starts from; and with
    // one more, because a run of one token is another computation (see `Engine::reusable`)
    let reused = engine.rewind(common.min(prompt.len().saturating_sub(2)))?;
    engine.reserve(prompt.len() + 1)?;
    Ok(reused)
}

/// How many of the remaining tokens of a prompt the next run reads, about `piece`: never so many that one is left over.
const fn next_run(remaining: usize, piece: usize) -> usize {
    if remaining <= piece {
        remaining
    } else if remaining == piece + 1 {
        piece - 1
    } else {
        piece
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
        for (piece, length) in [PREFILL_CHUNK, 4 * PREFILL_CHUNK]
            .into_iter()
            .flat_map(|piece| (2..4 * piece).map(move |length| (piece, length)))
        {
            let mut remaining = length;
            while remaining > 0 {
                let run = next_run(remaining, piece);
                assert!((2..=piece).contains(&run), "{length}: {run}");
                remaining -= run;
            }
        }
        assert_eq!(next_run(1, PREFILL_CHUNK), 1);
    }
}
