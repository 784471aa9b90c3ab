//! The AI peer: a model that takes part in a document as people do, over a link to a relay.
//!
//! **Invariants.** It never writes the body; all it says goes into the margin as proposals. It works on one request at a
//! time, under a lease, and every way of ending (done, cancelled, refused, gone, cut off) leaves request and proposal in a
//! state that says so. Dropping what it does stops the model within one step.
//!
//! In reading order: [`trigger`] (when to act), [`context`] (what the model is shown), [`prompt`] (what it is asked),
//! [`writer`] (from tokens to whole words), [`cascade`] (which engine answers), [`wardrobe`] (which adapter it wears),
//! [`privacy`] (what leaves the machine), [`peer`] (all of it over two links),
//! [`link`] and [`settings`].

pub mod cascade;
pub mod context;
pub mod link;
pub mod peer;
pub mod privacy;
pub mod prompt;
pub mod settings;
pub mod trigger;
pub mod wardrobe;
pub mod writer;

pub use cascade::{Cascade, Thresholds};
pub use link::Link;
pub use peer::{AiPeer, Ended};
pub use settings::{Clock, Config, LeaseTimes};
pub use wardrobe::Wardrobe;
