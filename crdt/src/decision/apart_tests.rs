//! Decisions about the same proposal at places that were apart, and that meet.

use yrs::Transact;

use super::desk::Desk;
use super::*;
use crate::margin::ProposalKind;

/// Two desks that were apart.
fn apart(text: &str, propose: impl FnOnce(&mut Desk) -> String) -> (Desk, Desk, String) {
    let mut one = Desk::new(text);
    let proposal = propose(&mut one);
    let two = one.copy(3);
    (one, two, proposal)
}

#[track_caller]
fn meet(one: &Desk, two: &Desk) {
    for _ in 0..2 {
        one.learn(two);
        two.learn(one);
        repair(&one.body).unwrap();
        repair(&two.body).unwrap();
    }
    one.learn(two);
    assert_eq!(one.text(), two.text());
    assert_eq!(repair(&one.body), Ok(0));
    assert_eq!(repair(&two.body), Ok(0));
    let txn = one.body.transact();
    assert_eq!(decisions(&txn), decisions(&two.body.transact()));
}

#[test]
fn a_double_accept_is_repaired() {
    for (payload, after) in [
        ("2", "One 2 three"),
        ("x\n\ny", "One x three\n\ny"),
        ("- x", "One  three\n\n- x"),
    ] {
        let (mut one, mut two, proposal) = apart("One two three", |desk| desk.rewrite("two", payload));
        one.accept(&proposal);
        two.accept(&proposal);
        meet(&one, &two);
        assert_eq!(one.text(), after);
        assert_eq!(one.state(&proposal), ProposalState::Accepted);
        assert_eq!(one.undo(&proposal), "One two three");
        meet(&one, &two);
        assert_eq!(two.text(), "One two three");
    }
}

#[test]
fn a_double_undo_is_repaired() {
    let (mut one, mut two, proposal) = apart("One two three\n\nfour", |desk| {
        desk.rewrite("two three\nfour", "2")
    });
    one.accept(&proposal);
    two.learn(&one);
    one.undo(&proposal);
    two.undo(&proposal);
    meet(&one, &two);
    assert_eq!(one.text(), "One two three\n\nfour");
    assert_eq!(one.state(&proposal), ProposalState::Pending);
}

#[test]
fn an_accept_elsewhere_stands_against_accept_and_undo_here() {
    let (mut one, mut two, proposal) = apart("One two three", |desk| desk.rewrite("two", "2"));
    one.accept(&proposal);
    one.undo(&proposal);
    two.accept(&proposal);
    meet(&one, &two);
    assert_eq!(one.text(), "One 2 three");
    assert_eq!(one.state(&proposal), ProposalState::Accepted);
    assert_eq!(one.undo(&proposal), "One two three");
}

#[test]
fn an_accept_that_kept_words_gives_way_to_one_that_kept_none() {
    let (mut one, mut two, proposal) = apart("The qick brown fox", |desk| {
        desk.rewrite("The qick brown fox", "The quick brown fox")
    });
    one.accept(&proposal);
    two.types("bro", "HUMAN");
    two.decide(&proposal, Action::Accept, true).unwrap();
    meet(&one, &two);
    assert_eq!(one.text(), "The quick brown foxHUMAN");
}

#[test]
fn reject_and_accept_at_once_is_an_accept() {
    let (mut one, mut two, proposal) = apart("One two three", |desk| desk.rewrite("two", "2"));
    one.accept(&proposal);
    two.decide(&proposal, Action::Reject, false).unwrap();
    meet(&one, &two);
    assert_eq!(one.text(), "One 2 three");
    assert_eq!(two.state(&proposal), ProposalState::Accepted);
}

#[test]
fn an_undo_of_one_proposal_leaves_another_that_was_made_later_applicable() {
    let mut desk = Desk::new("One two three");
    let first = desk.rewrite("two", "2");
    let second = desk.rewrite("two three", "zwei drei");
    desk.accept(&first);
    desk.undo(&first);
    assert_eq!(desk.accept(&second), "One zwei drei");
}

#[test]
fn typing_into_a_block_that_is_accepted_away_elsewhere_is_lost_with_it() {
    // Yjs deletes what is in an element with the element, whoever writes into it meanwhile. See the known limits.
    let (mut one, two, proposal) = apart("A\n\nBB\n\nC", |desk| {
        let anchor = desk.words("BB");
        desk.propose(ProposalKind::Delete, anchor, "")
    });
    one.accept(&proposal);
    two.types("BB", "HUMAN");
    meet(&one, &two);
    assert_eq!(one.text(), "A\n\nC");
}
