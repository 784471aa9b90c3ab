//! The blocks that are open while Markdown is read.

#[cfg(doc)]
use super::MAX_DEPTH;
use super::runs::Piece;
use super::shape::{item, lists};
use super::table;
use crate::node::Node;

/// An open block and what it holds so far.
#[derive(Debug)]
pub(super) struct Frame {
    pub kind: Kind,
    pub blocks: Vec<Node>,
    /// Inline content that is not yet a block: list items and cells have no paragraph of their own in tight lists.
    pub pieces: Vec<Piece>,
    /// How many quotes and list items are open around it.
    depth: usize,
}

impl Frame {
    pub(super) const fn new(kind: Kind, depth: usize) -> Self {
        Self {
            kind,
            blocks: Vec::new(),
            pieces: Vec::new(),
            depth,
        }
    }

    /// How many quotes and list items are open within it.
    pub(super) const fn depth_within(&self) -> usize {
        match self.kind {
            Kind::Quote | Kind::Item { .. } => self.depth + 1,
            _ => self.depth,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Root,
    Quote,
    List {
        start: Option<u64>,
    },
    Item {
        checked: Option<bool>,
    },
    Table,
    Row {
        header: bool,
    },
    Cell {
        header: bool,
    },
    /// A quote, list or item beyond [`MAX_DEPTH`]: its blocks go to its parent.
    Through,
}

/// The blocks that a closed frame stands for.
pub(super) fn closed(frame: Frame) -> Vec<Node> {
    let Frame { kind, mut blocks, .. } = frame;
    match kind {
        Kind::Root | Kind::Through => blocks,
        Kind::Quote => {
            if blocks.is_empty() {
                blocks.push(Node::paragraph(""));
            }
            vec![Node::element("blockquote", blocks)]
        }
        Kind::Item { checked } => vec![item(blocks, checked)],
        Kind::List { start } => lists(blocks, start),
        Kind::Cell { header } => vec![table::cell(header, blocks)],
        Kind::Row { .. } => vec![Node::element("tableRow", blocks)],
        Kind::Table => vec![Node::element("table", blocks)],
    }
}
