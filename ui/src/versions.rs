//! What the relay's REST API says of a document's versions and share links, and the words for it.

use serde::Deserialize;

mod blocks;

pub use blocks::{Block, BlockChange};

use crate::events::{Named, Role};
use crate::server::Moment;

/// A state of the document that was kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Version {
    /// Counts up from 1.
    pub number: u64,
    /// When it was kept.
    pub at: Option<Moment>,
    /// Who asked for it, or who wrote last.
    pub by: Named,
    /// `automatic`, `named`, `beforeRestore` or `restored`.
    pub kind: String,
    /// If it has one.
    pub name: Option<String>,
    /// In the words of whoever asked for it.
    pub why: Option<String>,
}

impl Version {
    /// What it is called in the list.
    #[must_use]
    pub fn title(&self) -> String {
        match (&self.name, self.kind.as_str()) {
            (Some(name), _) if !name.trim().is_empty() => name.clone(),
            (_, "beforeRestore") => "Before going back".to_owned(),
            (_, "restored") => "After going back".to_owned(),
            (_, "named") => "Kept by hand".to_owned(),
            _ => "Kept by itself".to_owned(),
        }
    }

    /// Its number, moment and author in one line: "Version 3 · yesterday · Ann".
    #[must_use]
    pub fn facts(&self, moment: &str) -> String {
        let who = self.by.name.trim();
        let parts = [
            format!("Version {}", self.number),
            moment.to_owned(),
            who.to_owned(),
        ];
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" · ")
    }

    /// The reason that was given, with a capital at its beginning.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let why = self.why.as_deref()?.trim();
        let mut letters = why.chars();
        let first = letters.next()?;
        Some(first.to_uppercase().chain(letters).collect())
    }
}

/// How two states differ.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// The whole text, in pieces.
    pub text: Vec<Piece>,
    /// The blocks that differ, in the order of the later state.
    pub blocks: Vec<BlockChange>,
}

/// A piece of a compared text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Piece {
    /// What became of it.
    pub change: Change,
    /// Its letters.
    pub text: String,
}

/// What became of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is in both.
    Equal,
    /// Only in the later one.
    Insert,
    /// Only in the earlier one.
    Delete,
}

impl Difference {
    /// Is there none, in the words and in the blocks?
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.blocks.is_empty() && self.text.iter().all(|piece| piece.change == Change::Equal)
    }

    /// Are the words the same, and only what they stand in is not?
    #[must_use]
    pub fn is_of_form_only(&self) -> bool {
        !self.is_none() && self.text.iter().all(|piece| piece.change == Change::Equal)
    }
}

/// A link that lets others in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareLink {
    /// For revoking it.
    pub id: String,
    /// To give away.
    pub url: String,
    /// What it allows.
    pub role: Role,
    /// What its maker called it.
    #[serde(default)]
    pub label: Option<String>,
    /// When it ends; never without.
    #[serde(default)]
    pub expires_at: Option<f64>,
}

/// What a role allows, for people.
#[must_use]
pub fn allows(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Can read",
        Role::Suggester => "Can suggest",
        Role::Editor => "Can edit",
        Role::Owner => "Can edit and share",
    }
}

/// "for ever", "for 3 more days", "for 2 more hours".
#[must_use]
pub fn lasts(expires_at: Option<f64>, now: f64) -> String {
    const HOUR: f64 = 3_600_000.0;
    let Some(left) = expires_at.map(|at| at - now) else {
        return "for ever".to_owned();
    };
    let count = |number: f64, unit: &str| {
        let number = number.round().max(1.0);
        format!("for {number} more {unit}{}", if number < 2.0 { "" } else { "s" })
    };
    match left {
        left if left <= 0.0 => "no more".to_owned(),
        left if left < 48.0 * HOUR => count(left / HOUR, "hour"),
        left => count(left / (24.0 * HOUR), "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_named() {
        let body = r#"[{"number":3,"at":1700000000000,"by":{"id":"u","name":"Ann","kind":"human"},"kind":"named","name":"Before the trip","seq":9},
            {"number":2,"at":1,"by":{"id":"u","name":"Ann","kind":"human"},"kind":"automatic","seq":4}]"#;
        let versions: Vec<Version> = serde_json::from_str(body).unwrap();
        assert_eq!(versions[0].title(), "Before the trip");
        assert_eq!(
            (versions[0].by.name.as_str(), versions[1].title().as_str()),
            ("Ann", "Kept by itself")
        );
        assert_eq!(versions[0].facts("yesterday"), "Version 3 · yesterday · Ann");
        let told = Version {
            why: Some("before version 2 was restored".into()),
            ..Version::default()
        };
        assert_eq!(told.reason().as_deref(), Some("Before version 2 was restored"));
        assert_eq!(versions[0].reason(), None);
    }

    #[test]
    fn a_difference_is_read() {
        let body = r#"{"text":[{"change":"equal","text":"a"},{"change":"insert","text":"b"}],"blocks":[{"change":"added","to":1,"block":{"type":"paragraph"}}]}"#;
        let difference: Difference = serde_json::from_str(body).unwrap();
        assert!(!difference.is_none() && !difference.is_of_form_only());
        let body = r#"{"text":[{"change":"equal","text":"a"}],"blocks":[{"change":"moved","from":0,"to":1,"block":{"type":"paragraph"}}]}"#;
        let difference: Difference = serde_json::from_str(body).unwrap();
        assert!(difference.is_of_form_only() && !difference.is_none());
        assert!(Difference::default().is_none());
    }

    #[test]
    fn links_say_what_they_allow_and_how_long() {
        let body = r#"[{"id":"s","url":"http://h/#/d/x?key=share.a.b","role":"viewer","createdAt":1,"createdBy":"u","expiresAt":10}]"#;
        let links: Vec<ShareLink> = serde_json::from_str(body).unwrap();
        assert_eq!(allows(links[0].role), "Can read");
        let hour = 3_600_000.0;
        assert_eq!(lasts(None, 0.0), "for ever");
        assert_eq!(lasts(Some(0.2 * hour), 0.0), "for 1 more hour");
        assert_eq!(lasts(Some(47.0 * hour), 0.0), "for 47 more hours");
        assert_eq!(lasts(Some(72.0 * hour), 0.0), "for 3 more days");
        assert_eq!(lasts(Some(1.0), 2.0), "no more");
    }
}
