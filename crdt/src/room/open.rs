//! Opening a room again from what its store kept.

use super::journal::Journal;
use super::part_doc::{ApplyError, PartDoc};
use super::rest::Unread;
use super::{Limits, Record, Room};
use crate::ids::{DocId, Part};

/// What a store kept of a document. [`Stored::default`] is a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The body as one update (v1), as [`Room::snapshot`] gave it.
    pub snapshot_body: Option<Vec<u8>>,
    /// The margin as one update (v1).
    pub snapshot_margin: Option<Vec<u8>>,
    /// All records after the snapshot, in the order of `seq`. Records that the snapshot has already do no harm.
    pub tail: Vec<Record>,
    /// The number after that of the last record ever kept; 0 and 1 are both right for a new document.
    pub next_seq: u64,
}

/// Why a document cannot be opened. Nothing that was acknowledged may be passed over in silence, so the room stays shut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The snapshot does not hold a document.
    #[error("document {doc}: the snapshot of its {part:?} is damaged; restore it from a backup")]
    Snapshot {
        /// The document.
        doc: DocId,
        /// Which of its parts.
        part: Part,
        /// What is wrong with it.
        #[source]
        source: ApplyError,
    },
    /// A record does not hold an update of this document.
    #[error("document {doc}: record {seq} of its log is damaged ({part:?}); restore it from a backup")]
    Record {
        /// The document.
        doc: DocId,
        /// The record.
        seq: u64,
        /// Which of its parts.
        part: Part,
        /// What is wrong with it.
        #[source]
        source: ApplyError,
    },
    /// Records are missing, or not in order.
    #[error("document {doc}: record {expected} of its log is missing (record {found} stands in its place)")]
    Missing {
        /// The document.
        doc: DocId,
        /// The record that should come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Everything could be read, but something refers to what is not there.
    #[error("document {doc}: its {part:?} is incomplete, a part of the snapshot or the log is missing")]
    Incomplete {
        /// The document.
        doc: DocId,
        /// Which of its parts.
        part: Part,
    },
}

impl Room {
    /// Opens a document and decodes it. `client_id` names the room in the ids of what it writes itself: no two live copies
    /// may share one, and it should be new each time.
    ///
    /// # Errors
    /// [`OpenError`] names what is damaged.
    pub fn open(doc: DocId, stored: &Stored, client_id: u32, limits: Limits) -> Result<Self, OpenError> {
        let mut room = Self::open_at_rest(doc, stored.clone(), client_id, limits)?;
        room.wake()?;
        Ok(room)
    }

    /// Opens a document without decoding it: bytes answer whoever asks for the whole of it. See [`Room::wake`].
    ///
    /// # Errors
    /// [`OpenError::Missing`].
    pub fn open_at_rest(
        doc: DocId,
        stored: Stored,
        client_id: u32,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        check_order(&doc, &stored.tail, stored.next_seq)?;
        let unread = Unread::of(&stored.tail);
        let (mut body, mut margin) = (Vec::new(), Vec::new());
        for record in stored.tail {
            body.extend(record.body);
            margin.extend(record.margin);
        }
        let body = PartDoc::at_rest(Part::Body, client_id, stored.snapshot_body, body);
        let margin = PartDoc::at_rest(Part::Margin, client_id, stored.snapshot_margin, margin);
        let journal = Journal::new(stored.next_seq.max(1));
        Ok(Self::new(doc, (body, margin), unread, journal, limits))
    }
}

fn check_order(doc: &DocId, tail: &[Record], next_seq: u64) -> Result<(), OpenError> {
    let mut expected = tail.first().map_or(next_seq, |record| record.seq);
    for record in tail {
        if record.seq != expected {
            return Err(OpenError::Missing {
                doc: doc.clone(),
                expected,
                found: record.seq,
            });
        }
        expected += 1;
    }
    if expected == next_seq {
        Ok(())
    } else {
        Err(OpenError::Missing {
            doc: doc.clone(),
            expected,
            found: next_seq,
        })
    }
}
