//! Opening a room again from what its store kept.

use super::journal::Journal;
use super::part_doc::{ApplyError, PartDoc};
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
    /// Opens a document. `client_id` names the room in the ids of what it writes itself: no two live copies may share
    /// one, and it should be new each time.
    ///
    /// # Errors
    /// [`OpenError`] names what is damaged.
    pub fn open(doc: DocId, stored: &Stored, client_id: u32, limits: Limits) -> Result<Self, OpenError> {
        check_order(&doc, &stored.tail, stored.next_seq)?;
        let body = open_part(&doc, stored, Part::Body, client_id)?;
        let margin = open_part(&doc, stored, Part::Margin, client_id)?;
        Ok(Self::new(
            doc,
            body,
            margin,
            Journal::new(stored.next_seq.max(1)),
            limits,
        ))
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

fn open_part(doc: &DocId, stored: &Stored, part: Part, client_id: u32) -> Result<PartDoc, OpenError> {
    let snapshot = match part {
        Part::Body => &stored.snapshot_body,
        Part::Margin => &stored.snapshot_margin,
    };
    let records: Vec<(u64, &[u8])> = stored
        .tail
        .iter()
        .filter_map(|record| Some((record.seq, record.part(part)?)))
        .collect();
    let first = usize::from(snapshot.is_some());
    let updates = snapshot
        .iter()
        .map(Vec::as_slice)
        .chain(records.iter().map(|(_, update)| *update));
    let copy = PartDoc::open(part, client_id, updates).map_err(|(number, source)| {
        match number.checked_sub(first).and_then(|index| records.get(index)) {
            Some((seq, _)) => OpenError::Record {
                doc: doc.clone(),
                seq: *seq,
                part,
                source,
            },
            None => OpenError::Snapshot {
                doc: doc.clone(),
                part,
                source,
            },
        }
    })?;
    if copy.has_holes() {
        Err(OpenError::Incomplete {
            doc: doc.clone(),
            part,
        })
    } else {
        Ok(copy)
    }
}
