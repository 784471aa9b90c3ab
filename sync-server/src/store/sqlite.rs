//! The store on disk: one SQLite file in WAL mode, one connection on one thread.

mod access;
mod copies;
mod privacy;
mod reads;
mod rows;
#[cfg(test)]
mod tests;
mod versions;
mod writes;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crdt::authorship::{Authorship, Credits};
use crdt::history::Version;
use crdt::ids::{DocId, Part};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::{
    AccessRows, AccessWrite, Backend, Cause, DepartureRow, DocumentRow, LinkRow, NewVersion, Raw, Remains,
    StoreError, VersionBody, Write,
};

/// The numbered changes of the file's format. Never change one that has been released; add the next.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001-documents.sql"),
    include_str!("../../migrations/0002-history.sql"),
    include_str!("../../migrations/0003-access.sql"),
    include_str!("../../migrations/0004-privacy.sql"),
    include_str!("../../migrations/0005-adapters.sql"),
];

/// How many pages SQLite may use without a quota: its own default.
const MAX_PAGES: u64 = 4_294_967_294;

/// Documents in an SQLite file.
///
/// WAL with `synchronous=FULL`: a commit is fsynced before it is answered, and one that was torn by a power cut is not
/// there at all. `locking_mode=EXCLUSIVE`: a second process gets an error instead of a share. `cache_size`: a megabyte, half of
/// what SQLite takes by itself; a log is written once and read once.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    known: RefCell<writes::Known>,
    path: PathBuf,
    quota: Option<u64>,
}

impl SqliteStore {
    /// Opens the file, creates it if need be, and brings it to the present format.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::TooNew`], [`StoreError::Unreadable`], or what the disk says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 0; PRAGMA cache_size = -1024;",
        )?;
        migrate(&mut connection)?;
        Ok(Self {
            connection,
            known: RefCell::default(),
            path: path.to_owned(),
            quota: None,
        })
    }

    const fn session(&self) -> Session<'_> {
        Session {
            connection: &self.connection,
            known: &self.known,
        }
    }
}

/// The open connection, also while it is being copied.
#[derive(Debug, Clone, Copy)]
struct Session<'a> {
    connection: &'a Connection,
    known: &'a RefCell<writes::Known>,
}

impl<'a> Session<'a> {
    /// Does something whole or not at all; it is on disk when this returns.
    fn within<T>(
        self,
        change: impl FnOnce(&Transaction<'a>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Unchecked: nobody but the store's thread has the connection, and no transaction outlives this call.
        let transaction = Transaction::new_unchecked(self.connection, TransactionBehavior::Immediate)?;
        let done = change(&transaction)?; // leaving drops the transaction, which undoes it
        transaction.commit()?;
        Ok(done)
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    // Immediate: takes the exclusive lock now, so that a second process fails here and not at its first write.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (number, sql) in (1_i64..).zip(MIGRATIONS) {
        if number > found {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

impl Backend for SqliteStore {
    fn documents(&mut self) -> Result<Vec<DocumentRow>, StoreError> {
        self.session().documents()
    }

    fn document(&mut self, doc: &DocId) -> Result<Option<DocumentRow>, StoreError> {
        self.session().document(doc)
    }

    fn load(&mut self, doc: &DocId) -> Result<Raw, StoreError> {
        self.session().load(doc)
    }

    fn authorship(&mut self, doc: &DocId, part: Part) -> Result<Authorship, StoreError> {
        self.session().authorship(doc, part)
    }

    fn credits(&mut self, doc: &DocId) -> Result<Credits, StoreError> {
        self.session().credits(doc)
    }

    fn versions(&mut self, doc: &DocId) -> Result<Vec<Version>, StoreError> {
        self.session().versions(doc)
    }

    fn version(&mut self, doc: &DocId, number: u64) -> Result<Option<VersionBody>, StoreError> {
        self.session().version(doc, number)
    }

    fn keep_version(&mut self, doc: &DocId, version: &NewVersion) -> Result<Version, StoreError> {
        self.session().keep_version(doc, version)
    }

    fn remains(&mut self, doc: &DocId) -> Result<Remains, StoreError> {
        self.session().remains(doc)
    }

    fn links(&mut self) -> Result<Vec<LinkRow>, StoreError> {
        self.session().links()
    }

    fn write(&mut self, batch: &[&Write]) -> Result<(), StoreError> {
        self.session().write(batch)
    }

    fn set_quota(&mut self, bytes: Option<u64>) -> Result<(), StoreError> {
        self.session().set_quota(bytes)?;
        self.quota = bytes;
        Ok(())
    }

    fn access(&mut self) -> Result<AccessRows, StoreError> {
        self.session().access()
    }

    fn departures(&mut self, doc: &DocId) -> Result<Vec<DepartureRow>, StoreError> {
        self.session().departures(doc)
    }

    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError> {
        self.session().write_access(write)
    }
}

impl Backend for Session<'_> {
    fn documents(&mut self) -> Result<Vec<DocumentRow>, StoreError> {
        reads::documents(self.connection)
    }

    fn document(&mut self, doc: &DocId) -> Result<Option<DocumentRow>, StoreError> {
        reads::document(self.connection, doc)
    }

    fn load(&mut self, doc: &DocId) -> Result<Raw, StoreError> {
        reads::load(self.connection, doc)
    }

    fn authorship(&mut self, doc: &DocId, part: Part) -> Result<Authorship, StoreError> {
        reads::authorship(self.connection, doc, part)
    }

    fn credits(&mut self, doc: &DocId) -> Result<Credits, StoreError> {
        reads::credits(self.connection, doc)
    }

    fn versions(&mut self, doc: &DocId) -> Result<Vec<Version>, StoreError> {
        versions::list(self.connection, doc)
    }

    fn version(&mut self, doc: &DocId, number: u64) -> Result<Option<VersionBody>, StoreError> {
        versions::read(self.connection, doc, number)
    }

    fn keep_version(&mut self, doc: &DocId, version: &NewVersion) -> Result<Version, StoreError> {
        self.within(|transaction| versions::keep(transaction, doc, version))
    }

    fn remains(&mut self, doc: &DocId) -> Result<Remains, StoreError> {
        reads::remains(self.connection, doc)
    }

    fn links(&mut self) -> Result<Vec<LinkRow>, StoreError> {
        reads::links(self.connection)
    }

    fn write(&mut self, batch: &[&Write]) -> Result<(), StoreError> {
        // Out of its place until it is on disk.
        let mut known = self.known.take();
        self.within(|transaction| writes::apply_all(transaction, batch, &mut known))?;
        self.known.replace(known);
        Ok(())
    }

    fn set_quota(&mut self, bytes: Option<u64>) -> Result<(), StoreError> {
        let page: u64 = self
            .connection
            .query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = bytes.map_or(MAX_PAGES, |bytes| (bytes / page.max(1)).clamp(1, MAX_PAGES));
        // A pragma that answers; the answer is the limit that now holds.
        self.connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(())
    }

    fn access(&mut self) -> Result<AccessRows, StoreError> {
        access::load(self.connection)
    }

    fn departures(&mut self, doc: &DocId) -> Result<Vec<DepartureRow>, StoreError> {
        privacy::departures(self.connection, doc)
    }

    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError> {
        self.within(|transaction| access::write(transaction, write))
    }
}

/// What SQLite says when the system does not take what is written, and it is not for a full disk: a quota (`EDQUOT`), a
/// limit on the file's size (`EFBIG`), a disk that fails (`EIO`).
const REFUSED: [i32; 4] = [
    rusqlite::ffi::SQLITE_IOERR_WRITE,
    rusqlite::ffi::SQLITE_IOERR_TRUNCATE,
    rusqlite::ffi::SQLITE_IOERR_FSYNC,
    rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
];

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let cause = Cause::new(&error);
        if let rusqlite::Error::SqliteFailure(code, _) = &error
            && REFUSED.contains(&code.extended_code)
        {
            return Self::Refused(cause);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(cause),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(cause),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse(cause),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Unreadable(cause),
            _ => Self::Io(cause),
        }
    }
}
