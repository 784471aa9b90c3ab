//! Engines elsewhere, from flags, the environment and a file.

use std::path::{Path, PathBuf};

use sync_server::ai::{AiConfig, EngineConfig, EngineError, EnginesFile, read_key};
use url::Url;

/// Where the key of `--engine-url` is in the environment.
const KEY: &str = "INKLING_ENGINE_KEY";

/// Engines that other programs run, here or elsewhere. Documents' text goes there only where their owners allow it.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Engines elsewhere")]
pub(crate) struct EngineSettings {
    /// An OpenAI-compatible endpoint, such as http://localhost:11434/v1. Its key, if it asks for one, is taken from the
    /// environment (INKLING_ENGINE_KEY) or a file.
    #[arg(long, env = "INKLING_ENGINE_URL")]
    engine_url: Option<Url>,
    /// The model's name there; the first that the endpoint lists unless given.
    #[arg(long, env = "INKLING_ENGINE_MODEL", requires = "engine_url")]
    engine_model: Option<String>,
    /// What people call the engine. Default: the model's name, or the machine's.
    #[arg(long, env = "INKLING_ENGINE_NAME", requires = "engine_url")]
    engine_name: Option<String>,
    /// A file with the endpoint's key.
    #[arg(long, env = "INKLING_ENGINE_KEY_FILE", requires = "engine_url")]
    engine_key_file: Option<PathBuf>,
    /// Where the engine runs, if that is further away than its address says: machine, network or internet.
    #[arg(long, env = "INKLING_ENGINE_PLACE", requires = "engine_url", value_parser = place)]
    engine_place: Option<String>,
    /// A file of engines (JSON; README.md). Default: engines.json in the folder of the documents, if it is there.
    #[arg(long, env = "INKLING_ENGINES")]
    engines: Option<PathBuf>,
}

fn place(word: &str) -> Result<String, String> {
    ["machine", "network", "internet"]
        .contains(&word)
        .then(|| word.to_owned())
        .ok_or_else(|| format!("`{word}` is none of: machine, network, internet"))
}

impl EngineSettings {
    /// Adds the engines to the settings of the AI. `data` is the folder of the documents.
    pub(crate) fn apply(&self, config: &mut AiConfig, data: &Path) -> Result<(), EngineError> {
        let mut engines = Vec::new();
        if let Some(url) = &self.engine_url {
            let host = url.host_str().unwrap_or("engine").to_owned();
            let name = self.engine_name.clone().or_else(|| self.engine_model.clone());
            let key = match &self.engine_key_file {
                Some(file) => Some(read_key(file)?),
                None => variable(KEY),
            };
            let place = self
                .engine_place
                .as_ref()
                .and_then(|word| serde_json::from_value(word.as_str().into()).ok());
            let (name, model) = (name.unwrap_or(host), self.engine_model.clone());
            EngineConfig::new(name, url.clone(), model, key, place)?.join(&mut engines)?;
        }
        if let Some(file) = EnginesFile::find(self.engines.as_deref(), data)? {
            config.thresholds = file.thresholds();
            for engine in file.engines(variable)? {
                engine.join(&mut engines)?;
            }
        }
        config.engines = engines;
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys are named by the settings, so that no flag shows them to other users of the machine"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
