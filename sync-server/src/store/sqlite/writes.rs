//! Writes of the store on disk, each within the transaction of its group.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crdt::authorship::Authorship;
use crdt::ids::{DocId, Part, Timestamp};
use crdt::room::Record;
use rusqlite::{OptionalExtension, Transaction, params};

use super::rows::{self, decode_ranges, encode_ranges, record_checksum, snapshot_checksum};
use crate::clock;
use crate::store::{PackedSnapshot, StoreError, Write};

/// How many documents and authors are known without looking, half a megabyte of them; beyond it, none is for a moment.
const MOST_DOCUMENTS: usize = 1024;
const MOST_AUTHORS: usize = 4096;

/// What was looked up before, and holds for as long as nobody but this connection writes: nearly every record is of a document
/// and an author that have just written. Lost when a transaction is undone, with what it brought.
#[derive(Debug, Default)]
pub(super) struct Known {
    documents: HashMap<DocId, Log>,
    /// By the JSON of their identity.
    authors: HashMap<String, i64>,
}

/// A document that is appended to.
#[derive(Debug, Clone, Copy)]
struct Log {
    key: i64,
    /// The number of its last record.
    last: u64,
}

impl Known {
    fn log(
        &mut self,
        transaction: &Transaction<'_>,
        doc: &DocId,
        at: Timestamp,
        epoch: Option<&str>,
    ) -> Result<&mut Log, StoreError> {
        if self.documents.len() >= MOST_DOCUMENTS {
            self.documents.clear();
        }
        match self.documents.entry(doc.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let key = key_or_new(transaction, doc, "", at, epoch)?;
                let last = last_record(transaction, key)?;
                Ok(new.insert(Log { key, last }))
            }
        }
    }

    fn author(&mut self, transaction: &Transaction<'_>, json: &str) -> Result<i64, StoreError> {
        if let Some(key) = self.authors.get(json) {
            return Ok(*key);
        }
        if self.authors.len() >= MOST_AUTHORS {
            self.authors.clear();
        }
        let key = author_key(transaction, json)?;
        self.authors.insert(json.to_owned(), key);
        Ok(key)
    }
}

/// Does a group of writes. When it fails, what is known is to be forgotten.
pub(super) fn apply_all(
    transaction: &Transaction<'_>,
    batch: &[&Write],
    known: &mut Known,
) -> Result<(), StoreError> {
    for write in batch {
        if let Write::Append {
            doc,
            record,
            title,
            epoch,
        } = write
        {
            append(
                transaction,
                known,
                doc,
                record,
                title.as_deref(),
                epoch.as_deref(),
            )?;
        } else {
            apply(transaction, write)?;
            // It may have changed what is known of it.
            known.documents.remove(write.doc());
        }
    }
    Ok(())
}

fn append(
    transaction: &Transaction<'_>,
    known: &mut Known,
    doc: &DocId,
    record: &Record,
    title: Option<&str>,
    epoch: Option<&str>,
) -> Result<(), StoreError> {
    let json = rows::identity_json(&record.author);
    let author = known.author(transaction, &json)?;
    let log = known.log(transaction, doc, record.at, epoch)?;
    let (body_ranges, margin_ranges) = (
        encode_ranges(&record.ranges),
        encode_ranges(&record.margin_ranges),
    );
    let checksum = record_checksum(doc, record, &json, [&body_ranges, &margin_ranges]);
    let conflict = || StoreError::Conflict {
        doc: doc.clone(),
        seq: record.seq,
    };
    match record.seq.cmp(&(log.last + 1)) {
        Ordering::Less => {
            // A write whose answer got lost is sent again: the same bytes are the same record.
            let known: Option<u32> = transaction
                .prepare_cached("SELECT checksum FROM records WHERE document = ?1 AND seq = ?2")?
                .query_row(params![log.key, record.seq], |row| row.get(0))
                .optional()?;
            return (known == Some(checksum)).then_some(()).ok_or_else(conflict);
        }
        Ordering::Greater => {
            return Err(StoreError::Gap {
                doc: doc.clone(),
                seq: record.seq,
                expected: log.last + 1,
            });
        }
        Ordering::Equal => {}
    }
    transaction
        .prepare_cached(
            "INSERT INTO records (document, seq, body, margin, author, at, body_ranges, margin_ranges, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            log.key,
            record.seq,
            record.body,
            record.margin,
            author,
            record.at.0,
            body_ranges,
            margin_ranges,
            checksum
        ])?;
    log.last = record.seq;
    if let Some(title) = title {
        transaction
            .prepare_cached("UPDATE documents SET title = ?2 WHERE key = ?1")?
            .execute(params![log.key, title])?;
    }
    Ok(())
}

fn last_record(transaction: &Transaction<'_>, document: i64) -> Result<u64, StoreError> {
    let mut query = transaction.prepare_cached(
        "SELECT max(coalesce((SELECT max(seq) FROM records WHERE document = ?1), 0),
                    coalesce((SELECT seq FROM snapshots WHERE document = ?1), 0))",
    )?;
    Ok(query.query_row([document], |row| row.get(0))?)
}

/// Does one write that is no append.
fn apply(transaction: &Transaction<'_>, write: &Write) -> Result<(), StoreError> {
    match write {
        Write::Append { .. } => {} // see `append`
        Write::Create { doc, title, at } => {
            key_or_new(transaction, doc, title, *at, None)?;
        }
        Write::Compact { doc, snapshot } => compact(transaction, doc, snapshot)?,
        Write::Credit { doc, credits, at } => {
            let key = key_or_new(transaction, doc, "", *at, None)?;
            for (range, credit) in credits.iter() {
                let json = serde_json::to_string(credit).expect("a credit is plain strings");
                transaction
                    .prepare_cached(
                        "INSERT OR IGNORE INTO credits (document, client, clock, len, credit) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![key, range.client, range.clock, range.len, json])?;
            }
        }
        Write::Delete { doc, at } => {
            let key = key_or_new(transaction, doc, "", *at, None)?;
            for table in [
                "records",
                "snapshots",
                "authorship",
                "links",
                "versions",
                "credits",
            ] {
                transaction.execute(&format!("DELETE FROM {table} WHERE document = ?1"), [key])?;
            }
            transaction.execute(
                "UPDATE documents SET title = '', deleted_at = ?2 WHERE key = ?1",
                params![key, at.0],
            )?;
        }
        Write::PutLink { link, at } => {
            let key = key_or_new(transaction, &link.doc, "", *at, None)?;
            transaction.execute(
                "INSERT OR REPLACE INTO links (document, url, epoch, replaced) VALUES (?1, ?2, ?3, ?4)",
                params![key, link.url, link.epoch, link.replaced],
            )?;
        }
        Write::RemoveLink { doc } => {
            transaction.execute(
                "DELETE FROM links WHERE document = (SELECT key FROM documents WHERE id = ?1)",
                [doc.as_str()],
            )?;
        }
    }
    Ok(())
}

/// The key of a document that is not deleted.
fn key(transaction: &Transaction<'_>, doc: &DocId) -> Result<Option<i64>, StoreError> {
    let mut query =
        transaction.prepare_cached("SELECT key, deleted_at IS NOT NULL FROM documents WHERE id = ?1")?;
    let found: Option<(i64, bool)> = query
        .query_row([doc.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((_, true)) => Err(StoreError::Deleted(doc.clone())),
        Some((key, false)) => Ok(Some(key)),
        None => Ok(None),
    }
}

pub(super) fn key_or_new(
    transaction: &Transaction<'_>,
    doc: &DocId,
    title: &str,
    at: Timestamp,
    epoch: Option<&str>,
) -> Result<i64, StoreError> {
    if let Some(key) = key(transaction, doc)? {
        return Ok(key);
    }
    let epoch = epoch.map_or_else(|| clock::ulid().to_string(), str::to_owned);
    transaction.execute(
        "INSERT INTO documents (id, title, created_at, updated_at, epoch) VALUES (?1, ?2, ?3, ?3, ?4)",
        params![doc.as_str(), title, at.0, epoch],
    )?;
    Ok(transaction.last_insert_rowid())
}

pub(super) fn author_key(transaction: &Transaction<'_>, identity: &str) -> Result<i64, StoreError> {
    transaction
        .prepare_cached("INSERT INTO authors (identity) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([identity])?;
    let mut query = transaction.prepare_cached("SELECT key FROM authors WHERE identity = ?1")?;
    Ok(query.query_row([identity], |row| row.get(0))?)
}

fn compact(transaction: &Transaction<'_>, doc: &DocId, snapshot: &PackedSnapshot) -> Result<(), StoreError> {
    let Some(document) = key(transaction, doc)? else {
        return Ok(());
    };
    let mut authors = [
        (Part::Body, Authorship::default()),
        (Part::Margin, Authorship::default()),
    ];
    let mut query = transaction.prepare_cached(
        "SELECT identity, body_ranges, margin_ranges FROM records JOIN authors ON authors.key = author
         WHERE document = ?1 AND seq <= ?2 ORDER BY seq",
    )?;
    let covered = query.query_map(params![document, snapshot.seq], |row| {
        Ok((
            row.get::<_, String>(0)?,
            [row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?],
        ))
    })?;
    for row in covered {
        let (identity, ranges) = row?;
        let identity = rows::identity(doc, &identity)?;
        for ((_, authors), ranges) in authors.iter_mut().zip(ranges) {
            let damaged = || StoreError::Damaged {
                doc: doc.clone(),
                what: "the authors of its records".into(),
            };
            authors.record(&identity, &decode_ranges(&ranges).ok_or_else(damaged)?);
        }
    }
    for (part, authors) in &authors {
        keep_authors(transaction, document, *part, authors)?;
    }
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO snapshots (document, seq, body, margin, encoding, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            document,
            snapshot.seq,
            snapshot.body.bytes,
            snapshot.margin.bytes,
            rows::encoding(snapshot),
            snapshot_checksum(doc, snapshot)
        ])?;
    // The list takes this from the last record while there is one.
    transaction
        .prepare_cached(
            "UPDATE documents SET updated_at = max(updated_at,
               coalesce((SELECT max(at) FROM records WHERE document = ?1 AND seq <= ?2), 0)) WHERE key = ?1",
        )?
        .execute(params![document, snapshot.seq])?;
    transaction
        .prepare_cached("DELETE FROM records WHERE document = ?1 AND seq <= ?2")?
        .execute(params![document, snapshot.seq])?;
    Ok(())
}

/// Moves what records say about authors into their own table. A run that goes on where the last one ended stays one row.
fn keep_authors(
    transaction: &Transaction<'_>,
    document: i64,
    part: Part,
    authors: &Authorship,
) -> Result<(), StoreError> {
    let part = rows::part_number(part);
    for (range, author) in authors.spans() {
        let author = author_key(transaction, &rows::identity_json(author))?;
        let values = params![document, part, range.client, range.clock, range.len, author];
        let grown = transaction
            .prepare_cached(
                "UPDATE authorship SET len = len + ?5
                 WHERE document = ?1 AND part = ?2 AND client = ?3 AND author = ?6 AND clock + len = ?4 AND clock =
                   (SELECT max(clock) FROM authorship WHERE document = ?1 AND part = ?2 AND client = ?3 AND clock < ?4)",
            )?
            .execute(values)?;
        if grown == 0 {
            transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO authorship (document, part, client, clock, len, author)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(values)?;
        }
    }
    Ok(())
}
