//! What only a file on a disk can suffer: damage, a second process, a newer format, groups.

use std::path::Path;

use crdt::ids::{DocId, IdRange, Identity, PeerKind, Timestamp};
use crdt::room::{Record, Snapshot};
use rusqlite::Connection;

use super::SqliteStore;
use crate::store::{Backend, Backing, PackedSnapshot, Store, StoreError, Write, examine, prepare};

fn doc(id: &str) -> DocId {
    DocId::parse(id).unwrap()
}

fn append(id: &str, seq: u64) -> Write {
    let record = Record {
        seq,
        body: Some(vec![seq as u8; 20]),
        margin: None,
        author: Identity {
            id: "a".into(),
            name: "A".into(),
            kind: PeerKind::Human,
            model: None,
        },
        at: Timestamp(seq),
        ranges: vec![IdRange {
            client: 1,
            clock: 0,
            len: 1,
        }],
        margin_ranges: Vec::new(),
    };
    Write::Append {
        doc: doc(id),
        record,
        title: None,
        epoch: None,
    }
}

/// A file with two documents of three records each, the second one with a snapshot.
fn written(path: &Path) {
    let mut store = SqliteStore::open(path).unwrap();
    for id in ["plan", "other"] {
        let writes: Vec<Write> = (1..=3).map(|seq| append(id, seq)).collect();
        store.write(&writes.iter().collect::<Vec<_>>()).unwrap();
    }
    let snapshot = Snapshot {
        seq: 2,
        body: vec![1; 30],
        margin: vec![2; 30],
    };
    store
        .write(&[&Write::Compact {
            doc: doc("other"),
            snapshot: snapshot.into(),
        }])
        .unwrap();
}

#[test]
fn damage_is_found_and_named_and_other_documents_keep_working() {
    let damages = [
        (
            "UPDATE records SET body = x'0102' WHERE seq = 2 AND document = 1",
            "plan",
            "record 2",
        ),
        (
            "UPDATE records SET body = substr(body, 1, 7) WHERE seq = 3 AND document = 1",
            "plan",
            "record 3",
        ),
        ("UPDATE records SET at = at + 1 WHERE seq = 1", "plan", "record 1"),
        (
            "UPDATE records SET body_ranges = x'00' WHERE seq = 1",
            "plan",
            "record 1",
        ),
        (
            "DELETE FROM records WHERE seq = 2 AND document = 1",
            "plan",
            "record 2 is missing",
        ),
        ("UPDATE snapshots SET body = zeroblob(30)", "other", "snapshot 2"),
        ("DELETE FROM snapshots", "other", "record 1 is missing"),
    ];
    for (damage, victim, named) in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        written(&path);
        Connection::open(&path).unwrap().execute(damage, []).unwrap();
        let mut store = SqliteStore::open(&path).unwrap();
        let error = store.load(&doc(victim)).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { doc, .. } if doc.as_str() == victim),
            "{damage}: {error}"
        );
        assert!(error.to_string().contains(named), "{damage}: {error}");
        let healthy = doc(if victim == "plan" { "other" } else { "plan" });
        store.load(&healthy).unwrap();
        store.write(&[&append(healthy.as_str(), 4)]).unwrap();
    }
}

#[test]
fn a_second_process_is_refused_until_the_first_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let first = SqliteStore::open(&path).unwrap();
    let second = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(second, StoreError::InUse(_)), "{second:?}");
    drop(first);
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_file_of_a_newer_version_or_of_another_kind_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    written(&path);
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let newer = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(newer, StoreError::TooNew { found: 99, .. }), "{newer:?}");

    let path = folder.path().join("other.sqlite");
    let text = b"this is a letter and not a database, and it is longer than a header ".repeat(20);
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &text).unwrap();
    let other = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(other, StoreError::Unreadable(_)), "{other:?}");
    assert_eq!(std::fs::read(&path).unwrap(), text);
}

/// A power cut in the middle of a commit: the log's last bytes are missing or wrong. Only that commit is gone.
#[test]
fn a_torn_last_commit_is_not_there_and_all_before_it_is() {
    for tear in [1, 100, 4000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let mut store = SqliteStore::open(&path).unwrap();
        for seq in 1..=4 {
            store.write(&[&append("plan", seq)]).unwrap();
        }
        // Copied while it is open, as a crash would leave it.
        let torn = folder.path().join("torn.sqlite");
        std::fs::copy(&path, &torn).unwrap();
        let log = std::fs::read(folder.path().join("store.sqlite-wal")).unwrap();
        let file = std::fs::File::create(folder.path().join("torn.sqlite-wal")).unwrap();
        std::io::Write::write_all(&mut &file, &log[..log.len() - tear]).unwrap();
        let mut survivor = SqliteStore::open(&torn).unwrap();
        let tail = survivor.load(&doc("plan")).unwrap().tail;
        assert_eq!(
            tail.iter().map(|record| record.seq).collect::<Vec<_>>(),
            [1, 2, 3],
            "torn by {tear} bytes"
        );
        survivor.write(&[&append("plan", 4)]).unwrap();
    }
}

/// Many rooms that write at once share commits: far fewer transactions than writes.
#[tokio::test]
async fn writes_that_wait_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = Store::spawn(SqliteStore::open(&path).unwrap(), 1024).unwrap();
    let mut answers = Vec::new();
    for seq in 1..=5 {
        for room in 0..100 {
            answers.push(store.queue(append(&format!("room {room}"), seq)).await.unwrap());
        }
    }
    for answer in answers {
        answer.done().await.unwrap();
    }
    let commits = store.commits();
    assert!(commits < 100, "500 writes took {commits} commits");
    store.close().await;
    let mut again = SqliteStore::open(&path).unwrap();
    assert_eq!(again.documents().unwrap().len(), 100);
    assert_eq!(again.load(&doc("room 7")).unwrap().tail.len(), 5);
}

/// "On disk" is what SQLite is told it to be: without these, a commit may be answered before it is fsynced.
#[test]
fn a_commit_is_fsynced_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let check = |store: &SqliteStore| {
        let asked = |pragma: &str| -> String {
            let sql = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
            store.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(asked("synchronous"), "2", "FULL: every commit is fsynced");
        assert_eq!(asked("journal_mode"), "wal");
        assert_eq!(asked("locking_mode"), "exclusive");
        assert_eq!(asked("foreign_keys"), "1");
        assert_eq!(asked("ignore_check_constraints"), "0");
    };
    let mut store = SqliteStore::open(&path).unwrap();
    check(&store);
    store.write(&[&append("plan", 1)]).unwrap();
    check(&store);
    let copy = folder.path().join("copy.sqlite");
    store.backup(&copy, &mut |_| {}).unwrap();
    prepare(&copy).unwrap();
    store.replace(&copy).unwrap();
    check(&store);
    drop(store);
    check(&SqliteStore::open(&path).unwrap());
}

/// A real document's updates, so that they can be opened.
fn typed(id: &str, count: u64) -> (Vec<Write>, yrs::Doc) {
    let body = crdt::doc::open(7);
    let root = crdt::doc::fragment(&body);
    let mut writes = Vec::new();
    for seq in 1..=count {
        let before = yrs::Transact::transact(&body);
        let state = yrs::ReadTxn::state_vector(&before);
        drop(before);
        let block = crdt::Node::paragraph(&format!("paragraph {seq} of a text that somebody typed"));
        crdt::content::insert(&root, &mut yrs::Transact::transact_mut(&body), u32::MAX, &[block]);
        let update = yrs::ReadTxn::encode_diff_v1(&yrs::Transact::transact(&body), &state);
        let Write::Append {
            mut record,
            title,
            epoch,
            ..
        } = append(id, seq)
        else {
            unreachable!("it is an append")
        };
        record.body = Some(update);
        writes.push(Write::Append {
            doc: doc(id),
            record,
            title,
            epoch,
        });
    }
    (writes, body)
}

#[test]
fn a_snapshot_takes_half_the_space_where_that_is_so_and_old_ones_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    written(&path); // `other` has a snapshot in the first encoding
    let mut store = SqliteStore::open(&path).unwrap();
    let (writes, body) = typed("typed", 20);
    store.write(&writes.iter().collect::<Vec<_>>()).unwrap();
    // Letters that were put before each other, as corrections are: an item each.
    let text = body.get_or_insert_text("letters");
    for _ in 0..2000 {
        yrs::Text::insert(&text, &mut yrs::Transact::transact_mut(&body), 0, "x");
    }
    let state = crdt::history::state(&body);
    let packed = PackedSnapshot::pack(Snapshot {
        seq: 20,
        body: state.clone(),
        margin: vec![0, 0],
    });
    assert!(packed.body.v2 && packed.body.bytes.len() * 2 <= state.len());
    let compact = Write::Compact {
        doc: doc("typed"),
        snapshot: packed,
    };
    store.write(&[&compact]).unwrap();
    drop(store);
    let mut store = SqliteStore::open(&path).unwrap();
    let loaded = store.load(&doc("typed")).unwrap().unpack(&doc("typed")).unwrap();
    let again = crdt::history::open(&loaded.stored.snapshot_body.unwrap(), 8).unwrap();
    assert_eq!(crdt::history::state(&again).len(), state.len());
    let old = store.load(&doc("other")).unwrap().unpack(&doc("other")).unwrap();
    assert_eq!(old.stored.snapshot_body, Some(vec![1; 30]));
    // Its encoding is part of what its checksum covers.
    store
        .connection
        .execute("UPDATE snapshots SET encoding = 0 WHERE encoding = 1", [])
        .unwrap();
    assert!(matches!(
        store.load(&doc("typed")),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn a_file_of_the_first_format_is_brought_to_the_present_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(super::MIGRATIONS[0]).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO documents VALUES (1, 'plan', 'Plan', 1, 2, 'E1', NULL);
         INSERT INTO links VALUES (1, 'http://host/#/d/plan');",
    )
    .unwrap();
    drop(old);
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.document(&doc("plan")).unwrap().unwrap().epoch, "E1");
    assert!(!store.links().unwrap()[0].replaced);
    assert!(store.versions(&doc("plan")).unwrap().is_empty());
}

/// What is written while the copy is made is in it, and nothing that was written before is missing.
#[test]
fn a_backup_is_the_store_as_of_one_moment_and_others_write_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut store = SqliteStore::open(&path).unwrap();
    let Write::Append {
        mut record,
        title,
        epoch,
        ..
    } = append("large", 1)
    else {
        unreachable!("it is an append")
    };
    record.body = Some(vec![3; 6 << 20]);
    let large = Write::Append {
        doc: doc("large"),
        record,
        title,
        epoch,
    };
    store.write(&[&large, &append("plan", 1)]).unwrap();
    let copy = folder.path().join("copy.sqlite");
    let mut seq = 1;
    store
        .backup(&copy, &mut |store| {
            seq += 1;
            store.write(&[&append("plan", seq)]).unwrap();
        })
        .unwrap();
    assert!(seq > 3, "it takes several steps");
    let mut copied = SqliteStore::open(&copy).unwrap();
    assert_eq!(copied.load(&doc("plan")).unwrap().tail.len() as u64, seq);
    assert_eq!(
        copied.load(&doc("large")).unwrap().tail,
        store.load(&doc("large")).unwrap().tail
    );
    assert!(copied.check_file().unwrap().is_empty());
}

#[test]
fn a_restored_store_has_new_epochs_and_what_was_there_stays_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut store = SqliteStore::open(&path).unwrap();
    store.set_quota(Some(100 << 20)).unwrap();
    store.write(&[&append("plan", 1)]).unwrap();
    let copy = folder.path().join("copy.sqlite");
    store.backup(&copy, &mut |_| {}).unwrap();
    store.write(&[&append("plan", 2), &append("later", 1)]).unwrap();
    let before = store.document(&doc("plan")).unwrap().unwrap().epoch;
    assert_eq!(prepare(&copy).unwrap(), 1);
    let aside = store.replace(&copy).unwrap();
    assert_ne!(store.document(&doc("plan")).unwrap().unwrap().epoch, before);
    assert_eq!(store.load(&doc("plan")).unwrap().tail.len(), 1);
    assert!(store.document(&doc("later")).unwrap().is_none());
    let pages: u64 = store
        .connection
        .query_row("PRAGMA max_page_count", [], |row| row.get(0))
        .unwrap();
    assert_eq!(pages, (100 << 20) / 4096, "the quota holds");
    let mut aside = SqliteStore::open(&aside).unwrap();
    assert_eq!(aside.load(&doc("plan")).unwrap().tail.len(), 2);

    // What is no store is refused, and the one that is there goes on.
    let text = folder.path().join("letter.sqlite");
    std::fs::File::create(&text).unwrap();
    assert!(matches!(prepare(&text), Err(StoreError::Unreadable(_))));
    assert!(matches!(
        store.replace(&text.with_extension("none")),
        Err(StoreError::Io(_))
    ));
    store.write(&[&append("plan", 2)]).unwrap();
}

#[test]
fn what_can_be_saved_of_a_damaged_document_is_saved() {
    let damages: [(&str, &str, &str, &str); 5] = [
        (
            "UPDATE records SET body = zeroblob(length(body)) WHERE seq = 9",
            "record 9",
            "paragraph 8 ",
            "paragraph 9 ",
        ),
        (
            "DELETE FROM records WHERE seq = 9",
            "record 9 is missing",
            "paragraph 8 ",
            "paragraph 9 ",
        ),
        (
            "UPDATE snapshots SET checksum = checksum + 1",
            "snapshot 6",
            "paragraph 10 ",
            "paragraph 11 ",
        ),
        (
            "UPDATE snapshots SET body = x'00FF', encoding = 1",
            "snapshot 6",
            "paragraph 3 ",
            "paragraph 6 ",
        ),
        (
            "UPDATE versions SET body = x'00'",
            "version 1",
            "paragraph 10 ",
            "paragraph 11 ",
        ),
    ];
    for (damage, named, saved, lost) in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let mut store = SqliteStore::open(&path).unwrap();
        let (writes, _) = typed("plan", 10);
        store.write(&writes[..3].iter().collect::<Vec<_>>()).unwrap();
        let part = |count: usize| crdt::history::state(&typed("plan", count as u64).1);
        let version = crate::store::NewVersion {
            at: Timestamp(1),
            by: Identity {
                id: "a".into(),
                name: "A".into(),
                kind: PeerKind::Human,
                model: None,
            },
            kind: crdt::history::Kind::Named,
            name: None,
            why: None,
            seq: 3,
            body: crdt::history::Packed::v2(part(3)),
        };
        store.keep_version(&doc("plan"), &version).unwrap();
        store.write(&writes[3..].iter().collect::<Vec<_>>()).unwrap();
        let snapshot = PackedSnapshot::pack(Snapshot {
            seq: 6,
            body: part(6),
            margin: vec![0, 0],
        });
        let compact = Write::Compact {
            doc: doc("plan"),
            snapshot,
        };
        store.write(&[&compact]).unwrap();
        assert_eq!(
            examine(store.remains(&doc("plan")).unwrap()).problems,
            Vec::<String>::new()
        );
        assert!(store.connection.execute(damage, []).unwrap() > 0);
        let found = examine(store.remains(&doc("plan")).unwrap());
        assert!(
            found.problems.iter().any(|problem| problem.contains(named)),
            "{damage}: {:?}",
            found.problems
        );
        assert!(found.markdown.contains(saved), "{damage}: {}", found.markdown);
        assert!(!found.markdown.contains(lost), "{damage}: {}", found.markdown);
        crdt::history::open(&found.body, 3).unwrap();
    }
}
