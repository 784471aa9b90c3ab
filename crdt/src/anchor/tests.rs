//! Anchors, held against what the editing surface makes of the same documents, and on small documents of our own.

use base64::Engine;
use serde::Deserialize;
use yrs::updates::decoder::Decode;
use yrs::{Doc, Text, Transact, Update, XmlFragment};

use super::*;
use crate::content::fill;
use crate::{doc, markdown};

#[derive(Deserialize)]
struct Golden {
    name: String,
    update: String,
    anchor: Anchor,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    state: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    moved: Option<bool>,
}

#[test]
fn anchors_are_found_where_the_editing_surface_finds_them() {
    let golden: Vec<Golden> =
        serde_json::from_str(include_str!("../../../ui/editor/test/anchors.golden.json")).unwrap();
    assert!(golden.len() >= 30);
    for case in golden {
        let body = doc::open(1);
        let update = base64::engine::general_purpose::STANDARD
            .decode(&case.update)
            .unwrap();
        body.transact_mut()
            .apply_update(Update::decode_v1(&update).unwrap())
            .unwrap();
        let txn = body.transact();
        let (state, text, moved) = match case.anchor.resolve(&txn) {
            Resolved::Found(found) if found.stale => ("stale", Some(found.text), Some(found.moved)),
            Resolved::Found(found) => ("found", Some(found.text), Some(found.moved)),
            Resolved::Ambiguous | Resolved::Detached => ("detached", None, None),
        };
        assert_eq!(state, case.expected.state, "{}", case.name);
        if let (Some(expected), Some(text)) = (case.expected.text, text) {
            assert_eq!(text, expected, "{}", case.name);
        }
        if let (Some(expected), Some(moved)) = (case.expected.moved, moved) {
            assert_eq!(moved, expected, "{}", case.name);
        }
    }
}

fn body(text: &str) -> Doc {
    let body = doc::open(1);
    fill(&body, &markdown::parse(text)).unwrap();
    body
}

fn range(anchor: &Anchor, body: &Doc) -> Option<(Range<usize>, bool, bool)> {
    match anchor.resolve(&body.transact()) {
        Resolved::Found(found) => Some((found.range, found.stale, found.moved)),
        Resolved::Ambiguous | Resolved::Detached => None,
    }
}

fn edit(body: &Doc, offset: usize, delete: u32, insert: &str) {
    let (text, index) = Outline::read(&body.transact()).text_at(offset).unwrap();
    let mut txn = body.transact_mut();
    text.remove_range(&mut txn, index, delete);
    text.insert(&mut txn, index, insert);
}

const PAGE: &str =
    "# One 𝄞\n\nTwo **bold** words\\\nbroken\n\n- three\n- four\n\n---\n\n> five\n\n```\nsix\n```\n";

#[test]
fn every_range_of_a_page_is_found_again() {
    let body = body(PAGE);
    let txn = body.transact();
    let outline = Outline::read(&txn);
    assert_eq!(
        outline.text(),
        "One 𝄞\nTwo bold words\nbroken\nthree\nfour\nfive\nsix"
    );
    for start in 0..=outline.len() {
        for end in start..=outline.len() {
            let anchor = Anchor::for_range(&txn, start..end);
            let json = serde_json::to_string(&anchor).unwrap();
            assert_eq!(serde_json::from_str::<Anchor>(&json).unwrap(), anchor);
            let Resolved::Found(found) = anchor.resolve_in(&outline, &txn) else {
                panic!("{start}..{end}: {anchor:?}");
            };
            let whole = outline.whole_characters(start, false)..outline.whole_characters(end, true);
            assert!(!found.stale && !found.moved, "{start}..{end}");
            assert_eq!(found.text, outline.slice(whole.clone()));
            assert!(
                found.range == whole || start == end,
                "{start}..{end} is {:?}",
                found.range
            );
        }
    }
}

#[test]
fn typing_at_the_edges_stays_outside_and_inside_is_a_change() {
    let body = body("One two three");
    let anchor = Anchor::for_words(&body.transact(), "two").unwrap();
    edit(&body, 4, 0, "<");
    edit(&body, 8, 0, ">");
    assert_eq!(range(&anchor, &body), Some((5..8, false, false)));
    edit(&body, 6, 0, "!");
    assert_eq!(range(&anchor, &body), Some((5..9, true, false)));
    edit(&body, 5, 4, "");
    assert_eq!(range(&anchor, &body), None);
    edit(&body, 0, 3, "two");
    assert_eq!(range(&anchor, &body), Some((0..3, false, true)));
}

#[test]
fn words_that_occur_alike_do_not_place_an_anchor() {
    let twice = body("aa bb aa bb aa");
    let mut anchor = Anchor::for_range(&twice.transact(), 6..8);
    anchor.start = RelativePosition::default();
    assert_eq!(range(&anchor, &twice), Some((6..8, false, true)));
    (anchor.prefix, anchor.suffix) = (String::new(), String::new());
    assert_eq!(anchor.resolve(&twice.transact()), Resolved::Ambiguous);
    // However many there are.
    let many = body(&"a".repeat(100_000));
    anchor.quote = "a".repeat(50_000);
    assert_eq!(anchor.resolve(&many.transact()), Resolved::Ambiguous);
}

#[test]
fn occurrences_are_those_of_a_plain_search() {
    let letters = |mut number: usize, len: usize| -> Vec<u16> {
        (0..len)
            .map(|_| {
                let letter = number % 2;
                number /= 2;
                if letter == 0 { 97 } else { 98 }
            })
            .collect()
    };
    for text in 0..1 << 9 {
        for len in 1..=4 {
            for words in 0..1 << len {
                let (text, words) = (letters(text, 9), letters(words, len));
                let plain: Vec<usize> = text
                    .windows(len)
                    .enumerate()
                    .filter(|(_, part)| *part == words)
                    .map(|(at, _)| at)
                    .collect();
                assert_eq!(
                    occurrences(&text, &words).collect::<Vec<_>>(),
                    plain,
                    "{words:?} in {text:?}"
                );
            }
        }
    }
}

#[test]
fn the_context_is_what_stands_around() {
    let body = body(
        "# Top\n\nintro\n\n## Skipped\n\nx\n\n## Part\n\nalpha **beta** gamma delta\n\n- one\n- two\n\nlast words here\n",
    );
    doc::set_title(&doc::meta(&body), &mut body.transact_mut(), "Plan");
    let txn = body.transact();
    let anchor = Anchor::for_words(&txn, "beta gamma").unwrap();
    let context = |before, after| anchor.context(&txn, ContextLimits { before, after }).unwrap();

    let wide = context(1_000, 1_000);
    assert_eq!(wide.title.as_deref(), Some("Plan"));
    let headings: Vec<_> = wide
        .headings
        .iter()
        .map(|heading| (heading.level, heading.text.as_str()))
        .collect();
    assert_eq!(headings, [(1, "Top"), (2, "Part")]);
    assert_eq!(wide.before, "Top\nintro\nSkipped\nx\nPart\nalpha ");
    assert_eq!(wide.after, " delta\none\ntwo\nlast words here");
    assert_eq!(markdown::write(&wide.selection).trim_end(), "**beta** gamma");
    assert_eq!(wide.selected_text, "beta gamma");
    assert!(!wide.stale);

    let narrow = context(12, 12);
    assert_eq!(narrow.before, "Part\nalpha ");
    assert_eq!(narrow.after, " delta\none");
    assert_eq!(context(3, 3).before, "");
    assert_eq!(context(3, 3).after, "");

    let list = Anchor::for_words(&txn, "delta\none\ntw").unwrap();
    let list = list.context(&txn, ContextLimits { before: 8, after: 9 }).unwrap();
    assert_eq!(
        markdown::write(&list.selection).trim_end(),
        "delta\n\n- one\n- tw"
    );
    assert_eq!(list.before, "gamma ");
    assert_eq!(list.after, "o");
    let caret = Anchor::for_caret(&txn, 0)
        .context(&txn, ContextLimits { before: 9, after: 9 })
        .unwrap();
    assert_eq!((caret.before.as_str(), caret.after.as_str()), ("", "Top\nintro"));
    assert_eq!(caret.selection, []);
}

#[test]
fn a_tree_nobody_wrote_is_read_without_harm() {
    let body = doc::open(1);
    let root = doc::fragment(&body);
    {
        let mut txn = body.transact_mut();
        let mut parent = root.insert(&mut txn, 0, yrs::XmlElementPrelim::empty("blockquote"));
        for _ in 0..300 {
            parent = parent.insert(&mut txn, 0, yrs::XmlElementPrelim::empty("blockquote"));
        }
        root.insert(&mut txn, 0, yrs::XmlTextPrelim::new("loose"));
        let strange = root.insert(&mut txn, 0, yrs::XmlElementPrelim::empty("strange"));
        strange.insert(&mut txn, 0, yrs::XmlTextPrelim::new("known by its text"));
    }
    let txn = body.transact();
    let outline = Outline::read(&txn);
    assert_eq!(outline.text(), "known by its text");
    for index in 0..=root.len(&txn) {
        let position = RelativePosition::at(&txn, &root, index, false);
        let place = position.resolve(&txn).unwrap();
        assert!(outline.offset_of(&txn, &place, false).unwrap() <= outline.len());
    }
}
