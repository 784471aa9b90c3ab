//! The models on this machine over REST: list, add, measure, verify, remove. For whoever owns the server; in the desktop
//! application that is whoever sits there.

mod adapters;
mod jobs;
mod view;

use std::path::{Path as FilePath, PathBuf};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use crdt::Role;
use model::gguf::{ConvertOptions, Variant};
use model::manager::{GgufExtras, Hub, HubChoice, Library, ManagerError, Measured, Retries, Verdict};
use model::{EngineOptions, Generator, Locations, Runtime, Worker};
use serde::{Deserialize, Serialize};

use super::body;
use super::versions::blocking;
use crate::access::AccessError;
use crate::error::{ApiError, demand};
use crate::relay::Relay;
use crate::router::Guest;

pub(crate) use jobs::Desk;
use jobs::{Kind, Outcome};
use view::{Listed, fit_of};

/// Where models are looked for that are named as `owner/name`.
const HUB: &str = "https://huggingface.co";

pub(super) fn routes() -> Router<Relay> {
    Router::new()
        .route("/models", get(list).post(add))
        .route("/models/{model}", delete(remove))
        .route("/models/{model}/verify", post(verify))
        .route("/models/{model}/measure", post(measure))
        .route("/model-jobs/{job}", delete(end))
        .merge(adapters::routes())
}

/// Models take space and memory of the whole server, and paths of its machine are named: that is for its owner.
fn owner(guest: &Guest) -> Result<(), ApiError> {
    demand(guest.general.ok_or(AccessError::NotHere)?, Role::Owner)?;
    Ok(())
}

fn library(relay: &Relay) -> Library {
    Library::new(folder(relay))
}

fn folder(relay: &Relay) -> PathBuf {
    let given = relay.shared.models_folder.clone();
    given.unwrap_or_else(|| Locations::from_environment().cache.join("models"))
}

impl Relay {
    /// Where adapters are.
    pub(crate) fn adapters_folder(&self) -> PathBuf {
        let given = self.shared.adapters_folder.clone();
        given.unwrap_or_else(|| Locations::from_environment().adapters())
    }

    /// The id of the model that runs in this program, if one does.
    pub(crate) fn local_model(&self) -> Option<String> {
        let engines = self.engine_room()?.engines();
        engines.into_iter().find(|engine| engine.place == "here")?.id
    }
}

impl From<ManagerError> for ApiError {
    fn from(error: ManagerError) -> Self {
        match &error {
            ManagerError::Unknown(id) => Self::not_found(format!("there is no model `{id}` any more")),
            ManagerError::Exists(id) => Self::conflict(format!(
                "there is a model `{id}` already: remove it first, or choose another name"
            )),
            ManagerError::AdapterUnknown(id) => {
                Self::not_found(format!("there is no adapter `{id}` any more"))
            }
            ManagerError::AdapterExists(id) => Self::conflict(format!(
                "there is an adapter `{id}` already: remove it first, or choose another name"
            )),
            ManagerError::Locked(_) => Self::conflict(error.to_string()),
            // A disk that refuses is told in its own words: the owner is the one who can do something about it.
            _ => Self::bad_request(error.to_string()),
        }
    }
}

async fn list(State(relay): State<Relay>, guest: Guest) -> Result<Json<Listed>, ApiError> {
    owner(&guest)?;
    let loaded = relay.models();
    let jobs = relay.shared.model_desk.jobs();
    let folder = folder(&relay);
    let listed = blocking(move || Ok(Listed::new(&folder, &loaded, jobs, adapters::Told::all(&relay))));
    Ok(Json(listed.await?))
}

/// What is to be added.
#[derive(Default, Deserialize)]
#[serde(default)]
struct New {
    /// A folder, a file ending in .gguf (both on the server's machine), or a hub's model as `owner/name`.
    from: String,
    /// Its name in the list.
    name: Option<String>,
    /// ONNX models: the variant to download. GGUF files: `fp32`, `q8` or `exact`.
    variant: Option<String>,
    /// A hub's branch, tag or commit.
    revision: Option<String>,
    /// A hub's GGUF file.
    file: Option<String>,
    /// The hub's address.
    hub: Option<String>,
    /// A hub's token, for models that ask for an agreement. It is not kept.
    token: Option<String>,
}

/// Where a model comes from.
enum Place {
    Folder(PathBuf),
    Gguf(PathBuf, ConvertOptions),
    Hub(Hub, ConvertOptions),
}

impl New {
    fn place(&self) -> Result<Place, ApiError> {
        let path = FilePath::new(self.from.trim());
        if path.is_dir() {
            return Ok(Place::Folder(path.to_path_buf()));
        }
        if path.is_file() {
            return Ok(Place::Gguf(path.to_path_buf(), self.conversion()?));
        }
        let is_hub_id =
            self.from.trim().split('/').count() == 2 && !self.from.trim().starts_with(['.', '/', '~']);
        if !is_hub_id {
            return Err(ApiError::bad_request(format!(
                "there is no folder or file {} on the server's machine, and it is no hub's model (owner/name)",
                path.display()
            )));
        }
        let address = self.hub.as_deref().unwrap_or(HUB);
        let address = address
            .parse()
            .map_err(|_| ApiError::bad_request(format!("`{address}` is no address of a hub")))?;
        let hub = Hub {
            address,
            token: self.token.clone().filter(|token| !token.trim().is_empty()),
            retries: Retries::default(),
        };
        // The variant may be one of the hub's.
        Ok(Place::Hub(hub, self.conversion().unwrap_or_default()))
    }

    fn conversion(&self) -> Result<ConvertOptions, ApiError> {
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        let variant = variant.unwrap_or("exact");
        let variant = Variant::of_name(variant).ok_or_else(|| {
            ApiError::bad_request(format!(
                "a GGUF file is converted to fp32, q8 or exact, not to `{variant}`"
            ))
        })?;
        Ok(ConvertOptions {
            variant,
            ..ConvertOptions::default()
        })
    }

    fn choice(&self) -> HubChoice {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        HubChoice {
            revision: some(&self.revision),
            variant: some(&self.variant),
            file: some(&self.file),
        }
    }
}

async fn add(State(relay): State<Relay>, guest: Guest, bytes: Bytes) -> Result<Response, ApiError> {
    owner(&guest)?;
    let new: New = body(&bytes)?;
    let (new, place) = blocking(move || {
        let place = new.place()?;
        Ok((new, place))
    })
    .await?;
    let library = library(&relay);
    let what = new.from.trim().to_owned();
    let runtime = tokio::runtime::Handle::current();
    let job = relay
        .shared
        .model_desk
        .start(Kind::Add, &what.clone(), move |pen| {
            let name = new.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
            let mut tell = |progress: model::manager::Progress<'_>| {
                pen.tell(progress.what, progress.done, progress.total)
            };
            let (installed, report) = match place {
                Place::Folder(from) => {
                    pen.tell("copying the folder", 0, None);
                    (library.add_folder(&from, name)?, None)
                }
                Place::Gguf(file, options) => {
                    let (installed, report) =
                        library.add_gguf(&file, name, options, &GgufExtras::default(), &mut tell)?;
                    (installed, Some(report))
                }
                Place::Hub(hub, options) => {
                    let choice = new.choice();
                    runtime.block_on(async {
                    tokio::select! {
                        added = library.add_hub(&hub, &what, &choice, name, options, &mut tell) => Ok(added?),
                        () = pen.stopped() => Err(ApiError::busy("stopped")),
                    }
                })?
                }
            };
            Ok(Outcome {
                model: installed.id,
                message: report.map(|report| report.summary()),
            })
        })?;
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

/// Takes a job off the list; stops it if it is still running. What a download has brought is gone on with the next time.
async fn end(
    State(relay): State<Relay>,
    guest: Guest,
    Path(job): Path<String>,
) -> Result<StatusCode, ApiError> {
    owner(&guest)?;
    relay.shared.model_desk.end(&job)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    owner(&guest)?;
    if relay.models().iter().any(|model| model.id == id) {
        return Err(ApiError::conflict(format!(
            "`{id}` is running now: start the program with another model first, then remove this one"
        )));
    }
    let library = library(&relay);
    blocking(move || Ok(library.remove(&id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a verification found.
#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
enum Verified {
    /// All files are as they were when the model was added.
    Whole { files: usize },
    /// These are missing or other than they were.
    Changed { files: Vec<String> },
    /// Nothing was recorded; the folder can be used.
    NotRecorded,
}

async fn verify(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Verified>, ApiError> {
    owner(&guest)?;
    let library = library(&relay);
    let verdict = blocking(move || Ok(library.verify(&id)?)).await?;
    Ok(Json(match verdict {
        Verdict::Whole(files) => Verified::Whole { files },
        Verdict::Changed(files) => Verified::Changed { files },
        Verdict::NotRecorded => Verified::NotRecorded,
    }))
}

/// Loads a model and remembers how fast it is here.
async fn measure(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    owner(&guest)?;
    let library = library(&relay);
    let installed = {
        let (library, id) = (library.clone(), id.clone());
        blocking(move || Ok(library.find(&id)?)).await?
    };
    let fit = fit_of(&installed.artifact);
    if fit.fits() == Some(false) {
        return Err(ApiError::conflict(format!("{id} {}", fit.summary())));
    }
    let job = relay
        .shared
        .model_desk
        .start(Kind::Measure, &id.clone(), move |pen| {
            pen.tell("loading and measuring", 0, None);
            let runtime = Runtime::load(&Locations::from_environment().runtime).map_err(words)?;
            let worker =
                Worker::spawn(&runtime, installed.artifact, EngineOptions::default()).map_err(words)?;
            let info = worker.info();
            let measured = Measured {
                device: info.device.summary(),
                prefill_tokens_per_second: info.prefill_tokens_per_second,
                decode_tokens_per_second: info.decode_tokens_per_second,
                load_ms: info.load_ms,
            };
            library.remember_speed(&id, &measured)?;
            Ok(Outcome {
                model: id,
                message: None,
            })
        })?;
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

fn words(error: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(error.to_string())
}
