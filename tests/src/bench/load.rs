//! The load: a client so lean that the server is the bottleneck, and what it sends.

pub mod client;
pub mod letters;
pub mod wire;
