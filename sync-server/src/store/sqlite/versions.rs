//! Versions in the store on disk.

use crdt::history::{Kind, Packed, Version, thin};
use crdt::ids::{DocId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::rows::{self, version_checksum};
use super::writes;
use crate::store::examine::Piece;
use crate::store::{NewVersion, StoreError, VersionBody};

/// The columns of an entry, in the order that [`entry`] reads.
const ENTRY: &str = "number, at, identity, kind, name, why, seq";

/// A version as it stands in its row.
struct VersionRow {
    number: u64,
    at: u64,
    identity: String,
    kind: String,
    name: Option<String>,
    why: Option<String>,
    seq: u64,
}

fn entry(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    Ok(VersionRow {
        number: row.get(0)?,
        at: row.get(1)?,
        identity: row.get(2)?,
        kind: row.get(3)?,
        name: row.get(4)?,
        why: row.get(5)?,
        seq: row.get(6)?,
    })
}

impl VersionRow {
    fn decode(self, doc: &DocId) -> Result<Version, StoreError> {
        let kind: Kind = serde_json::from_str(&self.kind).map_err(|_| damaged(doc, self.number))?;
        Ok(Version {
            number: self.number,
            at: Timestamp(self.at),
            by: rows::identity(doc, &self.identity)?,
            kind,
            name: self.name,
            why: self.why,
            seq: self.seq,
        })
    }
}

fn damaged(doc: &DocId, number: u64) -> StoreError {
    StoreError::Damaged {
        doc: doc.clone(),
        what: format!("version {number}"),
    }
}

pub(super) fn list(connection: &Connection, doc: &DocId) -> Result<Vec<Version>, StoreError> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {ENTRY} FROM versions JOIN documents ON documents.key = document
         JOIN authors ON authors.key = author WHERE id = ?1 ORDER BY number DESC"
    ))?;
    query
        .query_map([doc.as_str()], entry)?
        .map(|row| row?.decode(doc))
        .collect()
}

/// The last record that a version holds, and when that was kept.
pub(super) fn last(connection: &Connection, doc: &DocId) -> Result<Option<(u64, Timestamp)>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT seq, at FROM versions JOIN documents ON documents.key = document WHERE id = ?1
         ORDER BY number DESC LIMIT 1",
    )?;
    let found = query
        .query_row([doc.as_str()], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))
        .optional()?;
    Ok(found)
}

pub(super) fn read(
    connection: &Connection,
    doc: &DocId,
    number: u64,
) -> Result<Option<VersionBody>, StoreError> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {ENTRY}, body, encoding, versions.checksum FROM versions JOIN documents ON documents.key = document
         JOIN authors ON authors.key = author WHERE id = ?1 AND number = ?2"
    ))?;
    let found = query
        .query_row(params![doc.as_str(), number], |row| {
            Ok((entry(row)?, content(row, 7)?))
        })
        .optional()?;
    let Some((entry, (body, checksum))) = found else {
        return Ok(None);
    };
    let version = entry.decode(doc)?;
    if version_checksum(doc, &version, &body) != checksum {
        return Err(damaged(doc, number));
    }
    Ok(Some(VersionBody { version, body }))
}

fn content(row: &Row<'_>, first: usize) -> rusqlite::Result<(Packed, u32)> {
    let body = Packed {
        bytes: row.get(first)?,
        v2: row.get::<_, u8>(first + 1)? == 1,
    };
    Ok((body, row.get(first + 2)?))
}

pub(super) fn keep(
    transaction: &Transaction<'_>,
    doc: &DocId,
    version: &NewVersion,
) -> Result<Version, StoreError> {
    let document = writes::key_or_new(transaction, doc, "", version.at, None)?;
    let number: u64 = transaction.query_row(
        "UPDATE documents SET last_version = last_version + 1 WHERE key = ?1 RETURNING last_version",
        [document],
        |row| row.get(0),
    )?;
    let entry = version.entry(number);
    let author = writes::author_key(transaction, &rows::identity_json(&version.by))?;
    transaction
        .prepare_cached(
            "INSERT INTO versions (document, number, at, author, kind, name, why, seq, body, encoding, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            document,
            number,
            version.at.0,
            author,
            rows::kind_json(version.kind),
            version.name,
            version.why,
            version.seq,
            version.body.bytes,
            u8::from(version.body.v2),
            version_checksum(doc, &entry, &version.body),
        ])?;
    if version.kind == Kind::Automatic {
        for number in thin(&list(transaction, doc)?, version.at) {
            transaction
                .prepare_cached("DELETE FROM versions WHERE document = ?1 AND number = ?2")?
                .execute(params![document, number])?;
        }
    }
    Ok(entry)
}

/// All versions, the last one first, sound or not.
pub(super) fn remains(
    connection: &Connection,
    doc: &DocId,
    problems: &mut Vec<String>,
) -> Result<Vec<Piece>, StoreError> {
    let numbers: Vec<u64> = connection
        .prepare_cached(
            "SELECT number FROM versions JOIN documents ON documents.key = document WHERE id = ?1
             ORDER BY number DESC",
        )?
        .query_map([doc.as_str()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut pieces = Vec::new();
    for number in numbers {
        match read(connection, doc, number) {
            Ok(Some(VersionBody { body, .. })) => pieces.push(Piece {
                what: format!("version {number}"),
                parts: [Some(body), None],
                sound: true,
            }),
            Ok(None) => {}
            Err(_) => problems.push(format!(
                "version {number} is not what was written (its checksum is wrong)"
            )),
        }
    }
    Ok(pieces)
}
