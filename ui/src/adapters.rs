//! LoRA adapters as the relay tells them: those on its machine, and which of them the model wears in a document.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// An adapter on the relay's machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Adapter {
    /// Name of its folder.
    pub id: String,
    /// The model that it was made for.
    pub base: String,
    /// How many of the model's matrices it changes.
    pub changed: u64,
    /// Their greatest rank.
    pub rank: u64,
    /// On the disk.
    pub bytes: f64,
    /// Where it came from.
    pub source: String,
    /// The model that runs can wear it.
    pub fits: bool,
    /// How many documents name it.
    pub documents: u64,
}

impl Adapter {
    /// "2 documents use it", for whoever is about to remove it.
    #[must_use]
    pub fn use_words(&self) -> String {
        match self.documents {
            0 => "No document uses it.".to_owned(),
            1 => "One document uses it: what is asked there fails until another is chosen.".to_owned(),
            many => format!("{many} documents use it: what is asked there fails until another is chosen."),
        }
    }
}

/// The commands that may have an adapter of their own.
pub const COMMANDS: [&str; 5] = ["continue", "rewrite", "summarise", "brainstorm", "ask"];

/// What is worn in a document, and what could be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Worn {
    /// For every command that has no word of its own.
    pub usual: Option<String>,
    /// For single commands; none: the model as it is.
    pub commands: BTreeMap<String, Option<String>>,
    /// Those that there are for the model that runs.
    pub available: Vec<Choice>,
    /// Those that the document names and that are not among them.
    pub missing: Vec<String>,
    /// The model that runs.
    pub model: Option<String>,
    /// Whether this person may change it.
    pub may_set: bool,
}

/// An adapter to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// Its name.
    pub id: String,
    /// The greatest rank of its matrices.
    pub rank: u64,
}

/// As for everything: no word of its own.
pub const AS_USUAL: &str = "";
/// The model as it is.
pub const BARE: &str = "bare";

/// An adapter as the value of an option; no name is [`BARE`] or [`AS_USUAL`] then.
#[must_use]
pub fn option_of(adapter: &str) -> String {
    format!("={adapter}")
}

impl Worn {
    /// What is chosen for everything, as the value of an option.
    #[must_use]
    pub fn usual_option(&self) -> String {
        self.usual.as_deref().map_or_else(|| BARE.to_owned(), option_of)
    }

    /// What is chosen for a command.
    #[must_use]
    pub fn command_option(&self, command: &str) -> String {
        match self.commands.get(command) {
            None => AS_USUAL.to_owned(),
            Some(None) => BARE.to_owned(),
            Some(Some(adapter)) => option_of(adapter),
        }
    }

    /// The options that are adapters: value and words.
    #[must_use]
    pub fn options(&self) -> Vec<(String, String)> {
        let there = self
            .available
            .iter()
            .map(|choice| (option_of(&choice.id), choice.id.clone()));
        let missing = self
            .missing
            .iter()
            .map(|name| (option_of(name), format!("{name} (cannot be worn)")));
        there.chain(missing).collect()
    }

    /// What the relay is told: the chosen options, for everything and by command.
    #[must_use]
    pub fn told<'a>(usual: &str, commands: impl Iterator<Item = (&'a str, String)>) -> Value {
        let name = |option: &str| option.strip_prefix('=').map(str::to_owned);
        let own: BTreeMap<&str, Option<String>> = commands
            .filter(|(_, option)| option != AS_USUAL)
            .map(|(command, option)| (command, name(&option)))
            .collect();
        json!({"usual": name(usual), "commands": own})
    }

    /// What stands in the way, for the dialog.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        if !self.missing.is_empty() {
            let (names, model) = (
                self.missing.join(", "),
                self.model.as_deref().unwrap_or("no model"),
            );
            return Some(format!(
                "This document names {names}, which is not on this machine for the model that runs ({model}): what is asked with it \
                 fails until another is chosen, or it is added again."
            ));
        }
        match &self.model {
            None => Some("No model runs in Inkling itself now, and only that one wears adapters.".to_owned()),
            Some(model) if self.available.is_empty() => Some(format!(
                "There are no adapters for {model} yet: whoever owns this program adds them in Settings, Models."
            )),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worn() -> Worn {
        serde_json::from_str(
            r#"{"usual": "law", "commands": {"rewrite": "bare", "continue": null}, "maySet": true, "model": "tiny",
                "available": [{"id": "law", "rank": 4, "bytes": 9}, {"id": "bare", "rank": 8}], "missing": []}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_is_chosen_is_told_as_it_was_read() {
        let worn = worn();
        assert_eq!(worn.usual_option(), "=law");
        assert_eq!(
            worn.command_option("rewrite"),
            "=bare",
            "an adapter may be called so"
        );
        assert_eq!(
            (
                worn.command_option("continue").as_str(),
                worn.command_option("ask").as_str()
            ),
            (BARE, AS_USUAL)
        );
        let chosen = COMMANDS
            .iter()
            .map(|command| (*command, worn.command_option(command)));
        assert_eq!(
            Worn::told(&worn.usual_option(), chosen),
            json!({"usual": "law", "commands": {"rewrite": "bare", "continue": null}})
        );
        assert_eq!(
            Worn::told(BARE, std::iter::empty()),
            json!({"usual": null, "commands": {}})
        );
    }

    #[test]
    fn what_stands_in_the_way_is_said() {
        assert_eq!(worn().remark(), None);
        let missing = Worn {
            missing: vec!["gone".into()],
            ..worn()
        };
        assert!(missing.remark().unwrap().contains("names gone"));
        assert_eq!(missing.options().last().unwrap().1, "gone (cannot be worn)");
        let none = Worn {
            available: vec![],
            ..worn()
        };
        assert!(none.remark().unwrap().contains("no adapters for tiny"));
        assert!(Worn::default().remark().unwrap().contains("No model runs"));
    }

    #[test]
    fn who_removes_an_adapter_is_told_who_uses_it() {
        let used = |documents| {
            Adapter {
                documents,
                ..Adapter::default()
            }
            .use_words()
        };
        assert!(
            used(0).starts_with("No document")
                && used(1).starts_with("One")
                && used(3).starts_with("3 documents")
        );
    }
}
