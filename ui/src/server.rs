//! What the relay's REST API says: documents and status. See `docs/protocol.md`, *REST*.

use serde::Deserialize;

use crate::events::Role;

/// A moment, as the API gives it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// Milliseconds since the epoch.
    Millis(f64),
    /// RFC 3339.
    Text(String),
}

/// One document in the list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Document {
    /// For ever.
    pub id: String,
    /// May be empty.
    pub title: String,
    /// When it was last changed.
    pub updated_at: Option<Moment>,
    /// The other server's address, if it is kept in sync with one.
    pub link: Option<String>,
    /// How that is going: `connected`, `offline` or `refused`.
    pub link_state: Option<String>,
}

/// "other.example" of "https://other.example/#/d/1".
#[must_use]
pub fn host(link: &str) -> String {
    let rest = link.split_once("://").map_or(link, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest).to_owned()
}

/// How a document's link to another server is, in words.
#[must_use]
pub fn link_words(host: &str, state: Option<&str>) -> String {
    match state {
        Some("connected") => format!("In sync with {host}"),
        Some("refused") => format!("{host} refuses the link"),
        Some("replaced") => format!("{host} has another document by now: this one is your own"),
        _ => format!("{host} is not reached"),
    }
}

/// What a link that was just made has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTry {
    /// The other server is being asked.
    Waiting,
    /// Its document is here.
    Open,
    /// Words for the person.
    Failed(String),
}

/// Judges a new link by its state, and by whether it may still be waited for.
#[must_use]
pub fn link_try(host: &str, state: Option<&str>, patient: bool) -> LinkTry {
    match (state, patient) {
        (Some("connected"), _) => LinkTry::Open,
        (Some("refused"), _) => LinkTry::Failed(format!(
            "{host} does not let you in with this link. Ask whoever shared it for a new one, and paste that here."
        )),
        (_, true) => LinkTry::Waiting,
        (_, false) => LinkTry::Failed(format!(
            "{host} cannot be reached. Check the address, and that its server runs. The document stays in the list and \
             fills as soon as the server answers."
        )),
    }
}

/// The relay and its models.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerStatus {
    /// Of the program.
    pub version: String,
    /// What this connection may do.
    pub role: Option<Role>,
    /// Every model that is loaded.
    pub models: Vec<Model>,
    /// Why there is none, in words; none as well while one is being loaded.
    pub model_problem: Option<String>,
    /// The disk.
    pub storage: Storage,
}

/// One model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Model {
    /// Folder or catalogue id.
    pub id: String,
    /// Shown.
    pub name: String,
    /// What it runs on; empty while it is not loaded.
    pub device: String,
    /// How its weights are stored.
    pub quantisation: String,
    /// SPDX id or words.
    pub licence: String,
    /// While writing.
    pub tokens_per_second: Option<f64>,
    /// In tokens.
    pub context_length: Option<f64>,
    /// Every device that was asked for, in order.
    pub devices: Vec<Device>,
}

/// One device that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Device {
    /// `CUDA`, `DirectML`, `CPU`.
    pub provider: String,
    /// This is the one.
    pub running: bool,
    /// Why it was refused, or what it is.
    pub reason: Option<String>,
}

/// The relay's disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Writes succeed.
    pub ok: bool,
    /// Words when they do not.
    pub message: Option<String>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            ok: true,
            message: None,
        }
    }
}

/// Where the relay's AI is, when none is in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The relay has not been heard yet.
    Unknown,
    /// Its model is being loaded, or it was started without one: it does not say which.
    NotYet,
    /// A model is loaded; its peer joins in a moment.
    Joining,
    /// Models run elsewhere only, and this document's text may not leave.
    StaysOut,
    /// There will be none, for this reason.
    Failed(String),
}

/// Why no AI is here, from what the relay says of its models.
#[must_use]
pub fn absence(status: Option<&ServerStatus>) -> Absence {
    let Some(status) = status else {
        return Absence::Unknown;
    };
    let problem = status.model_problem.clone().filter(|words| !words.is_empty());
    let models = &status.models;
    if models.iter().any(Model::joins_by_itself) {
        return Absence::Joining;
    }
    if models
        .iter()
        .any(|model| model.devices.iter().any(|device| device.running))
    {
        return Absence::StaysOut;
    }
    let reasons = models.iter().flat_map(|model| &model.devices);
    let reason = reasons
        .filter_map(|device| device.reason.clone())
        .find(|words| !words.is_empty());
    match problem.or(reason) {
        Some(words) => Absence::Failed(words),
        None => Absence::NotYet,
    }
}

impl Model {
    /// Whether it runs on this machine, so that it may be in every document.
    fn joins_by_itself(&self) -> bool {
        let here = |device: &Device| device.running && !crate::privacy::is_elsewhere(&device.provider);
        self.devices.is_empty() || self.devices.iter().any(here)
    }
}

impl Absence {
    /// For the line at the bottom.
    #[must_use]
    pub fn short(&self) -> &'static str {
        match self {
            Self::Unknown => "No AI here",
            Self::NotYet => "No AI yet",
            Self::Joining => "AI is joining…",
            Self::StaysOut => "No AI may read this",
            Self::Failed(_) => "AI cannot be used",
        }
    }

    /// For the ask bar and the report.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Unknown => "No AI is in this document yet.".to_owned(),
            Self::NotYet => "No AI is in this document yet. Its model is still being loaded, unless Inkling was started without one."
                .to_owned(),
            Self::Joining => "The AI is getting ready. It will appear among the people in a moment.".to_owned(),
            Self::StaysOut => "The AI runs elsewhere, and this document's text stays on this machine. Its owner may change that: More, What \
                may leave this machine."
                .to_owned(),
            Self::Failed(words) => format!("The AI cannot be used: {words}"),
        }
    }
}

/// The raw answer of a call, as the seam gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiAnswer {
    /// HTTP's; 0 when nothing answered.
    pub status: u16,
    /// The body's text.
    pub body: String,
}

/// Why a call failed. The code is for programs, the message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP's; 0 when nothing answered.
    pub status: u16,
    /// What to tell the person.
    pub message: String,
}

impl ApiAnswer {
    /// The body, when the call succeeded.
    ///
    /// # Errors
    /// With the relay's own words where it gave some, with ours where it did not.
    pub fn into_body(self) -> Result<String, ApiError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        #[derive(Deserialize)]
        struct Words {
            message: String,
        }
        let words = serde_json::from_str::<Words>(&self.body)
            .ok()
            .map(|words| words.message);
        let message = words.filter(|words| !words.is_empty()).unwrap_or_else(|| {
            match self.status {
                0 => "The server cannot be reached. Check that it runs and that you are online, then try again.",
                401 | 403 => "You may not do this here. Open the link that you were given again, or ask its owner for one.",
                404 => "That does not exist here any more.",
                500.. => "The server had a problem. Try again in a moment.",
                _ => "The server did not accept this.",
            }
            .to_owned()
        });
        Err(ApiError {
            status: self.status,
            message,
        })
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// As [`ApiAnswer::into_body`], and when the body is not what was expected.
    pub fn into_json<T: serde::de::DeserializeOwned>(self) -> Result<T, ApiError> {
        let status = self.status;
        let body = self.into_body()?;
        serde_json::from_str(&body).map_err(|_unreadable| ApiError {
            status,
            message:
                "The server's answer could not be understood. It may be of another version: reload the page."
                    .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> ApiAnswer {
        ApiAnswer {
            status,
            body: body.into(),
        }
    }

    #[test]
    fn documents_are_read_with_either_kind_of_moment() {
        let body = r#"[{"id":"a","title":"One","createdAt":1,"updatedAt":1700000000000},{"id":"b","title":"","updatedAt":"2025-01-01T00:00:00Z","link":"https://x.example/#/d/b","linkState":"offline"}]"#;
        let documents: Vec<Document> = answer(200, body).into_json().unwrap();
        assert_eq!(documents[0].updated_at, Some(Moment::Millis(1.7e12)));
        assert_eq!(
            documents[1].updated_at,
            Some(Moment::Text("2025-01-01T00:00:00Z".into()))
        );
        assert_eq!(documents[1].link_state.as_deref(), Some("offline"));
    }

    #[test]
    fn a_status_lists_models_and_refused_devices() {
        let body = r#"{"version":"0.1.0","role":"owner","listening":"127.0.0.1:8640","models":[{"id":"s","name":"SmolLM2","device":"CPU","quantisation":"q8","licence":"Apache-2.0","contextLength":8192,
            "devices":[{"provider":"CUDA","running":false,"reason":"no driver"},{"provider":"CPU","running":true,"reason":null}]}],"storage":{"ok":true}}"#;
        let status: ServerStatus = answer(200, body).into_json().unwrap();
        assert_eq!(status.models[0].devices[0].reason.as_deref(), Some("no driver"));
        assert!(status.models[0].devices[1].running && status.storage.ok);
        assert!(answer(200, "{}").into_json::<ServerStatus>().unwrap().storage.ok);
    }

    #[test]
    fn a_missing_ai_is_explained_from_what_the_server_says() {
        let with = |body: &str| absence(Some(&answer(200, body).into_json().unwrap()));
        assert_eq!(absence(None), Absence::Unknown);
        assert_eq!(with(r#"{"models":[]}"#), Absence::NotYet);
        assert_eq!(with(r#"{"models":[{"id":"s"}]}"#), Absence::Joining);
        let engine = |provider: &str, running: bool| {
            with(&format!(
                r#"{{"models":[{{"id":"b","devices":[{{"provider":"{provider}","running":{running},"reason":"no answer"}}]}}]}}"#
            ))
        };
        assert_eq!(engine("CPU", true), Absence::Joining);
        assert_eq!(engine("on this machine", true), Absence::Joining);
        assert_eq!(engine("on the internet", true), Absence::StaysOut);
        assert_eq!(engine("internet", false), Absence::Failed("no answer".into()));
        let failed = with(r#"{"models":[],"modelProblem":"tokenizer.json is missing"}"#);
        assert!(failed.sentence().contains("tokenizer.json is missing"));
    }

    #[test]
    fn a_new_link_is_waited_for_until_it_is_clear() {
        assert_eq!(link_try("h", Some("offline"), true), LinkTry::Waiting);
        assert_eq!(link_try("h", None, true), LinkTry::Waiting);
        assert_eq!(link_try("h", Some("connected"), false), LinkTry::Open);
        for (state, patient, words) in [
            ("refused", true, "does not let you in"),
            ("offline", false, "cannot be reached"),
        ] {
            let LinkTry::Failed(said) = link_try("other:1", Some(state), patient) else {
                panic!("{state}")
            };
            assert!(said.starts_with("other:1") && said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_link_is_named_by_its_host() {
        assert_eq!(host("https://other.example:44/x/#/d/1"), "other.example:44");
        assert_eq!(link_words("h", Some("connected")), "In sync with h");
        assert!(link_words("h", Some("refused")).contains("refuses"));
        assert!(link_words("h", Some("replaced")).contains("your own"));
        assert!(link_words("h", None).contains("not reached"));
    }

    #[test]
    fn errors_are_words() {
        let told = answer(403, r#"{"code":"forbidden","message":"Only owners may delete."}"#)
            .into_body()
            .unwrap_err();
        assert_eq!(
            told,
            ApiError {
                status: 403,
                message: "Only owners may delete.".into()
            }
        );
        for status in [0, 401, 404, 409, 500, 503] {
            let untold = answer(status, "<html>").into_body().unwrap_err();
            assert!(untold.message.ends_with('.'), "{untold:?}");
        }
        assert!(answer(200, "nonsense").into_json::<Vec<Document>>().is_err());
    }
}
