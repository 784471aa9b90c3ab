//! The list of models as it is told.

use std::path::Path;

use model::manager::{Fit, Installed, Library, Measured, Needs, Source};
use model::{Artifact, EngineOptions};
use serde::Serialize;

use super::adapters;
use super::jobs::Job;
use crate::relay::ModelStatus;

/// Every model of the folder, what is wrong with others there, and what is being done.
#[derive(Serialize)]
pub(super) struct Listed {
    /// Where they are.
    folder: String,
    models: Vec<Told>,
    broken: Vec<Broken>,
    jobs: Vec<Job>,
    adapters: Vec<adapters::Told>,
}

/// A model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    /// Bytes on the disk.
    bytes: u64,
    quantisation: String,
    /// In tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<usize>,
    /// Where it came from, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    memory: Memory,
    /// It runs in this process now.
    running: bool,
}

/// Bytes of memory.
#[derive(Serialize)]
struct Memory {
    /// About what it takes.
    needed: u64,
    /// What there is, where the system tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u64>,
    /// Whether it fits now, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    fits: Option<bool>,
}

/// A folder that is no model.
#[derive(Serialize)]
struct Broken {
    id: String,
    reason: String,
}

impl Listed {
    pub(super) fn new(
        folder: &Path,
        loaded: &[ModelStatus],
        jobs: Vec<Job>,
        adapters: Vec<adapters::Told>,
    ) -> Self {
        let (models, broken) = Library::new(folder).list();
        Self {
            folder: folder.display().to_string(),
            models: models.into_iter().map(|model| Told::new(model, loaded)).collect(),
            broken: broken
                .into_iter()
                .map(|(id, reason)| Broken { id, reason })
                .collect(),
            jobs,
            adapters,
        }
    }
}

impl Told {
    fn new(model: Installed, loaded: &[ModelStatus]) -> Self {
        let fit = fit_of(&model.artifact);
        let running = loaded.iter().any(|status| status.id == model.id);
        Self {
            id: model.id,
            name: model.artifact.name,
            licence: model.artifact.licence,
            bytes: model.bytes,
            quantisation: model.artifact.quantisation,
            context_length: model.artifact.context_length,
            source: model.manifest.map(|manifest| origin(&manifest.source)),
            measured: model.measured,
            memory: Memory {
                needed: fit.needed,
                available: fit.available,
                fits: fit.fits(),
            },
            running,
        }
    }
}

/// What a model takes with the context that it is given here, beside what there is.
pub(super) fn fit_of(artifact: &Artifact) -> Fit {
    Fit::here(&Needs::of(artifact, EngineOptions::default().context))
}

fn origin(source: &Source) -> String {
    match source {
        Source::Folder { path } => format!("the folder {path}"),
        Source::Gguf {
            file, hub: Some(hub), ..
        } => format!("{hub}, {file}"),
        Source::Gguf { file, .. } => format!("the file {file}"),
        Source::Hub { model, .. } => model.clone(),
    }
}
