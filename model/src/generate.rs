//! Text generation as callers see it: a request in, a stream of text out.
pub(crate) mod answer;
pub mod confidence;
pub(crate) mod guide;
pub(crate) mod job;
pub mod kv_cache;
pub(crate) mod lookup;
pub(crate) mod pace;
pub mod sampler;
pub mod shape;
pub mod steps;
pub mod stop;
pub mod stream;

use serde::{Deserialize, Serialize};

use crate::adapter::AdapterId;
use crate::info::{Capabilities, ModelInfo};
use sampler::SamplingParams;
use shape::Shape;
use stop::StopCondition;
use stream::Generation;

/// Who speaks in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// Standing instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// Standing instructions.
    #[must_use]
    pub fn system(content: impl Into<String>) -> Self {
        Self {
            role: ChatRole::System,
            content: content.into(),
        }
    }

    /// Something the person says.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: ChatRole::User,
            content: content.into(),
        }
    }

    /// Something the model said, or an example of what it should say.
    #[must_use]
    pub fn assistant(content: impl Into<String>) -> Self {
        Self {
            role: ChatRole::Assistant,
            content: content.into(),
        }
    }
}

/// What to generate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// The chat so far; the model answers as the assistant.
    pub messages: Vec<ChatMessage>,
    /// Text that the answer begins with. The model goes on from there; it is not part of the stream.
    pub answer_prefix: Option<String>,
    /// How the next token is chosen.
    pub params: SamplingParams,
    /// When to end.
    pub stop: StopCondition,
    /// What the answer is to look like; `None`: anything.
    #[serde(default)]
    pub shape: Option<Shape>,
    /// The adapter that the model is to wear; `None`: the model as it is.
    #[serde(default)]
    pub adapter: Option<AdapterId>,
    /// For whom, and how soon.
    #[serde(default)]
    pub turn: Turn,
}

/// For whom a request is and how soon it is wanted: who waits for the same model takes turns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Turn {
    /// The person who asked; those whose last turn is longest ago come first.
    pub requester: String,
    /// How soon.
    pub priority: Priority,
}

/// How soon an answer is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Whenever there is time.
    Background,
    /// Somebody waits for a proposal.
    #[default]
    Proposal,
    /// Somebody is typing: a few words, out of date with the next key.
    Typing,
}

impl GenerateRequest {
    /// Greedy generation of at most `max_tokens`.
    #[must_use]
    pub fn greedy(messages: Vec<ChatMessage>, max_tokens: usize) -> Self {
        Self {
            messages,
            answer_prefix: None,
            params: SamplingParams::greedy(),
            stop: StopCondition {
                max_tokens,
                ..StopCondition::default()
            },
            shape: None,
            adapter: None,
            turn: Turn::default(),
        }
    }
}

/// Why nothing, or nothing more, is generated. The words are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The queue is full; asking again later may work.
    #[error("the model is busy: {waiting} requests are waiting already; try again in about {seconds} s")]
    Busy {
        /// Requests in the queue.
        waiting: usize,
        /// How long those that wait will take at most, at the speed of the last minutes.
        seconds: u64,
    },
    /// Prompt and answer do not fit; a shorter prompt may work.
    #[error(
        "the prompt has {tokens} tokens and the model takes at most {limit}: select less text or shorten the instruction"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that a prompt may have, with room for at least one token of answer.
        limit: usize,
    },
    /// The model's chat template refuses these messages; asking again changes nothing.
    #[error("the model's chat template refuses these messages: {0}")]
    Template(String),
    /// The shape that was asked for is no shape; the request can never work.
    #[error("the answer cannot be given the shape that was asked for: {0}")]
    Shape(String),
    /// The adapter cannot be used; asking again changes nothing until it is added.
    #[error("{0}")]
    Adapter(String),
    /// It may not be asked for this; the words say why, and who can change that.
    #[error("{0}")]
    Refused(String),
    /// A run failed; the worker goes on with the next request.
    #[error("the model failed: {0}")]
    Failed(String),
    /// The worker has ended; load the model again.
    #[error("the model is no longer loaded; load it again")]
    Gone,
}

/// How fast a model works, in tokens per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Tokens of prompts read.
    pub prefill: f64,
    /// Tokens of answers written.
    pub decode: f64,
}

/// Something that answers chats with text: a [`Worker`](crate::worker::Worker), or a script in a test.
pub trait Generator: Send + Sync + std::fmt::Debug {
    /// Who answers.
    fn info(&self) -> &ModelInfo;

    /// What it can do beyond answering chats.
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    /// How many tokens this text is, without any that a chat template adds. Runs on the caller's thread and takes about
    /// a microsecond a token: from async code, count long texts where blocking is allowed.
    fn count_tokens(&self, text: &str) -> usize;

    /// How fast it is now, as far as it is known; when it was loaded, unless it keeps watch.
    fn pace(&self) -> Pace {
        let info = self.info();
        Pace {
            prefill: info.prefill_tokens_per_second,
            decode: info.decode_tokens_per_second,
        }
    }

    /// How many of a request's tokens have been read before and need not be read again. Runs on the caller's thread, as
    /// [`Self::count_tokens`] does.
    fn cached_tokens(&self, _request: &GenerateRequest) -> usize {
        0
    }

    /// Puts a request in the queue and returns without waiting for it; the text comes through the [`Generation`]. Making
    /// the prompt's tokens runs on the caller's thread, as in [`Self::count_tokens`].
    ///
    /// # Errors
    /// [`GenerateError::Busy`] when the queue is full, [`GenerateError::Gone`] when the worker has ended,
    /// [`GenerateError::Template`], [`GenerateError::PromptTooLong`] [`GenerateError::Shape`] and
    /// [`GenerateError::Adapter`] when the request can never work.
    fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError>;
}
