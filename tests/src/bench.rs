//! The benches: `npm run bench`. Each prints a table, says how busy the machine was, and fails on a missing delivery.

pub mod client;
pub mod first_word;
pub mod llama;
pub mod model;
pub mod open;
pub mod relay;
pub mod server;
pub mod stats;
