//! How a remote engine is reached, and why it cannot be.
use std::time::Duration;

use url::Url;

/// Where a remote model is and how it is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteOptions {
    /// The endpoint's base, as its makers give it: `http://localhost:11434/v1`, `https://api.example.com/v1`.
    pub url: Url,
    /// What the server knows the person by, if it asks for that. Never logged.
    pub key: Option<String>,
    /// The model's name there; the first that the server lists when not given.
    pub model: Option<String>,
    /// Tokens that prompt and answer may have together, where the server does not tell.
    pub context: usize,
    /// Requests that run at once.
    pub at_once: usize,
    /// Requests that wait.
    pub queue: usize,
    /// How often a request is tried before it fails, while nothing of its answer has come.
    pub attempts: u32,
    /// How long the server may say nothing.
    pub silence: Duration,
    /// Whether to ask for a short answer first, to know that it works and how fast it is.
    pub measure: bool,
}

impl std::fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the key stays out of logs
        f.debug_struct("RemoteOptions")
            .field("host", &self.host())
            .field("model", &self.model)
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl RemoteOptions {
    /// An endpoint with usual limits.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            key: None,
            model: None,
            context: 8192,
            at_once: 4,
            queue: 16,
            attempts: 4,
            silence: Duration::from_secs(120),
            measure: true,
        }
    }

    /// The machine, for people: its name, and the port where it is not the usual one.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or("an unknown machine");
        self.url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The address of one of the endpoint's functions.
    pub(super) fn address(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.set_query(None);
        url
    }
}

/// Why there is no remote engine. The words are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The address is none.
    #[error("{0} is no address of an engine: it begins with http:// or https://")]
    Address(String),
    /// Nobody answers there.
    #[error("no engine answers at {host}: {reason}; look whether it runs and whether the address is right")]
    Unreachable {
        /// The machine.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The server wants another key, or one at all.
    #[error(
        "the engine at {host} refuses the key ({status}): put its key into INKLING_ENGINE_KEY, or into a file for --engine-key-file"
    )]
    Key {
        /// The machine.
        host: String,
        /// What it answered.
        status: u16,
    },
    /// The server has no such model.
    #[error("the engine at {host} has no model `{wanted}`; it has {}", found.join(", "))]
    NoModel {
        /// The machine.
        host: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// The server lists no model, and none was named.
    #[error("the engine at {0} does not say which models it has: name one with --engine-model")]
    NoList(String),
    /// The short answer that is asked for at the start failed.
    #[error("the engine was found and does not answer: {0}")]
    FirstAnswer(String),
    /// No thread could be started.
    #[error("the thread for the remote engine: {0}")]
    Thread(String),
}
