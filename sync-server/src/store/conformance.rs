//! What every store must do. Each test runs on each of them, fresh and, where it lasts, opened again.

mod history;

use crdt::ids::{DocId, IdRange, Identity, Part, PeerKind, Timestamp};
use crdt::room::{Record, Snapshot};

use super::{Backend, LinkRow, Loaded, MemoryStore, PackedSnapshot, SqliteStore, Store, StoreError, Write};

fn doc(id: &str) -> DocId {
    DocId::parse(id).unwrap()
}

fn author(name: &str) -> Identity {
    Identity {
        id: name.into(),
        name: name.to_uppercase(),
        kind: PeerKind::Human,
        model: None,
    }
}

/// A record whose bytes tell its number, by one of two authors.
fn record(seq: u64) -> Record {
    let clock = u32::try_from(seq).unwrap() * 10;
    Record {
        seq,
        body: (!seq.is_multiple_of(3)).then(|| format!("body {seq}").into_bytes()),
        margin: seq
            .is_multiple_of(2)
            .then(|| format!("margin {seq}").into_bytes()),
        author: author(if seq < 5 { "ada" } else { "bob" }),
        at: Timestamp(1000 + seq),
        ranges: vec![IdRange {
            client: 7,
            clock,
            len: 10,
        }],
        margin_ranges: vec![IdRange {
            client: 1 << 40,
            clock,
            len: 10,
        }],
    }
}

fn append(id: &str, seq: u64) -> Write {
    Write::Append {
        doc: doc(id),
        record: record(seq),
        title: None,
        epoch: None,
    }
}

fn snapshot(seq: u64) -> PackedSnapshot {
    let snapshot = Snapshot {
        seq,
        body: format!("body up to {seq}").into_bytes(),
        margin: b"margin".to_vec(),
    };
    snapshot.into()
}

fn load(store: &mut dyn Backend, id: &str) -> Loaded {
    store.load(&doc(id)).unwrap().unpack(&doc(id)).unwrap()
}

fn write(store: &mut dyn Backend, writes: &[Write]) -> Result<(), StoreError> {
    store.write(&writes.iter().collect::<Vec<_>>())
}

/// Runs a test on every store; what lasts is opened again afterwards.
fn on_each(test: impl Fn(&mut dyn Backend)) {
    test(&mut MemoryStore::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    test(&mut SqliteStore::open(&path).unwrap());
    check_reopened(&path);
}

/// A store that was written by the test before opens and lists its documents.
fn check_reopened(path: &std::path::Path) {
    let mut again = SqliteStore::open(path).unwrap();
    for row in again.documents().unwrap() {
        again.load(&row.id).unwrap();
    }
}

#[test]
fn what_was_written_is_read_in_order() {
    on_each(|store| {
        let loaded = load(store, "plan");
        assert!(loaded.row.is_none());
        assert_eq!((loaded.stored.tail.len(), loaded.stored.next_seq), (0, 1));
        write(store, &[append("plan", 1), append("other", 1), append("plan", 2)]).unwrap();
        write(store, &[append("plan", 3)]).unwrap();
        let loaded = load(store, "plan");
        assert_eq!(loaded.stored.tail, [record(1), record(2), record(3)]);
        assert_eq!(loaded.stored.next_seq, 4);
        assert!(loaded.stored.snapshot_body.is_none());
        assert_eq!(load(store, "other").stored.tail, [record(1)]);
    });
}

#[test]
fn a_record_that_comes_again_is_one_record() {
    on_each(|store| {
        write(store, &[append("plan", 1), append("plan", 2)]).unwrap();
        write(store, &[append("plan", 2), append("plan", 3)]).unwrap();
        assert_eq!(load(store, "plan").stored.tail.len(), 3);
        let other = Record {
            body: Some(b"another".to_vec()),
            ..record(2)
        };
        let conflict = write(
            store,
            &[Write::Append {
                doc: doc("plan"),
                record: other,
                title: None,
                epoch: None,
            }],
        );
        assert!(
            matches!(conflict, Err(StoreError::Conflict { seq: 2, .. })),
            "{conflict:?}"
        );
    });
}

#[test]
fn a_record_never_overtakes_the_one_before() {
    on_each(|store| {
        write(store, &[append("plan", 1)]).unwrap();
        let gap = write(store, &[append("plan", 3)]);
        assert!(
            matches!(
                gap,
                Err(StoreError::Gap {
                    seq: 3,
                    expected: 2,
                    ..
                })
            ),
            "{gap:?}"
        );
        write(store, &[append("plan", 2), append("plan", 3)]).unwrap();
    });
}

#[test]
fn a_group_is_written_whole_or_not_at_all() {
    on_each(|store| {
        let group = [append("plan", 1), append("other", 1), append("plan", 5)];
        assert!(write(store, &group).is_err());
        assert!(store.documents().unwrap().is_empty());
        assert!(load(store, "other").row.is_none());
    });
}

#[test]
fn a_snapshot_stands_in_for_the_records_that_it_covers() {
    on_each(|store| {
        write(store, &(1..=8).map(|seq| append("plan", seq)).collect::<Vec<_>>()).unwrap();
        let before = store.authorship(&doc("plan"), Part::Body).unwrap();
        write(
            store,
            &[Write::Compact {
                doc: doc("plan"),
                snapshot: snapshot(3),
            }],
        )
        .unwrap();
        write(
            store,
            &[Write::Compact {
                doc: doc("plan"),
                snapshot: snapshot(6),
            }],
        )
        .unwrap();
        let stored = load(store, "plan").stored;
        assert_eq!(stored.snapshot_body.as_deref(), Some(&b"body up to 6"[..]));
        assert_eq!(stored.snapshot_margin.as_deref(), Some(&b"margin"[..]));
        assert_eq!(stored.tail, [record(7), record(8)]);
        assert_eq!(stored.next_seq, 9);
        let after = store.authorship(&doc("plan"), Part::Body).unwrap();
        assert_eq!(after.author(7, 15), Some(&author("ada")));
        assert_eq!(after.author(7, 89), Some(&author("bob")));
        assert!(before.spans().eq(after.spans()), "who wrote what survives");
        let margin = store.authorship(&doc("plan"), Part::Margin).unwrap();
        assert_eq!(margin.author(1 << 40, 15), Some(&author("ada")));
        write(store, &[append("plan", 9)]).unwrap();
        assert!(
            write(store, &[append("plan", 4)]).is_err(),
            "a covered number is taken"
        );
        write(
            store,
            &[Write::Compact {
                doc: doc("plan"),
                snapshot: snapshot(9),
            }],
        )
        .unwrap();
        let stored = load(store, "plan").stored;
        assert_eq!((stored.tail.len(), stored.next_seq), (0, 10));
    });
}

#[test]
fn the_list_is_sorted_and_has_titles() {
    on_each(|store| {
        let create = |id: &str, at| Write::Create {
            doc: doc(id),
            title: id.to_uppercase(),
            at: Timestamp(at),
        };
        write(store, &[create("a", 10), create("b", 2000), create("a", 3000)]).unwrap();
        let titles = |store: &mut dyn Backend| {
            store
                .documents()
                .unwrap()
                .into_iter()
                .map(|row| row.title)
                .collect::<Vec<_>>()
        };
        assert_eq!(titles(store), ["B", "A"], "making it again changes nothing");
        let named = |seq, title: Option<&str>| Write::Append {
            doc: doc("a"),
            record: Record {
                at: Timestamp(5000 + seq),
                ..record(seq)
            },
            title: title.map(str::to_owned),
            epoch: None,
        };
        write(store, &[named(1, Some("New")), named(2, None)]).unwrap();
        assert_eq!(titles(store), ["New", "B"]);
        let row = store.document(&doc("a")).unwrap().unwrap();
        assert_eq!((row.created_at, row.updated_at), (Timestamp(10), Timestamp(5002)));
        assert!(!row.epoch.is_empty());
    });
}

#[test]
fn a_deleted_document_stays_deleted() {
    on_each(|store| {
        let link = LinkRow {
            doc: doc("plan"),
            url: "http://x".into(),
            epoch: None,
            replaced: false,
        };
        write(
            store,
            &[
                append("plan", 1),
                Write::PutLink {
                    link,
                    at: Timestamp(1),
                },
                append("other", 1),
            ],
        )
        .unwrap();
        write(
            store,
            &[Write::Delete {
                doc: doc("plan"),
                at: Timestamp(9),
            }],
        )
        .unwrap();
        assert_eq!(store.documents().unwrap().len(), 1);
        assert!(store.document(&doc("plan")).unwrap().unwrap().deleted);
        assert!(load(store, "plan").stored.tail.is_empty());
        assert!(store.links().unwrap().is_empty());
        assert_eq!(
            store
                .authorship(&doc("plan"), Part::Body)
                .unwrap()
                .spans()
                .count(),
            0
        );
        let revived = write(store, &[append("plan", 2)]);
        assert!(matches!(revived, Err(StoreError::Deleted(_))), "{revived:?}");
    });
}

#[test]
fn links_are_kept_one_for_each_document() {
    on_each(|store| {
        let put = |url: &str| Write::PutLink {
            link: LinkRow {
                doc: doc("plan"),
                url: url.into(),
                epoch: Some(format!("epoch of {url}")),
                replaced: false,
            },
            at: Timestamp(1),
        };
        write(store, &[put("http://one"), put("http://two")]).unwrap();
        assert_eq!(
            store.links().unwrap(),
            [LinkRow {
                doc: doc("plan"),
                url: "http://two".into(),
                epoch: Some("epoch of http://two".into()),
                replaced: false,
            }]
        );
        assert_eq!(store.documents().unwrap().len(), 1);
        write(store, &[Write::RemoveLink { doc: doc("plan") }]).unwrap();
        assert!(store.links().unwrap().is_empty());
    });
}

#[test]
fn a_full_store_says_so_keeps_what_it_has_and_goes_on_when_there_is_space() {
    on_each(|store| {
        write(store, &[append("plan", 1)]).unwrap();
        store.set_quota(Some(1)).unwrap();
        let large = Record {
            body: Some(vec![7; 1 << 20]),
            ..record(2)
        };
        let large = Write::Append {
            doc: doc("plan"),
            record: large,
            title: Some("Large".into()),
            epoch: None,
        };
        for _ in 0..3 {
            let full = write(store, std::slice::from_ref(&large));
            assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
            assert_eq!(load(store, "plan").stored.tail, [record(1)]);
        }
        store.set_quota(None).unwrap();
        write(store, &[large, append("plan", 3)]).unwrap();
        assert_eq!(load(store, "plan").stored.tail.len(), 3);
    });
}

#[tokio::test]
async fn one_bad_write_does_not_fail_its_neighbours_in_the_queue() {
    let store = Store::spawn(MemoryStore::default(), 64).unwrap();
    let mut answers = Vec::new();
    for write in [append("a", 1), append("b", 7), append("c", 1), append("a", 2)] {
        answers.push(store.queue(write).await.unwrap());
    }
    let mut ok = Vec::new();
    for answer in answers {
        ok.push(answer.done().await.is_ok());
    }
    assert_eq!(ok, [true, false, true, true]);
    store.close().await;
    assert!(matches!(store.documents().await, Err(StoreError::Closed)));
}

/// Room for the small and none for the large: the large one alone is refused, whoever it waits with.
#[tokio::test]
async fn a_write_that_does_not_fit_does_not_fail_its_neighbours() {
    let mut backend = MemoryStore::default();
    backend.set_quota(Some(10_000)).unwrap();
    let store = Store::spawn(backend, 64).unwrap();
    let large = Write::Append {
        doc: doc("large"),
        record: Record {
            body: Some(vec![7; 1 << 20]),
            ..record(1)
        },
        title: None,
        epoch: None,
    };
    let mut answers = Vec::new();
    for write in [append("a", 1), large, append("b", 1), append("a", 2)] {
        answers.push(store.queue(write).await.unwrap());
    }
    let mut ok = Vec::new();
    for answer in answers {
        ok.push(answer.done().await.is_ok());
    }
    assert_eq!(ok, [true, false, true, true]);
}

#[test]
fn a_document_has_the_epoch_that_its_first_record_names() {
    on_each(|store| {
        let first = |id: &str, epoch: Option<&str>| Write::Append {
            doc: doc(id),
            record: record(1),
            title: None,
            epoch: epoch.map(Into::into),
        };
        write(store, &[first("plan", Some("E1")), first("other", None)]).unwrap();
        let later = Write::Append {
            doc: doc("plan"),
            record: record(2),
            title: None,
            epoch: Some("E2".into()),
        };
        write(store, &[later]).unwrap();
        assert_eq!(store.document(&doc("plan")).unwrap().unwrap().epoch, "E1");
        assert!(!store.document(&doc("other")).unwrap().unwrap().epoch.is_empty());
    });
}
