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
