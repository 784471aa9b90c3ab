//! Between any two versions: what differs is said completely, and a restore leaves alone what is equal.

use proptest::prelude::*;
use yrs::{Doc, ReadTxn, Transact};

use super::{
    BlockChange, Kind, Pace, Packed, Rhythm, TextChange, Version, blocks, open, restore, state, text, thin,
};
use crate::content::{self, block_texts};
use crate::decision::tree::{Parent, item_of};
use crate::ids::{Identity, PeerKind, Timestamp};
use crate::{Node, doc, markdown};

fn filled(client: u64, nodes: &[Node]) -> Doc {
    let body = doc::open(client);
    content::fill(&body, nodes).unwrap();
    body
}

fn nodes(body: &Doc) -> Vec<Node> {
    let root = doc::fragment(body);
    content::read(&root, &body.transact())
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["one", "two", "three", "größer", "𝔵", "end.", "a  b", ""]);
    prop::collection::vec(word, 0..6).prop_map(|words| words.join(" "))
}

fn block() -> impl Strategy<Value = Node> {
    let marked = words().prop_map(|text| {
        let mut node = Node::paragraph(&text);
        if let Some(run) = node.content.first_mut().filter(|_| text.len() > 6) {
            run.marks = vec![crate::Mark::new("bold")];
        }
        node
    });
    let heading = (words(), 1..4_i64).prop_map(|(text, level)| Node {
        kind: "heading".into(),
        ..Node::paragraph(&text).with_attr("level", level as f64)
    });
    let broken = (words(), words()).prop_map(|(one, two)| {
        let mut node = Node::paragraph(&one);
        node.content.push(Node::element("hardBreak", vec![]));
        node.content.extend(Node::paragraph(&two).content);
        node
    });
    let list = prop::collection::vec(words(), 1..4).prop_map(|items| {
        let item = |text: &String| Node::element("listItem", vec![Node::paragraph(text)]);
        Node::element("bulletList", items.iter().map(item).collect())
    });
    prop_oneof![
        5 => words().prop_map(|text| Node::paragraph(&text)),
        1 => marked,
        1 => heading,
        1 => broken,
        2 => list,
        1 => Just(Node::element("horizontalRule", vec![])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restore_makes_the_text_that_of_the_version(
        now in prop::collection::vec(block(), 0..9),
        then in prop::collection::vec(block(), 0..9),
    ) {
        let (body, version) = (filled(1, &now), filled(2, &then));
        let copy = open(&state(&body), 3).unwrap();
        restore(&copy, &version).unwrap();
        prop_assert_eq!(nodes(&copy), nodes(&version));
        let again = state(&copy);
        restore(&copy, &version).unwrap();
        prop_assert_eq!(state(&copy).len(), again.len(), "there is nothing to do the second time");
    }

    #[test]
    fn a_difference_holds_both_texts_whole(
        before in prop::collection::vec(block(), 0..9),
        after in prop::collection::vec(block(), 0..9),
    ) {
        let side = |skip: TextChange| -> String {
            let runs = text(&before, &after);
            runs.iter().filter(|run| run.change != skip).map(|run| run.text.as_str()).collect()
        };
        let whole = |nodes: &[Node]| block_texts(nodes).iter().map(|line| format!("{line}\n")).collect::<String>();
        prop_assert_eq!(side(TextChange::Insert), whole(&before));
        prop_assert_eq!(side(TextChange::Delete), whole(&after));
        prop_assert_eq!(blocks(&before, &after).is_empty(), before == after);
        prop_assert!(blocks(&after, &after).is_empty());
    }
}

#[test]
fn blocks_that_are_equal_are_not_touched_and_changed_ones_only_in_their_words() {
    let then = markdown::parse("# Title\n\nfirst paragraph here\n\nsecond one\n\n- a\n- b\n\nlast\n");
    let now = markdown::parse(
        "# Title\n\nfirst long paragraph here\n\nsecond one\n\n- a\n- b\n- c\n\nnew\n\nlast\n",
    );
    let body = filled(1, &now);
    let ids = |body: &Doc| {
        let root = doc::fragment(body);
        let txn = body.transact();
        let elements = Parent::Root(root).elements(&txn);
        elements.iter().filter_map(item_of).collect::<Vec<_>>()
    };
    let before = ids(&body);
    let restored = restore(&body, &filled(2, &then)).unwrap();
    assert_eq!(nodes(&body), then);
    let after = ids(&body);
    assert_eq!(after.len(), 5);
    assert!(
        after.iter().all(|id| before.contains(id)),
        "no block was written anew"
    );
    assert!(restored.is_empty(), "only words were taken out");
}

#[test]
fn blocks_are_added_removed_changed_and_moved() {
    let before = markdown::parse(
        "# Plan\n\nmove me to the end please\n\none two three four\n\ngo away now\n\nstays\n",
    );
    let after = markdown::parse(
        "# Plan\n\none two five four\n\nstays\n\nmove me to the end please\n\nentirely different words\n",
    );
    let kinds: Vec<_> = blocks(&before, &after)
        .into_iter()
        .map(|change| match change {
            BlockChange::Added { to, .. } => ("added", to),
            BlockChange::Removed { from, .. } => ("removed", from),
            BlockChange::Changed { to, text, .. } => {
                assert!(
                    text.iter()
                        .any(|run| run.change == TextChange::Delete && run.text == "three"),
                    "{text:?}"
                );
                ("changed", to)
            }
            BlockChange::Moved { to, .. } => ("moved", to),
        })
        .collect();
    assert_eq!(
        kinds,
        [("changed", 1), ("moved", 2), ("removed", 3), ("added", 4)]
    );
}

#[test]
fn a_packed_update_is_the_same_update() {
    let body = filled(
        7,
        &markdown::parse(&"Some *words* of a text that is typed.\n\n".repeat(200)),
    );
    for _ in 0..50 {
        let root = doc::fragment(&body);
        content::insert(&root, &mut body.transact_mut(), 3, &[Node::paragraph("more")]);
        yrs::XmlFragment::remove_range(&root, &mut body.transact_mut(), 5, 1);
    }
    let update = state(&body);
    for packed in [
        Packed::v2(update.clone()),
        Packed::halved(update.clone()),
        Packed::v1(update.clone()),
    ] {
        let again = open(&packed.into_v1().unwrap(), 9).unwrap();
        assert_eq!(nodes(&again), nodes(&body));
        assert_eq!(again.transact().snapshot(), body.transact().snapshot());
    }
    let small = Packed::v2(update.clone());
    assert!(small.v2 && small.bytes.len() < update.len());
    let nonsense = Packed {
        bytes: vec![9; 30],
        v2: true,
    };
    assert!(nonsense.into_v1().is_err());
    let mut no_text = Packed::v2(state(&filled(
        1,
        &crate::markdown::parse("many letters in a row"),
    )));
    assert!(no_text.v2);
    let at = no_text.bytes.windows(4).position(|four| four == b"many");
    no_text.bytes[at.unwrap()] = 0xff;
    assert!(no_text.into_v1().is_err(), "yrs would read letters that are none");
    assert!(open(&[1, 2, 3], 1).is_err());
    assert!(!Packed::v2(vec![255; 9]).v2, "what is no update is kept as it is");
}

#[test]
fn a_version_is_due_by_time_and_by_amount_but_not_too_often() {
    let rhythm = Rhythm {
        every: 1000,
        amount: 100,
        at_least: 50,
    };
    let mut pace = Pace::after(None);
    assert!(!pace.is_due(Timestamp(99_999), &rhythm), "nothing was written");
    pace.wrote(Timestamp(10), 5);
    assert!(!pace.is_due(Timestamp(1009), &rhythm) && pace.is_due(Timestamp(1010), &rhythm));
    assert!(
        pace.is_due_at_the_end(Timestamp(11), &rhythm),
        "everybody has left"
    );
    pace.kept(Timestamp(1010));
    assert!(!pace.is_behind());
    assert!(
        !pace.is_due_at_the_end(Timestamp(99_999), &rhythm),
        "nothing is new"
    );
    pace.wrote(Timestamp(1020), 500);
    assert!(!pace.is_due(Timestamp(1059), &rhythm), "too soon after the last");
    assert!(
        !pace.is_due_at_the_end(Timestamp(1059), &rhythm),
        "and at the end too"
    );
    assert!(pace.is_due(Timestamp(1060), &rhythm));
}

#[test]
fn versions_get_sparser_with_age_and_those_with_a_name_stay() {
    const HOUR: u64 = 3_600_000;
    let version = |number, at, kind| Version {
        number,
        at: Timestamp(at),
        by: Identity {
            id: "a".into(),
            name: "A".into(),
            kind: PeerKind::Human,
            model: None,
        },
        kind,
        name: None,
        why: None,
        seq: number,
    };
    // One every ten minutes for 400 days, each thousandth with a name.
    let mut all = Vec::new();
    let mut now = 0;
    for number in 1..=57_600_u64 {
        now = number * HOUR / 6;
        let kind = if number % 1000 == 0 {
            Kind::Named
        } else {
            Kind::Automatic
        };
        all.push(version(number, now, kind));
    }
    let dropped: std::collections::BTreeSet<u64> = thin(&all, Timestamp(now)).into_iter().collect();
    let left: Vec<&Version> = all
        .iter()
        .filter(|version| !dropped.contains(&version.number))
        .collect();
    assert!((500..700).contains(&left.len()), "{}", left.len());
    assert_eq!(left.last().unwrap().number, 57_600);
    assert_eq!(
        left.iter().filter(|version| version.kind == Kind::Named).count(),
        57
    );
    let day = left
        .iter()
        .filter(|version| now - version.at.0 < 24 * HOUR)
        .count();
    assert_eq!(day, 144, "all of the last day");
    // Thinned step by step as time goes on, it comes to about the same.
    let left: Vec<Version> = left.into_iter().cloned().collect();
    assert!(thin(&left, Timestamp(now)).len() <= 3);
}
