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

fn no_numbers() -> EngineError {
    EngineError::Run(ort::Error::new("the model returned scores that are no numbers"))
}

impl Steps {
    /// The steps after a prompt. `draft_cost`: what a token more in a run costs, as a share of a run of one; without it no
    /// draft is tried. `guide`: what holds the answer to a shape.
    pub(crate) fn new(
        params: SamplingParams,
        prompt: &[u32],
        draft_cost: Option<f32>,
        guide: Option<Guide>,
    ) -> Self {
        Self {
            sampler: Sampler::new(params),
            lookup: draft_cost.map(|cost| Lookup::new(prompt, cost)),
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
        self.chose(choice)
    }

    /// The next token, from scores of a run for several requests. `None`: the best two are nearer each other than `near_tie`, and
    /// the token before is to be fed alone. Not while there is a draft: see [`Self::drop_draft`].
    pub(crate) fn choose_from(
        &mut self,
        scores: &[f32],
        near_tie: f32,
    ) -> Result<Option<Choice>, EngineError> {
        let allowed = match &mut self.guide {
            Some(guide) => Some(guide.allowed().map_err(EngineError::Shape)?),
            None => None,
        };
        let choice = self
            .sampler
            .choose_among(scores, allowed)
            .ok_or_else(no_numbers)?;
        if choice.margin < near_tie {
            self.sampler.take_back();
            return Ok(None);
        }
        self.chose(choice).map(Some)
    }

    fn chose(&mut self, choice: Choice) -> Result<Choice, EngineError> {
        if let Some(lookup) = &mut self.lookup {
            lookup.push(choice.token);
        }
        if let Some(guide) = &mut self.guide {
            guide.take(choice.token).map_err(EngineError::Shape)?;
        }
        Ok(choice)
    }

    /// Whether the scores after this token, which was chosen, are there already.
    pub(crate) fn is_ahead(&self, token: u32) -> bool {
        let follows = |ahead: &Ahead| ahead.run.get(ahead.right + 1) == Some(&token);
        self.ahead.as_ref().is_some_and(follows)
    }

    pub(crate) const fn has_draft(&self) -> bool {
        self.ahead.is_some()
    }

    /// Leaves off what was drafted: the next token is fed together with others'.
    pub(crate) fn drop_draft(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        if let Some(ahead) = &self.ahead {
            engine.rewind(ahead.base + ahead.right + 1)?;
            self.end_draft(false);
        }
        Ok(())
    }

    /// Tokens that the next step alone is expected to bring for the cost of one, if `more` are to follow.
    pub(crate) fn promise(&self, more: usize) -> f32 {
        let lookup = self.lookup.as_ref();
        lookup.map_or(1.0, |lookup| lookup.promise(more.saturating_sub(1)))
    }

    fn choose_allowed(&mut self, engine: &mut Engine) -> Result<Choice, EngineError> {
        let allowed = match &mut self.guide {
            Some(guide) => Some(guide.allowed().map_err(EngineError::Shape)?),
            None => None,
        };
        let Some(ahead) = &self.ahead else {
            return self
                .sampler
                .choose_among(engine.scores(), allowed)
                .ok_or_else(no_numbers);
        };
        let choice = self
            .sampler
            .choose_among(engine.row(ahead.right), allowed)
            .ok_or_else(no_numbers)?;
        if choice.margin >= NEAR_TIE {
            return Ok(choice);
        }
        self.sampler.take_back();
        let token = ahead.run.get(ahead.right).copied().unwrap_or_default();
        engine.rewind(ahead.base + ahead.right)?;
        let scores = engine.feed(&[token])?;
        let choice = self
            .sampler
            .choose_among(scores, allowed)
            .ok_or_else(no_numbers)?;
        self.end_draft(true);
        Ok(choice)
    }

    /// A token was chosen and `more` are to follow: makes their scores.
    pub(crate) fn go_on(&mut self, engine: &mut Engine, token: u32, more: usize) -> Result<(), EngineError> {
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
        let Some(lookup) = &mut self.lookup else {
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
        if let Some(lookup) = &mut self.lookup {
            lookup.judge(drafted, ahead.right, unsure);
        }
    }
}
