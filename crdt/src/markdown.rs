//! Markdown (CommonMark with GitHub's tables, strikethrough and task lists) to and from [`Node`] trees.
//!
//! What models answer and people import is *parsed*; what is exported or shown to a model is *written*. Parsing takes any
//! string. Writing keeps text text: whatever would be read as markup is escaped. For every tree `parse(write(nodes))` is
//! `normalise(nodes)`, the tree without what Markdown cannot say.
//!
//! Beyond CommonMark: `<u>` is underline, `<br>` a hard break, and the HTML tags for bold, italic, strike and code are
//! read, and written where asterisks would not be understood (`a**"b"**c`). Other HTML stays visible as text, comments
//! are dropped. Images are blocks.

mod delimiters;
mod escape;
mod frame;
mod hug;
mod inline;
mod normal;
mod parse;
mod runs;
mod shape;
mod table;
mod write;

pub use normal::normalise;
pub use parse::parse;
pub use write::write;

/// How deep quotes and list items may lie in each other; what lies deeper is lifted out to this depth. It bounds the
/// stack that a hostile `>>>>…` takes, here and in every editor that shows the tree.
pub const MAX_DEPTH: usize = 32;

#[cfg(doc)]
use crate::node::Node;
