//! The tables about the AI in a document: what may leave the machine, who has agreed, what has left, which adapters are worn.

use crdt::ids::{DocId, Timestamp};
use crdt::policy::{Agreement, Policy};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};
use serde::de::DeserializeOwned;

use super::access::parse;
use crate::store::{
    AccessRows, AccessWrite, AdaptersRow, AgreementRow, DepartureRow, MOST_AGREEMENTS, MOST_DEPARTURES,
    PolicyRow, StoreError,
};

pub(super) fn load(connection: &Connection, rows: &mut AccessRows) -> Result<(), StoreError> {
    let mut query = connection.prepare("SELECT document, leave, engines, set_at, set_by FROM policies")?;
    for row in query.query_map([], policy)? {
        rows.apply(&AccessWrite::PutPolicy(row?));
    }
    let mut query = connection.prepare("SELECT document, chosen, set_at, set_by FROM adapters")?;
    for row in query.query_map([], adapters)? {
        rows.apply(&AccessWrite::PutAdapters(row?));
    }
    let mut query = connection.prepare("SELECT document, person, leave, engines, at, by FROM agreements")?;
    for row in query.query_map([], agreement)? {
        rows.apply(&AccessWrite::Agree(row?));
    }
    Ok(())
}

pub(super) fn put(transaction: &Transaction<'_>, row: &PolicyRow) -> Result<usize, StoreError> {
    let engines = serde_json::Value::from(row.policy.engines.clone()).to_string();
    Ok(transaction.execute(
        "INSERT OR REPLACE INTO policies (document, leave, engines, set_at, set_by) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            row.doc.as_str(),
            row.policy.leave.as_str(),
            engines,
            row.set_at.0,
            row.set_by
        ],
    )?)
}

pub(super) fn put_adapters(transaction: &Transaction<'_>, row: &AdaptersRow) -> Result<usize, StoreError> {
    let chosen = serde_json::json!(row.adapters).to_string();
    Ok(transaction.execute(
        "INSERT OR REPLACE INTO adapters (document, chosen, set_at, set_by) VALUES (?1, ?2, ?3, ?4)",
        params![row.doc.as_str(), chosen, row.set_at.0, row.set_by],
    )?)
}

pub(super) fn agree(transaction: &Transaction<'_>, row: &AgreementRow) -> Result<usize, StoreError> {
    let Agreement { leave, engines } = &row.agreement;
    transaction.execute(
        "INSERT OR REPLACE INTO agreements (document, person, leave, engines, at, by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            row.doc.as_str(),
            row.person,
            leave.as_str(),
            serde_json::json!(engines).to_string(),
            row.at.0,
            row.by
        ],
    )?;
    Ok(transaction.execute(
        "DELETE FROM agreements WHERE document = ?1 AND person IN
         (SELECT person FROM agreements WHERE document = ?1 ORDER BY at DESC, person DESC LIMIT -1 OFFSET ?2)",
        params![row.doc.as_str(), MOST_AGREEMENTS],
    )?)
}

pub(super) fn depart(transaction: &Transaction<'_>, row: &DepartureRow) -> Result<usize, StoreError> {
    let masked = serde_json::json!(row.masked).to_string();
    transaction.execute(
        "INSERT INTO departures (document, at, by, engine, place, leave, characters, masked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            row.doc.as_str(),
            row.at.0,
            row.by,
            row.engine,
            row.place,
            row.leave.as_str(),
            row.characters,
            masked
        ],
    )?;
    Ok(transaction.execute(
        "DELETE FROM departures WHERE document = ?1 AND id <=
         (SELECT id FROM departures WHERE document = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![row.doc.as_str(), MOST_DEPARTURES],
    )?)
}

/// What has left of a document, the newest first.
pub(super) fn departures(connection: &Connection, doc: &DocId) -> Result<Vec<DepartureRow>, StoreError> {
    let mut query = connection.prepare(
        "SELECT document, at, by, engine, place, leave, characters, masked FROM departures
         WHERE document = ?1 ORDER BY id DESC",
    )?;
    let rows = query.query_map([doc.as_str()], departure)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn policy(row: &Row<'_>) -> rusqlite::Result<PolicyRow> {
    Ok(PolicyRow {
        doc: parse(row, 0, DocId::parse)?,
        policy: Policy {
            leave: parse(row, 1, str::parse)?,
            engines: json(row, 2)?,
        },
        set_at: Timestamp(row.get(3)?),
        set_by: row.get(4)?,
    })
}

fn adapters(row: &Row<'_>) -> rusqlite::Result<AdaptersRow> {
    Ok(AdaptersRow {
        doc: parse(row, 0, DocId::parse)?,
        adapters: json(row, 1)?,
        set_at: Timestamp(row.get(2)?),
        set_by: row.get(3)?,
    })
}

fn agreement(row: &Row<'_>) -> rusqlite::Result<AgreementRow> {
    Ok(AgreementRow {
        doc: parse(row, 0, DocId::parse)?,
        person: row.get(1)?,
        agreement: Agreement {
            leave: parse(row, 2, str::parse)?,
            engines: json(row, 3)?,
        },
        at: Timestamp(row.get(4)?),
        by: row.get(5)?,
    })
}

fn departure(row: &Row<'_>) -> rusqlite::Result<DepartureRow> {
    Ok(DepartureRow {
        doc: parse(row, 0, DocId::parse)?,
        at: Timestamp(row.get(1)?),
        by: row.get(2)?,
        engine: row.get(3)?,
        place: row.get(4)?,
        leave: parse(row, 5, str::parse)?,
        characters: row.get(6)?,
        masked: json(row, 7)?,
    })
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
