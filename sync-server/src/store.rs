//! Durable bytes by document: what a store must do, and the queue that feeds it.
//!
//! **Invariant:** when a write has been answered with `Ok`, it is on disk, and so is everything that was queued before it.

mod access;
mod error;
mod examine;
mod history;
mod memory;
mod queue;
mod sqlite;

#[cfg(test)]
mod conformance;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crdt::authorship::{Authorship, Credits};
use crdt::history::Version;
use crdt::ids::{DocId, Part, Timestamp};
use crdt::room::Record;

pub use access::{
    AccessRows, AccessWrite, AdaptersRow, AgreementRow, DepartureRow, MOST_AGREEMENTS, MOST_DEPARTURES,
    MemberRow, PolicyRow, ShareRow,
};
pub use error::{Cause, StoreError};
pub use examine::{Examined, Remains, examine};
pub use history::{Loaded, NewVersion, PackedSnapshot, Raw, VersionBody};
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

/// A link of a document to the same document on another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// The document, here and there.
    pub doc: DocId,
    /// The address as the user gave it, key included.
    pub url: String,
    /// The epoch of the document there, when it was last heard of.
    pub epoch: Option<String>,
    /// The document there has another history by now, so that this one is a document of its own.
    pub replaced: bool,
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
        /// The epoch of the document if this record makes it; without one it is given one.
        epoch: Option<Arc<str>>,
    },
    /// Replaces all records up to the snapshot's `seq` by the snapshot; who wrote what is kept.
    Compact {
        /// The document.
        doc: DocId,
        /// Its state after record `seq`.
        snapshot: PackedSnapshot,
    },
    /// Notes whose content is that somebody is about to write again. Comes before what its record says.
    Credit {
        /// The document.
        doc: DocId,
        /// Whose, by the ids that it will have.
        credits: Arc<Credits>,
        /// Now.
        at: Timestamp,
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
    /// Which document it changes.
    const fn doc(&self) -> &DocId {
        match self {
            Self::Create { doc, .. }
            | Self::Append { doc, .. }
            | Self::Compact { doc, .. }
            | Self::Credit { doc, .. }
            | Self::Delete { doc, .. }
            | Self::RemoveLink { doc } => doc,
            Self::PutLink { link, .. } => &link.doc,
        }
    }

    /// About how many bytes it brings to the disk: transactions are kept to a size.
    fn weight(&self) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD
            + match self {
                Self::Append { record, .. } => record.size(),
                Self::Compact { snapshot, .. } => snapshot.size(),
                Self::Credit { credits, .. } => credits.iter().count() * OVERHEAD,
                Self::Create { .. }
                | Self::Delete { .. }
                | Self::PutLink { .. }
                | Self::RemoveLink { .. } => 0,
            }
    }
}

/// A store. All calls block; [`Store`] gives it a thread of its own.
pub trait Backend {
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
    fn load(&mut self, doc: &DocId) -> Result<Raw, StoreError>;

    /// Who wrote which ids of one part of a document, compacted or not.
    ///
    /// # Errors
    /// [`StoreError`].
    fn authorship(&mut self, doc: &DocId, part: Part) -> Result<Authorship, StoreError>;

    /// Whose the content of a body is that was written again.
    ///
    /// # Errors
    /// [`StoreError`].
    fn credits(&mut self, doc: &DocId) -> Result<Credits, StoreError>;

    /// A document's versions, the last one first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn versions(&mut self, doc: &DocId) -> Result<Vec<Version>, StoreError>;

    /// One version with its content, checked.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what is there is not what was written.
    fn version(&mut self, doc: &DocId, number: u64) -> Result<Option<VersionBody>, StoreError>;

    /// Keeps a version and gives it its number. After an automatic one, those go that others stand for by now.
    ///
    /// # Errors
    /// [`StoreError`]: there is none then.
    fn keep_version(&mut self, doc: &DocId, version: &NewVersion) -> Result<Version, StoreError>;

    /// All that can be read of a document, sound or not, with what is wrong with it.
    ///
    /// # Errors
    /// [`StoreError`] when the file as a whole cannot be read.
    fn remains(&mut self, doc: &DocId) -> Result<Remains, StoreError>;

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

    /// What has left the machine of a document, the newest first; at most [`MOST_DEPARTURES`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn departures(&mut self, doc: &DocId) -> Result<Vec<DepartureRow>, StoreError>;

    /// Changes something about access; it is on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was done.
    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError>;
}

/// A store that is one file, or behaves as if it were.
pub trait Backing: Backend {
    /// Writes a copy of the whole store, as of one moment, to a new file. Calls `between` again and again while it does so:
    /// others need not wait.
    ///
    /// # Errors
    /// [`StoreError`]; there is no usable file then.
    fn backup(&mut self, to: &Path, between: &mut dyn FnMut(&mut dyn Backend)) -> Result<(), StoreError>;

    /// Puts another file, as [`prepare`] leaves it, in the place of this one. The one before stays beside it under another
    /// name, which is returned.
    ///
    /// # Errors
    /// [`StoreError`]; the store is as it was.
    fn replace(&mut self, with: &Path) -> Result<PathBuf, StoreError>;

    /// What is wrong with the file as a whole, in words.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be told.
    fn check_file(&mut self) -> Result<Vec<String>, StoreError>;
}

/// Makes a copy of a store ready to take the place of one that is in use: brings it to the present format, checks it, and
/// gives every document a new epoch. Returns how many documents it has.
///
/// # Errors
/// [`StoreError`] when it is no store, or a damaged one.
pub fn prepare(path: &Path) -> Result<usize, StoreError> {
    SqliteStore::is_store(path)?;
    SqliteStore::open(path)?.renew()
}
