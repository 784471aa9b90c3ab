//! The folder of models: what is in it, and how something gets in or out.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::download::{self, Progress, Tell};
use super::hub::{Hub, HubChoice, Plan};
use super::staging::{self, Staging};
use super::{ManagerError, download::Wanted};
use crate::artifact::Artifact;
use crate::files;
use crate::gguf::{self, ConvertOptions, Report};

/// File in a model's folder that says what was installed.
const MANIFEST: &str = "inkling.json";
/// Folder, among the models, for speeds measured on this machine.
const MEASURED: &str = ".measured";

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// A folder that was copied.
    Folder {
        /// Its path then.
        path: String,
    },
    /// A GGUF file that was converted.
    Gguf {
        /// Its name.
        file: String,
        /// Its hash.
        sha256: String,
        /// What came of the conversion, in words.
        conversion: String,
        /// The hub it came from, if it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hub: Option<String>,
    },
    /// A hub's ONNX model.
    Hub {
        /// The hub's address and the model's name there.
        model: String,
        /// The commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
    },
}

/// A file as it was when the model was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its size.
    pub bytes: u64,
    /// Its hash.
    pub sha256: String,
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Where it came from.
    pub source: Source,
    /// Every file of the model, by its path with `/`.
    pub files: BTreeMap<String, Recorded>,
}

/// A model's speed, measured on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Where it ran, in words.
    pub device: String,
    /// Prompt tokens read per second.
    pub prefill_tokens_per_second: f64,
    /// Tokens written per second.
    pub decode_tokens_per_second: f64,
    /// How long loading took, in milliseconds.
    pub load_ms: u64,
}

/// A model that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Installed {
    /// Its folder's name.
    pub id: String,
    /// What is known about it.
    pub artifact: Artifact,
    /// What was installed, if that was recorded.
    pub manifest: Option<Manifest>,
    /// How fast it was here, if that was measured.
    pub measured: Option<Measured>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every file is as it was when it was installed: so many.
    Whole(usize),
    /// These files are missing or other than they were.
    Changed(Vec<String>),
    /// Nothing was recorded; the folder can be used.
    NotRecorded,
}

/// Files that are put beside a converted model, in the place of what its file says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GgufExtras {
    /// Becomes README.md.
    pub card: Option<PathBuf>,
    /// Becomes LICENSE.
    pub licence: Option<PathBuf>,
    /// Becomes chat_template.jinja.
    pub chat_template: Option<PathBuf>,
}

/// The folder of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    root: PathBuf,
}

impl Library {
    /// The models in a folder, which need not be there yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Every model that can be used, by name; and every other folder with the reason why it cannot.
    #[must_use]
    pub fn list(&self) -> (Vec<Installed>, Vec<(String, String)>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let entries = self.root.read_dir().into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        for name in names {
            match self.find(&name) {
                Ok(model) => good.push(model),
                Err(error) => bad.push((name, error.to_string())),
            }
        }
        (good, bad)
    }

    /// One model.
    ///
    /// # Errors
    /// [`ManagerError::Unknown`], [`ManagerError::Name`], [`ManagerError::Artifact`].
    pub fn find(&self, id: &str) -> Result<Installed, ManagerError> {
        let folder = self.folder(id)?;
        let artifact = Artifact::open(&folder)?;
        let bytes = staging::walk(&folder)
            .unwrap_or_default()
            .iter()
            .map(|file| folder.join(file).metadata().map_or(0, |data| data.len()))
            .sum();
        Ok(Installed {
            id: id.to_owned(),
            artifact,
            manifest: json(&folder.join(MANIFEST)),
            measured: json(&self.root.join(MEASURED).join(format!("{id}.json"))),
            bytes,
        })
    }

    /// Copies a folder in the ONNX layout.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn add_folder(&self, from: &Path, id: Option<&str>) -> Result<Installed, ManagerError> {
        let artifact = Artifact::open(from)?;
        let id = id.map_or_else(|| staging::name_of(&artifact.id), str::to_owned);
        let staging = self.stage(&id, false)?;
        for file in staging::walk(from).map_err(ManagerError::disk(from))? {
            if file == MANIFEST {
                continue;
            }
            let target = staging.folder().join(&file);
            let parent = target.parent().unwrap_or(staging.folder());
            fs::create_dir_all(parent)
                .and_then(|()| fs::copy(from.join(&file), &target))
                .map_err(ManagerError::disk(&target))?;
        }
        let source = Source::Folder {
            path: from.display().to_string(),
        };
        self.finish(staging, source)
    }

    /// Converts a GGUF file. `tell` is told bytes done and in all, and says whether to go on.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn add_gguf(
        &self,
        file: &Path,
        id: Option<&str>,
        options: ConvertOptions,
        extras: &GgufExtras,
        tell: Tell<'_>,
    ) -> Result<(Installed, Report), ManagerError> {
        self.convert(file, id, options, extras, None, tell)
    }

    fn convert(
        &self,
        file: &Path,
        id: Option<&str>,
        options: ConvertOptions,
        extras: &GgufExtras,
        hub: Option<String>,
        tell: Tell<'_>,
    ) -> Result<(Installed, Report), ManagerError> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let id = id.map_or_else(|| staging::name_of(&stem), str::to_owned);
        let staging = self.stage(&id, false)?;
        let (_, sha256) = files::fingerprint(file).map_err(ManagerError::disk(file))?;
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let report = gguf::convert(file, staging.folder(), options, &mut |done, total| {
            tell(Progress {
                what: &name,
                done,
                total: Some(total),
            })
        });
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                staging.discard();
                return Err(error.into());
            }
        };
        for (from, to) in [
            (&extras.card, "README.md"),
            (&extras.licence, "LICENSE"),
            (&extras.chat_template, "chat_template.jinja"),
        ] {
            if let Some(from) = from {
                fs::copy(from, staging.folder().join(to)).map_err(ManagerError::disk(from))?;
            }
        }
        let source = Source::Gguf {
            file: name,
            sha256,
            conversion: report.summary(),
            hub,
        };
        Ok((self.finish(staging, source)?, report))
    }

    /// Downloads a model of a hub, `owner/name`; an ONNX model as it is, a GGUF file to be converted.
    /// What an attempt that broke off has brought is gone on with.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub async fn add_hub(
        &self,
        hub: &Hub,
        model: &str,
        choice: &HubChoice,
        id: Option<&str>,
        options: ConvertOptions,
        tell: Tell<'_>,
    ) -> Result<(Installed, Option<Report>), ManagerError> {
        let id = id.map_or_else(|| staging::name_of(model), str::to_owned);
        let client = hub.client()?;
        // taken before anything is asked: two programs do not write one file
        let staging = self.stage(&id, true)?;
        let (plan, revision) = hub.plan(&client, model, choice).await?;
        let from = format!("{}/{model}", hub.address.as_str().trim_end_matches('/'));
        match plan {
            Plan::Onnx(wanted) => {
                for one in &wanted {
                    self.bring(hub, &client, one, staging.folder(), tell).await?;
                }
                self.leave_only(&staging, &wanted)?;
                let source = Source::Hub {
                    model: from,
                    revision,
                };
                Ok((self.finish(staging, source)?, None))
            }
            Plan::Gguf(wanted) => {
                self.bring(hub, &client, &wanted, staging.folder(), tell).await?;
                // the converter makes this folder anew, so the file waits beside it
                let name = Path::new(&wanted.path).file_name().unwrap_or_default();
                let kept = self
                    .root
                    .join(staging::FOLDER)
                    .join(format!("{id}.{}", name.to_string_lossy()));
                fs::rename(staging.folder().join(&wanted.path), &kept).map_err(ManagerError::disk(&kept))?;
                drop(staging);
                let result = self.convert(
                    &kept,
                    Some(&id),
                    options,
                    &GgufExtras::default(),
                    Some(from),
                    tell,
                );
                fs::remove_file(&kept).map_err(ManagerError::disk(&kept))?;
                let (installed, report) = result?;
                Ok((installed, Some(report)))
            }
        }
    }

    async fn bring(
        &self,
        hub: &Hub,
        client: &reqwest::Client,
        wanted: &Wanted,
        folder: &Path,
        tell: Tell<'_>,
    ) -> Result<(), ManagerError> {
        Ok(download::fetch(client, hub.token.as_deref(), wanted, folder, hub.retries, tell).await?)
    }

    /// Removes what an attempt for another variant has left.
    fn leave_only(&self, staging: &Staging, wanted: &[Wanted]) -> Result<(), ManagerError> {
        let folder = staging.folder();
        for file in staging::walk(folder).map_err(ManagerError::disk(folder))? {
            if !wanted.iter().any(|one| one.path == file) {
                fs::remove_file(folder.join(&file)).map_err(ManagerError::disk(folder))?;
            }
        }
        Ok(())
    }

    /// Removes a model and what was measured of it.
    ///
    /// # Errors
    /// [`ManagerError::Unknown`], [`ManagerError::Name`], [`ManagerError::Disk`].
    pub fn remove(&self, id: &str) -> Result<(), ManagerError> {
        let folder = self.folder(id)?;
        // it loses its name first: half a model is never listed
        let place = self.root.join(staging::FOLDER);
        let gone = place.join(format!("{id}.removed"));
        fs::create_dir_all(&place).map_err(ManagerError::disk(&place))?;
        if gone.exists() {
            fs::remove_dir_all(&gone).map_err(ManagerError::disk(&gone))?;
        }
        fs::rename(&folder, &gone).map_err(ManagerError::disk(&folder))?;
        let _ = fs::remove_file(self.root.join(MEASURED).join(format!("{id}.json"))); // it may not be there
        fs::remove_dir_all(&gone).map_err(ManagerError::disk(&gone))
    }

    /// Compares every file with what was recorded when the model was installed.
    ///
    /// # Errors
    /// [`ManagerError::Unknown`], [`ManagerError::Name`], [`ManagerError::Artifact`].
    pub fn verify(&self, id: &str) -> Result<Verdict, ManagerError> {
        let folder = self.folder(id)?;
        let Some(manifest) = json::<Manifest>(&folder.join(MANIFEST)) else {
            Artifact::open(&folder)?;
            return Ok(Verdict::NotRecorded);
        };
        let changed: Vec<String> = manifest
            .files
            .iter()
            .filter(|(file, recorded)| {
                !files::fingerprint(&folder.join(file))
                    .is_ok_and(|(bytes, sha256)| bytes == recorded.bytes && sha256 == recorded.sha256)
            })
            .map(|(file, _)| file.clone())
            .collect();
        Ok(match changed.is_empty() {
            true => Verdict::Whole(manifest.files.len()),
            false => Verdict::Changed(changed),
        })
    }

    /// Remembers how fast a model was on this machine.
    ///
    /// # Errors
    /// [`ManagerError::Unknown`], [`ManagerError::Name`], [`ManagerError::Disk`].
    pub fn remember_speed(&self, id: &str, measured: &Measured) -> Result<(), ManagerError> {
        self.folder(id)?;
        let place = self.root.join(MEASURED);
        let (file, partial) = (
            place.join(format!("{id}.json")),
            place.join(format!("{id}.partial")),
        );
        let text = serde_json::to_vec_pretty(measured).unwrap_or_default();
        fs::create_dir_all(&place)
            .and_then(|()| files::write(&partial, &text))
            .and_then(|()| fs::rename(&partial, &file))
            .map_err(ManagerError::disk(&file))
    }

    fn folder(&self, id: &str) -> Result<PathBuf, ManagerError> {
        staging::check_name(id)?;
        let folder = self.root.join(id);
        match folder.is_dir() {
            true => Ok(folder),
            false => Err(ManagerError::Unknown(id.to_owned())),
        }
    }

    fn stage(&self, id: &str, keep: bool) -> Result<Staging, ManagerError> {
        fs::create_dir_all(&self.root).map_err(ManagerError::disk(&self.root))?;
        Staging::open(&self.root, id, keep)
    }

    /// Looks whether what was made can be used, records it, and gives it its name.
    fn finish(&self, staging: Staging, source: Source) -> Result<Installed, ManagerError> {
        let folder = staging.folder().to_path_buf();
        if let Err(error) = Artifact::open(&folder) {
            staging.discard();
            return Err(error.into());
        }
        let mut recorded = BTreeMap::new();
        for file in staging::walk(&folder).map_err(ManagerError::disk(&folder))? {
            let path = folder.join(&file);
            let (bytes, sha256) = files::fingerprint(&path).map_err(ManagerError::disk(&path))?;
            recorded.insert(file, Recorded { bytes, sha256 });
        }
        let manifest = Manifest {
            source,
            files: recorded,
        };
        let file = folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        files::write(&file, &text).map_err(ManagerError::disk(&file))?;
        let target = staging.finish()?;
        self.find(&target.file_name().unwrap_or_default().to_string_lossy())
    }
}

fn json<T: for<'de> Deserialize<'de>>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}
