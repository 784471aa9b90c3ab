//! The relay over real sockets, and the server's program as a real process.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that stops here has failed"
)]

mod access;
mod adapters;
mod ai;
mod api;
mod client;
mod copies;
mod crashes;
mod devices;
mod durability;
mod engines;
mod epoch;
mod flood;
mod hostile;
mod intruders;
mod limits;
mod memory;
mod models;
mod names;
mod pipes;
mod process;
mod real_engines;
mod relay;
mod sharing;
mod storage;
mod sync;
mod tls;
mod tokens;
mod uplink;
mod versions;
