//! What a body is at some time, and what the records say of it.

use std::collections::BTreeMap;

use crdt::anchor::{Anchor, Resolved};
use crdt::decision::{self, Decision};
use crdt::margin::{self, Author, AuthorKind, Base, Person, Proposal, ProposalKind, ProposalState};
use crdt::{IdRange, Node, Timestamp};
use yrs::{Doc, ReadTxn, StateVector, Transact};

use super::hands::{self, Id, flaw, lines};

/// A body at some time.
pub(crate) struct Moment {
    pub(crate) tree: Vec<Node>,
    pub(crate) alive: BTreeMap<Id, u16>,
    pub(crate) state: StateVector,
    pub(crate) flaw: Option<String>,
}

impl Moment {
    pub(crate) fn of(body: &Doc) -> Self {
        let tree = hands::tree(body);
        Self {
            flaw: flaw(&tree, "doc"),
            tree,
            alive: hands::alive(body),
            state: body.transact().state_vector(),
        }
    }

    /// The characters that are not there any more.
    pub(crate) fn lost(&self, after: &Self) -> Vec<Id> {
        self.alive
            .keys()
            .filter(|id| !after.alive.contains_key(id))
            .copied()
            .collect()
    }
}

/// The characters in a proposal's range, if it is plain which that is.
pub(crate) fn range_of(body: &Doc, margin: &Doc, id: &str) -> Option<BTreeMap<Id, u16>> {
    let proposal = margin::proposal(&margin.transact(), id)?;
    let txn = body.transact();
    let Resolved::Found(found) = proposal.anchor.resolve(&txn) else {
        return None;
    };
    if found.stale {
        return None; // it may be found beside
    }
    let mut offset = 0;
    let mut range = BTreeMap::new();
    for line in lines(&txn) {
        for child in yrs::XmlFragment::children(&line.element, &txn) {
            match child {
                yrs::XmlOut::Text(text) => {
                    for index in 0..yrs::Text::len(&text, &txn) {
                        let sticky =
                            yrs::IndexedSequence::sticky_index(&text, &txn, index, yrs::Assoc::After);
                        let id = sticky.as_ref().and_then(|sticky| sticky.id());
                        if let Some(id) = id.filter(|_| found.range.contains(&offset)) {
                            range.insert((id.client.get(), id.clock), 0);
                        }
                        offset += 1;
                    }
                }
                yrs::XmlOut::Element(element) if &**element.tag() == "hardBreak" => offset += 1,
                _ => {}
            }
        }
        offset += 1;
    }
    Some(range)
}

pub(crate) fn decisions(body: &Doc) -> Vec<Decision> {
    decision::decisions(&body.transact())
}

pub(crate) fn records(body: &Doc, id: &str) -> Vec<Decision> {
    decisions(body)
        .into_iter()
        .filter(|record| record.proposal == id)
        .collect()
}

/// An id and all that the same character had before undos put it back.
pub(crate) fn lives(decisions: &[Decision], id: Id) -> Vec<Id> {
    let mut lives = vec![id];
    while let Some((client, clock)) = lives.last().copied() {
        let mut revived = decisions.iter().flat_map(|record| &record.revived);
        let found = revived.find(|revived| is_in(&[revived.is], (client, clock)));
        let Some(revived) = found else { break };
        lives.push((revived.was.client, revived.was.clock + clock - revived.is.clock));
    }
    lives
}

pub(crate) fn is_in(ranges: &[IdRange], id: Id) -> bool {
    ranges
        .iter()
        .any(|range| range.client == id.0 && (range.clock..range.end()).contains(&id.1))
}

pub(crate) fn json(nodes: &[Node]) -> String {
    serde_json::to_string(nodes).expect("nodes are JSON")
}

pub(crate) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

pub(crate) fn proposal(id: &str, kind: ProposalKind, anchor: Anchor, base: Base) -> Proposal {
    let author = Author {
        kind: AuthorKind::Ai,
        id: "ai".into(),
        name: "Model".into(),
        model: None,
        quantisation: None,
        adapter: None,
        device: None,
    };
    Proposal {
        id: id.into(),
        request: String::new(),
        author,
        requester: Person::default(),
        kind,
        anchor,
        base,
        payload: String::new(),
        state: ProposalState::Streaming,
        at: Timestamp(1),
        rationale: None,
        confidence: None,
        stats: None,
        error: None,
    }
}
