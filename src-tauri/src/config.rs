//! What can be set about the desktop application, from flags and environment.

use std::path::{Path, PathBuf};

use sync_server::ai::{AiConfig, EngineError, EnginesFile, Provider};

/// Settings of the desktop application; each is a flag and an environment variable.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "inkling",
    version,
    about = "Write together with people and AI models, and keep control."
)]
pub struct Config {
    /// Folder of the document store. Default: the system's folder for application data.
    #[arg(long, env = "INKLING_DATA")]
    pub data: Option<PathBuf>,
    /// Folder of the language model, in the Hugging Face ONNX layout. Default: the model that the set-up fetched.
    #[arg(long, env = "INKLING_MODEL")]
    pub model: Option<PathBuf>,
    /// The ONNX Runtime library. Default: the one that the set-up fetched.
    #[arg(long, env = "INKLING_ORT")]
    pub ort: Option<PathBuf>,
    /// Devices to ask for, in this order, as `cuda,cpu`; the CPU comes last by itself. Default: cuda,directml,cpu.
    #[arg(long, env = "INKLING_DEVICES", value_delimiter = ',')]
    pub devices: Option<Vec<Provider>>,
    /// A file of engines elsewhere (JSON; README.md). Default: engines.json in the folder of the document store.
    #[arg(long, env = "INKLING_ENGINES")]
    pub engines: Option<PathBuf>,
    /// Start without an AI peer.
    #[arg(long, env = "INKLING_NO_AI")]
    pub no_ai: bool,
    /// Without one: the window.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of opening the window.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Load the model, have it write some words, and tell what runs where, how fast, and why not elsewhere.
    Doctor,
}

impl Config {
    /// The AI that this configuration describes. `data` is the folder of the document store.
    ///
    /// # Errors
    /// Words about the file of engines.
    pub fn ai(&self, data: &Path) -> Result<AiConfig, EngineError> {
        let mut config = AiConfig {
            model: self.model.clone(),
            ort: self.ort.clone(),
            devices: self.devices.clone(),
            ..AiConfig::default()
        };
        if let Some(file) = EnginesFile::find(self.engines.as_deref(), data)? {
            config.thresholds = file.thresholds();
            config.engines = file.engines(variable)?;
        }
        Ok(config)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys are named by the file of engines, so that no flag shows them to other users of the machine"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
