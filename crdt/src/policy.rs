//! What a document's owner has said about the AI: what may leave the machine, and which adapters the model on it wears. Kept by
//! the relay beside members and links, and not in the document: whoever may write the text may not change it, it names
//! engines and files of this machine, and a copy elsewhere would name what is not there.

use std::collections::{BTreeMap, BTreeSet};

use crate::margin::RequestKind;
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

/// What somebody has agreed to, having been shown what would leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Agreement {
    /// The most that may leave by this word.
    pub leave: Leave,
    /// To which engines, by their names.
    pub engines: Vec<String>,
}

impl Agreement {
    /// Whether what leaves so, to this engine, was agreed to.
    #[must_use]
    pub fn covers(&self, engine: &str, leave: Leave) -> bool {
        leave <= self.leave && self.engines.iter().any(|known| known == engine)
    }
}

/// Which adapters the model in this program wears in a document, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Adapters {
    /// For every command that has no word of its own; `None`: the model as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<String>,
    /// For single commands; `None`: the model as it is, whatever is usual.
    pub commands: BTreeMap<RequestKind, Option<String>>,
}

impl Adapters {
    /// The adapter for a command.
    #[must_use]
    pub fn of(&self, kind: RequestKind) -> Option<&str> {
        self.commands.get(&kind).unwrap_or(&self.usual).as_deref()
    }

    /// Every adapter that is named.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let all = self.commands.values().chain([&self.usual]);
        all.filter_map(|name| name.as_deref()).collect()
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
    fn an_agreement_covers_what_was_shown_and_less() {
        let agreed = Agreement {
            leave: Leave::Masked,
            engines: vec!["Big".into()],
        };
        assert!(agreed.covers("Big", Leave::Masked) && agreed.covers("Big", Leave::Nothing));
        assert!(!agreed.covers("Big", Leave::AsIs) && !agreed.covers("Other", Leave::Masked));
        assert!(!Agreement::default().covers("Big", Leave::Masked));
    }

    #[test]
    fn a_command_may_have_an_adapter_of_its_own_or_none() {
        let read: Adapters =
            serde_json::from_str(r#"{"usual": "law", "commands": {"rewrite": "plain", "continue": null}}"#)
                .unwrap();
        assert_eq!(read.of(RequestKind::Ask), Some("law"));
        assert_eq!(read.of(RequestKind::Rewrite), Some("plain"));
        assert_eq!(read.of(RequestKind::Continue), None);
        assert_eq!(read.names(), ["law", "plain"].into());
        let again = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<Adapters>(again).unwrap(), read);
        assert_eq!(Adapters::default().of(RequestKind::Ask), None);
        assert!(serde_json::from_str::<Adapters>(r#"{"commands": {"sing": "law"}}"#).is_err());
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
