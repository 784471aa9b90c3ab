//! The benches: `npm run bench`. Each prints a table, says how busy the machine was, and fails on a missing delivery.

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench is there to print, and to stop at once when it is wrong"
)]

pub mod candidate;
pub mod first_word;
pub mod llama;
pub mod load;
pub mod model;
pub mod paper;
pub mod relay;
pub mod report;
pub mod server;
pub mod stats;
pub mod together;
