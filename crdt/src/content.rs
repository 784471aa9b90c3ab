//! The text of a document: between y-prosemirror's Yjs types and [`Node`] trees.
//!
//! The mapping is that of y-prosemirror 1.3 and @tiptap/y-tiptap 3: an element for every node but text, its
//! attributes as JSON values, adjacent texts in one `Y.XmlText` with a formatting attribute for each mark. A document
//! written here is read there as it was meant, and the other way round.

mod plain;
mod read;
mod value;
mod write;

pub use plain::{block_texts, plain_text};
pub use read::{read, read_element, read_text};
pub use value::{from_any, to_any};
pub use write::{ContentError, fill, insert, insert_inline, replace};
