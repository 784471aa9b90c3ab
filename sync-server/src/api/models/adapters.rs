//! LoRA adapters over REST: which there are, adding and removing them (for the server's owner), and which of them the model here
//! wears in a document (for the document's owner).

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use crdt::policy::Adapters;
use crdt::{DocId, Role, Timestamp};
use model::Artifact;
use model::manager::{AdapterLibrary, InstalledAdapter};
use serde::{Deserialize, Serialize};

use super::jobs::{Kind, Outcome};
use super::{library, owner};
use crate::api::versions::blocking;
use crate::api::{body, doc_id, find};
use crate::clock;
use crate::error::{ApiError, demand};
use crate::relay::Relay;
use crate::router::Guest;
use crate::store::{AccessWrite, AdaptersRow};

/// The longest name of an adapter that a document may have, in bytes: as long as a folder's.
const MAX_NAME_BYTES: usize = 96;

pub(super) fn routes() -> Router<Relay> {
    Router::new()
        .route("/adapters", post(add))
        .route("/adapters/{adapter}", delete(remove))
        .route("/documents/{id}/adapters", get(worn).put(set_worn))
}

/// An adapter of the folder.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    id: String,
    /// The model that it was made for: the name of its folder.
    base: String,
    /// How many of the model's matrices it changes, and their greatest rank.
    changed: usize,
    rank: usize,
    /// Bytes on the disk.
    bytes: u64,
    source: String,
    /// The model that runs now can wear it.
    fits: bool,
    /// How many documents name it.
    documents: usize,
}

impl Told {
    /// Every adapter that was added.
    pub(super) fn all(relay: &Relay) -> Vec<Self> {
        let running = relay.local_model();
        let found = AdapterLibrary::new(relay.adapters_folder()).list();
        let told = |adapter: InstalledAdapter| Self {
            fits: running.as_ref() == Some(&adapter.record.base),
            documents: relay.shared.guard.wearers(&adapter.id),
            id: adapter.id,
            base: adapter.record.base,
            changed: adapter.record.changed,
            rank: adapter.record.rank,
            bytes: adapter.bytes,
            source: adapter.record.source,
        };
        found.into_iter().map(told).collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct New {
    /// A PEFT folder or a GGUF file on the server's machine.
    from: String,
    /// Its name in the list.
    name: Option<String>,
    /// The model that it was trained on: the one that runs unless given.
    model: Option<String>,
}

async fn add(State(relay): State<Relay>, guest: Guest, bytes: Bytes) -> Result<Response, ApiError> {
    owner(&guest)?;
    let New { from, name, model } = body(&bytes)?;
    let from = std::path::PathBuf::from(from.trim());
    if !from.exists() {
        return Err(ApiError::bad_request(format!(
            "there is no folder or file {} on the server's machine: an adapter is a PEFT folder (adapter_config.json, \
             adapter_model.safetensors) or a GGUF file",
            from.display()
        )));
    }
    let some = |text: Option<String>| {
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    let (name, model) = (some(name), some(model));
    let base = base(&relay, model).await?;
    let adapters = AdapterLibrary::new(relay.adapters_folder());
    let what = from.display().to_string();
    let desk = relay.shared.model_desk.clone();
    let job = relay.shared.model_desk.start(Kind::Adapter, &what, move |pen| {
        pen.tell("reading the adapter", 0, None);
        if let Some(name) = name.as_deref().filter(|name| desk.was_removed(name)) {
            return Err(removed_before(name));
        }
        let added = adapters.add(&from, name.as_deref(), &base)?;
        if desk.was_removed(&added.id) {
            adapters.remove(&added.id)?;
            return Err(removed_before(&added.id));
        }
        Ok(Outcome {
            model: added.id,
            message: Some(format!(
                "It changes {} matrices of {}, rank {}.",
                added.record.changed, added.record.base, added.record.rank
            )),
        })
    })?;
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

/// The running model keeps what it has read of an adapter under its name.
fn removed_before(name: &str) -> ApiError {
    ApiError::conflict(format!(
        "an adapter `{name}` was removed since this program started, and the model may still know it: choose another name, or \
         start the program anew first"
    ))
}

/// The model that an adapter is to fit.
async fn base(relay: &Relay, named: Option<String>) -> Result<Artifact, ApiError> {
    let (library, running) = (library(relay), relay.local_model());
    blocking(move || {
        let id = match (named, running) {
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => {
                let [only] = &library.list().0[..] else {
                    return Err(ApiError::bad_request(
                        "no model runs here: say as `model` which one the adapter was trained on",
                    ));
                };
                only.id.clone()
            }
        };
        Ok(library.find(&id)?.artifact)
    })
    .await
}

async fn remove(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    owner(&guest)?;
    let adapters = AdapterLibrary::new(relay.adapters_folder());
    let desk = relay.shared.model_desk.clone();
    blocking(move || {
        adapters.remove(&id)?;
        desk.note_removed(&id);
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is worn in a document, and what could be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Worn {
    #[serde(flatten)]
    adapters: Adapters,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<String>,
    /// The adapters that there are for the model that runs here.
    available: Vec<Choice>,
    /// Adapters that the document names and that are not among them.
    missing: Vec<String>,
    /// The model that runs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    may_set: bool,
}

#[derive(Serialize)]
struct Choice {
    id: String,
    rank: usize,
    bytes: u64,
}

async fn shown(relay: Relay, doc: DocId, role: Role) -> Result<Json<Worn>, ApiError> {
    let row = relay.shared.guard.adapters(&doc);
    let (adapters, set) = row.map(|row| (row.adapters, (row.set_at, row.set_by))).unzip();
    let (set_at, set_by) = set.unzip();
    let adapters: Adapters = adapters.unwrap_or_default();
    let (model, folder) = (relay.local_model(), relay.adapters_folder());
    let fits = model.clone();
    let available: Vec<Choice> = blocking(move || {
        let found = AdapterLibrary::new(folder).list().into_iter();
        let fitting = found.filter(|adapter| fits.as_ref() == Some(&adapter.record.base));
        let choice = |adapter: InstalledAdapter| Choice {
            id: adapter.id,
            rank: adapter.record.rank,
            bytes: adapter.bytes,
        };
        Ok(fitting.map(choice).collect())
    })
    .await?;
    let is_there = |name: &str| available.iter().any(|choice| choice.id == name);
    let missing = adapters.names().into_iter().filter(|name| !is_there(name));
    Ok(Json(Worn {
        missing: missing.map(str::to_owned).collect(),
        adapters,
        set_at,
        set_by,
        available,
        model,
        may_set: role >= Role::Owner,
    }))
}

async fn worn(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Worn>, ApiError> {
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    shown(relay, doc, guest.role).await
}

async fn set_worn(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Json<Worn>, ApiError> {
    demand(guest.role, Role::Owner)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let adapters: Adapters = body(&bytes)?;
    let (known, folder) = (relay.shared.guard.adapters(&doc), relay.adapters_folder());
    let named = adapters.clone();
    blocking(move || {
        // one that was named before and is gone may stay named: it is an error where it is wanted, and said in the panel
        let before = known.map(|row| row.adapters).unwrap_or_default();
        let library = AdapterLibrary::new(folder);
        for name in named.names().difference(&before.names()) {
            if name.len() > MAX_NAME_BYTES || library.find(name).is_err() {
                return Err(ApiError::bad_request(format!(
                    "there is no adapter `{}` here: add it first, or choose one of those that there are",
                    name.chars().take(MAX_NAME_BYTES).collect::<String>()
                )));
            }
        }
        Ok(())
    })
    .await?;
    let row = AdaptersRow {
        doc: doc.clone(),
        adapters,
        set_at: clock::now(),
        set_by: guest.identity.id,
    };
    relay.change_access(AccessWrite::PutAdapters(row)).await?;
    shown(relay, doc, guest.role).await
}
