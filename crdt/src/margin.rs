//! The margin: requests and proposals as typed values, read from and written to the margin's Yjs document.
//!
//! Everybody with the right to suggest writes here, with whatever client. So reading is tolerant: an entry that lacks
//! what it needs is passed over (and named by [`problems`]), and fields that are not known are left as they are.

mod entry;
#[cfg(test)]
mod tests;
mod types;
mod write;

use yrs::ReadTxn;

pub use types::{
    Author, AuthorKind, Base, Lease, Person, Proposal, ProposalKind, ProposalState, Request, RequestKind,
    RequestState, Stats,
};
pub use write::{
    MarginError, append_payload, cancel_request, claim, fail_request, finish_proposal, finish_request,
    put_proposal, put_request, release, renew, set_proposal_state,
};

/// The root that holds the requests.
pub const REQUESTS_ROOT: &str = "requests";
/// The root that holds the proposals.
pub const PROPOSALS_ROOT: &str = "proposals";

/// An entry that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which root it is in.
    pub root: &'static str,
    /// Its key.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The request with this id, if it is there and can be read.
#[must_use]
pub fn request<T: ReadTxn>(txn: &T, id: &str) -> Option<Request> {
    entry::read(txn, REQUESTS_ROOT, id)?.ok()
}

/// The proposal with this id, if it is there and can be read.
#[must_use]
pub fn proposal<T: ReadTxn>(txn: &T, id: &str) -> Option<Proposal> {
    entry::read(txn, PROPOSALS_ROOT, id)?.ok()
}

/// All requests that can be read, in the order of their ids (so of their time).
#[must_use]
pub fn requests<T: ReadTxn>(txn: &T) -> Vec<Request> {
    entry::ids(txn, REQUESTS_ROOT)
        .iter()
        .filter_map(|id| request(txn, id))
        .collect()
}

/// All proposals that can be read, in the order of their ids.
#[must_use]
pub fn proposals<T: ReadTxn>(txn: &T) -> Vec<Proposal> {
    entry::ids(txn, PROPOSALS_ROOT)
        .iter()
        .filter_map(|id| proposal(txn, id))
        .collect()
}

/// The entries that cannot be read, and why.
#[must_use]
pub fn problems<T: ReadTxn>(txn: &T) -> Vec<Problem> {
    let mut problems = Vec::new();
    for id in entry::ids(txn, REQUESTS_ROOT) {
        if let Some(Err(reason)) = entry::read::<Request, T>(txn, REQUESTS_ROOT, &id) {
            problems.push(Problem {
                root: REQUESTS_ROOT,
                id,
                reason,
            });
        }
    }
    for id in entry::ids(txn, PROPOSALS_ROOT) {
        if let Some(Err(reason)) = entry::read::<Proposal, T>(txn, PROPOSALS_ROOT, &id) {
            problems.push(Problem {
                root: PROPOSALS_ROOT,
                id,
                reason,
            });
        }
    }
    problems
}
