//! The models on this machine: list, add, remove, verify.
//!
//! **Invariant.** What is in the models' folder under a name is whole: a model is made in a folder of its own beside
//! the others, synced, and gets its name by one rename. What a break leaves behind has no name and is gone on with, or
//! thrown away, by the next attempt.
mod adapters;
mod download;
mod fit;
mod hub;
mod library;
mod staging;

pub use adapters::{AdapterLibrary, AdapterRecord, InstalledAdapter};
pub use download::{DownloadError, Progress, Retries};
pub use fit::{Fit, Needs};
pub use hub::{Hub, HubChoice};
pub use library::{GgufExtras, Installed, Library, Manifest, Measured, Recorded, Source, Verdict};

use std::io;
use std::path::{Path, PathBuf};

use crate::adapter::AdapterError;
use crate::artifact::ArtifactError;
use crate::gguf::GgufError;

/// Why something was not done with a model. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// A name that no model can have.
    #[error(
        "`{0}` is no name for a model: use letters, digits, `.`, `_` and `-`, at most 96, not beginning with `.`"
    )]
    Name(String),
    /// There is one of this name.
    #[error("there is a model `{0}` already: remove it first, or choose another name with --name")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no model `{0}`: `inkling-models list` shows those that there are")]
    Unknown(String),
    /// Somebody else is adding it.
    #[error("another program is adding `{0}` just now: wait for it, or stop it")]
    Locked(String),
    /// The folder is no usable model.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The GGUF file is not converted.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The download does not succeed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The adapter is not added.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// There is an adapter of this name.
    #[error("there is an adapter `{0}` already: remove it first, or choose another name with --name")]
    AdapterExists(String),
    /// There is none of this name.
    #[error("there is no adapter `{0}`: `inkling-models adapters list` shows those that there are")]
    AdapterUnknown(String),
    /// The system's disk refuses.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What it is about.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
}

/// Whether a text can be the name of a model's or adapter's folder.
pub(crate) fn is_name(text: &str) -> bool {
    staging::check_name(text).is_ok()
}

impl ManagerError {
    pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Disk { path, source }
    }
}
