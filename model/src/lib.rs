//! Inference: knows tokens and text, not documents.
//!
//! **Invariant.** A model's graph is run by one thread only, its [`Worker`]'s; everybody else asks it
//! through a bounded queue, and whoever drops a [`Generation`] frees the worker within one step.
//!
//! Reading order: [`config`] (where things lie on disk), [`artifact`] (a model folder), [`runtime`] and
//! [`device`] (ONNX Runtime and where it runs), [`engine`] (one loaded graph), [`tokenizer`] and
//! [`chat_template`] (text to tokens and back), [`generate`] (what callers use), [`worker`] (the thread).

pub mod config;
pub mod device;
pub mod generate;
pub mod info;

pub use config::Locations;
pub use device::{DeviceReport, Provider, Refusal};
pub use generate::sampler::SamplingParams;
pub use generate::stop::StopCondition;
pub use generate::stream::{Chunk, FinishReason, Generation, GenerationSender, Summary};
pub use generate::{ChatMessage, ChatRole, GenerateError, GenerateRequest, Generator};
pub use info::ModelInfo;
