//! A request ready to run, and the text that comes out of it on its way to the reader.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::guide::Guide;
use super::sampler::SamplingParams;
use super::shape::Shape;
use super::stop::{StopCondition, StopFilter};
use super::stream::{Chunk, GenerationSender};
use super::{GenerateError, GenerateRequest, Turn};
use crate::adapter::Adapter;
use crate::chat_template::ChatTemplate;
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
    pub(crate) _ticket: Ticket,
}

impl Job {
    /// Tokens that prompt and answer may have together.
    pub(crate) fn most_tokens(&self) -> usize {
        self.prompt.tokens.len().saturating_add(self.stop.max_tokens)
    }
}

/// Counts as an unfinished request until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<AtomicUsize>);

impl Ticket {
    pub(crate) fn new(unfinished: &Arc<AtomicUsize>) -> Self {
        unfinished.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(unfinished))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
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
#[derive(Debug)]
pub(super) struct Writer {
    reader: GenerationSender,
    filter: StopFilter,
    /// Spaces still to be taken off the beginning.
    spaces: usize,
}

/// The reader is gone.
pub(super) struct Left;

impl Writer {
    pub(super) fn new(reader: &GenerationSender, strings: &[String], spaces: usize) -> Self {
        Self {
            reader: reader.clone(),
            filter: StopFilter::new(strings),
            spaces,
        }
    }

    /// Shows what was held back because a stop string might have come.
    pub(super) fn finish(&mut self) -> Result<(), Left> {
        let rest = std::mem::replace(&mut self.filter, StopFilter::new(&[])).finish();
        self.show(&rest)
    }

    /// Shows text; returns the stop string if it is complete.
    pub(super) fn write(&mut self, text: &str) -> Result<Option<String>, Left> {
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
