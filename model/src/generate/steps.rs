//! The steps of an answer: one token after the other, or several at once where a draft says what may come.
//!
//! A draft changes the speed and not the text. Each token is chosen from scores as if it had been fed alone; a draft only
//! decides which scores are there already. Runs of several tokens go through other kernels, so where the best two
//! scores are near each other the token is fed alone and chosen again.
use super::lookup::Lookup;
use super::sampler::{Choice, Sampler, SamplingParams};
use super::stream::Drafts;
use crate::engine::{Engine, EngineError};

/// Scores of a run of several tokens may be off by so much from those of single ones; measured on the default model: see
/// the test of the suite that asserts a half of it.
pub const NEAR_TIE: f32 = 0.5;

/// Chooses tokens and has the model read them.
#[derive(Debug)]
pub(crate) struct Steps {
    sampler: Sampler,
    lookup: Option<Lookup>,
    ahead: Option<Ahead>,
    drafts: Drafts,
}

/// A run that ended with a draft.
#[derive(Debug)]
struct Ahead {
    /// Tokens in the cache before it.
    base: usize,
    /// The token that was chosen, and the draft.
    run: Vec<u32>,
    /// How many tokens of the draft were chosen since.
    right: usize,
}

impl Steps {
    /// The steps after a prompt. `draft_cost`: what a token more in a run costs, as a share of a run of one; without it no
    /// draft is tried.
    pub(crate) fn new(params: SamplingParams, prompt: &[u32], draft_cost: Option<f32>) -> Self {
        Self {
            sampler: Sampler::new(params),
            lookup: draft_cost.map(|cost| Lookup::new(prompt, cost)),
            ahead: None,
            drafts: Drafts::default(),
        }
    }

    /// How drafts went so far.
    pub(crate) const fn drafts(&self) -> Drafts {
        self.drafts
    }

    /// Tokens in the cache that belong to prompt and answer.
    pub(crate) fn length(&self, engine: &Engine) -> usize {
        match &self.ahead {
            Some(ahead) => ahead.base + ahead.right + 1,
            None => engine.tokens().len(),
        }
    }

    /// The next token.
    pub(crate) fn choose(&mut self, engine: &mut Engine) -> Result<Choice, EngineError> {
        let none = || EngineError::Run(ort::Error::new("the model returned scores that are no numbers"));
        let Some(ahead) = &self.ahead else {
            return self.sampler.choose(engine.scores()).ok_or_else(none);
        };
        let choice = self.sampler.choose(engine.row(ahead.right)).ok_or_else(none)?;
        if choice.margin >= NEAR_TIE {
            return Ok(choice);
        }
        self.sampler.take_back();
        let token = ahead.run.get(ahead.right).copied().unwrap_or_default();
        engine.rewind(ahead.base + ahead.right)?;
        self.end_draft(true);
        self.sampler.choose(engine.feed(&[token])?).ok_or_else(none)
    }

    /// A token was chosen and `more` are to follow: makes their scores.
    pub(crate) fn go_on(&mut self, engine: &mut Engine, token: u32, more: usize) -> Result<(), EngineError> {
        if let Some(lookup) = &mut self.lookup {
            lookup.push(token);
        }
        if let Some(ahead) = &mut self.ahead {
            if ahead.run.get(ahead.right + 1) == Some(&token) {
                ahead.right += 1;
                self.drafts.right += 1;
                return Ok(());
            }
            engine.rewind(ahead.base + ahead.right + 1)?;
            self.end_draft(false);
        }
        let base = engine.tokens().len();
        let room = engine.capacity().saturating_sub(base + 1);
        let draft = self
            .lookup
            .as_mut()
            .map_or(&[][..], |lookup| lookup.draft(room.min(more.saturating_sub(1))));
        if draft.is_empty() {
            engine.feed(&[token])?;
            return Ok(());
        }
        let run = [&[token], draft].concat();
        engine.feed_all(&run)?;
        self.drafts.tried += 1;
        self.ahead = Some(Ahead { base, run, right: 0 });
        Ok(())
    }

    /// `unsure`: the draft was not found wrong, its scores were only too near each other.
    fn end_draft(&mut self, unsure: bool) {
        let Some(ahead) = self.ahead.take() else { return };
        let drafted = ahead.run.len().saturating_sub(1);
        if let Some(lookup) = &mut self.lookup {
            lookup.judge(drafted, ahead.right, unsure);
        }
    }
}
