//! What the relay says of the models on its machine, and the words for it.

use serde::Deserialize;

use crate::adapters::Adapter;

/// The answer of `GET /models`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Library {
    /// Where they are.
    pub folder: String,
    /// Those that can be used.
    pub models: Vec<Installed>,
    /// Folders that are no models.
    pub broken: Vec<Broken>,
    /// What is being added or measured, the newest first.
    pub jobs: Vec<Job>,
    /// LoRA adapters.
    pub adapters: Vec<Adapter>,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Installed {
    /// Name of its folder.
    pub id: String,
    /// For people.
    pub name: String,
    /// SPDX id or words.
    pub licence: Option<String>,
    /// On the disk.
    pub bytes: f64,
    /// How its weights are stored.
    pub quantisation: String,
    /// In tokens.
    pub context_length: Option<f64>,
    /// Where it came from.
    pub source: Option<String>,
    /// How fast it was here.
    pub measured: Option<Measured>,
    /// What it takes.
    pub memory: Memory,
    /// It runs now.
    pub running: bool,
}

/// A measured speed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measured {
    /// Where it ran.
    pub device: String,
    /// Tokens written a second.
    pub decode_tokens_per_second: f64,
    /// Tokens read a second.
    pub prefill_tokens_per_second: f64,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// About what it takes.
    pub needed: f64,
    /// What is free.
    pub available: Option<f64>,
    /// Whether it fits, where that can be told.
    pub fits: Option<bool>,
}

/// A folder that is no model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Broken {
    /// Its name.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Something that takes longer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Job {
    /// For stopping it.
    pub id: String,
    /// `add`, `measure` or `adapter`.
    pub kind: String,
    /// What was asked for.
    pub what: String,
    /// How it stands.
    pub state: Stand,
    /// What is done now.
    pub doing: String,
    /// Bytes that are done.
    pub done: f64,
    /// Bytes in all.
    pub total: Option<f64>,
    /// Why it failed, or what came of it.
    pub message: Option<String>,
    /// The model that it led to.
    pub model: Option<String>,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stand {
    /// It goes on.
    #[default]
    Running,
    /// Done.
    Done,
    /// It did not work.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verified {
    /// All as it was.
    Whole {
        /// How many files.
        files: usize,
    },
    /// Missing or other than they were.
    Changed {
        /// Which.
        files: Vec<String>,
    },
    /// Nothing to compare with.
    NotRecorded,
}

/// "134 MB", "1.4 GB".
#[must_use]
pub fn size(bytes: f64) -> String {
    if bytes < 999_500.0 {
        format!("{:.0} KB", (bytes / 1e3).max(0.0))
    } else if bytes < 999_500_000.0 {
        format!("{:.0} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}

impl Installed {
    /// All that does not change from look to look: what is free in memory does.
    #[must_use]
    pub fn lasting(&self) -> String {
        let memory = Memory::default();
        let model = Self {
            memory,
            ..self.clone()
        };
        format!("{model:?}")
    }
}

impl Memory {
    /// "Fits: about 0.5 GB of 7.2 GB that are free".
    #[must_use]
    pub fn words(&self) -> String {
        let needed = size(self.needed);
        match (self.fits, self.available) {
            (Some(true), Some(free)) => format!("Fits: takes about {needed}, {} are free", size(free)),
            (Some(false), Some(free)) => {
                format!("Does not fit: takes about {needed}, {} are free", size(free))
            }
            _ => format!("Takes about {needed}"),
        }
    }
}

impl Job {
    /// What it is, in words.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.kind.as_str(), self.state) {
            ("measure", Stand::Done) => format!("{} was measured", self.what),
            ("measure", _) => format!("Measuring {}", self.what),
            ("adapter", Stand::Done) => {
                format!(
                    "The adapter {} was added",
                    self.model.as_deref().unwrap_or(&self.what)
                )
            }
            ("adapter", _) => format!("Adding the adapter {}", self.what),
            (_, Stand::Done) => format!("{} was added", self.model.as_deref().unwrap_or(&self.what)),
            _ => format!("Adding {}", self.what),
        }
    }

    /// How it stands, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let message = self.message.clone().unwrap_or_default();
        match self.state {
            Stand::Running => match self.total {
                Some(total) if total > 0.0 => {
                    format!("{}: {} of {}", self.doing, size(self.done), size(total))
                }
                _ if self.done > 0.0 => format!("{}: {}", self.doing, size(self.done)),
                _ if self.doing.is_empty() => "Beginning…".to_owned(),
                _ => format!("{}…", self.doing),
            },
            Stand::Done => message,
            Stand::Failed => format!("It did not work: {message}"),
            Stand::Stopped if self.kind == "adapter" => "Stopped.".to_owned(),
            Stand::Stopped => "Stopped. Added again, a download goes on where it was.".to_owned(),
        }
    }

    /// From 0 to 1, where it can be told.
    #[must_use]
    pub fn part(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0.0)?;
        Some((self.done / total).clamp(0.0, 1.0))
    }
}

impl Verified {
    /// In words, and whether all is well.
    #[must_use]
    pub fn words(&self, id: &str) -> (bool, String) {
        match self {
            Self::Whole { files } => (
                true,
                format!("{id}: all {files} files are as they were when it was added."),
            ),
            Self::Changed { files } => (
                false,
                format!(
                    "{id}: changed or missing: {}. Remove it and add it again.",
                    files.join(", ")
                ),
            ),
            Self::NotRecorded => (
                true,
                format!("{id} can be used; nothing was recorded to compare it with."),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_put_into_words() {
        let body = r#"{"folder":"/m","models":[{"id":"tiny","name":"Tiny","licence":"MIT","bytes":134000000,"quantisation":"q8","contextLength":8192,
            "source":"the file a.gguf","memory":{"needed":500000000,"available":7200000000,"fits":true},"running":true,
            "measured":{"device":"CPU","decodeTokensPerSecond":71.2,"prefillTokensPerSecond":572.0,"loadMs":9}}],
            "broken":[{"id":"half","reason":"no graph"}],"jobs":[{"id":"j","kind":"add","what":"a/b","state":"running","doing":"model.onnx","done":5000000,"total":20000000}]}"#;
        let library: Library = serde_json::from_str(body).unwrap();
        assert_eq!(
            library.models[0].memory.words(),
            "Fits: takes about 500 MB, 7.2 GB are free"
        );
        assert_eq!(library.jobs[0].title(), "Adding a/b");
        assert_eq!(library.jobs[0].words(), "model.onnx: 5 MB of 20 MB");
        assert_eq!(library.jobs[0].part(), Some(0.25));
        assert!(library.models[0].running && library.models[0].measured.is_some());
        let mut later = library.models[0].clone();
        later.memory.available = Some(1.0);
        assert_eq!(later.lasting(), library.models[0].lasting());
        later.measured = None;
        assert_ne!(later.lasting(), library.models[0].lasting());
    }

    #[test]
    fn jobs_that_are_over_say_what_came_of_them() {
        let job = |json: &str| serde_json::from_str::<Job>(json).unwrap();
        let failed = job(r#"{"kind":"add","what":"x","state":"failed","message":"no such file"}"#);
        assert_eq!(failed.words(), "It did not work: no such file");
        let done = job(r#"{"kind":"add","what":"x","state":"done","model":"tiny"}"#);
        assert_eq!((done.title().as_str(), done.part()), ("tiny was added", None));
        let adapter = job(r#"{"kind":"adapter","what":"/x","state":"done","model":"law"}"#);
        assert_eq!(adapter.title(), "The adapter law was added");
        assert!(job(r#"{"state":"stopped"}"#).words().contains("goes on"));
        assert_eq!(job(r#"{"state":"running"}"#).words(), "Beginning…");
    }

    #[test]
    fn sizes_and_verdicts_are_words() {
        assert_eq!(
            [size(0.0), size(52_300.0), size(134e6), size(1.44e9)],
            ["0 KB", "52 KB", "134 MB", "1.4 GB"]
        );
        let verdict: Verified =
            serde_json::from_str(r#"{"verdict":"changed","files":["config.json"]}"#).unwrap();
        assert_eq!(
            verdict.words("m"),
            (
                false,
                "m: changed or missing: config.json. Remove it and add it again.".into()
            )
        );
        let whole: Verified = serde_json::from_str(r#"{"verdict":"whole","files":7}"#).unwrap();
        assert!(whole.words("m").0);
        let memory = Memory {
            needed: 9e9,
            available: Some(1e9),
            fits: Some(false),
        };
        assert!(memory.words().starts_with("Does not fit"));
    }
}
