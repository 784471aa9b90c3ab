//! The relay over real sockets, and the server's program as a real process.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that stops here has failed"
)]

mod access;
mod ai;
mod api;
mod client;
mod durability;
mod hostile;
mod pipes;
mod process;
mod relay;
mod storage;
mod sync;
mod uplink;
