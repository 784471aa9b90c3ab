//! The engines that a relay has: the model in this program, and others behind OpenAI-compatible endpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ai_peer::Thresholds;
use ai_peer::privacy::Place;
use model::{Generator, RemoteEngine, RemoteError, RemoteOptions};
use serde::Deserialize;
use tokio::sync::watch;
use url::Url;

/// How long an engine that was not reached is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(15);

/// An engine elsewhere, as it is set up.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// What people call it; policies name it so.
    pub name: String,
    /// The endpoint: `http://localhost:11434/v1`.
    pub url: Url,
    /// The model's name there; the first that it lists unless given.
    pub model: Option<String>,
    /// Its key. Never printed.
    pub key: Option<String>,
    /// Where it runs.
    pub place: Place,
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the key stays out of logs
        f.debug_struct("EngineConfig")
            .field("name", &self.name)
            .field("url", &self.url.host_str())
            .field("model", &self.model)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Why engines cannot be set up. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {error}; an engine is {{\"name\": …, \"url\": …, \"model\"?, \"keyFile\"? or \"keyEnv\"?, \"place\"?: machine, network or internet}}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// An address that is none.
    #[error("the engine {name} has no address that begins with http:// or https://")]
    Address {
        /// The engine.
        name: String,
    },
    /// A key in the address.
    #[error("the address of the engine {name} has a key in it: put it into a file, or into the environment")]
    KeyInAddress {
        /// The engine.
        name: String,
    },
    /// The environment has no such key.
    #[error(
        "the key of the engine {name} should be in the environment variable {variable}, which is not set"
    )]
    NoKey {
        /// The engine.
        name: String,
        /// The variable.
        variable: String,
    },
    /// Nearer than its address allows.
    #[error("the engine {name} cannot be {}: by its address it is {}", said.words(), found.words())]
    TooNear {
        /// The engine.
        name: String,
        /// What the settings say.
        said: Place,
        /// What the address says.
        found: Place,
    },
    /// Two of one name.
    #[error("two engines are called {0}: policies name them, so each needs a name of its own")]
    Twice(String),
}

/// What a file of engines holds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EnginesFile {
    engines: Vec<Entry>,
    /// When the small model's answer is doubtful, 0 to 1.
    doubt: Doubt,
    /// Where it lies.
    #[serde(skip)]
    folder: PathBuf,
}

/// The file of engines in the folder of the documents, read when it is there.
const FILE: &str = "engines.json";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Doubt {
    mean: Option<f64>,
    span: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    url: String,
    model: Option<String>,
    key_file: Option<PathBuf>,
    key_env: Option<String>,
    place: Option<Place>,
}

impl EnginesFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`EngineError::File`], [`EngineError::Form`].
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let text = std::fs::read(path).map_err(|error| EngineError::File {
            path: path.to_owned(),
            error,
        })?;
        let file = serde_json::from_slice(&text).map_err(|error| EngineError::Form {
            path: path.to_owned(),
            error,
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        Ok(Self { folder, ..file })
    }

    /// The file that was named, or else `engines.json` in the folder of the documents. `None`: there is neither.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn find(named: Option<&Path>, data: &Path) -> Result<Option<Self>, EngineError> {
        let beside = data.join(FILE);
        let path = named.or_else(|| beside.is_file().then_some(beside.as_path()));
        path.map(Self::read).transpose()
    }

    /// When the small model's answer is doubtful.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        let usual = Thresholds::default();
        Thresholds {
            mean: self.doubt.mean.unwrap_or(usual.mean),
            span: self.doubt.span.unwrap_or(usual.span),
        }
    }

    /// The engines, with their keys. `lookup` reads the environment; files of keys that are not absolute lie beside this one.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn engines(self, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<EngineConfig>, EngineError> {
        let mut engines: Vec<EngineConfig> = Vec::new();
        for entry in self.engines {
            let key = match (&entry.key_file, &entry.key_env) {
                (Some(file), _) => Some(read_key(&self.folder.join(file))?),
                (None, Some(variable)) => Some(lookup(variable).ok_or_else(|| EngineError::NoKey {
                    name: entry.name.clone(),
                    variable: variable.clone(),
                })?),
                (None, None) => None,
            };
            let Ok(url) = entry.url.parse() else {
                return Err(EngineError::Address { name: entry.name });
            };
            let engine = EngineConfig::new(entry.name, url, entry.model, key, entry.place)?;
            engine.join(&mut engines)?;
        }
        Ok(engines)
    }
}

/// Reads a key from its file.
///
/// # Errors
/// [`EngineError::File`].
pub fn read_key(path: &Path) -> Result<String, EngineError> {
    let key = std::fs::read_to_string(path).map_err(|error| EngineError::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(key.trim().to_owned())
}

impl EngineConfig {
    /// An engine; where it runs is told by its address unless it is said to be further away.
    ///
    /// # Errors
    /// [`EngineError`] when the address is none, holds a key, or is further away than `place`.
    pub fn new(
        name: String,
        url: Url,
        model: Option<String>,
        key: Option<String>,
        place: Option<Place>,
    ) -> Result<Self, EngineError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EngineError::Address { name });
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(EngineError::KeyInAddress { name });
        }
        let found = Place::of(&url);
        // A name of this network is not told by its address: only “on this machine” is certain.
        let place = match place {
            Some(Place::Machine) if found != Place::Machine => {
                return Err(EngineError::TooNear {
                    name,
                    said: Place::Machine,
                    found,
                });
            }
            said => said.unwrap_or(found),
        };
        Ok(Self {
            name,
            url,
            model,
            key: key.filter(|key| !key.is_empty()),
            place,
        })
    }

    /// Adds it to others.
    ///
    /// # Errors
    /// [`EngineError::Twice`].
    pub fn join(self, others: &mut Vec<Self>) -> Result<(), EngineError> {
        if others.iter().any(|other| other.name == self.name) {
            return Err(EngineError::Twice(self.name));
        }
        others.push(self);
        Ok(())
    }

    /// Reaches it, and has it write a few words. Blocks.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub fn connect(&self) -> Result<RemoteEngine, RemoteError> {
        RemoteEngine::connect(self.options())
    }

    fn options(&self) -> RemoteOptions {
        RemoteOptions {
            key: self.key.clone(),
            model: self.model.clone(),
            ..RemoteOptions::new(self.url.clone())
        }
    }
}

/// All engines, the one in this program first.
pub(super) type Seats = Vec<Seat>;

/// One engine, whether or not it is there.
#[derive(Debug, Clone)]
pub struct Seat {
    /// What people call it.
    pub name: String,
    /// Where it runs; `None` in this program.
    pub place: Option<Place>,
    /// The engine, or why it is not there.
    pub state: Result<Arc<dyn Generator>, String>,
}

impl Seat {
    /// The model in this program.
    #[must_use]
    pub fn local(generator: Arc<dyn Generator>) -> Self {
        Self {
            name: generator.info().name.clone(),
            place: None,
            state: Ok(generator),
        }
    }

    /// The engine, if it is there.
    pub(super) fn generator(&self) -> Option<Arc<dyn Generator>> {
        self.state.as_ref().ok().map(Arc::clone)
    }

    /// Why it is not there.
    pub(super) fn problem(&self) -> Option<String> {
        self.state.as_ref().err().cloned()
    }
}

/// Reaches engines elsewhere, again and again where it takes that, and puts them on their seats; for as long as somebody
/// looks at the seats.
pub(super) fn reach(engines: Vec<EngineConfig>, seats: &watch::Sender<Seats>) {
    for engine in engines {
        seats.send_modify(|seats| {
            seats.push(Seat {
                name: engine.name.clone(),
                place: Some(engine.place),
                state: Err("it has not answered yet".to_owned()),
            });
        });
        tokio::spawn(reach_one(engine, seats.clone()));
    }
}

/// What is wrong, and what to do about it here: the flags are not those of the stand-alone peer.
pub(super) fn problem(error: &RemoteError) -> String {
    match error {
        RemoteError::Key { host, status } => format!(
            "the engine at {host} refuses the key ({status}): put it into a file and name that as keyFile in engines.json, \
             or into INKLING_ENGINE_KEY for --engine-url"
        ),
        RemoteError::NoList(host) => format!(
            "the engine at {host} does not say which models it has: name one as model in engines.json, or with \
             --engine-model"
        ),
        error => error.to_string(),
    }
}

async fn reach_one(engine: EngineConfig, seats: watch::Sender<Seats>) {
    while !seats.is_closed() {
        let options = engine.options();
        let reached = tokio::task::spawn_blocking(move || RemoteEngine::connect(options)).await;
        let (state, lasting) = match reached {
            Ok(Ok(remote)) => (Ok(Arc::new(remote) as Arc<dyn Generator>), true),
            Ok(Err(error)) => {
                let lasting = matches!(error, RemoteError::Address(_));
                (Err(problem(&error)), lasting)
            }
            Err(error) => (Err(error.to_string()), false),
        };
        match &state {
            Ok(_) => tracing::info!(
                engine = engine.name,
                place = engine.place.words(),
                "an engine is there"
            ),
            Err(problem) => tracing::warn!(engine = engine.name, "an engine is not there: {problem}"),
        }
        let done = state.is_ok() || lasting;
        seats.send_if_modified(|seats| {
            let seat = seats.iter_mut().find(|seat| seat.name == engine.name);
            let Some(seat) =
                seat.filter(|seat| state.is_ok() || seat.problem() != state.as_ref().err().cloned())
            else {
                return false;
            };
            seat.state = state;
            true
        });
        if done {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            () = seats.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(text: &str) -> Result<Vec<EngineConfig>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engines.json");
        for (path, text) in [(&folder.path().join("key"), " from-file\n"), (&path, text)] {
            std::fs::File::create(path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        let lookup = |name: &str| (name == "BIG_KEY").then(|| "from-env".to_owned());
        EnginesFile::read(&path)
            .and_then(|file| file.engines(lookup))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn engines_are_read_with_their_keys_and_places() {
        let engines = read(
            r#"{"doubt": {"mean": 0.5}, "engines": [
                {"name": "Near", "url": "http://localhost:11434/v1"},
                {"name": "Tunnel", "url": "http://localhost:1/v1", "place": "internet", "keyFile": "key"},
                {"name": "Big", "url": "https://gpu.corp.example/v1", "place": "network", "keyEnv": "BIG_KEY", "model": "m"}]}"#,
        )
        .unwrap();
        let places: Vec<_> = engines.iter().map(|engine| engine.place).collect();
        assert_eq!(places, [Place::Machine, Place::Internet, Place::Network]);
        let keys: Vec<_> = engines.iter().map(|engine| engine.key.as_deref()).collect();
        assert_eq!(keys, [None, Some("from-file"), Some("from-env")]);
        assert!(!format!("{engines:?}").contains("from-"), "keys are not printed");
    }

    #[test]
    fn a_refused_key_says_where_it_goes_here() {
        let refused = RemoteError::Key {
            host: "gpu".into(),
            status: 401,
        };
        let words = problem(&refused);
        assert!(
            words.contains("keyFile") && !words.contains("--engine-key"),
            "{words}"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (engine, words) in [
            (r#"{"name": "a", "url": "ftp://x/"}"#, "begins with http"),
            (r#"{"name": "a", "url": "https://u:p@x/"}"#, "has a key in it"),
            (r#"{"name": "a", "url": "https://x/?key=1"}"#, "has a key in it"),
            (
                r#"{"name": "a", "url": "https://x/", "place": "machine"}"#,
                "by its address it is on the internet",
            ),
            (
                r#"{"name": "a", "url": "https://x/", "keyEnv": "NONE"}"#,
                "NONE, which is not set",
            ),
            (
                r#"{"name": "a", "url": "https://x/", "key": "secret"}"#,
                "keyFile",
            ),
            (
                r#"{"name": "a", "url": "https://x/"}, {"name": "a", "url": "https://y/"}"#,
                "two engines are called a",
            ),
        ] {
            let said = read(&format!(r#"{{"engines": [{engine}]}}"#)).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
