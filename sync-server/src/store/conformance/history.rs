//! Versions, and whose content is that was written again: on each store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt::authorship::{Credit, Credits};
use crdt::history::{Kind, Packed};
use crdt::ids::{IdRange, Part, Timestamp};
use crdt::room::Record;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{append, author, doc, load, on_each, record, snapshot, write};
use crate::store::{NewVersion, StoreError, Write};

fn version(at: u64, kind: Kind, name: Option<&str>) -> NewVersion {
    NewVersion {
        at: Timestamp(at),
        by: author("ada"),
        kind,
        name: name.map(str::to_owned),
        why: name.map(|name| format!("because of {name}")),
        seq: 2,
        body: Packed::v1(format!("body at {at}").into_bytes()),
    }
}

#[test]
fn versions_are_kept_through_compaction_and_numbered_for_ever() {
    on_each(|store| {
        write(store, &[append("plan", 1), append("plan", 2)]).unwrap();
        assert!(store.versions(&doc("plan")).unwrap().is_empty());
        let first = version(1000, Kind::Automatic, None);
        let second = version(2000, Kind::Named, Some("final"));
        assert_eq!(store.keep_version(&doc("plan"), &first).unwrap().number, 1);
        let kept = store.keep_version(&doc("plan"), &second).unwrap();
        assert_eq!((kept.number, kept.name.as_deref()), (2, Some("final")));
        let compact = Write::Compact {
            doc: doc("plan"),
            snapshot: snapshot(2),
        };
        write(store, &[compact]).unwrap();
        let list = store.versions(&doc("plan")).unwrap();
        assert_eq!(
            list.iter().map(|version| version.number).collect::<Vec<_>>(),
            [2, 1]
        );
        assert_eq!(list[0], kept);
        let body = store.version(&doc("plan"), 1).unwrap().unwrap();
        assert_eq!((body.body, body.version), (first.body.clone(), list[1].clone()));
        assert!(store.version(&doc("plan"), 3).unwrap().is_none());
        assert!(store.version(&doc("other"), 1).unwrap().is_none());
        assert_eq!(load(store, "plan").last_version, Some((2, Timestamp(2000))));

        let gone = Write::Delete {
            doc: doc("plan"),
            at: Timestamp(9),
        };
        write(store, &[gone]).unwrap();
        assert!(store.versions(&doc("plan")).unwrap().is_empty());
        assert!(matches!(
            store.keep_version(&doc("plan"), &first),
            Err(StoreError::Deleted(_))
        ));
    });
}

#[test]
fn old_automatic_versions_get_sparser_and_the_others_stay() {
    const DAY: u64 = 86_400_000;
    on_each(|store| {
        for hour in 0..48 {
            let at = hour * DAY / 48;
            store
                .keep_version(&doc("plan"), &version(at, Kind::Automatic, None))
                .unwrap();
        }
        store
            .keep_version(&doc("plan"), &version(DAY, Kind::Named, Some("x")))
            .unwrap();
        assert_eq!(store.versions(&doc("plan")).unwrap().len(), 49, "all of a day");
        store
            .keep_version(&doc("plan"), &version(200 * DAY, Kind::Automatic, None))
            .unwrap();
        let left = store.versions(&doc("plan")).unwrap();
        let numbers: Vec<u64> = left.iter().map(|version| version.number).collect();
        assert_eq!(
            numbers,
            [50, 49, 48],
            "the new one, the named one, the last of that week"
        );
    });
}

#[test]
fn whose_content_is_that_was_written_again_is_kept() {
    on_each(|store| {
        let range = |clock, len| IdRange {
            client: 1 << 40,
            clock,
            len,
        };
        let credit = |name: &str| Credit {
            author: author(name),
            accepted_from: None,
        };
        let mut credits = Credits::default();
        credits.record(range(0, 5), &credit("ada"));
        credits.record(range(5, 5), &credit("bob"));
        let note = Write::Credit {
            doc: doc("plan"),
            credits: Arc::new(credits.clone()),
            at: Timestamp(1),
        };
        write(store, &[note.clone(), append("plan", 1)]).unwrap();
        write(store, &[note]).unwrap();
        assert_eq!(store.credits(&doc("plan")).unwrap(), credits);
        assert!(store.credits(&doc("other")).unwrap().is_empty());
        let compact = Write::Compact {
            doc: doc("plan"),
            snapshot: snapshot(1),
        };
        write(store, &[compact]).unwrap();
        assert_eq!(store.credits(&doc("plan")).unwrap(), credits);
    });
}

/// Random records of several authors on several clients, compacted at random moments: every id is its author's.
#[test]
fn who_wrote_what_is_the_same_however_the_log_is_compacted() {
    const AUTHORS: [&str; 4] = ["ada", "bob", "cem", "dan"];
    for seed in 0..12_u64 {
        on_each(|store| {
            let mut random = StdRng::seed_from_u64(seed);
            let mut wrote: BTreeMap<(u64, u32), &str> = BTreeMap::new();
            let mut clocks = [0_u32; 3];
            for seq in 1..=60 {
                let name = AUTHORS[random.random_range(0..AUTHORS.len())];
                let mut ranges = Vec::new();
                for _ in 0..random.random_range(0..3) {
                    let client = random.random_range(0..clocks.len());
                    let len = random.random_range(1..9);
                    let range = IdRange {
                        client: client as u64 + (1 << 40),
                        clock: clocks[client],
                        len,
                    };
                    // Now and then an id stays unwritten, as when a hole was left out.
                    clocks[client] += len + u32::from(random.random_ratio(1, 5));
                    wrote.extend((range.clock..range.end()).map(|clock| ((range.client, clock), name)));
                    ranges.push(range);
                }
                let record = Record {
                    author: author(name),
                    ranges,
                    ..record(seq)
                };
                let append = Write::Append {
                    doc: doc("plan"),
                    record,
                    title: None,
                    epoch: None,
                };
                write(store, &[append]).unwrap();
                if random.random_ratio(1, 6) {
                    let compact = Write::Compact {
                        doc: doc("plan"),
                        snapshot: snapshot(seq),
                    };
                    write(store, &[compact]).unwrap();
                }
            }
            let known = store.authorship(&doc("plan"), Part::Body).unwrap();
            for (client, end) in clocks.iter().enumerate() {
                let client_id = client as u64 + (1 << 40);
                for clock in 0..end + 2 {
                    let found = known.author(client_id, clock).map(|author| author.id.as_str());
                    let expected = wrote.get(&(client_id, clock)).copied();
                    assert_eq!(found, expected, "seed {seed}, client {client}, clock {clock}");
                }
            }
        });
    }
}
