//! Decisions: accepting a proposal, rejecting it, taking either back.
//!
//! **Invariants**: a proposal's text enters the body at most once, whoever accepts it and wherever; an accept deletes only
//! characters that its proposal's author saw and named; the text's change and its record are one update of the body.
//!
//! A relay decides, in the order in which its clients ask. Relays that were apart may have decided the same twice: what
//! that did too much is taken out by [`repair`], from the records, and all replicas come to the same.

mod accept;
#[cfg(test)]
mod apart_tests;
mod blocks;
#[cfg(test)]
pub(crate) mod desk;
pub(crate) mod ids;
mod inline;
mod locate;
mod preview;
mod record;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
mod undo;

use serde::{Deserialize, Serialize};
use yrs::{Doc, ReadTxn, Transact, TransactionMut};

use crate::anchor::Outline;
use crate::ids::{IdRange, IdSource, Timestamp};
use crate::margin::{self, Person, Proposal, ProposalState};

use ids::Lives;
pub use preview::preview;
pub use record::{Action, Decision, Removed, Revived, decisions};
use record::{History, histories};

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The record's id.
    pub decision: String,
    /// What the proposal is now.
    pub state: ProposalState,
}

/// What accepting would do to the anchor's range, in Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preview {
    /// What the proposal was made for.
    pub base: String,
    /// What is there now.
    pub current: String,
    /// What would be there.
    pub result: String,
}

/// Why nothing was decided. The messages are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// There is no such proposal.
    #[error("This proposal is not there any more.")]
    Unknown,
    /// It is still being written.
    #[error("This proposal is still being written. Wait until it is complete, or cancel it.")]
    Streaming,
    /// It has been decided already, or never came to be.
    #[error("This proposal {}.", already(*.0))]
    Already(ProposalState),
    /// The text it is about has changed.
    #[error(
        "The text has changed since this was proposed. Look at the result first, then accept it as it is."
    )]
    Stale(Box<Preview>),
    /// The text it is about is gone.
    #[error("The place this proposal was made for is gone. Copy its text to where you want it.")]
    Detached,
    /// Nothing is left of what an undo would take back.
    #[error("The text has changed so much that this cannot be undone any more. Correct it by hand.")]
    NothingLeft,
    /// The document is being changed at this very moment.
    #[error("The document is being changed just now. Try again.")]
    Busy,
}

fn already(state: ProposalState) -> &'static str {
    match state {
        ProposalState::Accepted => "has been accepted already",
        ProposalState::Rejected => "has been rejected; undo that to accept it",
        ProposalState::Cancelled => "was cancelled; ask again",
        ProposalState::Failed => "could not be completed; ask again",
        ProposalState::Pending | ProposalState::Streaming => {
            "has not been decided, so there is nothing to undo"
        }
    }
}

impl DecideError {
    /// The protocol's code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Streaming => "streaming",
            Self::Already(_) => "already",
            Self::Stale(_) => "stale",
            Self::Detached => "detached",
            Self::NothingLeft | Self::Busy => "failed",
        }
    }

    /// What accepting would do, if that is why it was not done.
    #[must_use]
    pub fn preview(&self) -> Option<&Preview> {
        match self {
            Self::Stale(preview) => Some(preview),
            Self::Unknown
            | Self::Streaming
            | Self::Already(_)
            | Self::Detached
            | Self::NothingLeft
            | Self::Busy => None,
        }
    }
}

/// Carries out a decision: one transaction of the body (the text and the record), then one of the margin (the state, for
/// readers of the margin alone). `force` accepts a proposal whose text has changed.
///
/// # Errors
/// [`DecideError`] says why nothing was changed.
#[expect(
    clippy::too_many_arguments,
    reason = "a decision is who, what, when and where; time and chance are arguments"
)]
pub fn decide(
    body: &Doc,
    margin: &Doc,
    proposal: &str,
    action: Action,
    by: &Person,
    now: Timestamp,
    ids: &mut dyn IdSource,
    force: bool,
) -> Result<Outcome, DecideError> {
    let mut margin_txn = margin.try_transact_mut().map_err(|_| DecideError::Busy)?;
    let found = margin::proposal(&margin_txn, proposal).ok_or(DecideError::Unknown)?;
    repair(body)?; // what is decided next builds on what stands
    let place = match action {
        Action::Accept => {
            let scratch = body.try_transact().map_err(|_| DecideError::Busy)?;
            check(&History::of(&decisions(&scratch), proposal), &found, action)?;
            let outline = Outline::read(&scratch);
            let place = locate::locate(&scratch, &outline, &found)?;
            drop(scratch);
            if place.stale && !force {
                let preview = preview::preview_at(body, &found)?;
                return Err(DecideError::Stale(Box::new(preview)));
            }
            Some((outline, place))
        }
        Action::Reject | Action::Undo => None,
    };

    let client = body.client_id();
    let mut txn = body.try_transact_mut().map_err(|_| DecideError::Busy)?;
    let all = decisions(&txn);
    let history = History::of(&all, proposal);
    check(&history, &found, action)?;
    let before = ids::own_clock(&txn, client);
    let mut record = Decision {
        id: ids.ulid(now).to_string(),
        proposal: proposal.to_owned(),
        action,
        undoes: None,
        by: by.clone(),
        at: now,
        proposer: Some(found.author.clone()),
        requester: Some(found.requester.clone()),
        inserted: Vec::new(),
        removed: Vec::new(),
        revived: Vec::new(),
        whole: false,
        seen: history.ids(),
        repaired: false,
        other: serde_json::Map::new(),
    };
    match action {
        Action::Accept => {
            if let Some((outline, place)) = &place {
                let exact = !place.stale && !place.found.moved;
                let change = accept::apply(&mut txn, outline, &found, &place.found, &place.named, exact);
                (record.removed, record.whole) = (change.removed, change.whole);
            }
        }
        Action::Reject => {}
        Action::Undo => {
            let (undoes, revived) = undo(&mut txn, &all, &history)?;
            (record.undoes, record.revived) = (Some(undoes), revived);
        }
    }
    let after = ids::own_clock(&txn, client);
    if after > before {
        record.inserted.push(IdRange {
            client: client.get(),
            clock: before,
            len: after - before,
        });
    }
    record::write(&mut txn, &record);
    drop(txn);

    let state = match action {
        Action::Accept => ProposalState::Accepted,
        Action::Reject => ProposalState::Rejected,
        Action::Undo => ProposalState::Pending,
    };
    margin::set_proposal_state(&mut margin_txn, proposal, state);
    Ok(Outcome {
        decision: record.id,
        state,
    })
}

/// Whether the proposal is in a state that allows the action.
fn check(history: &History<'_>, proposal: &Proposal, action: Action) -> Result<(), DecideError> {
    match (state_of(history, proposal), action) {
        (ProposalState::Pending, Action::Accept | Action::Reject)
        | (ProposalState::Accepted | ProposalState::Rejected, Action::Undo) => Ok(()),
        (ProposalState::Streaming, Action::Accept | Action::Reject | Action::Undo) => {
            Err(DecideError::Streaming)
        }
        (state, Action::Accept | Action::Reject | Action::Undo) => Err(DecideError::Already(state)),
    }
}

/// Takes back the standing accept, or else the rejection. Returns what was undone, and what was put back for that.
fn undo(
    txn: &mut TransactionMut<'_>,
    all: &[Decision],
    history: &History<'_>,
) -> Result<(String, Vec<Revived>), DecideError> {
    let Some(accept) = history.standing() else {
        let rejection = history
            .rejection()
            .ok_or(DecideError::Already(ProposalState::Pending))?;
        return Ok((rejection.id.clone(), Vec::new()));
    };
    let mut lives = Lives::of(all);
    let inserted = lives.since(&accept.inserted);
    let changed = !accept.inserted.is_empty() || !accept.removed.is_empty();
    let alive = !undo::alive(txn, &inserted).is_empty();
    let restored = undo::restore(txn, &accept.removed, alive);
    if changed && !alive && restored.is_none() {
        return Err(DecideError::NothingLeft);
    }
    undo::withdraw(txn, &inserted);
    let revived = restored.unwrap_or_default();
    lives.add(&revived);
    sweep(txn, all, &lives);
    Ok((accept.id.clone(), revived))
}

/// Takes out what came back of accepts that do not stand: an undo of another proposal may have put it back, that had been
/// accepted over them. Returns of how many decisions there was something.
fn sweep(txn: &mut TransactionMut<'_>, all: &[Decision], lives: &Lives) -> usize {
    let mut swept = 0;
    for history in histories(all) {
        for fallen in history.fallen() {
            let since = lives.since(&fallen.inserted);
            if since.len() > fallen.inserted.len() && undo::withdraw(txn, &since) {
                swept += 1;
            }
        }
    }
    swept
}

/// Takes out what decisions about the same proposal, made at several places, did too much. Returns how many it repaired.
///
/// Doing it again, or elsewhere, changes nothing more.
///
/// # Errors
/// [`DecideError::Busy`] while a transaction of the body is open.
pub fn repair(body: &Doc) -> Result<usize, DecideError> {
    let all = {
        let txn = body.try_transact().map_err(|_| DecideError::Busy)?;
        decisions(&txn)
    };
    let lives = Lives::of(&all);
    let mut wanted: Vec<Decision> = histories(&all)
        .iter()
        .flat_map(History::to_repair)
        .cloned()
        .collect();
    if wanted.is_empty() && lives.is_empty() {
        return Ok(0);
    }
    let mut txn = body.try_transact_mut().map_err(|_| DecideError::Busy)?;
    for decision in &mut wanted {
        undo::withdraw(&mut txn, &lives.since(&decision.inserted));
        decision.repaired = true;
        record::write(&mut txn, decision);
    }
    let all = decisions(&txn);
    Ok(wanted.len() + sweep(&mut txn, &all, &lives))
}

/// What a proposal is: what the body's decisions say, else what the margin says. `None` if there is no such proposal.
#[must_use]
pub fn effective_state<B: ReadTxn, M: ReadTxn>(
    body: &B,
    margin: &M,
    proposal: &str,
) -> Option<ProposalState> {
    let found = margin::proposal(margin, proposal)?;
    Some(state_of(&History::of(&decisions(body), proposal), &found))
}

fn state_of(history: &History<'_>, proposal: &Proposal) -> ProposalState {
    history.state().unwrap_or(match proposal.state {
        // The margin may say so, but only the body's word counts.
        ProposalState::Accepted | ProposalState::Rejected => ProposalState::Pending,
        state => state,
    })
}
