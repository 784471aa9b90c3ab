//! What can be set about the desktop application, from flags and environment.

use std::path::PathBuf;

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
    /// Start without an AI peer.
    #[arg(long, env = "INKLING_NO_AI")]
    pub no_ai: bool,
}
