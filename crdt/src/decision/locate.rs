//! Where a proposal applies now, and what it may delete there.

use yrs::ReadTxn;

use super::DecideError;
use super::accept::all_named;
use super::ids::{Lives, Named};
use super::record::decisions;
use crate::anchor::{Found, Outline, Resolved};
use crate::margin::{Proposal, ProposalKind};

/// The place of a proposal.
pub(super) struct Located {
    pub(super) found: Found,
    pub(super) named: Named,
    /// Whether its range holds something else than when it was made.
    pub(super) stale: bool,
}

pub(super) fn locate<B: ReadTxn>(
    body: &B,
    outline: &Outline,
    proposal: &Proposal,
) -> Result<Located, DecideError> {
    let named = Named {
        base: proposal.base.decode(),
        lives: Lives::of(&decisions(body)),
    };
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
