//! What can go wrong with a store, in words for whoever runs it.

use std::sync::Arc;

use crdt::ids::DocId;

/// Why the store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the space that the store may use, is full. Nothing is lost; writes work again when there is space.
    #[error("the disk is full: free some space on the server; what is not saved yet is kept and saved then")]
    Full(#[source] Cause),
    /// The system does not take what is written: the disk or a quota is full, the file may not grow, or the disk fails. As
    /// with [`StoreError::Full`], nothing is lost.
    #[error(
        "the disk is full, the file may not grow any more, or the disk is failing: free some space on the server and raise \
         its limits (a quota, ulimit -f); what is not saved yet is kept and saved then"
    )]
    Refused(#[source] Cause),
    /// The file or the disk may only be read.
    #[error(
        "the document store may only be read: check the permissions of its folder and whether the disk is mounted read-only"
    )]
    ReadOnly(#[source] Cause),
    /// Another process has the store open.
    #[error(
        "the document store is in use by another Inkling: stop that one, or choose another folder with --data"
    )]
    InUse(#[source] Cause),
    /// A document's bytes are not what was written. Other documents are not touched by it.
    #[error(
        "document {doc} is damaged in the store ({what}): restore it from a backup; other documents are not affected"
    )]
    Damaged {
        /// Which document.
        doc: DocId,
        /// What of it.
        what: String,
    },
    /// The store's file as a whole cannot be understood.
    #[error("the document store's file is damaged or not an Inkling store: restore it from a backup")]
    Unreadable(#[source] Cause),
    /// The store was written by a later version.
    #[error(
        "the document store was written by a newer Inkling (format {found}, this one knows {known}): use that version"
    )]
    TooNew {
        /// The file's format.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// The document has been deleted.
    #[error("document {0} has been deleted")]
    Deleted(DocId),
    /// Another record with the same number is there already: two writers.
    #[error("document {doc} already has another record {seq}")]
    Conflict {
        /// Which document.
        doc: DocId,
        /// The number.
        seq: u64,
    },
    /// The record is not the one that comes next: the one before it has failed.
    #[error("record {seq} of document {doc} came before record {expected}")]
    Gap {
        /// Which document.
        doc: DocId,
        /// The number that came.
        seq: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// Anything else that the disk or SQLite reported.
    #[error("the document store cannot be used: {0}")]
    Io(#[source] Cause),
    /// The store is being copied, and only one can do that.
    #[error("a backup is being made just now: try again when it is done")]
    Busy,
    /// There is no file: the documents are in memory only.
    #[error("this server keeps its documents in memory only: there is nothing to back up or restore")]
    NoFile,
    /// The store has been closed.
    #[error("the document store is closed")]
    Closed,
}

impl StoreError {
    /// Whether it concerns one document's write only, so that others in the same transaction should be tried without it.
    pub(super) const fn is_about_one_write(&self) -> bool {
        self.is_about_space()
            || matches!(
                self,
                Self::Damaged { .. } | Self::Deleted(_) | Self::Conflict { .. } | Self::Gap { .. }
            )
    }

    /// Whether there was no room for it, so that something smaller may still find some.
    pub(super) const fn is_about_space(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Refused(_))
    }
}

/// What is behind a [`StoreError`], shared by everyone whose write it failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Cause(Arc<str>);

impl Cause {
    /// From anything that says what happened.
    pub fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string().into())
    }
}
