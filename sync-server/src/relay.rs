//! The relay: a store, its rooms, and the ways in from this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use crdt::{ConnId, DocId, DocName, Identity, Part, Role};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use crate::access::traffic::Traffic;
use crate::access::{Access, Caller, Guard, SecretError};
use crate::connection::{self, HocuspocusLink, Link, YLink};
use crate::engine_room::EngineRoom;
use crate::limits::Limits;
use crate::outbox::{Outbox, outbox};
use crate::room::{EditError, EditFn};
use crate::rooms::Rooms;
use crate::router;
use crate::store::{AccessWrite, MemoryStore, SqliteStore, Store, StoreError, StorePath};
use crate::tls::{self, TlsError};
use crate::uplink::Uplinks;

/// Frames that may wait in a pipe of this process, each way. What is beyond waits in the outbox, which is bounded in bytes.
const PIPE_FRAMES: usize = 64;

/// The longest answer that [`Relay::api`] gives: a document as Markdown.
const MAX_ANSWER: usize = 256 << 20;

/// What a relay is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RelayConfig {
    /// Where documents are kept.
    pub store: StorePath,
    /// How many bytes the store may grow to; without it, as far as the disk goes.
    pub store_quota: Option<u64>,
    /// Who may do what.
    pub access: Access,
    /// What it allows.
    pub limits: Limits,
    /// Certificates (PEM) of authorities to trust besides those that browsers trust, for links to other servers.
    pub authorities: Option<PathBuf>,
    /// Where the web page comes from.
    pub ui: UiSource,
    /// Folder of the models that can be added and removed; without it, where the set-up puts them.
    pub models: Option<PathBuf>,
    /// The same of the adapters.
    pub adapters: Option<PathBuf>,
}

/// Where the web page comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UiSource {
    /// What was built into the program (in a debug build: the folder `ui/dist` of the repository).
    BuiltIn,
    /// A folder.
    Folder(PathBuf),
    /// No web page, the interface only.
    None,
}

impl RelayConfig {
    /// A relay whose documents are in `store`, for this process alone. Set the fields that should differ.
    #[must_use]
    pub fn new(store: StorePath) -> Self {
        Self {
            store,
            store_quota: None,
            access: Access::process_only(),
            limits: Limits::default(),
            authorities: None,
            ui: UiSource::BuiltIn,
            models: None,
            adapters: None,
        }
    }

    /// The relay of the desktop application: a file, no sockets, and everything belongs to whoever started it.
    #[must_use]
    pub fn desktop(sqlite: PathBuf) -> Self {
        Self {
            ui: UiSource::None,
            ..Self::new(StorePath::Sqlite(sqlite))
        }
    }
}

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret is too short.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificates of authorities cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A model as `GET /status` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// The AI peer's id.
    pub id: String,
    /// The model's name.
    pub name: String,
    /// What it runs on.
    pub device: String,
    /// How its weights are stored.
    pub quantisation: String,
    /// Its licence.
    pub licence: String,
    /// Measured while it wrote last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// How many tokens it can look at.
    pub context_length: usize,
    /// Every device that was asked for, and what came of it.
    pub devices: Vec<DeviceStatus>,
}

/// What came of asking for a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeviceStatus {
    /// `CUDA`, `DirectML`, `CPU`, or where another program runs it.
    pub provider: String,
    /// Whether the model runs on it.
    pub running: bool,
    /// Why (not).
    pub reason: String,
}

/// What every room and link of a relay shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) limits: Arc<Limits>,
    pub(crate) guard: Guard,
    pub(crate) traffic: Traffic,
    /// Whom links to other servers trust.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) ui: UiSource,
    /// Where the store's file is.
    pub(crate) path: StorePath,
    open: watch::Sender<BTreeSet<DocId>>,
    /// Why the store cannot write, when it cannot.
    storage: Mutex<Option<String>>,
    models: Mutex<Vec<ModelStatus>>,
    /// Folder of the models that can be added and removed.
    #[cfg(feature = "ai")]
    pub(crate) models_folder: Option<PathBuf>,
    #[cfg(feature = "ai")]
    pub(crate) adapters_folder: Option<PathBuf>,
    /// Models that are being added or measured.
    #[cfg(feature = "ai")]
    pub(crate) model_desk: crate::api::models::Desk,
    /// Why there is no AI peer, when there should be one.
    model_problem: Mutex<Option<String>>,
    /// Who can be asked about the engines, when there are some.
    pub(crate) engines: Mutex<Option<Arc<dyn EngineRoom>>>,
    /// The first listener, and whether it is encrypted.
    listening: OnceLock<(SocketAddr, bool)>,
    next_conn: AtomicU64,
}

impl Shared {
    pub(crate) fn storage_works(&self) {
        if self
            .storage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .is_some()
        {
            tracing::info!("the store can write again");
        }
    }

    pub(crate) fn storage_fails(&self, error: &StoreError) {
        *self.storage.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    pub(crate) fn document_is_open(&self, doc: &DocId, by_people: bool) {
        self.open.send_if_modified(|open| {
            if by_people {
                open.insert(doc.clone())
            } else {
                open.remove(doc)
            }
        });
    }
}

/// A relay. Cheap to clone; all clones are the same relay.
#[derive(Debug, Clone)]
pub struct Relay {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rooms: Rooms,
    pub(crate) uplinks: Uplinks,
}

/// A link within this process: frames both ways. Dropping `to_relay` closes it; when the relay closes it, `from_relay` ends.
#[derive(Debug)]
pub struct FramePipe {
    /// To the relay; sending waits while the relay is busy.
    pub to_relay: mpsc::Sender<Bytes>,
    /// From the relay. A reader that falls too far behind is cut off.
    pub from_relay: mpsc::Receiver<Bytes>,
}

/// What the REST interface answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAnswer {
    /// HTTP status.
    pub status: u16,
    /// MIME type of the body.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

impl Relay {
    /// Opens the store, and resumes the links to other servers that are kept in it.
    ///
    /// # Errors
    /// [`RelayError`] in words that say what to do.
    pub async fn open(config: RelayConfig) -> Result<Self, RelayError> {
        let queue = config.limits.store_queue;
        let path = config.store.clone();
        let store = tokio::task::spawn_blocking(move || match path {
            StorePath::Sqlite(path) => Store::spawn(SqliteStore::open(&path)?, queue),
            StorePath::Memory => Store::spawn(MemoryStore::default(), queue),
        });
        let store = store.await.map_err(|_| StoreError::Closed)??;
        if config.store_quota.is_some() {
            store.set_quota(config.store_quota).await?;
        }
        let tls = tls::client(config.authorities.as_deref())?;
        let guard = Guard::open(config.access, &store, Arc::clone(&tls)).await??;
        let limits = Arc::new(config.limits);
        let shared = Arc::new(Shared {
            store,
            traffic: Traffic::new(Arc::clone(&limits)),
            limits,
            guard,
            tls,
            ui: config.ui,
            path: config.store,
            open: watch::channel(BTreeSet::new()).0,
            storage: Mutex::default(),
            models: Mutex::default(),
            #[cfg(feature = "ai")]
            models_folder: config.models,
            #[cfg(feature = "ai")]
            adapters_folder: config.adapters,
            #[cfg(feature = "ai")]
            model_desk: crate::api::models::Desk::default(),
            model_problem: Mutex::default(),
            engines: Mutex::default(),
            listening: OnceLock::new(),
            next_conn: AtomicU64::new(1),
        });
        let rooms = Rooms::spawn(Arc::clone(&shared));
        let relay = Self {
            shared,
            rooms,
            uplinks: Uplinks::default(),
        };
        relay.resume_links().await?;
        Ok(relay)
    }

    /// Starts the links that the store has kept.
    pub(crate) async fn resume_links(&self) -> Result<(), StoreError> {
        for link in self.shared.store.links().await? {
            if let Err(error) = self.resume_link(&link) {
                tracing::warn!(doc = %link.doc, %error, "a link to another server cannot be resumed");
            }
        }
        Ok(())
    }

    /// The name of a document's present history, if the store has the document.
    pub(crate) async fn epoch(&self, doc: &DocId) -> Option<String> {
        let row = self.shared.store.document(doc.clone()).await.ok()??;
        Some(row.epoch)
    }

    /// A link that speaks Hocuspocus (the desktop's window). Its role is owner, its identity that of its authentication message.
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn connect_hocuspocus(&self) -> FramePipe {
        let (outbox, reader) = outbox(&self.shared.limits);
        let link = Link::Hocuspocus(HocuspocusLink::new(
            self.clone(),
            Caller::Process,
            outbox.clone(),
            None,
        ));
        self.pipe(async { Ok(link) }, outbox, reader)
    }

    /// A link that speaks y-protocols for one part of a document (the AI peer, a link to another server).
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn connect_y(&self, name: DocName, identity: Identity, role: Role) -> FramePipe {
        let (outbox, reader) = outbox(&self.shared.limits);
        let (relay, own) = (self.clone(), outbox.clone());
        let join = async move {
            YLink::join(&relay, &name, (identity, role), (None, None), own)
                .await
                .map(Link::Y)
        };
        self.pipe(join, outbox, reader)
    }

    fn pipe(
        &self,
        link: impl Future<Output = Result<Link, crate::Closing>> + Send + 'static,
        outbox: Outbox,
        reader: crate::outbox::OutboxReader,
    ) -> FramePipe {
        let (to_relay, from_peer) = mpsc::channel(PIPE_FRAMES);
        let (to_peer, from_relay) = mpsc::channel(PIPE_FRAMES);
        let max_frame = self.shared.limits.frame_bytes;
        tokio::spawn(async move {
            match link.await {
                Ok(link) => connection::run_pipe(link, outbox, reader, from_peer, to_peer, max_frame).await,
                Err(closing) => tracing::info!(%closing, "a link of this process was refused"),
            }
        });
        FramePipe { to_relay, from_relay }
    }

    /// Asks the REST interface (`docs/protocol.md`) as the owner, without a socket. `path` is that of the interface, with
    /// or without `/api/v1` before it.
    pub async fn api(&self, method: &str, path: &str, body: Bytes) -> ApiAnswer {
        let path = if path.starts_with("/api/") {
            path.to_owned()
        } else {
            format!("/api/v1{path}")
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Caller::Process)
            .body(Body::from(body));
        let Ok(request) = request else {
            return ApiAnswer {
                status: StatusCode::BAD_REQUEST.as_u16(),
                content_type: "application/json".into(),
                body: Bytes::from_static(
                    br#"{"code":"bad_request","message":"the method or path is not valid HTTP"}"#,
                ),
            };
        };
        let response = match self.router().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        ApiAnswer {
            status: parts.status.as_u16(),
            content_type: content_type.unwrap_or_default().to_owned(),
            body: axum::body::to_bytes(body, MAX_ANSWER).await.unwrap_or_default(),
        }
    }

    /// All routes: the interface, the sockets, the web page.
    pub fn router(&self) -> Router {
        router::router(self.clone())
    }

    /// The documents that people have open now. An AI peer joins these.
    #[must_use]
    pub fn open_documents(&self) -> watch::Receiver<BTreeSet<DocId>> {
        self.shared.open.subscribe()
    }

    /// Sets what `GET /status` says about models.
    pub fn set_models(&self, models: Vec<ModelStatus>) {
        *self.shared.models.lock().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// What `GET /status` says about models.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        self.shared
            .models
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets why there is no AI peer, in words for people; `GET /status` shows it.
    pub fn set_model_problem(&self, problem: Option<String>) {
        *self
            .shared
            .model_problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Why there is no AI peer, when there should be one.
    #[must_use]
    pub fn model_problem(&self) -> Option<String> {
        self.shared
            .model_problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Why the store cannot write, when it cannot.
    #[must_use]
    pub fn storage_problem(&self) -> Option<String> {
        self.shared
            .storage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets how many bytes the store may grow to; it never shrinks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_store_quota(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        self.shared.store.set_quota(bytes).await
    }

    /// How many rooms are in memory.
    pub async fn open_rooms(&self) -> usize {
        self.rooms.count().await
    }

    /// Sends everybody away, brings everything to the disk, and closes the store. The relay is of no use afterwards.
    pub async fn shutdown(&self) {
        self.uplinks.stop();
        self.rooms.shut_down().await;
        self.shared.store.close().await;
    }

    /// Whether somebody beyond this machine has to show something.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.shared.guard.access.is_guarded()
    }

    pub(crate) fn set_listening(&self, address: SocketAddr, encrypted: bool) {
        // The first one is the one to show; a relay with several listeners is possible.
        let _first = self.shared.listening.set((address, encrypted));
    }

    pub(crate) fn listening(&self) -> Option<SocketAddr> {
        self.shared.listening.get().map(|(address, _)| *address)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.shared
            .listening
            .get()
            .is_some_and(|(_, encrypted)| *encrypted)
    }

    /// Changes share links or members, on disk and for every open connection.
    pub(crate) async fn change_access(&self, write: AccessWrite) -> Result<(), StoreError> {
        self.shared.guard.change(&self.shared.store, write).await
    }

    pub(crate) fn next_conn(&self) -> ConnId {
        ConnId(self.shared.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    /// Edits the body of a document on somebody's behalf; returns when it is on disk.
    pub(crate) async fn edit(
        &self,
        doc: &DocId,
        who: (Identity, Role),
        edit: EditFn,
    ) -> Result<(), EditError> {
        self.rooms.edit(doc, self.next_conn(), who, edit).await
    }

    /// The name of a document's part.
    pub(crate) const fn name(doc: DocId, part: Part) -> DocName {
        DocName { doc, part }
    }

    /// Link states by document, for the list.
    pub(crate) fn link_states(&self) -> BTreeMap<DocId, (String, crate::uplink::LinkState)> {
        self.uplinks.states()
    }
}
