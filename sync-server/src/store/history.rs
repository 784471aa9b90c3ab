//! What a store takes and gives of documents and their versions, packed and unpacked.

use crdt::history::{Kind, Packed, Version};
use crdt::ids::{DocId, Identity, Timestamp};
use crdt::room::{Record, Snapshot, Stored};

use super::{DocumentRow, StoreError};

/// A snapshot as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSnapshot {
    /// The last record that it holds.
    pub seq: u64,
    /// The body.
    pub body: Packed,
    /// The margin.
    pub margin: Packed,
}

impl PackedSnapshot {
    /// Packs what is worth it. Takes about as long as it takes to open the document.
    #[must_use]
    pub fn pack(snapshot: Snapshot) -> Self {
        Self {
            seq: snapshot.seq,
            body: Packed::halved(snapshot.body),
            margin: Packed::halved(snapshot.margin),
        }
    }

    /// How many bytes it takes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.body.bytes.len() + self.margin.bytes.len()
    }
}

impl From<Snapshot> for PackedSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            seq: snapshot.seq,
            body: Packed::v1(snapshot.body),
            margin: Packed::v1(snapshot.margin),
        }
    }
}

/// A document as a store gives it.
#[derive(Debug)]
pub struct Raw {
    /// Its entry in the list; `None` when nothing was ever written under that name.
    pub row: Option<DocumentRow>,
    /// Its snapshot.
    pub snapshot: Option<PackedSnapshot>,
    /// The records after the snapshot.
    pub tail: Vec<Record>,
    /// The number of the record that comes next.
    pub next_seq: u64,
    /// The last record that a version holds, and when that was kept.
    pub last_version: Option<(u64, Timestamp)>,
}

impl Raw {
    /// Whether it is in the first encoding already.
    pub(crate) fn is_unpacked(&self) -> bool {
        let snapshot = self.snapshot.as_ref();
        snapshot.is_none_or(|snapshot| !snapshot.body.v2 && !snapshot.margin.v2)
    }

    /// Unpacks the snapshot. Takes about as long as it takes to open the document.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn unpack(self, doc: &DocId) -> Result<Loaded, StoreError> {
        let (body, margin) = match self.snapshot {
            None => (None, None),
            Some(PackedSnapshot { seq, body, margin }) => {
                let unpack = |part: Packed| {
                    part.into_v1().map(Some).map_err(|error| StoreError::Damaged {
                        doc: doc.clone(),
                        what: format!("snapshot {seq}: {error}"),
                    })
                };
                (unpack(body)?, unpack(margin)?)
            }
        };
        Ok(Loaded {
            row: self.row,
            last_version: self.last_version,
            stored: Stored {
                snapshot_body: body,
                snapshot_margin: margin,
                tail: self.tail,
                next_seq: self.next_seq,
            },
        })
    }
}

/// What is kept of a document.
#[derive(Debug)]
pub struct Loaded {
    /// Its entry in the list; `None` when nothing was ever written under that name.
    pub row: Option<DocumentRow>,
    /// Its snapshot and the records after it.
    pub stored: Stored,
    /// The last record that a version holds, and when that was kept.
    pub last_version: Option<(u64, Timestamp)>,
}

/// A version that is to be kept.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Now.
    pub at: Timestamp,
    /// Who asked for it, or wrote last.
    pub by: Identity,
    /// Why there is one.
    pub kind: Kind,
    /// Its name.
    pub name: Option<String>,
    /// The reason in somebody's words.
    pub why: Option<String>,
    /// The last record that it holds.
    pub seq: u64,
    /// The body.
    pub body: Packed,
}

impl NewVersion {
    /// Its entry in the list.
    pub(super) fn entry(&self, number: u64) -> Version {
        Version {
            number,
            at: self.at,
            by: self.by.clone(),
            kind: self.kind,
            name: self.name.clone(),
            why: self.why.clone(),
            seq: self.seq,
        }
    }
}

/// A version with its content.
#[derive(Debug, Clone)]
pub struct VersionBody {
    /// Its entry in the list.
    pub version: Version,
    /// The body.
    pub body: Packed,
}
