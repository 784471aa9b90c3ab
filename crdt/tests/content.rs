//! The text of a document in and out of Yjs: against a document made by y-prosemirror, and against a model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crdt::content::{ContentError, fill, insert, insert_inline, read, read_text, replace};
use crdt::node::sort_marks;
use crdt::{Mark, Node, doc};
use proptest::prelude::*;
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update, XmlElementPrelim, XmlFragment, XmlOut, XmlTextRef};

const GOLDEN_JSON: &str = include_str!("golden/document.json");
const GOLDEN_UPDATE: &[u8] = include_bytes!("golden/document.update.bin");
const GOLDEN_RUST_UPDATE: &[u8] = include_bytes!("golden/document.rust.update.bin");

fn golden() -> Vec<Node> {
    let mut root: Node = serde_json::from_str(GOLDEN_JSON).unwrap();
    sort(&mut root.content);
    root.content
}

/// The generator sorts marks by name, Rust as Tiptap does.
fn sort(nodes: &mut [Node]) {
    for node in nodes {
        sort_marks(&mut node.marks);
        sort(&mut node.content);
    }
}

fn from_update(update: &[u8]) -> Doc {
    let doc = doc::open(99);
    doc.transact_mut()
        .apply_update(Update::decode_v1(update).unwrap())
        .unwrap();
    doc
}

fn body(doc: &Doc) -> Vec<Node> {
    let root = doc::fragment(doc);
    read(&root, &doc.transact())
}

#[test]
fn what_y_prosemirror_wrote_is_read_exactly() {
    assert_eq!(body(&from_update(GOLDEN_UPDATE)), golden());
}

/// `document.rust.update.bin` is what `tests/interop/document.test.mjs` reads with y-prosemirror, so it must be what
/// this version writes: `cargo run -p crdt --example write_document > crdt/tests/golden/document.rust.update.bin`.
#[test]
fn the_update_that_y_prosemirror_is_given_to_read_is_todays() {
    let doc = doc::open(2);
    fill(&doc, &golden()).unwrap();
    let written = doc.transact().encode_state_as_update_v1(&StateVector::default());
    assert_eq!(
        Update::decode_v1(&written).unwrap(),
        Update::decode_v1(GOLDEN_RUST_UPDATE).unwrap()
    );
    assert_eq!(body(&from_update(&written)), golden());
}

#[test]
fn a_long_document_is_filled_and_replaced() {
    let blocks: Vec<_> = (0..1_000)
        .map(|number| Node::paragraph(&format!("Paragraph {number}")))
        .collect();
    let doc = doc::open(2);
    fill(&doc, &blocks).unwrap();
    assert_eq!(body(&doc), blocks);
    assert_eq!(fill(&doc, &blocks), Err(ContentError::NotEmpty));
    assert_eq!(body(&doc).len(), 1_000);
    replace(&doc, &golden()).unwrap();
    assert_eq!(body(&doc), golden());
}

#[test]
fn an_open_transaction_is_an_error_and_no_deadlock() {
    let doc = doc::open(2);
    let _txn = doc.transact_mut();
    assert_eq!(fill(&doc, &golden()), Err(ContentError::Busy));
}

#[test]
fn blocks_go_where_they_are_put() {
    let doc = doc::open(2);
    let root = doc::fragment(&doc);
    fill(&doc, &[Node::paragraph("a"), Node::paragraph("d")]).unwrap();
    insert(
        &root,
        &mut doc.transact_mut(),
        1,
        &[Node::paragraph("b"), Node::paragraph("c")],
    );
    insert(&root, &mut doc.transact_mut(), 99, &[Node::paragraph("e")]);
    let texts: Vec<_> = body(&doc)
        .iter()
        .map(|node| node.content[0].text.clone().unwrap())
        .collect();
    assert_eq!(texts, ["a", "b", "c", "d", "e"]);
}

#[test]
fn an_offset_that_is_no_place_changes_nothing() {
    let (doc, text) = one_text(&[Node::text("a👍b", vec![])]);
    let before = doc.transact().state_vector();
    for offset in [2, 5, u32::MAX] {
        let error = insert_inline(&text, &mut doc.transact_mut(), offset, &[Node::text("x", vec![])]);
        assert_eq!(error, Err(ContentError::NoSuchPlace { offset, len: 4 }));
    }
    assert_eq!(doc.transact().state_vector(), before);
    insert_inline(&text, &mut doc.transact_mut(), 3, &[Node::text("x", vec![])]).unwrap();
    assert_eq!(words(&doc, &text), "a👍xb");
}

/// Formatting that two replicas add at once must not be lost to an insertion between its ends.
#[test]
fn inserting_keeps_apart_from_the_marks_around_it_on_every_replica() {
    let bold = || vec![Mark::new("bold")];
    let (doc, text) = one_text(&[Node::text("bold", bold())]);
    insert_inline(
        &text,
        &mut doc.transact_mut(),
        2,
        &[
            Node::text("-", vec![]),
            Node::text("i", vec![Mark::new("italic")]),
        ],
    )
    .unwrap();
    insert_inline(&text, &mut doc.transact_mut(), 6, &[Node::text("!", vec![])]).unwrap();
    let expected = [
        Node::text("bo", bold()),
        Node::text("-", vec![]),
        Node::text("i", vec![Mark::new("italic")]),
        Node::text("ld", bold()),
        Node::text("!", vec![]),
    ];
    assert_eq!(body(&doc)[0].content, expected);
    let copy = from_update(&doc.transact().encode_state_as_update_v1(&StateVector::default()));
    assert_eq!(body(&copy)[0].content, expected);
}

#[test]
fn a_document_nested_beyond_all_reason_is_read_within_bounds() {
    let doc = doc::open(2);
    let root = doc::fragment(&doc);
    {
        let mut txn = doc.transact_mut();
        let quote = || XmlElementPrelim::empty("blockquote");
        let mut inner = root.insert(&mut txn, 0, quote());
        for _ in 0..20_000 {
            inner = inner.insert(&mut txn, 0, quote());
        }
    }
    let mut depth = 0;
    let nodes = body(&doc);
    let mut at = &nodes;
    while let Some(node) = at.first() {
        depth += 1;
        at = &node.content;
    }
    assert_eq!(depth, 201);
    assert!(!crdt::markdown::write(&nodes).is_empty());
}

/// A document of one paragraph of one text.
fn one_text(runs: &[Node]) -> (Doc, XmlTextRef) {
    let doc = doc::open(2);
    fill(&doc, &[Node::element("paragraph", runs.to_vec())]).unwrap();
    let root = doc::fragment(&doc);
    let text = {
        let txn = doc.transact();
        let paragraph = root.get(&txn, 0).and_then(XmlOut::into_xml_element).unwrap();
        paragraph.get(&txn, 0).and_then(XmlOut::into_xml_text).unwrap()
    };
    (doc, text)
}

/// The text without its marks, which `get_string` would show as tags.
fn words(doc: &Doc, text: &XmlTextRef) -> String {
    read_text(text, &doc.transact())
        .into_iter()
        .filter_map(|run| run.text)
        .collect()
}

fn arbitrary_run() -> impl Strategy<Value = Node> {
    let link = prop_oneof![
        Just(None),
        Just(Some(Mark::link("https://a/", None))),
        Just(Some(Mark::link("https://b/", Some("t"))))
    ];
    ("[a-c 👍é]{1,4}", any::<[bool; 2]>(), link).prop_map(|(text, [bold, italic], link)| {
        let marks = [
            bold.then(|| Mark::new("bold")),
            italic.then(|| Mark::new("italic")),
            link,
        ];
        Node::text(text, marks.into_iter().flatten().collect())
    })
}

fn arbitrary_inline() -> impl Strategy<Value = Vec<Node>> {
    let node = prop_oneof![4 => arbitrary_run(), 1 => Just(Node::element("hardBreak", vec![]))];
    prop::collection::vec(node, 0..6)
}

/// Character by character, which is what an insertion is about.
fn flat(nodes: &[Node]) -> Vec<(char, Vec<Mark>)> {
    let chars = |node: &Node| {
        let text = node.text.clone().unwrap_or_else(|| "\n".to_owned());
        text.chars()
            .map(|char| (char, node.marks.clone()))
            .collect::<Vec<_>>()
    };
    nodes.iter().flat_map(chars).collect()
}

proptest! {
    #[test]
    fn inline_content_goes_in_as_it_is_and_leaves_its_neighbours_as_they_are(
        runs in prop::collection::vec(arbitrary_run(), 1..5),
        insertions in prop::collection::vec((any::<prop::sample::Index>(), arbitrary_inline()), 1..4),
    ) {
        let (doc, text) = one_text(&runs);
        let mut expected = flat(&runs);
        for (place, nodes) in &insertions {
            // The first text of the paragraph ends at the first break.
            let chars: Vec<_> = words(&doc, &text).chars().collect();
            let at = place.index(chars.len() + 1);
            let offset: usize = chars[..at].iter().map(|char| char.len_utf16()).sum();
            insert_inline(&text, &mut doc.transact_mut(), u32::try_from(offset).unwrap(), nodes).unwrap();
            let breaks_before = at == 0 && nodes.iter().any(|node| !node.is_text());
            expected.splice(at..at, flat(nodes));
            prop_assert_eq!(flat(&body(&doc)[0].content), expected.clone());
            if breaks_before {
                break; // the text no longer begins the paragraph
            }
        }
        let txn = doc.transact();
        let copy = from_update(&txn.encode_state_as_update_v1(&StateVector::default()));
        prop_assert_eq!(flat(&body(&copy)[0].content), expected);
    }
}
