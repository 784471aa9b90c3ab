//! The adapters on this machine: add, list, remove. One is a folder with its files as they came and what was found out about it.
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ManagerError;
use super::staging::{self, Staging};
use crate::adapter::graph::slots;
use crate::adapter::{Adapter, GGUF, PEFT_SETTINGS, PEFT_WEIGHTS};
use crate::artifact::Artifact;
use crate::files;

/// What is written beside an adapter's files.
const RECORD: &str = "inkling.json";

/// What was found out about an adapter when it was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterRecord {
    /// The model that it fits: the name of its folder.
    pub base: String,
    /// How many of the model's matrices it changes.
    pub changed: usize,
    /// The greatest rank of its matrices.
    pub rank: usize,
    /// Where it came from.
    pub source: String,
}

/// An adapter that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledAdapter {
    /// Its name: that of its folder.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// What was found out about it.
    pub record: AdapterRecord,
}

/// The folder of the adapters.
#[derive(Debug, Clone)]
pub struct AdapterLibrary {
    root: PathBuf,
}

impl AdapterLibrary {
    /// The adapters in this folder, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Every adapter that was added, by name.
    #[must_use]
    pub fn list(&self) -> Vec<InstalledAdapter> {
        let entries = self.root.read_dir().into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut found: Vec<InstalledAdapter> = names.filter_map(|name| self.find(&name).ok()).collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ManagerError::AdapterUnknown`].
    pub fn find(&self, id: &str) -> Result<InstalledAdapter, ManagerError> {
        let unknown = || ManagerError::AdapterUnknown(id.to_owned());
        let folder = self.folder(id).ok_or_else(unknown)?;
        let record = fs::read(folder.join(RECORD)).ok();
        let record = record
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(unknown)?;
        let bytes = |name: &String| folder.join(name).metadata().map_or(0, |data| data.len());
        Ok(InstalledAdapter {
            id: id.to_owned(),
            bytes: staging::walk(&folder).unwrap_or_default().iter().map(bytes).sum(),
            record,
        })
    }

    /// Adds a PEFT folder or a GGUF file, if it fits this model.
    ///
    /// # Errors
    /// [`ManagerError::Adapter`] when it does not fit or is damaged, [`ManagerError::AdapterExists`],
    /// [`ManagerError::Name`], [`ManagerError::Disk`].
    pub fn add(
        &self,
        from: &Path,
        id: Option<&str>,
        base: &Artifact,
    ) -> Result<InstalledAdapter, ManagerError> {
        let stem = from.file_stem().unwrap_or_default().to_string_lossy();
        let id = id.map_or_else(|| staging::name_of(&stem), str::to_owned);
        if self.folder(&id).is_some() {
            return Err(ManagerError::AdapterExists(id));
        }
        let adapter = Adapter::open(from, &base.id, &slots(&base.graph, &base.id)?)?;
        fs::create_dir_all(&self.root).map_err(ManagerError::disk(&self.root))?;
        let staging = Staging::open(&self.root, &id, false)?;
        let copy = |from: &Path, name: &str| {
            let to = staging.folder().join(name);
            fs::copy(from, &to).map(drop).map_err(ManagerError::disk(&to))
        };
        if from.is_dir() {
            for name in [PEFT_SETTINGS, PEFT_WEIGHTS, GGUF, "README.md", "LICENSE"] {
                let file = from.join(name);
                if file.is_file() {
                    copy(&file, name)?;
                }
            }
        } else {
            copy(from, GGUF)?;
        }
        let record = AdapterRecord {
            base: base.id.clone(),
            changed: adapter.changed(),
            rank: adapter.rank(),
            source: from.display().to_string(),
        };
        let file = staging.folder().join(RECORD);
        let text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        files::write(&file, &text).map_err(ManagerError::disk(&file))?;
        staging.finish()?;
        self.find(&id)
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`ManagerError::AdapterUnknown`], [`ManagerError::Disk`].
    pub fn remove(&self, id: &str) -> Result<(), ManagerError> {
        let folder = self
            .folder(id)
            .ok_or_else(|| ManagerError::AdapterUnknown(id.to_owned()))?;
        // it loses its name first: half an adapter is never listed
        let place = self.root.join(staging::FOLDER);
        fs::create_dir_all(&place).map_err(ManagerError::disk(&place))?;
        let gone = place.join(format!("{id}.removed"));
        if gone.exists() {
            fs::remove_dir_all(&gone).map_err(ManagerError::disk(&gone))?;
        }
        fs::rename(&folder, &gone).map_err(ManagerError::disk(&folder))?;
        fs::remove_dir_all(&gone).map_err(ManagerError::disk(&gone))
    }

    /// The folder of one that there is.
    fn folder(&self, id: &str) -> Option<PathBuf> {
        let folder = self.root.join(id);
        (staging::check_name(id).is_ok() && folder.is_dir()).then_some(folder)
    }
}
