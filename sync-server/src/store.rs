//! Durable bytes by document: what a store must do, and the queue that feeds it.
//!
//! **Invariant:** when a write has been answered with `Ok`, it is on disk, and so is everything that was queued before it.

mod access;
mod memory;
mod queue;
mod sqlite;

#[cfg(test)]
mod conformance;

use std::path::PathBuf;
use std::sync::Arc;

use crdt::authorship::Authorship;
use crdt::ids::{DocId, Part, Timestamp};
use crdt::room::{Record, Snapshot, Stored};

pub use access::{AccessRows, AccessWrite, MemberRow, ShareRow};
pub use memory::MemoryStore;
pub use queue::{PendingWrite, Store};
pub use sqlite::SqliteStore;

/// Where documents are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePath {
    /// In one SQLite file (with a `-wal` beside it).
    Sqlite(PathBuf),
    /// In memory only: gone with the process.
    Memory,
}

/// A document in the list of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Its name for ever.
    pub id: DocId,
    /// Its title, as of the last commit.
    pub title: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// Changes when the document's history is replaced under its readers.
    pub epoch: String,
    /// Whether it has been deleted: it is not listed and cannot be opened, and its name is not used again.
    pub deleted: bool,
}

/// What is kept of a document.
#[derive(Debug)]
pub struct Loaded {
    /// Its entry in the list; `None` when nothing was ever written under that name.
    pub row: Option<DocumentRow>,
    /// Its snapshot and the records after it.
    pub stored: Stored,
}

/// A link of a document to the same document on another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// The document, here and there.
    pub doc: DocId,
    /// The address as the user gave it, key included.
    pub url: String,
}

/// One change of the store.
#[derive(Debug, Clone)]
pub enum Write {
    /// Adds an empty document to the list. Nothing happens when it is there.
    Create {
        /// The new document.
        doc: DocId,
        /// Its title in the list until its body says otherwise.
        title: String,
        /// Now.
        at: Timestamp,
    },
    /// Appends a record to a document's log; the first one adds the document to the list. Its number must be the next.
    Append {
        /// The document.
        doc: DocId,
        /// What was written. The same record twice is one record.
        record: Record,
        /// The document's title, when it has changed since the last append.
        title: Option<String>,
    },
    /// Replaces all records up to the snapshot's `seq` by the snapshot; who wrote what is kept.
    Compact {
        /// The document.
        doc: DocId,
        /// Its state after record `seq`.
        snapshot: Snapshot,
    },
    /// Removes a document's content and keeps its name from being used again.
    Delete {
        /// The document.
        doc: DocId,
        /// Now.
        at: Timestamp,
    },
    /// Remembers a link, one per document. Adds the document to the list if need be.
    PutLink {
        /// The document and the address.
        link: LinkRow,
        /// Now.
        at: Timestamp,
    },
    /// Forgets a document's link.
    RemoveLink {
        /// The document.
        doc: DocId,
    },
}

impl Write {
    /// About how many bytes it brings to the disk: transactions are kept to a size.
    fn weight(&self) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD
            + match self {
                Self::Append { record, .. } => record.size(),
                Self::Compact { snapshot, .. } => snapshot.body.len() + snapshot.margin.len(),
                Self::Create { .. }
                | Self::Delete { .. }
                | Self::PutLink { .. }
                | Self::RemoveLink { .. } => 0,
            }
    }
}

/// Why the store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the space that the store may use, is full. Nothing is lost; writes work again when there is space.
    #[error("the disk is full: free some space on the server; what is not saved yet is kept and saved then")]
    Full(#[source] Cause),
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
    /// The store has been closed.
    #[error("the document store is closed")]
    Closed,
}

impl StoreError {
    /// Whether it concerns one document's write only, so that others in the same transaction should be tried without it.
    const fn is_about_one_write(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::Deleted(_) | Self::Conflict { .. } | Self::Gap { .. }
        )
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

/// A store. All calls block; [`Store`] gives it a thread of its own.
pub trait Backend: Send + 'static {
    /// All documents that are not deleted, last changed first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn documents(&mut self) -> Result<Vec<DocumentRow>, StoreError>;

    /// One document's entry, deleted or not.
    ///
    /// # Errors
    /// [`StoreError`].
    fn document(&mut self, doc: &DocId) -> Result<Option<DocumentRow>, StoreError>;

    /// A document's snapshot and the records after it, checked.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what is there is not what was written; the caller must not overwrite it.
    fn load(&mut self, doc: &DocId) -> Result<Loaded, StoreError>;

    /// Who wrote which ids of one part of a document, compacted or not.
    ///
    /// # Errors
    /// [`StoreError`].
    fn authorship(&mut self, doc: &DocId, part: Part) -> Result<Authorship, StoreError>;

    /// All links.
    ///
    /// # Errors
    /// [`StoreError`].
    fn links(&mut self) -> Result<Vec<LinkRow>, StoreError>;

    /// Does all of `batch` or nothing; what it did is on disk when it returns.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was done (but see [`Write::Append`]: a repeated record is one record).
    fn write(&mut self, batch: &[&Write]) -> Result<(), StoreError>;

    /// Sets how many bytes the store may grow to. It never shrinks below what it has.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_quota(&mut self, bytes: Option<u64>) -> Result<(), StoreError>;

    /// Everything about access.
    ///
    /// # Errors
    /// [`StoreError`].
    fn access(&mut self) -> Result<AccessRows, StoreError>;

    /// Changes something about access; it is on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was done.
    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError>;
}
