//! What leaves the machine, and how it looks when it does.
//!
//! **Invariant.** An engine outside this machine is reached through a [`Gate`] only. The gate asks the document's policy for
//! every request, and whether the asker has been shown what leaves and agreed, masks what it has to, has the departure recorded, and only then sends. What it replaced it puts back
//! while the answer streams in.
//!
//! [`find`](mod@find) knows rules, not people: free names are not found by it. Names that the document knows (who has it
//! open, who has asked) are.

mod checks;
pub mod find;
pub mod gate;
pub mod mask;
pub mod place;

pub use find::{Found, Kind, find};
pub use gate::{Departure, Gate, Known, Warden};
pub use mask::{Masked, Masks, Unmasker};
pub use place::Place;
