//! Writing requests and proposals.

use serde_json::{Value, json};
use yrs::{Map, Out, ReadTxn, Text, TextPrelim, TextRef, TransactionMut};

use super::types::{Proposal, ProposalState, Request, RequestState, Stats};
use super::{PROPOSALS_ROOT, REQUESTS_ROOT, entry, proposal, request};
use crate::ids::Timestamp;

/// Why the margin was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarginError {
    /// There is no such entry, or it cannot be read.
    #[error("there is no `{0}` in the margin")]
    Unknown(String),
    /// The entry is no longer in a state that allows it.
    #[error("`{0}` has been ended by somebody else")]
    Ended(String),
}

/// Makes a request, or writes over the one with its id.
pub fn put_request(txn: &mut TransactionMut<'_>, request: &Request) {
    entry::put(txn, REQUESTS_ROOT, &request.id, request);
}

/// Takes a request that is open, or whose lease has run out, until `until`. Whether it was there to be taken.
///
/// Two peers may do so at once; the margin then says whose lease stands, so look again before writing much.
pub fn claim(txn: &mut TransactionMut<'_>, id: &str, peer: &str, now: Timestamp, until: Timestamp) -> bool {
    let Some(request) = request(txn, id).filter(|request| request.is_claimable(now)) else {
        return false;
    };
    if !request.to.is_empty() && request.to != peer {
        return false;
    }
    set_request(txn, id, "state", &json!(RequestState::Claimed));
    set_request(txn, id, "lease", &json!({"peer": peer, "until": until}));
    true
}

/// Lengthens a lease. Whether it is still that peer's and the request still wanted.
pub fn renew(txn: &mut TransactionMut<'_>, id: &str, peer: &str, until: Timestamp) -> bool {
    let holds = holds(txn, id, peer);
    if holds {
        set_request(txn, id, "lease", &json!({"peer": peer, "until": until}));
    }
    holds
}

/// Gives a request back, so that another peer may take it. Whether it was that peer's.
pub fn release(txn: &mut TransactionMut<'_>, id: &str, peer: &str) -> bool {
    let holds = holds(txn, id, peer);
    if holds {
        set_request(txn, id, "state", &json!(RequestState::Open));
        set_request(txn, id, "lease", &Value::Null);
    }
    holds
}

/// Whether a peer works on a request: claimed, by it.
fn holds<T: ReadTxn>(txn: &T, id: &str, peer: &str) -> bool {
    request(txn, id).is_some_and(|request| {
        request.state == RequestState::Claimed && request.lease.is_some_and(|lease| lease.peer == peer)
    })
}

/// Says that nobody wants an answer any more. Whether there was one to come.
pub fn cancel_request(txn: &mut TransactionMut<'_>, id: &str) -> bool {
    let running = request(txn, id)
        .is_some_and(|request| matches!(request.state, RequestState::Open | RequestState::Claimed));
    if running {
        set_request(txn, id, "state", &json!(RequestState::Cancelled));
    }
    running
}

/// Ends a request with an answer. Whether it was that peer's to end.
pub fn finish_request(txn: &mut TransactionMut<'_>, id: &str, peer: &str, proposal: &str) -> bool {
    let holds = holds(txn, id, peer);
    if holds {
        set_request(txn, id, "proposal", &json!(proposal));
        set_request(txn, id, "state", &json!(RequestState::Done));
        set_request(txn, id, "lease", &Value::Null);
    }
    holds
}

/// Ends a request without an answer; `error` is for people. Whether it was that peer's to end.
pub fn fail_request(txn: &mut TransactionMut<'_>, id: &str, peer: &str, error: &str) -> bool {
    let holds = holds(txn, id, peer);
    if holds {
        set_request(txn, id, "error", &json!(error));
        set_request(txn, id, "state", &json!(RequestState::Failed));
        set_request(txn, id, "lease", &Value::Null);
    }
    holds
}

fn set_request(txn: &mut TransactionMut<'_>, id: &str, key: &str, value: &Value) {
    if let Some(entry) = entry::map(txn, REQUESTS_ROOT, id) {
        entry::set(txn, &entry, key, value);
    }
}

/// Makes a proposal with the payload it has so far, or writes over the fields (not the payload) of the one with its id.
pub fn put_proposal(txn: &mut TransactionMut<'_>, proposal: &Proposal) {
    let mut fields = json!(proposal);
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("payload");
    }
    let entry = entry::put(txn, PROPOSALS_ROOT, &proposal.id, &fields);
    if !matches!(entry.get(txn, "payload"), Some(Out::YText(_))) {
        entry.insert(txn, "payload", TextPrelim::new(proposal.payload.as_str()));
    }
}

/// Appends to the payload of a proposal that streams.
///
/// # Errors
/// [`MarginError::Unknown`], or [`MarginError::Ended`] once it does not stream any more: whoever writes should stop.
pub fn append_payload(txn: &mut TransactionMut<'_>, id: &str, text: &str) -> Result<(), MarginError> {
    let payload = streaming(txn, id)?;
    let end = payload.len(txn);
    payload.insert(txn, end, text);
    Ok(())
}

/// Ends the writing of a proposal: `pending` when it is complete, else `cancelled` or `failed` with words for people.
///
/// # Errors
/// [`MarginError::Unknown`], or [`MarginError::Ended`] if it had ended before.
pub fn finish_proposal(
    txn: &mut TransactionMut<'_>,
    id: &str,
    state: ProposalState,
    stats: Option<&Stats>,
    error: Option<&str>,
) -> Result<(), MarginError> {
    streaming(txn, id)?;
    if let Some(entry) = entry::map(txn, PROPOSALS_ROOT, id) {
        if let Some(stats) = stats {
            entry::set(txn, &entry, "stats", &json!(stats));
        }
        if let Some(error) = error {
            entry::set(txn, &entry, "error", &json!(error));
        }
        entry::set(txn, &entry, "state", &json!(state));
    }
    Ok(())
}

/// Writes the state of a proposal, whatever it was. Whether there is such a proposal.
pub fn set_proposal_state(txn: &mut TransactionMut<'_>, id: &str, state: ProposalState) -> bool {
    match entry::map(txn, PROPOSALS_ROOT, id) {
        Some(entry) => {
            entry::set(txn, &entry, "state", &json!(state));
            true
        }
        None => false,
    }
}

/// The payload of a proposal that streams.
fn streaming(txn: &mut TransactionMut<'_>, id: &str) -> Result<TextRef, MarginError> {
    let unknown = || MarginError::Unknown(id.to_owned());
    let found = proposal(txn, id).ok_or_else(unknown)?;
    if found.state != ProposalState::Streaming {
        return Err(MarginError::Ended(id.to_owned()));
    }
    let entry = entry::map(txn, PROPOSALS_ROOT, id).ok_or_else(unknown)?;
    Ok(match entry.get(txn, "payload") {
        Some(Out::YText(text)) => text,
        // A client that wrote it as a plain string: what there is goes on as a text.
        _ => entry.insert(txn, "payload", TextPrelim::new(found.payload)),
    })
}
