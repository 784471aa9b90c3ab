//! What only a file on a disk can suffer: damage, a second process, a newer format, groups.

use std::path::Path;

use crdt::ids::{DocId, IdRange, Identity, PeerKind, Timestamp};
use crdt::room::{Record, Snapshot};
use rusqlite::Connection;

use super::SqliteStore;
use crate::store::{Backend, Store, StoreError, Write};

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
            snapshot,
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
        let tail = survivor.load(&doc("plan")).unwrap().stored.tail;
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
    assert_eq!(again.load(&doc("room 7")).unwrap().stored.tail.len(), 5);
}
