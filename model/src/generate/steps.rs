//! The steps of an answer: one token after the other, or several at once where a draft says what may come.
//!
//! A draft changes the speed and not the text. Each token is chosen from scores as if it had been fed alone; a draft only
//! decides which scores are there already. Runs of several tokens go through other kernels, so where the best two
//! scores are near each other the token is fed alone and chosen again.
//!
//! Where the answer is to have a shape, only what its grammar allows is chosen, and only what it allows is drafted.
use super::guide::Guide;
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
    guide: Option<Guide>,
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
    /// The draft is what the grammar forces; it says nothing about what is in the prompt.
    forced: bool,
}

/// Tokens that a grammar forces, at most, in one draft.
const FORCED: usize = 12;

impl Steps {
    /// The steps after a prompt. `drafts`: whether they are tried. `guide`: what holds the answer to a shape.
    pub(crate) fn new(params: SamplingParams, prompt: &[u32], drafts: bool, guide: Option<Guide>) -> Self {
        Self {
            sampler: Sampler::new(params),
            lookup: drafts.then(|| Lookup::new(prompt)),
            guide,
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

    /// Whether the answer has its shape and nothing may follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.guide.as_ref().is_some_and(Guide::is_complete)
    }

    /// The next token.
    pub(crate) fn choose(&mut self, engine: &mut Engine) -> Result<Choice, EngineError> {
        let choice = self.choose_allowed(engine)?;
        if let Some(guide) = &mut self.guide {
            guide.take(choice.token).map_err(EngineError::Shape)?;
        }
        Ok(choice)
    }

    fn choose_allowed(&mut self, engine: &mut Engine) -> Result<Choice, EngineError> {
        let none = || EngineError::Run(ort::Error::new("the model returned scores that are no numbers"));
        let allowed = match &mut self.guide {
            Some(guide) => Some(guide.allowed().map_err(EngineError::Shape)?),
            None => None,
        };
        let Some(ahead) = &self.ahead else {
            return self
                .sampler
                .choose_among(engine.scores(), allowed)
                .ok_or_else(none);
        };
        let choice = self
            .sampler
            .choose_among(engine.row(ahead.right), allowed)
            .ok_or_else(none)?;
        if choice.margin >= NEAR_TIE {
            return Ok(choice);
        }
        self.sampler.take_back();
        let token = ahead.run.get(ahead.right).copied().unwrap_or_default();
        engine.rewind(ahead.base + ahead.right)?;
        let scores = engine.feed(&[token])?;
        let choice = self.sampler.choose_among(scores, allowed).ok_or_else(none)?;
        self.end_draft(true);
        Ok(choice)
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
        let (draft, forced) = self.draft(room.min(more.saturating_sub(1)));
        if draft.is_empty() {
            engine.feed(&[token])?;
            return Ok(());
        }
        let run = [&[token], draft.as_slice()].concat();
        engine.feed_all(&run)?;
        self.drafts.tried += 1;
        self.ahead = Some(Ahead {
            base,
            run,
            right: 0,
            forced,
        });
        Ok(())
    }

    /// What may follow, at most `most` tokens, and whether the grammar says so.
    fn draft(&mut self, most: usize) -> (Vec<u32>, bool) {
        let Some(lookup) = &self.lookup else {
            return (Vec::new(), false);
        };
        let found = lookup.draft(most);
        let Some(guide) = &mut self.guide else {
            return (found.to_vec(), false);
        };
        let forced = guide.forced(most.min(FORCED));
        if forced.is_empty() {
            let valid = guide.valid(found);
            (found.get(..valid).unwrap_or_default().to_vec(), false)
        } else {
            (forced, true)
        }
    }

    /// `unsure`: the draft was not found wrong, its scores were only too near each other.
    fn end_draft(&mut self, unsure: bool) {
        let Some(ahead) = self.ahead.take() else { return };
        if ahead.forced {
            return;
        }
        let drafted = ahead.run.len().saturating_sub(1);
        if let Some(lookup) = self.lookup.as_mut().filter(|_| !unsure || ahead.right > 0) {
            lookup.judge(drafted, ahead.right);
        }
    }
}
