//! What may leave the machine that a document is on: the owner's word, kept by the relay beside members and links.

use serde::{Deserialize, Serialize};

/// What may be sent to an engine outside the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leave {
    /// Nothing: models on this machine only.
    #[default]
    Nothing,
    /// Text in which personal data has been replaced by placeholders.
    Masked,
    /// The text as it is.
    AsIs,
}

impl Leave {
    /// As it is written in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Masked => "masked",
            Self::AsIs => "asIs",
        }
    }
}

/// A word that is no [`Leave`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of: nothing, masked, asIs")]
pub struct LeaveError(String);

impl std::str::FromStr for Leave {
    type Err = LeaveError;

    fn from_str(word: &str) -> Result<Self, LeaveError> {
        [Self::Nothing, Self::Masked, Self::AsIs]
            .into_iter()
            .find(|leave| leave.as_str() == word)
            .ok_or_else(|| LeaveError(word.to_owned()))
    }
}

/// A document's policy. Without a word of its owner nothing leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// What may leave.
    pub leave: Leave,
    /// To which engines, by their names; to no other.
    pub engines: Vec<String>,
}

impl Policy {
    /// What may be sent to an engine.
    #[must_use]
    pub fn for_engine(&self, name: &str) -> Leave {
        if self.engines.iter().any(|engine| engine == name) {
            self.leave
        } else {
            Leave::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_unless_the_engine_is_named() {
        let policy = Policy {
            leave: Leave::AsIs,
            engines: vec!["Big".into()],
        };
        assert_eq!(policy.for_engine("Big"), Leave::AsIs);
        assert_eq!(policy.for_engine("big"), Leave::Nothing);
        assert_eq!(Policy::default().for_engine("Big"), Leave::Nothing);
        let read: Policy = serde_json::from_str("{}").unwrap();
        assert_eq!(read, Policy::default());
    }

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for leave in [Leave::Nothing, Leave::Masked, Leave::AsIs] {
            assert_eq!(leave.as_str().parse(), Ok(leave));
            assert_eq!(serde_json::to_value(leave).unwrap(), leave.as_str());
        }
        assert!("all".parse::<Leave>().is_err());
    }
}
