//! What a loaded model tells about itself to people and to other peers.
use serde::{Deserialize, Serialize};

use crate::device::DeviceReport;

/// A loaded model: who it is, under which terms, where and how fast it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Short and stable: the name of the model's folder.
    pub id: String,
    /// The name that people see.
    pub name: String,
    /// The licence's short name (SPDX where it could be told), `None` when the folder does not say.
    pub licence: Option<String>,
    /// How the weights are stored: `fp32`, `fp16`, `q8`, `q4`, …
    pub quantisation: String,
    /// Tokens that prompt and answer may have together.
    pub context_length: usize,
    /// Where it runs.
    pub device: DeviceReport,
    /// Prompt tokens read per second, measured when it was loaded.
    pub prefill_tokens_per_second: f64,
    /// Tokens written per second, measured when it was loaded.
    pub decode_tokens_per_second: f64,
    /// How long loading took, in milliseconds, the measurement included.
    pub load_ms: u64,
}

/// What a generator can do beyond answering chats. Callers that need more than there is do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Tokens are counted as the model counts them; otherwise they are estimated, rather too many than too few.
    pub exact_tokens: bool,
    /// An answer can be begun for the model; otherwise it is asked to begin so, and may not.
    pub answer_prefix: bool,
    /// Answers come with the probabilities of their tokens.
    pub logprobs: bool,
    /// Sampling heeds `top_k`, `min_p` and the penalty on repetition.
    pub full_sampling: bool,
    /// An answer is held to its [`Shape`](crate::Shape) while it is written; otherwise the server is asked for it where it is
    /// known to understand that, and an answer of another shape is an error.
    pub shapes: bool,
    /// It wears adapters.
    pub adapters: bool,
    /// The text stays on this machine.
    pub private: bool,
}

impl Capabilities {
    /// A model in this process.
    pub const LOCAL: Self = Self {
        exact_tokens: true,
        answer_prefix: true,
        logprobs: true,
        full_sampling: true,
        shapes: true,
        adapters: true,
        private: true,
    };

    /// A model behind an OpenAI-compatible endpoint.
    pub const REMOTE: Self = Self {
        exact_tokens: false,
        answer_prefix: false,
        logprobs: false,
        full_sampling: false,
        shapes: false,
        adapters: false,
        private: false,
    };
}
