//! What accepting would do, tried on a copy.

use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use super::locate::locate;
use super::{DecideError, Preview, accept};
use crate::anchor::{Outline, slice};
use crate::doc;
use crate::margin::{self, Proposal, ProposalKind};
use crate::markdown;
use crate::node::Node;

/// What accepting a proposal would do, and whether its text has changed since it was made.
///
/// # Errors
/// [`DecideError::Unknown`], [`DecideError::Detached`] or [`DecideError::Busy`].
pub fn preview(body: &Doc, margin: &Doc, proposal: &str) -> Result<(Preview, bool), DecideError> {
    let margin = margin.try_transact().map_err(|_| DecideError::Busy)?;
    let proposal = margin::proposal(&margin, proposal).ok_or(DecideError::Unknown)?;
    try_on_copy(body, &proposal)
}

/// As [`preview`], for whoever has the proposal already.
pub(super) fn preview_at(body: &Doc, proposal: &Proposal) -> Result<Preview, DecideError> {
    try_on_copy(body, proposal).map(|(preview, _)| preview)
}

fn try_on_copy(body: &Doc, proposal: &Proposal) -> Result<(Preview, bool), DecideError> {
    let copy = copy(body)?;
    let mut txn = copy.try_transact_mut().map_err(|_| DecideError::Busy)?;
    let outline = Outline::read(&txn);
    let place = locate(&txn, &outline, proposal)?;
    // The text before and after what an accept may touch stays as it is, so its result is what lies between.
    let mut range = place.found.range.clone();
    if proposal.kind == ProposalKind::Comment {
        let top = outline
            .block_at(range.end)
            .and_then(|block| outline.blocks.get(block))
            .map(|block| block.top);
        let last = outline.blocks.iter().rfind(|block| Some(block.top) == top);
        range = last.map_or(range, |last| last.range.end..last.range.end);
    }
    let rest = outline.len() - range.end;
    let current = slice(&outline, &txn, place.found.range.clone());
    let exact = !place.stale && !place.found.moved;
    accept::apply(&mut txn, &outline, proposal, &place.found, &place.named, exact);
    drop(txn);

    let txn = copy.try_transact().map_err(|_| DecideError::Busy)?;
    let after = Outline::read(&txn);
    let end = after.len().saturating_sub(rest);
    let start = range.start.min(end);
    let base: Vec<Node> = proposal.anchor.quote.split('\n').map(Node::paragraph).collect();
    let preview = Preview {
        base: if proposal.anchor.is_caret() {
            String::new()
        } else {
            markdown::write(&base)
        },
        current: markdown::write(&current),
        result: markdown::write(&slice(&after, &txn, start..end)),
    };
    Ok((preview, place.stale))
}

fn copy(body: &Doc) -> Result<Doc, DecideError> {
    let state = body
        .try_transact()
        .map_err(|_| DecideError::Busy)?
        .encode_state_as_update_v1(&StateVector::default());
    let copy = doc::open(body.client_id().get() ^ 1);
    {
        let mut txn = copy.try_transact_mut().map_err(|_| DecideError::Busy)?;
        let update = Update::decode_v1(&state).map_err(|_| DecideError::Busy)?;
        txn.apply_update(update).map_err(|_| DecideError::Busy)?;
    }
    Ok(copy)
}
