//! Where a proposal applies now, and what it may delete there.

use yrs::ReadTxn;

use super::DecideError;
use super::accept::all_named;
use super::ids::{Ids, Named, covers};
use super::record::{Action, decisions};
use crate::anchor::{Found, Outline, Resolved};
use crate::margin::{self, Proposal, ProposalKind};

/// The place of a proposal.
pub(super) struct Located {
    pub(super) found: Found,
    pub(super) named: Named,
    /// Whether its range holds something else than when it was made.
    pub(super) stale: bool,
}

pub(super) fn locate<B: ReadTxn, M: ReadTxn>(
    body: &B,
    margin: &M,
    outline: &Outline,
    proposal: &Proposal,
) -> Result<Located, DecideError> {
    let named = named(body, margin, proposal);
    let Resolved::Found(mut found) = proposal.anchor.resolve_in(outline, body) else {
        return Err(DecideError::Detached);
    };
    let takes_out = match proposal.kind {
        ProposalKind::Replace | ProposalKind::Delete => !found.range.is_empty(),
        ProposalKind::Insert | ProposalKind::Comment => false,
    };
    if found.stale
        && let Some(range) = proposal.anchor.words_beside(outline, &found.range)
        && all_named(body, outline, &range, &named)
    {
        // Its words are there, partly put back by an undo beside the ids that the anchor knows.
        found = Found {
            text: outline.slice(range.clone()),
            range,
            stale: false,
            moved: true,
        };
    }
    let stale = takes_out && (found.stale || !all_named(body, outline, &found.range, &named));
    Ok(Located { found, named, stale })
}

/// What a proposal may delete: what was there when it was made, and what undos have put back of that.
fn named<B: ReadTxn, M: ReadTxn>(body: &B, margin: &M, proposal: &Proposal) -> Named {
    let base = proposal.base.decode();
    let restored = decisions(body)
        .into_iter()
        .filter(|decision| decision.action == Action::Undo && !decision.inserted.is_empty())
        .filter(|undo| {
            // The undone accept took out only what its own base had; so that is in every later base as well.
            undo.proposal == proposal.id
                || margin::proposal(margin, &undo.proposal)
                    .is_some_and(|other| covers(&base, &other.base.decode()))
        })
        .flat_map(|undo| undo.inserted);
    Named {
        restored: Ids::new(restored),
        base,
    }
}
