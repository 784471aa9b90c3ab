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
    /// How that is going: `connected`, `connecting`, `offline`, or words.
    pub link_state: Option<String>,
}

/// The relay and its models.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerStatus {
    /// Of the program.
    pub version: String,
    /// What this connection may do.
    pub role: Option<Role>,
    /// Every model that is here or was asked for.
    pub models: Vec<Model>,
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
    /// Why it cannot be used, in words.
    pub error: Option<String>,
    /// `loading`, `ready`, `failed`: for relays that say it.
    pub state: Option<String>,
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

/// Why nobody answers when an AI is asked: words for the ask bar, from what the relay says of its models.
#[must_use]
pub fn why_no_ai(status: Option<&ServerStatus>) -> String {
    let Some(status) = status else {
        return "No AI is in this document yet.".to_owned();
    };
    let failed = status
        .models
        .iter()
        .find_map(|model| model.error.as_deref().filter(|words| !words.is_empty()));
    match (status.models.is_empty(), failed) {
        (true, _) => {
            "No AI is in this document, and the server has no model. Its set-up fetches one.".to_owned()
        }
        (false, Some(words)) => format!("The AI cannot be used: {words}"),
        (false, None) => "The AI is getting ready. It will appear among the people in a moment.".to_owned(),
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
    fn a_missing_ai_is_explained() {
        let with = |models| {
            why_no_ai(Some(&ServerStatus {
                models,
                ..ServerStatus::default()
            }))
        };
        assert!(with(vec![]).contains("no model"));
        assert!(with(vec![Model::default()]).contains("getting ready"));
        let broken = Model {
            error: Some("tokenizer.json is missing.".into()),
            ..Model::default()
        };
        assert!(with(vec![broken]).contains("tokenizer.json is missing."));
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
