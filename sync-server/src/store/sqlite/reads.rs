//! What is read of the store on disk, and checked.

use crdt::authorship::{Authorship, Credits};
use crdt::history::Packed;
use crdt::ids::{DocId, Identity, Part, Timestamp};
use crdt::room::Record;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, RecordRow, decode_ranges, record_checksum, snapshot_checksum};
use super::versions;
use crate::store::examine::Piece;
use crate::store::{DocumentRow, LinkRow, PackedSnapshot, Raw, Remains, StoreError};

/// A document's entry. When it was last written is said by its last record, so that a record costs one row and not two.
macro_rules! entries {
    ($which:literal) => {
        concat!(
            "SELECT id, title, created_at, max(updated_at, coalesce((SELECT at FROM records WHERE document = key
               ORDER BY seq DESC LIMIT 1), 0)) AS updated_at, epoch, deleted_at FROM documents ",
            $which
        )
    };
}

pub(super) fn documents(connection: &Connection) -> Result<Vec<DocumentRow>, StoreError> {
    let mut query =
        connection.prepare_cached(entries!("WHERE deleted_at IS NULL ORDER BY updated_at DESC, id"))?;
    let rows = query.query_map([], rows::document)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn document(connection: &Connection, doc: &DocId) -> Result<Option<DocumentRow>, StoreError> {
    let mut query = connection.prepare_cached(entries!("WHERE id = ?1"))?;
    Ok(query.query_row([doc.as_str()], rows::document).optional()?)
}

pub(super) fn load(connection: &Connection, doc: &DocId) -> Result<Raw, StoreError> {
    let row = document(connection, doc)?;
    let snapshot = match snapshot_row(connection, doc)? {
        Some((snapshot, checksum)) if snapshot_checksum(doc, &snapshot) != checksum => {
            return Err(StoreError::Damaged {
                doc: doc.clone(),
                what: format!("snapshot {}", snapshot.seq),
            });
        }
        found => found.map(|(snapshot, _)| snapshot),
    };
    let tail = records(connection, doc)?;
    let mut expected = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq) + 1;
    for record in &tail {
        if record.seq != expected {
            return Err(StoreError::Damaged {
                doc: doc.clone(),
                what: format!("record {expected} is missing"),
            });
        }
        expected += 1;
    }
    Ok(Raw {
        row,
        snapshot,
        tail,
        next_seq: expected,
        last_version: versions::last(connection, doc)?,
    })
}

pub(super) fn authorship(connection: &Connection, doc: &DocId, part: Part) -> Result<Authorship, StoreError> {
    let mut authorship = Authorship::default();
    let mut query = connection.prepare_cached(
        "SELECT client, clock, len, identity FROM authorship JOIN documents ON documents.key = document
         JOIN authors ON authors.key = author WHERE id = ?1 AND part = ?2 ORDER BY client, clock",
    )?;
    for row in query.query_map(params![doc.as_str(), rows::part_number(part)], rows::span)? {
        let (range, identity) = row?;
        authorship.record(&rows::identity(doc, &identity)?, &[range]);
    }
    for record in records(connection, doc)? {
        let ranges = match part {
            Part::Body => &record.ranges,
            Part::Margin => &record.margin_ranges,
        };
        authorship.record(&record.author, ranges);
    }
    Ok(authorship)
}

pub(super) fn credits(connection: &Connection, doc: &DocId) -> Result<Credits, StoreError> {
    let mut credits = Credits::default();
    let mut query = connection.prepare_cached(
        "SELECT client, clock, len, credit FROM credits JOIN documents ON documents.key = document
         WHERE id = ?1 ORDER BY client, clock",
    )?;
    for row in query.query_map([doc.as_str()], rows::span)? {
        let (range, credit) = row?;
        let credit = serde_json::from_str(&credit).map_err(|_| StoreError::Damaged {
            doc: doc.clone(),
            what: "whose restored text is".into(),
        })?;
        credits.record(range, &credit);
    }
    Ok(credits)
}

pub(super) fn links(connection: &Connection) -> Result<Vec<LinkRow>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT id, url, links.epoch, replaced FROM links JOIN documents ON documents.key = document ORDER BY id",
    )?;
    let rows = query.query_map([], rows::link)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Everything that can be read, also what [`load`] would refuse.
pub(super) fn remains(connection: &Connection, doc: &DocId) -> Result<Remains, StoreError> {
    let row = document(connection, doc)?.ok_or_else(|| StoreError::Damaged {
        doc: doc.clone(),
        what: "its entry in the list".into(),
    })?;
    let mut problems = Vec::new();
    let mut pieces = Vec::new();
    let mut expected = 1;
    match snapshot_row(connection, doc) {
        Ok(None) => {}
        Ok(Some((snapshot, checksum))) => {
            let sound = snapshot_checksum(doc, &snapshot) == checksum;
            let what = format!("snapshot {}", snapshot.seq);
            if !sound {
                problems.push(format!("{what} is not what was written (its checksum is wrong)"));
            }
            expected = snapshot.seq + 1;
            pieces.push(Piece {
                what,
                parts: [Some(snapshot.body), Some(snapshot.margin)],
                sound,
            });
        }
        Err(error) => problems.push(format!("the snapshot cannot be read: {error}")),
    }
    let mut last = None;
    for row in record_rows(connection, doc)? {
        if row.seq != expected {
            problems.push(format!("record {expected} is missing"));
        }
        expected = row.seq + 1;
        let what = format!("record {}", row.seq);
        let (body, margin) = (row.body.clone(), row.margin.clone());
        let sound = checked(doc, row, &mut last).is_ok();
        if !sound {
            problems.push(format!("{what} is not what was written (its checksum is wrong)"));
        }
        pieces.push(Piece {
            what,
            parts: [body.map(Packed::v1), margin.map(Packed::v1)],
            sound,
        });
    }
    for part in [Part::Body, Part::Margin] {
        if let Err(error @ StoreError::Damaged { .. }) = authorship(connection, doc, part) {
            // A damaged record is named already.
            if problems.is_empty() {
                problems.push(format!("who wrote what: {error}"));
            }
        }
    }
    if let Err(error) = credits(connection, doc) {
        problems.push(format!("who wrote what: {error}"));
    }
    let versions = versions::remains(connection, doc, &mut problems)?;
    Ok(Remains {
        row,
        problems,
        pieces,
        versions,
    })
}

fn snapshot_row(connection: &Connection, doc: &DocId) -> Result<Option<(PackedSnapshot, u32)>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT seq, body, margin, encoding, checksum FROM snapshots JOIN documents ON documents.key = document
         WHERE id = ?1",
    )?;
    Ok(query.query_row([doc.as_str()], rows::snapshot).optional()?)
}

/// The records that no snapshot covers, in order, checked.
fn records(connection: &Connection, doc: &DocId) -> Result<Vec<Record>, StoreError> {
    let mut last = None;
    record_rows(connection, doc)?
        .into_iter()
        .map(|row| checked(doc, row, &mut last))
        .collect()
}

fn record_rows(connection: &Connection, doc: &DocId) -> Result<Vec<RecordRow>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT seq, body, margin, identity, at, body_ranges, margin_ranges, checksum FROM records
         JOIN documents ON documents.key = document JOIN authors ON authors.key = author
         WHERE id = ?1 ORDER BY seq",
    )?;
    let rows = query
        .query_map([doc.as_str()], rows::record)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// `last` is the author of the record before, and as JSON: mostly it is the same.
fn checked(doc: &DocId, row: RecordRow, last: &mut Option<(String, Identity)>) -> Result<Record, StoreError> {
    let seq = row.seq;
    let damaged = || StoreError::Damaged {
        doc: doc.clone(),
        what: format!("record {seq}"),
    };
    let author = match last {
        Some((json, author)) if *json == row.identity => author.clone(),
        _ => {
            let author: Identity = serde_json::from_str(&row.identity).map_err(|_| damaged())?;
            last.insert((row.identity.clone(), author)).1.clone()
        }
    };
    let record = Record {
        seq,
        body: row.body,
        margin: row.margin,
        author,
        at: Timestamp(row.at),
        ranges: decode_ranges(&row.body_ranges).ok_or_else(damaged)?,
        margin_ranges: decode_ranges(&row.margin_ranges).ok_or_else(damaged)?,
    };
    let ranges = [&*row.body_ranges, &*row.margin_ranges];
    if record_checksum(doc, &record, &row.identity, ranges) == row.checksum {
        Ok(record)
    } else {
        Err(damaged())
    }
}
