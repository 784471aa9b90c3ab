//! The store on disk: one SQLite file in WAL mode, one connection on one thread.

mod access;
mod rows;
#[cfg(test)]
mod tests;
mod writes;

use std::path::Path;

use crdt::authorship::Authorship;
use crdt::ids::{DocId, Part, Timestamp};
use crdt::room::{Record, Snapshot, Stored};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::{AccessRows, AccessWrite, Backend, Cause, DocumentRow, LinkRow, Loaded, StoreError, Write};
use rows::{decode_ranges, record_checksum, snapshot_checksum};

/// The numbered changes of the file's format. Never change one that has been released; add the next.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001-documents.sql"),
    include_str!("../../migrations/0003-access.sql"),
];

/// How many pages SQLite may use without a quota: its own default.
const MAX_PAGES: u64 = 4_294_967_294;

/// Documents in an SQLite file.
///
/// WAL with `synchronous=FULL`: a commit is fsynced before it is answered, and one that was torn by a power cut is not
/// there at all. `locking_mode=EXCLUSIVE`: a second process gets an error instead of a share.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
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
             PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 0;",
        )?;
        migrate(&mut connection)?;
        Ok(Self { connection })
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
        let mut query = self.connection.prepare_cached(
            "SELECT id, title, created_at, updated_at, epoch, deleted_at FROM documents
             WHERE deleted_at IS NULL ORDER BY updated_at DESC, id",
        )?;
        let rows = query.query_map([], rows::document)?.collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn document(&mut self, doc: &DocId) -> Result<Option<DocumentRow>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, title, created_at, updated_at, epoch, deleted_at FROM documents WHERE id = ?1",
        )?;
        Ok(query.query_row([doc.as_str()], rows::document).optional()?)
    }

    fn load(&mut self, doc: &DocId) -> Result<Loaded, StoreError> {
        let row = self.document(doc)?;
        let mut stored = Stored {
            snapshot_body: None,
            snapshot_margin: None,
            tail: Vec::new(),
            next_seq: 1,
        };
        let snapshot = self.snapshot(doc)?;
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq);
        stored.tail = self.records(doc)?;
        let mut expected = covered + 1;
        for record in &stored.tail {
            if record.seq != expected {
                return Err(StoreError::Damaged {
                    doc: doc.clone(),
                    what: format!("record {expected} is missing"),
                });
            }
            expected += 1;
        }
        stored.next_seq = expected;
        if let Some(snapshot) = snapshot {
            stored.snapshot_body = Some(snapshot.body);
            stored.snapshot_margin = Some(snapshot.margin);
        }
        Ok(Loaded { row, stored })
    }

    fn authorship(&mut self, doc: &DocId, part: Part) -> Result<Authorship, StoreError> {
        let mut authorship = Authorship::default();
        let mut query = self.connection.prepare_cached(
            "SELECT client, clock, len, identity FROM authorship JOIN documents ON documents.key = document
             JOIN authors ON authors.key = author WHERE id = ?1 AND part = ?2 ORDER BY client, clock",
        )?;
        for row in query.query_map(params![doc.as_str(), rows::part_number(part)], rows::span)? {
            let (range, identity) = row?;
            authorship.record(&rows::identity(doc, &identity)?, &[range]);
        }
        for record in self.records(doc)? {
            let ranges = match part {
                Part::Body => &record.ranges,
                Part::Margin => &record.margin_ranges,
            };
            authorship.record(&record.author, ranges);
        }
        Ok(authorship)
    }

    fn links(&mut self) -> Result<Vec<LinkRow>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, url FROM links JOIN documents ON documents.key = document ORDER BY id",
        )?;
        let rows = query.query_map([], rows::link)?.collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn write(&mut self, batch: &[&Write]) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in batch {
            writes::apply(&transaction, write)?; // leaving drops the transaction, which undoes it
        }
        transaction.commit()?;
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
        access::load(&self.connection)
    }

    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError> {
        access::write(&mut self.connection, write)
    }
}

impl SqliteStore {
    fn snapshot(&self, doc: &DocId) -> Result<Option<Snapshot>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT seq, body, margin, checksum FROM snapshots JOIN documents ON documents.key = document WHERE id = ?1",
        )?;
        let Some((snapshot, checksum)) = query.query_row([doc.as_str()], rows::snapshot).optional()? else {
            return Ok(None);
        };
        if snapshot_checksum(doc, &snapshot) != checksum {
            return Err(StoreError::Damaged {
                doc: doc.clone(),
                what: format!("snapshot {}", snapshot.seq),
            });
        }
        Ok(Some(snapshot))
    }

    /// The records that no snapshot covers, in order, checked.
    fn records(&self, doc: &DocId) -> Result<Vec<Record>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT seq, body, margin, identity, at, body_ranges, margin_ranges, checksum FROM records
             JOIN documents ON documents.key = document JOIN authors ON authors.key = author
             WHERE id = ?1 ORDER BY seq",
        )?;
        let mut records = Vec::new();
        for row in query.query_map([doc.as_str()], rows::record)? {
            let row = row?;
            let seq = row.seq;
            let damaged = || StoreError::Damaged {
                doc: doc.clone(),
                what: format!("record {seq}"),
            };
            let record = Record {
                seq,
                body: row.body,
                margin: row.margin,
                author: serde_json::from_str(&row.identity).map_err(|_| damaged())?,
                at: Timestamp(row.at),
                ranges: decode_ranges(&row.body_ranges).ok_or_else(damaged)?,
                margin_ranges: decode_ranges(&row.margin_ranges).ok_or_else(damaged)?,
            };
            if record_checksum(doc, &record) != row.checksum {
                return Err(damaged());
            }
            records.push(record);
        }
        Ok(records)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let cause = Cause::new(&error);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(cause),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(cause),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse(cause),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Unreadable(cause),
            _ => Self::Io(cause),
        }
    }
}
