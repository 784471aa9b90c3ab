//! A copy that takes in what is typed later is one that took in each letter by itself.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, Map, ReadTxn, StateVector, Text, Transact, Update};

use super::*;

fn copy(part: Part) -> PartDoc {
    PartDoc::at_rest(part, 9, None, [])
}

fn apply(copy: &mut PartDoc, update: &[u8]) -> Result<News, ApplyError> {
    copy.apply(update, &UpdateFacts::scan_foreign(update).unwrap())
}

fn merge(doc: &Doc, update: &[u8]) {
    let update = Update::decode_v1(update).unwrap();
    doc.transact_mut().apply_update(update).unwrap();
}

fn whole(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

/// Makes a change and returns it as an update.
fn edit(doc: &Doc, change: impl FnOnce(&mut yrs::TransactionMut<'_>)) -> Vec<u8> {
    let before = doc.transact().state_vector();
    change(&mut doc.transact_mut());
    doc.transact().encode_diff_v1(&before)
}

/// A block of text behind `(client, clock - 1)`, by hand: `right` is what it stands to the left of.
fn behind(client: u8, clock: u8, right: Option<(u8, u8)>, text: &str) -> Vec<u8> {
    let mut update = vec![1, 1, client, clock];
    update.push(0x84 | if right.is_some() { 0x40 } else { 0 });
    update.extend([client, clock - 1]);
    update.extend(right.into_iter().flat_map(|(client, clock)| [client, clock]));
    update.push(u8::try_from(text.len()).unwrap());
    update.extend(text.as_bytes());
    update.push(0);
    update
}

/// The first block of a client, a text in the root `root`, under `key` where there is one.
fn first(client: u8, root: &str, key: Option<&str>, text: &str) -> Vec<u8> {
    let mut update = vec![1, 1, client, 0, 4 | if key.is_some() { 0x20 } else { 0 }, 1];
    for word in [Some(root), key, Some(text)].into_iter().flatten() {
        update.push(u8::try_from(word.len()).unwrap());
        update.extend(word.as_bytes());
    }
    update.push(0);
    update
}

#[test]
fn letters_wait_until_somebody_asks() {
    let mut copy = copy(Part::Margin);
    let writer = crdt_doc(5);
    let text = writer.get_or_insert_text("text");
    for (index, letter) in "Dear 🙂 friend".chars().enumerate() {
        let update = edit(&writer, |txn| text.push(txn, &letter.to_string()));
        let News::Whole { ranges } = apply(&mut copy, &update).unwrap() else {
            panic!("{letter} was not taken whole");
        };
        assert_eq!(ranges.len(), 1);
        assert_eq!(copy.behind.get().0, index, "the first one shows where they are");
    }
    assert_eq!(*copy.state(), writer.transact().state_vector());
    assert!(
        copy.behind.get().0 > 0,
        "what it has is known without the document"
    );
    assert_eq!(copy.encode(), whole(&writer));
    assert_eq!(copy.behind.get(), (0, 0));
    // It does not fall behind without end.
    for _ in 0..3 * MAX_BEHIND {
        let update = edit(&writer, |txn| text.push(txn, "x"));
        apply(&mut copy, &update).unwrap();
        assert!(copy.behind.get().0 < MAX_BEHIND);
    }
    let update = edit(&writer, |txn| {
        text.push(txn, &"long ".repeat(MAX_BEHIND_BYTES / 4));
    });
    apply(&mut copy, &update).unwrap();
    assert_eq!(copy.behind.get(), (0, 0));
    assert_eq!(copy.encode(), whole(&writer));
}

#[test]
fn only_typing_on_waits() {
    let mut copy = copy(Part::Margin);
    let reference = crdt_doc(1);
    let mut take = |update: &[u8], waits: bool| {
        let before = copy.behind.get().0;
        apply(&mut copy, update).unwrap();
        merge(&reference, update);
        assert_eq!(
            copy.behind.get().0,
            if waits { before + 1 } else { 0 },
            "{update:?}"
        );
        assert_eq!(*copy.state(), reference.transact().state_vector());
    };
    take(&first(2, "text", None, "abc"), false);
    take(&behind(2, 3, None, "d"), true);
    take(&behind(2, 4, None, "ef"), true);
    // Somebody else, who has not been seen to type.
    take(&first(3, "text", None, "X"), false);
    take(&behind(3, 1, None, "Y"), true);
    take(&behind(2, 6, None, "g"), true);
    // To the left of another neighbour than before.
    take(&behind(2, 7, Some((3, 0)), "h"), false);
    take(&behind(2, 8, Some((3, 0)), "i"), true);
    // It says something about text that was there before, which nobody looks at, and deletes.
    let mut lie = behind(2, 8, None, "i");
    lie.truncate(lie.len() - 1);
    lie.extend([1, 3, 1, 0, 1]);
    take(&lie, false);
    take(&behind(2, 9, None, "j"), false);
    assert_eq!(copy.encode(), whole(&reference));
}

#[test]
fn what_the_room_reads_for_itself_never_waits() {
    for root in [crate::doc::META_ROOT, crate::doc::DECISIONS_ROOT] {
        let mut copy = copy(Part::Body);
        apply(&mut copy, &first(2, root, Some("title"), "a")).unwrap();
        apply(&mut copy, &behind(2, 1, None, "b")).unwrap();
        assert_eq!(copy.behind.get(), (0, 0), "{root}");
    }
}

/// In a map each text takes the place of the one before: letters are no run there, whatever they look like.
#[test]
fn texts_under_a_key_replace_each_other() {
    let mut copy = copy(Part::Margin);
    let reference = crdt_doc(1);
    let map = reference.get_or_insert_map("map");
    for update in [
        first(2, "map", Some("key"), "a"),
        behind(2, 1, None, "b"),
        behind(2, 2, None, "c"),
    ] {
        apply(&mut copy, &update).unwrap();
        merge(&reference, &update);
    }
    assert_eq!(copy.encode(), whole(&reference));
    let mine = copy.doc().get_or_insert_map("map");
    assert_eq!(
        mine.get(&copy.doc().transact(), "key"),
        map.get(&reference.transact(), "key")
    );
}

#[test]
fn a_copy_that_is_behind_is_that_of_somebody_who_took_in_each_letter() {
    let mut waited = 0;
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut copy = copy(Part::Margin);
        let reference = crdt_doc(1);
        let writers: Vec<_> = (2..5).map(crdt_doc).collect();
        for _ in 0..120 {
            let writer = &writers[random.random_range(0..writers.len())];
            let text = writer.get_or_insert_text("text");
            let len = text.len(&writer.transact());
            let whole_text = text.get_string(&writer.transact());
            let mut updates = Vec::new();
            match random.random_range(0..10) {
                // A while of typing.
                0..=5 => {
                    let mut at = random.random_range(0..=len);
                    while !is_between(&whole_text, at) {
                        at -= 1;
                    }
                    for _ in 0..random.random_range(1..6) {
                        let letter = ["a", "é", "🙂", "words "][random.random_range(0..4)];
                        updates.push(edit(writer, |txn| text.insert(txn, at, letter)));
                        at += u32::try_from(letter.encode_utf16().count()).unwrap();
                    }
                }
                6 | 7 if len > 0 => {
                    let (mut from, mut to) = (random.random_range(0..len), random.random_range(0..=len));
                    (from, to) = (from.min(to), from.max(to));
                    while !is_between(&whole_text, from) {
                        from -= 1;
                    }
                    while !is_between(&whole_text, to) {
                        to += 1;
                    }
                    updates.push(edit(writer, |txn| text.remove_range(txn, from, to - from)));
                }
                _ => merge(writer, &whole(&reference)),
            }
            for update in updates {
                apply(&mut copy, &update).unwrap();
                merge(&reference, &update);
                waited = waited.max(copy.behind.get().0);
                assert_eq!(*copy.state(), reference.transact().state_vector(), "SEED={seed}");
            }
            if random.random_ratio(1, 10) {
                assert_eq!(
                    copy.doc().transact().snapshot(),
                    reference.transact().snapshot(),
                    "SEED={seed}"
                );
            }
            if random.random_ratio(1, 30) {
                copy.rest();
                copy.wake().unwrap();
            }
        }
        let mine = copy.doc().get_or_insert_text("text");
        let theirs = reference.get_or_insert_text("text");
        assert_eq!(
            mine.get_string(&copy.doc().transact()),
            theirs.get_string(&reference.transact()),
            "SEED={seed}"
        );
        assert_eq!(
            copy.doc().transact().snapshot(),
            reference.transact().snapshot(),
            "SEED={seed}"
        );
    }
    assert!(waited > 3, "nothing ever waited");
}

/// Whether an offset in UTF-16 units is between two characters.
fn is_between(text: &str, at: u32) -> bool {
    let mut units = 0;
    for char in text.chars() {
        if units >= at {
            break;
        }
        units += char.len_utf16() as u32;
    }
    units == at
}

fn crdt_doc(client: u64) -> Doc {
    crate::doc::open(client)
}
