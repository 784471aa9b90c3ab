//! Who and what: the small values that every other module and crate speaks in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// What the name of a margin ends in.
const MARGIN_SUFFIX: &str = "~margin";

/// The longest document id, in bytes of UTF-8.
const MAX_DOC_ID_BYTES: usize = 200;

/// A document's name for ever: 1 to 200 bytes of UTF-8, no control characters, not ending in `~margin`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DocId(String);

impl DocId {
    /// Checks a name that came from outside.
    ///
    /// # Errors
    /// [`DocIdError`] says which of the rules in `SCHEMA.md` the name breaks.
    pub fn parse(id: &str) -> Result<Self, DocIdError> {
        if id.is_empty() {
            Err(DocIdError::Empty)
        } else if id.len() > MAX_DOC_ID_BYTES {
            Err(DocIdError::TooLong { bytes: id.len() })
        } else if id.chars().any(char::is_control) {
            Err(DocIdError::Control)
        } else if id.ends_with(MARGIN_SUFFIX) {
            Err(DocIdError::Margin)
        } else {
            Ok(Self(id.to_owned()))
        }
    }

    /// The id as it stands in URLs and stores.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DocId {
    type Err = DocIdError;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::parse(id)
    }
}

impl<'de> Deserialize<'de> for DocId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::parse(&id).map_err(serde::de::Error::custom)
    }
}

/// Why a string names no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocIdError {
    /// There is no name at all.
    #[error("a document id cannot be empty")]
    Empty,
    /// The name is longer than stores and URLs take.
    #[error("a document id has at most {MAX_DOC_ID_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The name holds a line break or another control character.
    #[error("a document id cannot contain control characters")]
    Control,
    /// The name is that of a margin.
    #[error("a document id cannot end in `~margin`")]
    Margin,
}

/// Which of a document's two Yjs documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The accepted text and its decisions.
    Body,
    /// Requests, proposals and whatever else stands beside the text.
    Margin,
}

/// The name of one Yjs document on the wire: `D` for the body of `D`, `D~margin` for its margin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocName {
    /// The document.
    pub doc: DocId,
    /// Body or margin.
    pub part: Part,
}

impl DocName {
    /// Reads a name off the wire.
    ///
    /// # Errors
    /// As [`DocId::parse`], for what stands before `~margin`.
    pub fn parse(name: &str) -> Result<Self, DocIdError> {
        match name.strip_suffix(MARGIN_SUFFIX) {
            Some(doc) => Ok(Self {
                doc: DocId::parse(doc)?,
                part: Part::Margin,
            }),
            None => Ok(Self {
                doc: DocId::parse(name)?,
                part: Part::Body,
            }),
        }
    }
}

impl fmt::Display for DocName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doc.as_str())?;
        match self.part {
            Part::Body => Ok(()),
            Part::Margin => f.write_str(MARGIN_SUFFIX),
        }
    }
}

impl FromStr for DocName {
    type Err = DocIdError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

/// One connection of one peer, for as long as it lasts. Numbers are not used again while a relay runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A moment, in milliseconds since the Unix epoch. Always an argument: this crate has no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// What kind of participant a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerKind {
    /// A person's window.
    Human,
    /// A model.
    Ai,
    /// Another relay, speaking for those behind it.
    Relay,
}

/// Who is at the other end of a connection, as the relay knows them (never as an update claims).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Stable over connections, chosen by the peer or its key.
    pub id: String,
    /// For people to read.
    pub name: String,
    /// Human, model or relay.
    pub kind: PeerKind,
    /// The model's name, for an AI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What a connection may do with a document; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Writes the margin. Every AI is at most this.
    Suggester,
    /// Writes both parts and decides proposals.
    Editor,
    /// As an editor, and sets roles and rules.
    Owner,
}

impl Role {
    /// Whether updates to that part are let through.
    #[must_use]
    pub const fn may_write(self, part: Part) -> bool {
        match (self, part) {
            (Self::Viewer, _) | (Self::Suggester, Part::Body) => false,
            (Self::Suggester, Part::Margin) | (Self::Editor | Self::Owner, _) => true,
        }
    }

    /// Whether accepting, rejecting and undoing are let through.
    #[must_use]
    pub const fn may_decide(self) -> bool {
        match self {
            Self::Viewer | Self::Suggester => false,
            Self::Editor | Self::Owner => true,
        }
    }

    /// The role's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Suggester => "suggester",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(role: &str) -> Result<Self, Self::Err> {
        [Self::Viewer, Self::Suggester, Self::Editor, Self::Owner]
            .into_iter()
            .find(|known| known.as_str() == role)
            .ok_or_else(|| RoleError(role.to_owned()))
    }
}

/// A string that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: use viewer, suggester, editor or owner")]
pub struct RoleError(pub String);

/// `len` consecutive clocks of one Yjs client: a piece of content, named for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdRange {
    /// The Yjs client.
    pub client: u64,
    /// The first clock.
    pub clock: u32,
    /// How many clocks; for text, UTF-16 code units.
    pub len: u32,
}

impl IdRange {
    /// The first clock after the range.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.clock.saturating_add(self.len)
    }
}

/// Where new ids come from: chance is an argument, so that a test is repeatable.
pub trait IdSource {
    /// A new id that sorts by `now`.
    fn ulid(&mut self, now: Timestamp) -> Ulid;
}

/// Any source of random numbers will do: `|| rng.random()`.
impl<F: FnMut() -> u128> IdSource for F {
    fn ulid(&mut self, now: Timestamp) -> Ulid {
        Ulid::from_parts(now.0, self())
    }
}

#[cfg(test)]
mod tests;
