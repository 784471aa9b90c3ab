//! Decision records in the body, and what the records of one proposal amount to.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value};
use yrs::types::ToJson;
use yrs::{Map, ReadTxn, TransactionMut, WriteTxn};

use crate::anchor::RelativePosition;
use crate::content::{from_any, to_any};
use crate::doc::DECISIONS_ROOT;
use crate::ids::{IdRange, Timestamp};
use crate::margin::{Author, Person, ProposalState};
use crate::node::Node;

/// What is decided about a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Its text enters the document.
    Accept,
    /// It leaves no trace.
    Reject,
    /// The last decision about it is taken back.
    Undo,
}

/// Content that an accept took out of the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// Where it was: beside its own first item, which stays behind as a tombstone.
    pub at: RelativePosition,
    /// What it was: runs of text, or whole nodes.
    pub content: Vec<Node>,
    /// The ids it had: of each element and each unit of text, in the order of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<IdRange>,
}

/// Content that an undo put back: it has other ids now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revived {
    /// The ids it had.
    pub was: IdRange,
    /// The ids it has, as many.
    pub is: IdRange,
}

/// A decision, as it stands in the body for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// A ULID.
    pub id: String,
    /// The proposal it is about.
    pub proposal: String,
    /// What was decided.
    pub action: Action,
    /// The decision that an undo takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// Who decided.
    #[serde(default)]
    pub by: Person,
    /// When.
    #[serde(default)]
    pub at: Timestamp,
    /// Who wrote the proposal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposer: Option<Author>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Person>,
    /// The ids that this decision brought into the body: an accept's text, or what an undo put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inserted: Vec<IdRange>,
    /// What an accept took out, in the order of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// Which of what an undo put back was what, so that it still counts as what it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revived: Vec<Revived>,
    /// Whether an accept brought in all of its text, keeping none of the words that were there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// The decisions about the same proposal that were known when this one was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// Whether what it brought in was taken out again, another decision about the proposal having been made elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repaired: bool,
    /// Fields of later versions.
    #[serde(flatten)]
    pub other: JsonMap<String, Value>,
}

/// All records that can be read, in the order of their ids.
#[must_use]
pub fn decisions<T: ReadTxn>(body: &T) -> Vec<Decision> {
    let Some(root) = body.get_map(DECISIONS_ROOT) else {
        return Vec::new();
    };
    let mut decisions: Vec<Decision> = root
        .iter(body)
        .filter_map(|(id, value)| {
            let mut json = from_any(&value.to_json(body));
            json.as_object_mut()?
                .insert("id".to_owned(), Value::String(id.to_owned()));
            serde_json::from_value(json).ok()
        })
        .collect();
    decisions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    decisions
}

/// Writes a record.
pub(super) fn write(body: &mut TransactionMut<'_>, decision: &Decision) {
    if let Ok(json) = serde_json::to_value(decision) {
        body.get_or_insert_map(DECISIONS_ROOT)
            .insert(body, decision.id.as_str(), to_any(&json));
    }
}

/// The decisions about one proposal, in the order of their ids.
#[derive(Debug, Clone)]
pub(super) struct History<'a>(Vec<&'a Decision>);

/// The decisions, proposal by proposal.
pub(super) fn histories(all: &[Decision]) -> Vec<History<'_>> {
    let mut sorted: Vec<&Decision> = all.iter().collect();
    sorted.sort_by(|a, b| a.proposal.cmp(&b.proposal).then_with(|| a.id.cmp(&b.id)));
    sorted
        .chunk_by(|a, b| a.proposal == b.proposal)
        .map(|same| History(same.to_vec()))
        .collect()
}

impl<'a> History<'a> {
    pub(super) fn of(all: &'a [Decision], proposal: &str) -> Self {
        Self(
            all.iter()
                .filter(|decision| decision.proposal == proposal)
                .collect(),
        )
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.0.iter().map(|decision| decision.id.clone()).collect()
    }

    /// The accept that stands: one that is neither undone nor repaired. Of several it is one that kept no words (the
    /// others may have relied on words that it deleted), then the one with the smallest id.
    pub(super) fn standing(&self) -> Option<&'a Decision> {
        let undone: HashSet<&str> = self.undos().filter_map(|undo| undo.undoes.as_deref()).collect();
        self.0
            .iter()
            .copied()
            .filter(|decision| decision.action == Action::Accept)
            .filter(|decision| !decision.repaired && !undone.contains(decision.id.as_str()))
            .min_by_key(|decision| !decision.whole)
    }

    /// The last rejection that no undo has taken back. By what an undo had seen, not by time: clocks differ.
    pub(super) fn rejection(&self) -> Option<&'a Decision> {
        self.0.iter().copied().rfind(|reject| {
            reject.action == Action::Reject && !self.undos().any(|undo| undo.seen.contains(&reject.id))
        })
    }

    /// What the body says about the proposal, or `None` if that is nothing.
    pub(super) fn state(&self) -> Option<ProposalState> {
        if self.standing().is_some() {
            return Some(ProposalState::Accepted); // its text is in the document, whatever else was decided elsewhere
        }
        if self.rejection().is_some() {
            return Some(ProposalState::Rejected);
        }
        (!self.0.is_empty()).then_some(ProposalState::Pending)
    }

    /// The decisions whose text has to be taken out again, since others about the same proposal were made elsewhere:
    /// every accept but the standing one, every undo but one, and every undo that did not know of the standing accept.
    pub(super) fn to_repair(&self) -> Vec<&'a Decision> {
        let standing = self.standing();
        let undone: HashSet<&str> = self.undos().filter_map(|undo| undo.undoes.as_deref()).collect();
        let mut kept: Vec<&'a Decision> = Vec::new();
        let mut repair = Vec::new();
        for decision in self.0.iter().copied().filter(|decision| !decision.repaired) {
            match decision.action {
                Action::Accept => {
                    let stands = standing.is_some_and(|standing| standing.id == decision.id);
                    if !stands && !undone.contains(decision.id.as_str()) {
                        repair.push(decision);
                    }
                }
                Action::Undo if decision.inserted.is_empty() => {}
                Action::Undo => {
                    let apart = |other: &&Decision| {
                        !other.seen.contains(&decision.id) && !decision.seen.contains(&other.id)
                    };
                    if standing.as_ref().is_some_and(apart) || kept.iter().any(apart) {
                        repair.push(decision);
                    } else {
                        kept.push(decision);
                    }
                }
                Action::Reject => {}
            }
        }
        repair
    }

    /// The decisions whose text must not be there: accepts that do not stand, and undos that were repaired.
    pub(super) fn fallen(&self) -> impl Iterator<Item = &'a Decision> + '_ {
        let standing = self.standing().map(|decision| &decision.id);
        self.0
            .iter()
            .copied()
            .filter(move |decision| match decision.action {
                Action::Accept => Some(&decision.id) != standing,
                Action::Undo => decision.repaired,
                Action::Reject => false,
            })
    }

    fn undos(&self) -> impl Iterator<Item = &'a Decision> + '_ {
        self.0
            .iter()
            .copied()
            .filter(|decision| decision.action == Action::Undo)
    }
}
