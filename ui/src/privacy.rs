//! What may leave the machine, in words: a document's policy, what would be masked, what has left; and where models run.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::events::{PeerKind, Person};
use crate::server::ServerStatus;

/// What the relay says of a document's policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Privacy {
    /// `nothing`, `masked` or `asIs`.
    pub leave: String,
    /// Engines that may be asked, by name.
    pub engines: Vec<String>,
    /// Engines that there are, outside Inkling itself.
    pub available: Vec<Engine>,
    /// Whether this person has been shown all that may leave, and agreed: without it no engine elsewhere answers them.
    pub agreed: bool,
    /// What the other server of a linked document says: its engines heed its own policy.
    pub there: Option<Box<Self>>,
    /// Whether this person may change it.
    pub may_set: bool,
}

/// An engine outside Inkling itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Engine {
    /// What people call it.
    pub name: String,
    /// `machine`, `network` or `internet`.
    pub place: String,
    /// The same in words.
    pub place_words: String,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

impl Privacy {
    /// What this person has not agreed to yet, and whether the other server asks it.
    #[must_use]
    pub fn open(&self) -> Option<(&Self, bool)> {
        if !self.agreed {
            return Some((self, false));
        }
        let there = self.there.as_deref()?;
        (!there.agreed).then_some((there, true))
    }
}

impl Engine {
    /// Whether what is sent to it leaves the machine.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.place != "machine"
    }
}

/// How a text would look when it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MaskPreview {
    /// What would be masked.
    pub spans: Vec<Span>,
}

/// Something personal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Span {
    /// What it is.
    pub words: String,
    /// What stands for it.
    pub placeholder: String,
    /// Itself.
    pub text: String,
}

impl MaskPreview {
    /// Each thing once, in the order of the text.
    #[must_use]
    pub fn once_each(&self) -> Vec<Span> {
        let mut once: Vec<Span> = Vec::new();
        for span in &self.spans {
            if !once.contains(span) {
                once.push(span.clone());
            }
        }
        once
    }
}

/// A request that has left.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Departure {
    /// Milliseconds since the epoch.
    pub at: f64,
    /// Who asked: a person's id.
    pub by: String,
    /// To whom it was sent.
    pub engine: String,
    /// `nothing`, `masked` or `asIs`.
    pub leave: String,
    /// Characters.
    pub characters: u64,
    /// How many of which kind were masked.
    pub masked: BTreeMap<String, u64>,
}

impl Departure {
    /// What was sent, for the list.
    #[must_use]
    pub fn words(&self, who: &str) -> String {
        let masked = match self.leave.as_str() {
            "masked" if self.masked.is_empty() => "nothing had to be masked".to_owned(),
            "masked" => {
                let kinds: Vec<String> = self
                    .masked
                    .iter()
                    .map(|(kind, count)| format!("{count} × {kind}"))
                    .collect();
                format!("masked: {}", kinds.join(", "))
            }
            _ => "as it is".to_owned(),
        };
        format!(
            "{} characters to {}, asked by {who}; {masked}",
            self.characters, self.engine
        )
    }
}

/// What the self-test says of one engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The engine's name.
    pub name: String,
    /// Lines for people.
    pub words: String,
}

/// Whether what this peer is asked leaves the machine: so it says itself.
#[must_use]
pub fn leaves(peer: &Person) -> bool {
    peer.kind == PeerKind::Ai && peer.device.as_deref().is_some_and(is_elsewhere)
}

/// Whether an engine that runs there runs on another machine.
#[must_use]
pub fn is_elsewhere(place: &str) -> bool {
    matches!(place, "on the internet" | "on this network")
}

/// Where a model runs, and in words why not where it was asked to first: nothing that was refused is kept quiet.
#[must_use]
pub fn runs(peer: &Person, status: Option<&ServerStatus>) -> Option<String> {
    let device = peer.device.clone().filter(|device| !device.is_empty())?;
    let models = status.map(|status| status.models.as_slice()).unwrap_or_default();
    let named = |name: &str| Some(name) == peer.model.as_deref() || name == peer.name;
    let refused = models
        .iter()
        .find(|model| model.device == device && named(&model.name))
        .and_then(|model| model.devices.iter().find(|device| !device.running));
    Some(match refused {
        Some(refused) => format!(
            "{device}, not {}: {}",
            refused.provider,
            refused.reason.as_deref().unwrap_or("refused")
        ),
        None => device,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Device, Model};

    fn peer(device: &str) -> Person {
        Person {
            kind: PeerKind::Ai,
            name: "Small".into(),
            model: Some("Small".into()),
            device: Some(device.into()),
            ..Person::default()
        }
    }

    #[test]
    fn a_downgrade_is_said_with_its_reason() {
        let device = |provider: &str, running, reason: &str| Device {
            provider: provider.into(),
            running,
            reason: Some(reason.into()),
        };
        let status = ServerStatus {
            models: vec![Model {
                name: "Small".into(),
                device: "CPU".into(),
                devices: vec![
                    device("CUDA", false, "no driver"),
                    device("DirectML", false, "not in this build"),
                    device("CPU", true, "331 nodes"),
                ],
                ..Model::default()
            }],
            ..ServerStatus::default()
        };
        assert_eq!(
            runs(&peer("CPU"), Some(&status)).unwrap(),
            "CPU, not CUDA: no driver"
        );
        assert_eq!(runs(&peer("CPU"), None).unwrap(), "CPU");
        assert_eq!(
            runs(&peer("on the internet"), Some(&status)).unwrap(),
            "on the internet"
        );
        assert_eq!(runs(&peer(""), Some(&status)), None);
    }

    #[test]
    fn what_is_not_agreed_to_is_asked_here_first_and_then_of_the_other_server() {
        let mut privacy: Privacy = serde_json::from_str(
            r#"{"leave": "masked", "agreed": false, "there": {"leave": "asIs", "engines": ["Far"], "agreed": false}}"#,
        )
        .unwrap();
        assert_eq!(
            privacy.open().map(|(open, there)| (open.leave.as_str(), there)),
            Some(("masked", false))
        );
        privacy.agreed = true;
        assert_eq!(
            privacy.open().map(|(open, there)| (open.leave.as_str(), there)),
            Some(("asIs", true))
        );
        privacy.there = None;
        assert_eq!(privacy.open(), None);
    }

    #[test]
    fn only_what_goes_elsewhere_leaves() {
        assert!(leaves(&peer("on the internet")) && leaves(&peer("on this network")));
        assert!(!leaves(&peer("on this machine")) && !leaves(&peer("CPU")));
    }

    #[test]
    fn what_has_left_is_told_in_one_line() {
        let departure: Departure = serde_json::from_str(
            r#"{"at": 1, "by": "u", "engine": "Big", "leave": "masked", "characters": 120, "masked": {"name": 1, "e-mail address": 2}}"#,
        )
        .unwrap();
        assert_eq!(
            departure.words("Ada"),
            "120 characters to Big, asked by Ada; masked: 2 × e-mail address, 1 × name"
        );
        let plain = Departure {
            leave: "asIs".into(),
            ..departure
        };
        assert!(plain.words("Ada").ends_with("as it is"));
    }

    #[test]
    fn a_preview_names_each_thing_once() {
        let span = Span {
            words: "name".into(),
            placeholder: "[NAME_1]".into(),
            text: "Ada".into(),
        };
        let preview = MaskPreview {
            spans: vec![span.clone(), span.clone()],
        };
        assert_eq!(preview.once_each(), [span]);
    }
}
