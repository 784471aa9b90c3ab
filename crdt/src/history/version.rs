//! What is known about a version, and its content.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use crate::ids::{Identity, Timestamp};
use crate::protocol::update::UpdateFacts;

/// Why a version was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Time had passed, or much was changed.
    Automatic,
    /// Somebody asked for it.
    Named,
    /// What was there before an older version was restored.
    BeforeRestore,
    /// What a restore led to.
    Restored,
}

/// An entry in the list of a document's versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Counts up from 1 within the document; numbers are not used again.
    pub number: u64,
    /// When it was kept.
    pub at: Timestamp,
    /// Who asked for it; of an automatic one, who wrote last.
    pub by: Identity,
    /// Why there is one.
    pub kind: Kind,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The reason, in the words of whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The last record of the log that it holds.
    pub seq: u64,
}

/// A version's bytes do not hold a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the version does not hold a document")]
pub struct VersionError;

/// The document of an update (v1), apart from every other copy. `client_id` names it in what is written to it.
///
/// # Errors
/// [`VersionError`]; never panics.
pub fn open(update: &[u8], client_id: u64) -> Result<Doc, VersionError> {
    UpdateFacts::scan(update).map_err(|_| VersionError)?;
    let doc = crate::doc::open(client_id);
    let applied = catch_unwind(AssertUnwindSafe(|| {
        let update = Update::decode_v1(update).ok()?;
        doc.transact_mut().apply_update(update).ok()
    }));
    match applied {
        Ok(Some(())) => Ok(doc),
        Ok(None) | Err(_) => Err(VersionError),
    }
}

/// A document's whole state as one update (v1).
#[must_use]
pub fn state(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}
