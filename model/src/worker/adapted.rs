//! The adapters of a worker, and the second graph that wears them.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::adapter::{Adapter, AdapterError, AdapterId, graph};
use crate::artifact::Artifact;
use crate::engine::{Engine, EngineOptions};
use crate::runtime::Runtime;

/// The adapters that were read.
#[derive(Debug)]
pub(super) struct Adapters {
    base: String,
    graph: PathBuf,
    folder: Option<PathBuf>,
    loaded: Mutex<HashMap<AdapterId, Arc<Adapter>>>,
}

impl Adapters {
    pub(super) fn new(artifact: &Artifact, folder: Option<PathBuf>) -> Self {
        Self {
            base: artifact.id.clone(),
            graph: artifact.graph.clone(),
            folder,
            loaded: Mutex::default(),
        }
    }

    /// Reads one.
    pub(super) fn add(&self, id: AdapterId, place: &Path) -> Result<Arc<Adapter>, AdapterError> {
        let slots = graph::slots(&self.graph, &self.base)?;
        let adapter = Arc::new(Adapter::open(place, &self.base, &slots)?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(id, Arc::clone(&adapter));
        Ok(adapter)
    }

    /// One that was read before.
    pub(super) fn loaded(&self, id: &AdapterId) -> Option<Arc<Adapter>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(id).cloned()
    }

    /// One that was read before, or is in the folder. Errors are in words.
    pub(super) fn get(&self, id: &AdapterId) -> Result<Arc<Adapter>, String> {
        if let Some(adapter) = self.loaded(id) {
            return Ok(adapter);
        }
        // a name is one folder's: nothing outside of the adapters' is read
        let plain = crate::manager::is_name(&id.0);
        let place = self
            .folder
            .as_ref()
            .filter(|_| plain)
            .map(|folder| folder.join(&id.0));
        match place.filter(|place| place.is_dir()) {
            Some(place) => self.add(id.clone(), &place).map_err(|error| error.to_string()),
            None => Err(format!(
                "there is no adapter `{id}`: `inkling-models adapters list` shows those that there are"
            )),
        }
    }
}

/// The graph that takes adapters, opened when the first of them is wanted, with this one on. Errors are in words.
pub(super) fn wearing<'e>(
    adapted: &'e mut Option<Engine>,
    runtime: &Runtime,
    artifact: &Artifact,
    options: &EngineOptions,
    adapter: &Adapter,
) -> Result<&'e mut Engine, String> {
    let engine = match adapted {
        Some(engine) => engine,
        none => {
            // its weights lie in memory a second time
            crate::fit::check(artifact.weight_bytes, crate::fit::free_memory())
                .map_err(|error| format!("with an adapter the model is loaded a second time: {error}"))?;
            let graph = graph::prepare(&artifact.graph, &artifact.id).map_err(|error| error.to_string())?;
            let artifact = Artifact {
                graph,
                ..artifact.clone()
            };
            let engine = Engine::open(runtime, &artifact, options).map_err(|error| error.to_string())?;
            tracing::info!(model = artifact.id, "the graph that takes adapters is loaded");
            none.insert(engine)
        }
    };
    engine.wear(Some(adapter)).map_err(|error| error.to_string())?;
    Ok(engine)
}
