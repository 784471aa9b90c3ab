//! Decisions on small documents, in Markdown.

use serde_json::json;
use yrs::{Map, ReadTxn, Transact, WriteTxn, XmlFragment, XmlOut};

use super::desk::Desk;
use super::*;
use crate::anchor::{Anchor, AsRefId, RelativePosition};
use crate::content::read;
use crate::doc;
use crate::margin::ProposalKind;

/// Accept gives `after`, and undo gives the beginning again.
#[track_caller]
fn check(before: &str, propose: impl FnOnce(&mut Desk) -> String, after: &str) {
    let mut desk = Desk::new(before);
    let before = desk.text();
    let tree = |desk: &Desk| {
        let txn = desk.body.transact();
        read(&txn.get_xml_fragment(doc::BODY_ROOT).unwrap(), &txn)
    };
    let tree_before = tree(&desk);
    let proposal = propose(&mut desk);
    assert_eq!(desk.text(), before, "a proposal changes nothing");
    let (preview, stale) = preview(&desk.body, &desk.margin, &proposal).unwrap();
    assert!(!stale, "{preview:?}");
    assert_eq!(desk.accept(&proposal), after);
    assert_eq!(desk.state(&proposal), ProposalState::Accepted);
    assert_eq!(
        desk.decide(&proposal, Action::Accept, true),
        Err(DecideError::Already(ProposalState::Accepted))
    );
    assert_eq!(desk.undo(&proposal), before);
    assert_eq!(tree(&desk), tree_before);
    assert_eq!(desk.state(&proposal), ProposalState::Pending);
    // And once more, now that everything has other ids.
    assert_eq!(desk.accept(&proposal), after);
    assert_eq!(desk.undo(&proposal), before);
}

#[test]
fn continuing_a_line() {
    check(
        "Once upon a time",
        |desk| desk.go_on("time", " there was"),
        "Once upon a time there was",
    );
    check(
        "Once upon a time",
        |desk| desk.go_on("time", "there was"),
        "Once upon a time there was",
    );
    check("A b", |desk| desk.go_on("A ", "**x** y"), "A **x** y b");
    check("# Title", |desk| desk.go_on("Title", "of it"), "# Title of it");
    check("A 𝄞 b", |desk| desk.go_on("𝄞", "ü"), "A 𝄞 ü b");
}

#[test]
fn continuing_with_blocks() {
    check(
        "One\n\nTwo",
        |desk| desk.go_on("One", "more.\n\nNext"),
        "One more.\n\nNext\n\nTwo",
    );
    check(
        "One\n\nTwo",
        |desk| desk.go_on("One", "- a\n- b"),
        "One\n\n- a\n- b\n\nTwo",
    );
    check(
        "# One\n\nTwo",
        |desk| desk.go_on("One", "more.\n\nNext"),
        "# One\n\nmore.\n\nNext\n\nTwo",
    );
    check(
        "- one\n- two",
        |desk| desk.go_on("one", "x\n\ny"),
        "- one x\n\n  y\n\n- two",
    );
    check("> one", |desk| desk.go_on("one", "## x"), "> one\n>\n> ## x");
    check(
        "| a | b |\n|---|---|\n| c | d |",
        |desk| desk.go_on("c", "x"),
        "| a | b |\n| --- | --- |\n| c x | d |",
    );
}

#[test]
fn continuing_in_code_is_plain() {
    check(
        "```rust\nlet a\n```",
        |desk| desk.go_on("let a", " = **1**;\n"),
        "```rust\nlet a = **1**;\n```",
    );
    check(
        "```rust\nlet a\n```",
        |desk| desk.go_on("let a", "```\n = 1;\n```"),
        "```rust\nlet a = 1;\n```",
    );
}

#[test]
fn rewriting_within_a_line() {
    check(
        "The qick brown fox.",
        |desk| desk.rewrite("qick", "quick"),
        "The quick brown fox.",
    );
    check(
        "The qick brown fox.",
        |desk| desk.rewrite("The qick brown fox.", "A quick fox!"),
        "A quick fox!",
    );
    check(
        "One two three",
        |desk| desk.rewrite(" two ", "**2**"),
        "One **2** three",
    );
    check(
        "One **two** three",
        |desk| desk.rewrite("two", "*zwei*"),
        "One *zwei* three",
    );
    check(
        "One **two** three",
        |desk| desk.rewrite("One two three", "One **two** drei"),
        "One **two** drei",
    );
    check(
        "- a\n- b\n- c",
        |desk| desk.rewrite("b", "bee"),
        "- a\n- bee\n- c",
    );
}

#[test]
fn rewriting_with_blocks() {
    check(
        "A\n\nBB\n\nC",
        |desk| desk.rewrite("BB", "x\n\ny"),
        "A\n\nx\n\ny\n\nC",
    );
    check(
        "A\n\nBB\n\nC",
        |desk| desk.rewrite("BB", "- x\n- y"),
        "A\n\n- x\n- y\n\nC",
    );
    check("A\n\nBB\n\nC", |desk| desk.rewrite("A\nBB", "x"), "x\n\nC");
    check("A\n\nBB\n\nC", |desk| desk.rewrite("A\nBB\nC", "# x"), "# x");
    check(
        "A one\n\nB\n\nthree C",
        |desk| desk.rewrite("one\nB\nthree", "x\n\ny"),
        "A x\n\ny\n\n&#32;C",
    );
    check("# H\n\nA", |desk| desk.rewrite("H", "## x"), "## x\n\nA");
    check("# H\n\nA", |desk| desk.rewrite("H\nA", "# x\n\ny"), "# x\n\ny");
}

#[test]
fn rewriting_lists() {
    check(
        "- a\n- b\n- c",
        |desk| desk.rewrite("a\nb\nc", "- x\n- y"),
        "- x\n- y",
    );
    check(
        "- a\n- b\n- c",
        |desk| desk.rewrite("a\nb\nc", "x\n\ny"),
        "x\n\ny",
    );
    check(
        "- a\n- b\n- c",
        |desk| desk.rewrite("a\nb", "- x\n- y\n- z"),
        "- x\n- y\n- z\n- c",
    );
    check(
        "- a\n- b\n- c",
        |desk| desk.rewrite("b", "```\nx\n```"),
        "- a\n- ```\n  x\n  ```\n- c",
    );
}

#[test]
fn a_table_keeps_its_cells() {
    check(
        "| a | b |\n|---|---|\n| c | d |\n\nend",
        |desk| desk.rewrite("b\nc", "x"),
        "| a | x |\n| --- | --- |\n|  | d |\n\nend",
    );
    check(
        "| a | b |\n|---|---|\n| c | d |\n\nend",
        |desk| desk.rewrite("a\nb\nc\nd", "x"),
        "x\n\nend",
    );
}

#[test]
fn deleting() {
    let delete = |words: &'static str| {
        move |desk: &mut Desk| {
            let anchor = desk.words(words);
            desk.propose(ProposalKind::Delete, anchor, "")
        }
    };
    check("One two three", delete(" two"), "One three");
    check("A\n\nBB\n\nC", delete("BB"), "A\n\nC");
    check("A\n\nBB\n\nC", delete("A\nBB\nC"), "");
    check(
        "A\n\n---\n\nBB\n\n![x](y.png)\n\nC",
        delete("A\nBB"),
        "![x](y.png)\n\nC",
    );
    check("> a\n\nb", delete("a"), "b");
    check("- a\n  - b\n- c", delete("b"), "- a\n- c");
}

#[test]
fn a_card_goes_after_the_block() {
    let card = |words: &'static str| {
        move |desk: &mut Desk| {
            let anchor = desk.words(words);
            desk.propose(ProposalKind::Comment, anchor, "- x\n- y")
        }
    };
    check("A\n\nB", card("A"), "A\n\n- x\n- y\n\nB");
    check("> A\n>\n> C\n\nB", card("A"), "> A\n>\n> C\n\n- x\n- y\n\nB");
}

#[test]
fn an_empty_document_takes_text() {
    let mut desk = Desk::empty(2);
    let anchor = Anchor::for_caret(&desk.body.transact(), 0);
    let proposal = desk.propose(ProposalKind::Insert, anchor, "# A\n\nB");
    assert_eq!(desk.accept(&proposal), "# A\n\nB");
    assert_eq!(desk.undo(&proposal), "");
}

#[test]
fn unchanged_words_keep_their_ids() {
    let mut desk = Desk::new("The qick brown fox jumps");
    let brown = desk.words("brown fox").start;
    let proposal = desk.rewrite("The qick brown fox jumps", "The quick brown fox jumped");
    assert_eq!(desk.accept(&proposal), "The quick brown fox jumped");
    assert_eq!(desk.words("brown fox").start, brown);
    let record = decisions(&desk.body.transact()).pop().unwrap();
    assert!(!record.whole);
    assert_eq!(record.removed.len(), 2);
    assert_eq!(desk.undo(&proposal), "The qick brown fox jumps");
}

#[test]
fn what_others_typed_into_the_range_survives() {
    let mut desk = Desk::new("One two three\n\nfour");
    let proposal = desk.rewrite("two three\nfour", "2\n\n3");
    desk.types("tw", "HUMAN");
    let Err(error) = desk.decide(&proposal, Action::Accept, false) else {
        panic!("the text has changed");
    };
    assert_eq!(error.code(), "stale");
    assert_eq!(
        error.preview().unwrap(),
        &Preview {
            base: "two three\n\nfour\n".into(),
            current: "twHUMANo three\n\nfour\n".into(),
            result: "2HUMAN\n\n3\n".into(),
        }
    );
    assert_eq!(desk.text(), "One twHUMANo three\n\nfour");
    desk.decide(&proposal, Action::Accept, true).unwrap();
    assert_eq!(desk.text(), "One 2HUMAN\n\n3");
    assert_eq!(desk.undo(&proposal), "One twHUMANo three\n\nfour");
}

#[test]
fn typing_at_the_edges_is_no_change() {
    let mut desk = Desk::new("One two three");
    let proposal = desk.rewrite("two", "2");
    desk.types("One ", "(");
    desk.types("two", ")");
    assert_eq!(desk.accept(&proposal), "One (2) three");
    assert_eq!(desk.undo(&proposal), "One (two) three");
}

#[test]
fn a_block_with_others_text_stays_when_its_accept_is_undone() {
    let mut desk = Desk::new("A");
    let proposal = desk.go_on("A", "b\n\n- c\n- d");
    assert_eq!(desk.accept(&proposal), "A b\n\n- c\n- d");
    desk.types("d", "HUMAN");
    assert_eq!(desk.undo(&proposal), "A\n\n- HUMAN");
}

#[test]
fn text_that_was_moved_by_a_split_is_not_deleted_unasked() {
    let mut desk = Desk::new("One two three");
    let proposal = desk.rewrite("three", "3");
    // As y-prosemirror splits: the tail is deleted and written again into a new block.
    desk.erases(" three");
    desk.with_root(|root, txn| {
        crate::content::insert(root, txn, 1, &[crate::node::Node::paragraph("three")]);
    });
    let error = desk.decide(&proposal, Action::Accept, false).unwrap_err();
    assert_eq!(error.code(), "stale");
    desk.decide(&proposal, Action::Accept, true).unwrap();
    assert_eq!(desk.text(), "One two\n\n3three");
}

#[test]
fn a_place_that_is_gone_is_said_so() {
    let mut desk = Desk::new("One two three\n\nB");
    let proposal = desk.rewrite("two", "2");
    desk.with_root(|root, txn| root.remove(txn, 0));
    assert_eq!(
        desk.decide(&proposal, Action::Accept, true),
        Err(DecideError::Detached)
    );
    assert_eq!(
        desk.decide("nobody", Action::Accept, true),
        Err(DecideError::Unknown)
    );
    assert_eq!(
        desk.decide(&proposal, Action::Undo, true),
        Err(DecideError::Already(ProposalState::Pending))
    );
}

#[test]
fn rejecting_and_taking_it_back() {
    let mut desk = Desk::new("One two");
    let proposal = desk.rewrite("two", "2");
    desk.decide(&proposal, Action::Reject, false).unwrap();
    assert_eq!(desk.state(&proposal), ProposalState::Rejected);
    assert_eq!(
        desk.decide(&proposal, Action::Accept, false),
        Err(DecideError::Already(ProposalState::Rejected))
    );
    desk.undo(&proposal);
    assert_eq!(desk.state(&proposal), ProposalState::Pending);
    assert_eq!(desk.accept(&proposal), "One 2");
}

#[test]
fn the_margin_cannot_say_that_something_was_accepted() {
    let mut desk = Desk::new("One two");
    let proposal = desk.rewrite("two", "2");
    margin::set_proposal_state(
        &mut desk.margin.transact_mut(),
        &proposal,
        ProposalState::Accepted,
    );
    assert_eq!(desk.state(&proposal), ProposalState::Pending);
    assert_eq!(desk.accept(&proposal), "One 2");
    margin::set_proposal_state(
        &mut desk.margin.transact_mut(),
        &proposal,
        ProposalState::Streaming,
    );
    assert_eq!(desk.state(&proposal), ProposalState::Accepted);
}

#[test]
fn the_records_survive_a_restart_and_unknown_fields() {
    let mut desk = Desk::new("One two three");
    let proposal = desk.rewrite("two", "2");
    desk.accept(&proposal);
    desk.with_root(|_, txn| {
        let id = decisions(txn).pop().unwrap().id;
        let root = txn.get_or_insert_map(doc::DECISIONS_ROOT);
        let mut json = serde_json::to_value(decisions(txn).pop().unwrap()).unwrap();
        json["votes"] = json!([1, 2]);
        root.insert(txn, id, crate::content::to_any(&json));
        root.insert(txn, "broken", "no record");
    });
    let mut later = desk.copy(9);
    assert_eq!(decisions(&later.body.transact())[0].other["votes"], json!([1, 2]));
    assert_eq!(later.undo(&proposal), "One two three");
}

#[test]
fn hostile_proposals_and_records_do_no_harm() {
    let mut desk = Desk::new("One 𝄞two\n\n- a\n- b");
    let before = desk.text();
    let mut anchor = desk.words("𝄞two");
    anchor.start.item.as_mut().unwrap().clock += 1; // between the halves of the sign
    let proposal = desk.propose(ProposalKind::Replace, anchor.clone(), "2");
    let _ = desk.decide(&proposal, Action::Accept, true);
    let _ = desk.decide(&proposal, Action::Undo, true);
    assert_eq!(desk.text(), before);
    // Ends before starts, ends nowhere, a base that is no base.
    std::mem::swap(&mut anchor.start, &mut anchor.end);
    let swapped = desk.propose(ProposalKind::Delete, anchor.clone(), "2");
    let _ = desk.decide(&swapped, Action::Accept, true);
    anchor.end = RelativePosition::default();
    let nowhere = desk.propose(ProposalKind::Insert, anchor, "2");
    let _ = desk.decide(&nowhere, Action::Accept, true);
    let text = desk.text();
    assert!(text.starts_with("One") && text.ends_with("- a\n- b"), "{text}");

    desk.with_root(|_, txn| {
        let root = txn.get_or_insert_map(doc::DECISIONS_ROOT);
        let forged = json!({"id": "0", "proposal": nowhere, "action": "accept",
            "inserted": [{"client": 18_000_000_000_000_000_000_u64, "clock": 0, "len": 4_000_000_000_u32},
                         {"client": 77, "clock": 4_000_000_000_u32, "len": 4_000_000_000_u32}],
            "removed": [{"at": {"item": {"client": 77, "clock": 1}}, "content": [{"type": "image"}]},
                        {"at": {"tname": "default"}, "content": [{"type": "text", "text": "x"}]}]});
        root.insert(txn, "0", crate::content::to_any(&forged));
    });
    let _ = repair(&desk.body);
    let _ = desk.decide(&nowhere, Action::Undo, false);
    let _ = desk.text();
}

#[test]
fn nested_lists_stay_valid_trees() {
    let mut desk = Desk::new("- a\n  - b");
    let proposal = {
        let anchor = desk.words("a");
        desk.propose(ProposalKind::Delete, anchor, "")
    };
    desk.accept(&proposal);
    let txn = desk.body.transact();
    let root = txn.get_xml_fragment(doc::BODY_ROOT).unwrap();
    let Some(XmlOut::Element(list)) = root.get(&txn, 0) else {
        panic!()
    };
    let Some(XmlOut::Element(item)) = list.get(&txn, 0) else {
        panic!()
    };
    let Some(XmlOut::Element(first)) = item.get(&txn, 0) else {
        panic!()
    };
    assert_eq!(first.tag().as_ref(), "paragraph");
    assert_ne!(first.as_ref_id(), item.as_ref_id());
}
