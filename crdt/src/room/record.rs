//! What a room asks its store to keep.

use serde::{Deserialize, Serialize};

use super::write::Change;
use crate::ids::{IdRange, Identity, Part, Timestamp};

/// One write, of the body, of the margin or of both at once: it is on disk whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place in the document's log; counts up by one.
    pub seq: u64,
    /// Update (v1) of the body.
    pub body: Option<Vec<u8>>,
    /// Update (v1) of the margin.
    pub margin: Option<Vec<u8>>,
    /// Who wrote it, as the relay knows them.
    pub author: Identity,
    /// When the relay took it.
    pub at: Timestamp,
    /// The ids that it put into the body.
    pub ranges: Vec<IdRange>,
    /// The ids that it put into the margin.
    pub margin_ranges: Vec<IdRange>,
}

impl Record {
    /// The update of one part.
    #[must_use]
    pub fn part(&self, part: Part) -> Option<&[u8]> {
        match part {
            Part::Body => self.body.as_deref(),
            Part::Margin => self.margin.as_deref(),
        }
    }

    /// Adds what was written to one part.
    pub(super) fn set(&mut self, change: Change) {
        match change.part {
            Part::Body => (self.body, self.ranges) = (Some(change.update), change.ranges),
            Part::Margin => (self.margin, self.margin_ranges) = (Some(change.update), change.ranges),
        }
    }

    /// Bytes of its updates.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len) + self.margin.as_ref().map_or(0, Vec::len)
    }
}

/// A whole document, to stand in for all records up to `seq`.
///
/// It may hold more than those: applying a record to a snapshot that has it already changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record that is on disk, with all before it; 0 when there is none.
    pub seq: u64,
    /// The body as one update (v1).
    pub body: Vec<u8>,
    /// The margin as one update (v1).
    pub margin: Vec<u8>,
}
