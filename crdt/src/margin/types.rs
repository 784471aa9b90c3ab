//! What stands in the margin.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use yrs::updates::encoder::Encode;
use yrs::{ReadTxn, StateVector};

use crate::anchor::Anchor;
use crate::ids::{Identity, PeerKind, Timestamp};
use crate::protocol::decode_state_vector;

/// Somebody, as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Person {
    /// Stable over connections.
    #[serde(default)]
    pub id: String,
    /// For people to read.
    #[serde(default)]
    pub name: String,
}

impl From<&Identity> for Person {
    fn from(identity: &Identity) -> Self {
        Self {
            id: identity.id.clone(),
            name: identity.name.clone(),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// More text at the caret.
    Continue,
    /// Other words for the selection.
    Rewrite,
    /// The gist of the selection, or of the document.
    Summarise,
    /// Ideas.
    Brainstorm,
    /// What the instruction says.
    Ask,
    /// Reserved.
    Caption,
    /// Reserved.
    Transcribe,
    /// Reserved.
    Check,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestState {
    /// Nobody has taken it.
    Open,
    /// A peer works on it, as long as its lease runs.
    Claimed,
    /// There is an answer.
    Done,
    /// There will be none; `error` says why.
    Failed,
    /// Nobody wants one any more.
    Cancelled,
}

/// A peer's right to answer a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The peer's id.
    pub peer: String,
    /// When it runs out.
    pub until: Timestamp,
}

/// Somebody asks for a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// A ULID.
    #[serde(default)]
    pub id: String,
    /// What is asked for.
    pub kind: RequestKind,
    /// Who asks.
    #[serde(default)]
    pub by: Person,
    /// When.
    #[serde(default)]
    pub at: Timestamp,
    /// Where.
    pub anchor: Anchor,
    /// In the asker's own words.
    #[serde(default)]
    pub instruction: String,
    /// The AI peer that is asked, or empty for whichever is free.
    #[serde(default)]
    pub to: String,
    /// How far it is.
    pub state: RequestState,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The answer's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// Why there is no answer, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Request {
    /// Whether a peer may take it: it is open, or whoever had it has let its lease run out.
    #[must_use]
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        match self.state {
            RequestState::Open => true,
            RequestState::Claimed => self.lease.as_ref().is_none_or(|lease| lease.until <= now),
            RequestState::Done | RequestState::Failed | RequestState::Cancelled => false,
        }
    }
}

/// What kind of peer wrote a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthorKind {
    /// A model.
    Ai,
    /// A person.
    Human,
}

/// Who wrote a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// Model or person.
    pub kind: AuthorKind,
    /// Stable over connections.
    #[serde(default)]
    pub id: String,
    /// For people to read.
    #[serde(default)]
    pub name: String,
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How its weights are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<String>,
    /// The adapter that it wore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// What it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl From<&Identity> for Author {
    fn from(identity: &Identity) -> Self {
        Self {
            kind: match identity.kind {
                PeerKind::Ai => AuthorKind::Ai,
                PeerKind::Human | PeerKind::Relay => AuthorKind::Human,
            },
            id: identity.id.clone(),
            name: identity.name.clone(),
            model: identity.model.clone(),
            quantisation: None,
            adapter: None,
            device: None,
        }
    }
}

/// What accepting a proposal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProposalKind {
    /// Puts the payload at the caret.
    Insert,
    /// Puts the payload in the range's place.
    Replace,
    /// Takes the range out.
    Delete,
    /// Puts the payload after the anchor's block.
    Comment,
}

/// How far a proposal is, as the margin says. What became of it in the end, the body's decisions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProposalState {
    /// Its payload grows.
    Streaming,
    /// It waits for a decision.
    Pending,
    /// It was cancelled while it was being written.
    Cancelled,
    /// Its author could not go on; `error` says why.
    Failed,
    /// It was accepted (a copy of what the body says, for readers that see the margin only).
    Accepted,
    /// It was rejected (likewise).
    Rejected,
}

/// The body that a proposal's author saw: accepting deletes nothing that was written later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// The v1 state vector in base64.
    #[serde(default)]
    pub state_vector: String,
}

impl Base {
    /// The body as it is now.
    #[must_use]
    pub fn of<T: ReadTxn>(body: &T) -> Self {
        Self {
            state_vector: STANDARD.encode(body.state_vector().encode_v1()),
        }
    }

    /// The state vector. One that cannot be read names nothing, so that nothing is deleted by its word.
    #[must_use]
    pub fn decode(&self) -> StateVector {
        STANDARD
            .decode(&self.state_vector)
            .ok()
            .and_then(|bytes| decode_state_vector(&bytes).ok())
            .unwrap_or_default()
    }
}

/// How the writing went.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub tokens: u64,
    /// Time to the first word, in milliseconds.
    pub first_word_ms: u64,
    /// Tokens written a second.
    pub tokens_per_second: f64,
}

/// A change that somebody proposes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// A ULID.
    #[serde(default)]
    pub id: String,
    /// The request it answers; empty if none.
    #[serde(default)]
    pub request: String,
    /// Who wrote it.
    pub author: Author,
    /// Who asked for it.
    #[serde(default)]
    pub requester: Person,
    /// What accepting does.
    pub kind: ProposalKind,
    /// Where.
    pub anchor: Anchor,
    /// What its author saw.
    #[serde(default)]
    pub base: Base,
    /// The text, in Markdown. Grows while it streams.
    #[serde(default)]
    pub payload: String,
    /// How far it is.
    pub state: ProposalState,
    /// When it was begun.
    #[serde(default)]
    pub at: Timestamp,
    /// Why, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// 0 to 1.
    #[serde(
        default,
        deserialize_with = "if_readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub confidence: Option<f64>,
    /// How the writing went.
    #[serde(
        default,
        deserialize_with = "if_readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub stats: Option<Stats>,
    /// Why it failed, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is only for show does not make a proposal unreadable.
fn if_readable<'de, V: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<V>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
