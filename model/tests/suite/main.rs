//! Everything that needs ONNX Runtime, in one program: the tiny model in the repository, and the real one in the cache.
//!
//! What is not in the cache makes a test fail with the command that fetches it; nothing is skipped.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod adapter;
mod gguf;
mod golden;
mod http_server;
mod large;
mod lora;
mod manager;
mod memory;
mod other_engine;
mod refusals;
mod remote;
mod requantise;
mod shape;
mod speed;
mod support;
mod tiny;
mod together;
mod worker;
