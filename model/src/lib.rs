//! Inference: knows tokens and text, not documents.
//!
//! **Invariant.** A model's graph is run by one thread only, its [`Worker`]'s; everybody else asks it
//! through a bounded queue, and whoever drops a [`Generation`] frees the worker within one step.
//!
//! Reading order: [`config`] (where things lie on disk), [`artifact`] (a model folder), [`runtime`] and
//! [`device`] (ONNX Runtime and where it runs), [`engine`] (one loaded graph), [`tokenizer`] and
//! [`chat_template`] (text to tokens and back), [`generate`] (what callers use), [`worker`] (the thread).

pub mod artifact;
pub mod chat_template;
pub mod config;
pub mod device;
pub mod engine;
pub mod fit;
pub mod generate;
pub mod info;
mod native;
pub mod runtime;
pub mod tokenizer;
pub mod worker;

pub use artifact::{Artifact, ArtifactError};
pub use config::Locations;
pub use device::{DeviceReport, Provider, Refusal};
pub use engine::{CachePlan, EngineOptions, LoadError};
pub use generate::confidence::{Span, TokenScore};
pub use generate::sampler::SamplingParams;
pub use generate::stop::StopCondition;
pub use generate::stream::{Chunk, Drafts, FinishReason, Generation, GenerationSender, Summary};
pub use generate::{ChatMessage, ChatRole, GenerateError, GenerateRequest, Generator, Pace, Priority, Turn};
pub use info::ModelInfo;
pub use runtime::{Runtime, RuntimeError};
pub use worker::Worker;
