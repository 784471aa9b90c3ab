//! Earlier versions of a document: when one is kept and for how long, what differs between two, and the way back.
//!
//! A version is the body's state as one update. It is compared and restored as a tree of blocks, so that what is equal is
//! not touched: carets, proposals and other people's work in it stay where they are.

mod align;
mod diff;
mod pace;
mod packed;
mod restore;
#[cfg(test)]
mod tests;
mod version;

pub use diff::{BlockChange, TextChange, TextRun, blocks, text};
pub use pace::{Pace, Rhythm, thin};
pub use packed::{Packed, PackedError};
pub use restore::{copy, restore};
pub use version::{Kind, Version, VersionError, open, state};
