//! Shapes at work: which tokens may follow, and whether a text that somebody else wrote has the shape.
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use llguidance::api::{ParserLimits, StopReason};
use llguidance::{Matcher, ParserFactory};
use toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use super::shape::Shape;
use crate::tokenizer::TextTokenizer;

/// Compiled shapes that are kept: what the same caller asks for again begins at once.
const KEPT: usize = 8;

/// No token.
const NONE: u32 = u32::MAX;

/// Compiles shapes for one vocabulary.
pub(crate) struct Grammars {
    factory: ParserFactory,
    /// What encodes text that a grammar forces; none for a vocabulary of bytes.
    tokenizer: Option<TextTokenizer>,
    kept: Mutex<Vec<(Shape, Matcher)>>,
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl Grammars {
    /// For a model's tokens. Takes some tens of milliseconds for 50,000 of them.
    ///
    /// # Errors
    /// Words, when the tokenizer does not tell which bytes its tokens stand for.
    pub(crate) fn of_tokenizer(tokenizer: &TextTokenizer, end_tokens: &[u32]) -> Result<Self, String> {
        let words = tokenizer.token_bytes(end_tokens)?;
        let count = u32::try_from(words.len()).map_err(|error| error.to_string())?;
        let ends: Vec<u32> = end_tokens
            .iter()
            .copied()
            .filter(|token| *token < count)
            .collect();
        let mut trie = TokTrie::from(&TokRxInfo::new(count, NONE), &words);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        Self::new(
            &(Arc::new(ApproximateTokEnv::new(trie)) as TokEnv),
            Some(tokenizer.clone()),
        )
    }

    /// For text of which only the bytes are known.
    fn of_bytes() -> Result<Self, String> {
        let words: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        let trie = TokTrie::from(&TokRxInfo::new(256, NONE), &words);
        Self::new(&(Arc::new(ApproximateTokEnv::new(trie)) as TokEnv), None)
    }

    fn new(tokens: &TokEnv, tokenizer: Option<TextTokenizer>) -> Result<Self, String> {
        let mut factory = ParserFactory::new(
            tokens,
            InferenceCapabilities::default(),
            &llguidance::earley::SlicedBiasComputer::general_slices(),
        )
        .map_err(|error| error.to_string())?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            verbose_errors: false, // they go to people
            ..ParserLimits::default()
        };
        Ok(Self {
            factory,
            tokenizer,
            kept: Mutex::default(),
        })
    }

    /// A guide at the beginning of an answer.
    ///
    /// # Errors
    /// What is wrong with the shape, in words.
    pub(crate) fn guide(&self, shape: &Shape) -> Result<Guide, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let matcher = match kept.iter().position(|(other, _)| other == shape) {
            Some(index) => kept.remove(index).1,
            None => self.compile(shape)?,
        };
        kept.truncate(KEPT - 1);
        kept.insert(0, (shape.clone(), matcher.clone()));
        Ok(Guide {
            matcher,
            allowed: None,
            tokenizer: self.tokenizer.clone(),
            ends_with_line: shape.ends_with_line(),
            line_ended: false,
        })
    }

    fn compile(&self, shape: &Shape) -> Result<Matcher, String> {
        let first_line = |error: &dyn ToString| {
            let words = error.to_string();
            words
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(300)
                .collect::<String>()
        };
        let parser = self
            .factory
            .create_parser(shape.grammar()?)
            .map_err(|error| first_line(&error))?;
        let mut matcher = Matcher::new(Ok(parser));
        // an answer that cannot begin shows here and not in the middle of a run
        matcher
            .compute_mask_or_eos()
            .map_err(|error| first_line(&error))?;
        Ok(matcher)
    }
}

/// Shapes of texts of which only the bytes are known.
pub(crate) fn bytes() -> Result<&'static Grammars, String> {
    static BYTES: OnceLock<Result<Grammars, String>> = OnceLock::new();
    BYTES
        .get_or_init(Grammars::of_bytes)
        .as_ref()
        .map_err(Clone::clone)
}

/// Follows one answer and knows what may come next.
#[derive(Clone)]
pub(crate) struct Guide {
    matcher: Matcher,
    /// What may come next, once it was asked for.
    allowed: Option<SimpleVob>,
    tokenizer: Option<TextTokenizer>,
    ends_with_line: bool,
    line_ended: bool,
}

impl std::fmt::Debug for Guide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guide").finish_non_exhaustive()
    }
}

impl Guide {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// Words, when the grammar is too ambiguous to be followed here.
    pub(crate) fn allowed(&mut self) -> Result<&SimpleVob, String> {
        let allowed = match self.allowed.take() {
            Some(allowed) => allowed,
            None => self
                .matcher
                .compute_mask_or_eos()
                .map_err(|error| error.to_string())?,
        };
        Ok(self.allowed.insert(allowed))
    }

    /// A token was written that was allowed.
    ///
    /// # Errors
    /// Words, when it was not.
    pub(crate) fn take(&mut self, token: u32) -> Result<(), String> {
        self.allowed = None;
        self.matcher
            .consume_token(token)
            .map_err(|error| error.to_string())?;
        if self.ends_with_line {
            self.line_ended = !self.matcher.is_stopped()
                && self.ends_in_line_break(token)
                && self.matcher.is_accepting().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn ends_in_line_break(&self, token: u32) -> bool {
        match &self.tokenizer {
            Some(tokenizer) => tokenizer.bytes_of(token).ends_with(b"\n"),
            None => token == u32::from(b'\n'),
        }
    }

    /// Whether the answer is whole and nothing may follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.line_ended
            || matches!(
                self.matcher.stop_reason(),
                StopReason::NoExtension | StopReason::NoExtensionBias | StopReason::EndOfSentence
            )
    }

    /// Whether the line break at its end is no part of the answer.
    pub(crate) const fn ends_with_line(&self) -> bool {
        self.ends_with_line
    }

    /// Whether the answer may end here.
    pub(crate) fn may_end(&mut self) -> bool {
        self.is_complete() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// How many of these tokens, from the first, may follow.
    pub(crate) fn valid(&mut self, tokens: &[u32]) -> usize {
        if self.is_complete() {
            return 0;
        }
        self.matcher.validate_tokens(tokens).unwrap_or(0)
    }

    /// Tokens of the only text that may follow, as the tokenizer cuts it; at most `most`. Others may spell the same text, so
    /// these are a draft like any other.
    pub(crate) fn forced(&mut self, most: usize) -> Vec<u32> {
        let Some(tokenizer) = self.tokenizer.as_ref().filter(|_| most > 0) else {
            return Vec::new();
        };
        if self.is_complete() {
            return Vec::new();
        }
        let bytes = self.matcher.compute_ff_bytes();
        let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let mut tokens = match text {
            "" => return Vec::new(),
            text => tokenizer.encode(text).unwrap_or_default(),
        };
        tokens.truncate(most);
        let valid = self.valid(&tokens);
        tokens.truncate(valid);
        tokens
    }
}

/// Looks at a text from elsewhere as it comes.
#[derive(Debug)]
pub(crate) struct Check {
    guide: Guide,
    begun: bool,
}

impl Check {
    pub(crate) const fn new(guide: Guide) -> Self {
        Self { guide, begun: false }
    }

    /// Takes more text. Returns how many of its bytes, from the first, have the shape; fewer than it has when what follows them
    /// does not belong to it.
    pub(crate) fn push(&mut self, text: &str) -> usize {
        for (at, byte) in text.bytes().enumerate() {
            if self.guide.is_complete() || self.guide.valid(&[u32::from(byte)]) == 0 {
                return at;
            }
            self.begun = true;
            if self.guide.take(u32::from(byte)).is_err() {
                return at;
            }
        }
        text.len()
    }

    /// Whether anything was taken yet.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    pub(crate) const fn guide(&mut self) -> &mut Guide {
        &mut self.guide
    }
}
