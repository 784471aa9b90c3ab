//! Everything that needs ONNX Runtime, in one program: the tiny model in the repository, and the real one in the cache.
//!
//! What is not in the cache makes a test fail with the command that fetches it; nothing is skipped.
mod golden;
mod refusals;
mod support;
mod tiny;
mod worker;
