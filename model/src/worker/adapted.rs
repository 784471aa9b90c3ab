//! The adapters of a worker, and the second graph that wears them.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

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
    loaded: Mutex<HashMap<AdapterId, Loaded>>,
}

/// One that was read.
#[derive(Debug)]
struct Loaded {
    adapter: Arc<Adapter>,
    /// When its folder was made, if it is one of the folder of adapters: another one of the same name is read anew.
    made: Option<SystemTime>,
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
        self.read(id, place, None)
    }

    fn read(
        &self,
        id: AdapterId,
        place: &Path,
        made: Option<SystemTime>,
    ) -> Result<Arc<Adapter>, AdapterError> {
        let slots = graph::slots(&self.graph, &self.base)?;
        let adapter = Arc::new(Adapter::open(place, &self.base, &slots)?);
        let loaded = Loaded {
            adapter: Arc::clone(&adapter),
            made,
        };
        self.lock().insert(id, loaded);
        Ok(adapter)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AdapterId, Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that was read before.
    pub(super) fn loaded(&self, id: &AdapterId) -> Option<Arc<Adapter>> {
        self.lock().get(id).map(|loaded| Arc::clone(&loaded.adapter))
    }

    /// One that was given to the worker, or is in the folder now. Errors are in words.
    pub(super) fn get(&self, id: &AdapterId) -> Result<Arc<Adapter>, String> {
        // a name is one folder's: nothing outside of the adapters' is read
        let plain = crate::manager::is_name(&id.0);
        let folder = self.folder.as_ref().filter(|_| plain);
        let place = folder.map(|folder| folder.join(&id.0));
        let made = place
            .as_ref()
            .and_then(|place| place.metadata().and_then(|data| data.modified()).ok());
        {
            let mut all = self.lock();
            match all.get(id) {
                Some(loaded) if loaded.made.is_none() || loaded.made == made => {
                    return Ok(Arc::clone(&loaded.adapter));
                }
                Some(_) => drop(all.remove(id)), // it was removed, or is another one now
                None => {}
            }
        }
        match place.filter(|place| place.is_dir()) {
            Some(place) => self
                .read(id.clone(), &place, made)
                .map_err(|error| error.to_string()),
            None => Err(format!(
                "there is no adapter `{id}`: `inkling-models adapters list` shows those that there are"
            )),
        }
    }
}

/// The graphs of a worker: the model's own, and the one that takes adapters.
pub(super) struct Graphs<'a> {
    plain: Engine,
    /// Opened when an adapter is wanted first.
    adapted: Option<Engine>,
    runtime: &'a Runtime,
    artifact: &'a Artifact,
    options: &'a EngineOptions,
}

impl<'a> Graphs<'a> {
    pub(super) const fn new(
        plain: Engine,
        runtime: &'a Runtime,
        artifact: &'a Artifact,
        options: &'a EngineOptions,
    ) -> Self {
        Self {
            plain,
            adapted: None,
            runtime,
            artifact,
            options,
        }
    }

    /// The graph that is to run a request, with its adapter on. Errors are in words.
    pub(super) fn of(&mut self, adapter: Option<&Adapter>) -> Result<&mut Engine, String> {
        match adapter {
            Some(adapter) => self.wearing(adapter),
            None => Ok(&mut self.plain),
        }
    }

    /// The graph that has run a request, whatever it wears now.
    pub(super) const fn opened(&mut self, adapter: Option<&Adapter>) -> Option<&mut Engine> {
        match adapter {
            Some(_) => self.adapted.as_mut(),
            None => Some(&mut self.plain),
        }
    }

    /// Whether so many requests, the longest with so many tokens, have room at the same time.
    pub(super) fn has_room_for(&self, requests: usize, longest: usize) -> bool {
        self.plain.has_room_for(requests, longest)
    }

    /// The graph that takes adapters, with this one on. Errors are in words.
    fn wearing(&mut self, adapter: &Adapter) -> Result<&mut Engine, String> {
        let engine = match &mut self.adapted {
            Some(engine) => engine,
            none => {
                // its weights lie in memory a second time
                crate::fit::check(self.artifact.weight_bytes, crate::fit::free_memory())
                    .map_err(|error| format!("with an adapter the model is loaded a second time: {error}"))?;
                let graph = graph::prepare(&self.artifact.graph, &self.artifact.id)
                    .map_err(|error| error.to_string())?;
                let artifact = Artifact {
                    graph,
                    ..self.artifact.clone()
                };
                let engine =
                    Engine::open(self.runtime, &artifact, self.options).map_err(|error| error.to_string())?;
                tracing::info!(model = artifact.id, "the graph that takes adapters is loaded");
                none.insert(engine)
            }
        };
        engine.wear(Some(adapter)).map_err(|error| error.to_string())?;
        Ok(engine)
    }
}
