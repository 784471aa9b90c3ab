//! Who is there, and what they may do.

use serde::{Deserialize, Serialize};

/// A human or an AI peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerKind {
    /// A person at a window.
    #[default]
    Human,
    /// A model.
    Ai,
}

/// Somebody who has the document open.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Person {
    /// Yjs client id: one for each window.
    pub client_id: u64,
    /// The same for all windows of a person.
    pub id: String,
    /// Shown at the caret.
    pub name: String,
    /// `#rrggbb`.
    pub color: String,
    /// Human or AI.
    pub kind: PeerKind,
    /// This very window.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// AI: the model's name.
    pub model: Option<String>,
    /// AI: what it runs on.
    pub device: Option<String>,
    /// AI: how its weights are stored.
    pub quantisation: Option<String>,
    /// AI: the licence of the model.
    pub licence: Option<String>,
    /// AI: what it does now.
    pub ai: Option<AiActivity>,
}

/// What an AI peer is doing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AiActivity {
    /// Idle, reading or writing.
    pub state: AiState,
    /// The request it works on.
    pub request: Option<String>,
    /// Of the last or current answer.
    pub tokens_per_second: Option<f64>,
}

/// The phases of an AI peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AiState {
    /// Waits for requests.
    #[default]
    Idle,
    /// Reads the document; no word yet.
    Thinking,
    /// Words are coming.
    Writing,
}

/// What a connection may do with the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, asks and proposes.
    Suggester,
    /// Writes and decides.
    Editor,
    /// The same, and gives rights.
    Owner,
}

impl Role {
    /// May accept and reject.
    #[must_use]
    pub fn may_decide(self) -> bool {
        matches!(self, Self::Editor | Self::Owner)
    }

    /// May write into the margin.
    #[must_use]
    pub fn may_ask(self) -> bool {
        !matches!(self, Self::Viewer)
    }
}

/// Who sits at this window; kept in the browser's storage and sent to the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Made once for a device.
    pub id: String,
    /// What others see.
    pub name: String,
    /// `#rrggbb`.
    #[serde(default)]
    pub color: String,
}
