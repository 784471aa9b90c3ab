//! A request to an AI peer and its answer, as one card of the margin; and the answers to decisions.

use serde::Deserialize;

use super::person::PeerKind;

/// What accepting a proposal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProposalKind {
    /// Adds text at a caret.
    Insert,
    /// Replaces the quoted text.
    Replace,
    /// Removes the quoted text.
    Delete,
    /// An answer beside the text; it can be inserted after the block it is about.
    Comment,
}

/// A card's state, decisions taken into account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CardState {
    /// Asked; nothing written yet.
    #[default]
    Queued,
    /// Being written.
    Streaming,
    /// Waits for a decision.
    Pending,
    /// In the document.
    Accepted,
    /// Turned down.
    Rejected,
    /// Withdrawn before it was finished.
    Cancelled,
    /// Could not be written.
    Failed,
}

impl CardState {
    /// The name as the seam and `data-state` attributes have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Streaming => "streaming",
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// A request and its answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Card {
    /// Key, and the argument of decide, preview and reveal.
    pub id: String,
    /// Id of the request; empty when nobody asked.
    pub request: String,
    /// What accepting does; none while nothing is proposed.
    pub kind: Option<ProposalKind>,
    /// What was asked for: `continue`, `rewrite`, …
    pub request_kind: String,
    /// Where it stands.
    pub state: CardState,
    /// The text under it has changed since it was asked for.
    pub stale: bool,
    /// Its place is gone.
    pub detached: bool,
    /// Who wrote it.
    pub author: Option<Author>,
    /// Who asked.
    pub requester: Named,
    /// This person asked.
    pub mine: bool,
    /// The person's own words.
    pub instruction: String,
    /// The text it is about; empty for a caret.
    pub quote: String,
    /// Markdown.
    pub payload: String,
    /// The same as safe HTML, made by the surface.
    pub payload_html: String,
    /// Figures of the generation.
    pub stats: Option<Stats>,
    /// Why it is proposed.
    pub rationale: Option<String>,
    /// Words, when it failed.
    pub error: Option<String>,
    /// Who accepted or rejected it.
    pub decided_by: Option<Named>,
    /// Milliseconds since the epoch: when it was asked.
    pub at: f64,
    /// CSS px from the page's top to the text it is about; none when detached.
    pub top: Option<f64>,
}

/// A person's id and name, as stored in documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Stable.
    pub id: String,
    /// Shown.
    pub name: String,
}

/// Who wrote a proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Author {
    /// Human or AI.
    pub kind: PeerKind,
    /// Stable.
    pub id: String,
    /// Shown.
    pub name: String,
    /// The model's name.
    pub model: Option<String>,
    /// How its weights are stored.
    pub quantisation: Option<String>,
    /// The adapter that it wore.
    pub adapter: Option<String>,
    /// What it ran on.
    pub device: Option<String>,
}

/// Figures of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Tokens read.
    pub prompt_tokens: Option<f64>,
    /// Tokens written.
    pub tokens: Option<f64>,
    /// From asking to the first word.
    pub first_word_ms: Option<f64>,
    /// While writing.
    pub tokens_per_second: Option<f64>,
}

/// Markdown of a proposal's place: when it was asked for, now, and after accepting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Preview {
    /// When it was asked for.
    pub base: String,
    /// Now.
    pub current: String,
    /// After accepting.
    pub result: String,
}

/// The answer to `decide` and `preview`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DecideAnswer {
    /// Done.
    pub ok: bool,
    /// Why not, for programs: `stale`, `detached`, `offline`, …
    pub code: Option<String>,
    /// Why not, in words.
    pub message: Option<String>,
    /// With `stale`, and always with a preview.
    pub preview: Option<Preview>,
}
