//! The tables about access.

use crdt::ids::{DocId, Role, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::privacy;
use crate::store::{AccessRows, AccessWrite, MemberRow, ShareRow, StoreError};

const SECRET: &str = "secret";

pub(super) fn load(connection: &Connection) -> Result<AccessRows, StoreError> {
    let secret = connection
        .query_row("SELECT value FROM settings WHERE name = ?1", [SECRET], |row| {
            row.get(0)
        })
        .optional()?;
    let mut rows = AccessRows {
        secret,
        ..AccessRows::default()
    };
    let mut query = connection
        .prepare("SELECT id, document, role, label, created_at, created_by, expires_at FROM shares")?;
    for row in query.query_map([], share)? {
        rows.apply(&AccessWrite::PutShare(row?));
    }
    let mut query = connection.prepare("SELECT document, sub, role, margin, set_at, set_by FROM members")?;
    for row in query.query_map([], member)? {
        rows.apply(&AccessWrite::PutMember(row?));
    }
    privacy::load(connection, &mut rows)?;
    Ok(rows)
}

/// Does one write, within a transaction of its own.
pub(super) fn write(transaction: &Transaction<'_>, write: &AccessWrite) -> Result<(), StoreError> {
    match write {
        AccessWrite::Secret(secret) => transaction.execute(
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
            [SECRET, secret],
        )?,
        AccessWrite::PutShare(share) => transaction.execute(
            "INSERT OR REPLACE INTO shares (id, document, role, label, created_at, created_by, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                share.id,
                share.doc.as_str(),
                share.role.as_str(),
                share.label,
                share.created_at.0,
                share.created_by,
                share.expires_at.map(|at| at.0)
            ],
        )?,
        AccessWrite::RemoveShare(id) => transaction.execute("DELETE FROM shares WHERE id = ?1", [id])?,
        AccessWrite::PutMember(member) => transaction.execute(
            "INSERT OR REPLACE INTO members (document, sub, role, margin, set_at, set_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                member.doc.as_str(),
                member.sub,
                member.role.map(Role::as_str),
                member.margin.map(Role::as_str),
                member.set_at.0,
                member.set_by
            ],
        )?,
        AccessWrite::RemoveMember { doc, sub } => transaction.execute(
            "DELETE FROM members WHERE document = ?1 AND sub = ?2",
            [doc.as_str(), sub],
        )?,
        AccessWrite::PutPolicy(row) => privacy::put(transaction, row)?,
        AccessWrite::PutAdapters(row) => privacy::put_adapters(transaction, row)?,
        AccessWrite::Agree(row) => privacy::agree(transaction, row)?,
        AccessWrite::Depart(row) => privacy::depart(transaction, row)?,
        AccessWrite::ForgetDepartures(doc) => {
            transaction.execute("DELETE FROM departures WHERE document = ?1", [doc.as_str()])?
        }
        AccessWrite::Forget(doc) => {
            for table in ["policies", "adapters", "agreements"] {
                let sql = format!("DELETE FROM {table} WHERE document = ?1");
                transaction.execute(&sql, [doc.as_str()])?;
            }
            transaction.execute("DELETE FROM shares WHERE document = ?1", [doc.as_str()])?;
            transaction.execute("DELETE FROM members WHERE document = ?1", [doc.as_str()])?
        }
    };
    Ok(())
}

fn share(row: &Row<'_>) -> rusqlite::Result<ShareRow> {
    Ok(ShareRow {
        id: row.get(0)?,
        doc: parse(row, 1, DocId::parse)?,
        role: parse(row, 2, str::parse)?,
        label: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        created_by: row.get(5)?,
        expires_at: row.get::<_, Option<u64>>(6)?.map(Timestamp),
    })
}

fn member(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    let role = |column| match row.get::<_, Option<String>>(column)? {
        Some(_) => parse(row, column, str::parse::<Role>).map(Some),
        None => Ok(None),
    };
    Ok(MemberRow {
        doc: parse(row, 0, DocId::parse)?,
        sub: row.get(1)?,
        role: role(2)?,
        margin: role(3)?,
        set_at: Timestamp(row.get(4)?),
        set_by: row.get(5)?,
    })
}

pub(super) fn parse<T, E>(
    row: &Row<'_>,
    column: usize,
    read: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    read(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        AdaptersRow, AgreementRow, Backend as _, DepartureRow, MOST_AGREEMENTS, MemoryStore, PolicyRow,
        SqliteStore,
    };
    use crdt::margin::RequestKind;
    use crdt::policy::{Adapters, Agreement, Leave, Policy};

    fn share(id: &str, doc: &str) -> AccessWrite {
        AccessWrite::PutShare(ShareRow {
            id: id.into(),
            doc: DocId::parse(doc).unwrap(),
            role: Role::Suggester,
            label: (id == "1").then(|| "Über uns".into()),
            created_at: Timestamp(5),
            created_by: "user:ada".into(),
            expires_at: (id == "2").then_some(Timestamp(9)),
        })
    }

    fn member(doc: &str, sub: &str, role: Option<Role>) -> AccessWrite {
        AccessWrite::PutMember(MemberRow {
            doc: DocId::parse(doc).unwrap(),
            sub: sub.into(),
            role,
            margin: role.map(|_| Role::Viewer),
            set_at: Timestamp(7),
            set_by: "own".into(),
        })
    }

    fn policy(doc: &str, leave: Leave) -> AccessWrite {
        AccessWrite::PutPolicy(PolicyRow {
            doc: DocId::parse(doc).unwrap(),
            policy: Policy {
                leave,
                engines: vec!["Big, \"far\"".into()],
            },
            set_at: Timestamp(8),
            set_by: "own".into(),
        })
    }

    fn adapters(doc: &str, usual: &str) -> AccessWrite {
        AccessWrite::PutAdapters(AdaptersRow {
            doc: DocId::parse(doc).unwrap(),
            adapters: Adapters {
                usual: Some(usual.into()),
                commands: [(RequestKind::Rewrite, None)].into(),
            },
            set_at: Timestamp(8),
            set_by: "own".into(),
        })
    }

    fn agree(doc: &str, person: &str, at: u64) -> AccessWrite {
        AccessWrite::Agree(AgreementRow {
            doc: DocId::parse(doc).unwrap(),
            person: person.into(),
            agreement: Agreement {
                leave: Leave::Masked,
                engines: vec!["Big, \"far\"".into()],
            },
            at: Timestamp(at),
            by: "key:ada".into(),
        })
    }

    /// Whoever agreed longest ago is forgotten first, by both stores alike.
    #[test]
    fn so_many_agreements_are_kept_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
        let mut memory = MemoryStore::default();
        let mut writes: Vec<AccessWrite> = (0..=MOST_AGREEMENTS as u64)
            .map(|at| agree("plan", &format!("{at}"), 7 + at / 2))
            .collect();
        writes.push(agree("notes", "0", 1));
        writes.push(agree("plan", "1", 9_000));
        for write in &writes {
            store.write_access(write).unwrap();
            memory.write_access(write).unwrap();
        }
        let kept = memory.access().unwrap();
        assert_eq!(store.access().unwrap(), kept);
        assert_eq!(kept.agreements.len(), MOST_AGREEMENTS + 1);
        let plan = DocId::parse("plan").unwrap();
        assert!(!kept.agreements.contains_key(&(plan.clone(), "0".into())));
        assert_eq!(kept.agreements[&(plan, "1".into())].at, Timestamp(9_000));
    }

    fn departure(doc: &str, at: u64) -> AccessWrite {
        AccessWrite::Depart(DepartureRow {
            doc: DocId::parse(doc).unwrap(),
            at: Timestamp(at),
            by: "ada".into(),
            engine: "Big".into(),
            place: "internet".into(),
            leave: Leave::Masked,
            characters: 120,
            masked: [("email".to_owned(), 2)].into(),
        })
    }

    #[test]
    fn both_stores_keep_the_same_also_when_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let mut memory = MemoryStore::default();
        let plan = DocId::parse("plan").unwrap();
        for write in [
            AccessWrite::Secret("one".into()),
            AccessWrite::Secret("two".into()),
            share("1", "plan"),
            share("2", "plan"),
            share("3", "notes"),
            AccessWrite::RemoveShare("2".into()),
            AccessWrite::RemoveShare("unknown".into()),
            member("plan", "ada", Some(Role::Owner)),
            member("plan", "ada", None),
            member("notes", "ada", Some(Role::Editor)),
            member("notes", "bob", Some(Role::Editor)),
            AccessWrite::RemoveMember {
                doc: DocId::parse("notes").unwrap(),
                sub: "bob".into(),
            },
            policy("plan", Leave::AsIs),
            policy("plan", Leave::Masked),
            policy("notes", Leave::AsIs),
            adapters("plan", "law"),
            adapters("notes", "law"),
            adapters("notes", "plain"),
            agree("plan", "ada", 3),
            agree("notes", "ada", 4),
            agree("notes", "ada", 5),
            departure("notes", 7),
            departure("plan", 8),
            departure("notes", 9),
            AccessWrite::ForgetDepartures(plan.clone()),
            AccessWrite::Forget(plan.clone()),
            share("4", "plan"),
        ] {
            let mut store = SqliteStore::open(&path).unwrap();
            store.write_access(&write).unwrap();
            memory.write_access(&write).unwrap();
            assert_eq!(store.access().unwrap(), memory.access().unwrap(), "{write:?}");
            drop(store);
            let mut again = SqliteStore::open(&path).unwrap();
            assert_eq!(again.access().unwrap(), memory.access().unwrap(), "{write:?}");
        }
        let kept = memory.access().unwrap();
        assert_eq!(kept.secret.as_deref(), Some("two"));
        assert_eq!(
            (kept.shares.len(), kept.members.len(), kept.policies.len()),
            (2, 1, 1)
        );
        assert_eq!((kept.adapters.len(), kept.agreements.len()), (1, 1));
        let notes = DocId::parse("notes").unwrap();
        let mut store = SqliteStore::open(&path).unwrap();
        for doc in [&notes, &plan] {
            assert_eq!(store.departures(doc).unwrap(), memory.departures(doc).unwrap());
        }
        let left = memory.departures(&notes).unwrap();
        assert_eq!(
            left.iter().map(|row| row.at.0).collect::<Vec<_>>(),
            [9, 7],
            "the newest first"
        );
        assert!(
            memory.departures(&plan).unwrap().is_empty(),
            "forgotten with the document"
        );
    }
}
