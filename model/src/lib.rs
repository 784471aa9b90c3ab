//! Inference: knows tokens and text, not documents.
//!
//! **Invariant.** A model's graph is run by one thread only, its [`Worker`]'s; everybody else asks it
//! through a bounded queue, and whoever drops a [`Generation`] frees the worker within one step.
//!
//! Reading order: [`config`] (where things lie on disk), [`artifact`] (a model folder), [`runtime`] and
//! [`device`] (ONNX Runtime and where it runs), [`engine`] (one loaded graph), [`tokenizer`] and
//! [`chat_template`] (text to tokens and back), [`generate`] (what callers use), [`worker`] (the thread); then
//! [`remote`] (the same on another machine), [`doctor`] (its self-test), [`adapter`] (what a model can wear), [`gguf`] and
//! [`manager`] (how models get here).

pub mod adapter;
pub mod artifact;
pub mod chat_template;
pub mod config;
pub mod device;
pub mod doctor;
pub mod engine;
mod files;
pub mod fit;
pub mod generate;
pub mod gguf;
mod http;
pub mod info;
pub mod manager;
mod native;
pub mod remote;
pub mod runtime;
pub mod tokenizer;
pub mod worker;

pub use adapter::{Adapter, AdapterError, AdapterId};
pub use artifact::{Artifact, ArtifactError};
pub use config::Locations;
pub use device::{DeviceReport, Provider, Refusal, UnknownProvider};
pub use doctor::Checkup;
pub use engine::{CachePlan, EngineOptions, LoadError};
pub use generate::confidence::{Span, TokenScore};
pub use generate::sampler::SamplingParams;
pub use generate::shape::Shape;
pub use generate::stop::StopCondition;
pub use generate::stream::{Chunk, Drafts, FinishReason, Generation, GenerationSender, Summary};
pub use generate::{ChatMessage, ChatRole, GenerateError, GenerateRequest, Generator, Pace, Priority, Turn};
pub use info::{Capabilities, ModelInfo};
pub use remote::{RemoteEngine, RemoteError, RemoteOptions};
pub use runtime::{Runtime, RuntimeError};
pub use worker::Worker;
