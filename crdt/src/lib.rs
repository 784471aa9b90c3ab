//! The document and its margin as replicated data, and everything that is said about them without a socket, a file, a
//! clock or chance.
//!
//! **Invariant**: nothing here reads the time, the network, the disk or a random number; all of these are arguments. So
//! every test is a list of events, and the crate builds for the browser.
//!
//! In reading order: [`ids`] (who and what), [`node`] and [`content`] (the text as ProseMirror's tree, in and out of Yjs),
//! [`markdown`] (that tree in and out of Markdown), [`doc`] (the roots of a document), [`anchor`] (places in the text),
//! [`margin`] (requests and proposals), [`decision`] (what becomes of them), [`policy`] (what may leave the machine),
//! [`protocol`] (what travels), [`awareness`] and [`replica`] (a client's copy), [`room`] (the relay's, with everybody who
//! has it open), [`authorship`] (who wrote what), [`history`] (earlier versions, and back to them).

pub mod anchor;
pub mod authorship;
pub mod awareness;
pub mod content;
pub mod decision;
pub mod doc;
pub mod history;
pub mod ids;
pub mod margin;
pub mod markdown;
pub mod node;
pub mod policy;
pub mod protocol;
pub mod replica;
pub mod room;

pub use anchor::Anchor;
pub use ids::{ConnId, DocId, DocName, IdRange, IdSource, Identity, Part, PeerKind, Role, Timestamp};
pub use margin::{Proposal, Request};
pub use node::{Mark, Node};
pub use policy::{Leave, Policy};
pub use replica::Replica;
pub use room::Room;
