//! Backup, restore and check over REST. For the owner: they reach every document.

use std::io::{Read, Write as _};
use std::path::PathBuf;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use crdt::{DocId, Role};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use super::versions::blocking;
use super::{doc_id, find};
use crate::clock;
use crate::error::{ApiError, demand};
use crate::outbox::Closing;
use crate::relay::Relay;
use crate::router::Guest;
use crate::store::{Cause, Examined, StoreError, StorePath, examine, prepare};

/// Bytes of a file that are passed on at a time.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait.
const CHUNKS: usize = 4;

/// Close code: the server starts anew (RFC 6455's registry, 1012). Clients come again at once.
const CLOSE_RESTART: u16 = 1012;

pub(super) fn routes() -> Router<Relay> {
    Router::new()
        .route("/backup", post(backup))
        .route("/restore", post(restore))
        .route("/check", get(check))
        .route("/check/{id}/update", get(saved_update))
        .route("/check/{id}/margin", get(saved_margin))
        .route("/check/{id}/markdown", get(saved_markdown))
}

/// A file beside the store that goes when this goes.
struct Beside(PathBuf);

impl Beside {
    fn new(relay: &Relay, what: &str) -> Result<Self, ApiError> {
        match &relay.shared.path {
            StorePath::Sqlite(path) => {
                let name = format!("{what}-{}.sqlite", clock::ulid().to_string().to_lowercase());
                Ok(Self(path.with_extension(name)))
            }
            StorePath::Memory => Err(StoreError::NoFile.into()),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0)); // perhaps it was never made, or has been put elsewhere
    }
}

fn io(error: std::io::Error) -> ApiError {
    match error.kind() {
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => StoreError::Full(Cause::new(error)).into(),
        _ => StoreError::Io(Cause::new(error)).into(),
    }
}

/// A copy of all documents as of one moment, as one file.
async fn backup(State(relay): State<Relay>, guest: Guest) -> Result<Response, ApiError> {
    demand(guest.role, Role::Owner)?;
    let copy = Beside::new(&relay, "backup")?;
    relay.shared.store.backup(copy.0.clone()).await?;
    let (file, length) = blocking({
        let path = copy.0.clone();
        move || {
            let file = std::fs::File::open(path).map_err(io)?;
            let length = file.metadata().map_err(io)?.len();
            Ok((file, length))
        }
    })
    .await?;
    let (chunks, received) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || send_file(file, copy, &chunks));
    let body = stream::unfold(received, |mut received| async {
        received.recv().await.map(|chunk| (chunk, received))
    });
    let head = [
        (header::CONTENT_TYPE, "application/vnd.sqlite3".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((head, Body::from_stream(body)).into_response())
}

fn send_file(mut file: std::fs::File, copy: Beside, to: &mpsc::Sender<std::io::Result<Bytes>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let sent = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                chunk.truncate(read);
                to.blocking_send(Ok(chunk.into()))
            }
            Err(error) => to.blocking_send(Err(error)),
        };
        if sent.is_err() {
            break; // nobody reads any more
        }
    }
    drop(copy);
}

#[derive(Serialize)]
struct Restored {
    documents: usize,
    /// Where the documents are that were there before.
    before: String,
    /// Whether the backup is of another server: its share links and tokens open nothing until this one starts anew.
    restart: bool,
}

/// Puts a backup in the place of all documents.
async fn restore(State(relay): State<Relay>, guest: Guest, body: Body) -> Result<Json<Restored>, ApiError> {
    demand(guest.role, Role::Owner)?;
    let candidate = Beside::new(&relay, "restore")?;
    receive_file(body, candidate.0.clone()).await?;
    let path = candidate.0.clone();
    let documents = blocking(move || prepare(&path).map_err(|error| ApiError::bad_backup(&error))).await?;
    let closing = Closing::new(
        CLOSE_RESTART,
        "the documents are being restored from a backup; connect again",
    );
    let there = relay.shared.store.documents().await?;
    let there = there.into_iter().map(|row| row.id).collect();
    relay.uplinks.stop();
    let (answer, swapped) = tokio::sync::oneshot::channel();
    let (shared, with) = (std::sync::Arc::clone(&relay.shared), candidate.0.clone());
    let swap = async move {
        let done = match shared.store.replace(with).await {
            Ok(before) => {
                let reloaded = shared.guard.reload(&shared.store, &there).await;
                reloaded.map(|restart| (before, restart))
            }
            Err(error) => Err(error),
        };
        drop(answer.send(done)); // whoever asked may have gone
    };
    let saved = relay.rooms.alone(closing, Box::pin(swap)).await;
    let done = swapped.await.unwrap_or(Err(StoreError::Io(Cause::new(
        "some documents could not be saved before it, so nothing was changed",
    ))));
    // Whatever came of it, there is a store with links.
    relay.resume_links().await?;
    saved?;
    let (before, restart) = done?;
    tracing::warn!(documents, before = %before.display(), "restored from a backup");
    Ok(Json(Restored {
        documents,
        before: before.display().to_string(),
        restart,
    }))
}

async fn receive_file(body: Body, path: PathBuf) -> Result<(), ApiError> {
    let (chunks, mut received) = mpsc::channel::<Bytes>(CHUNKS);
    let writer = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let mut file = std::fs::File::create_new(path)?;
        while let Some(chunk) = received.blocking_recv() {
            file.write_all(&chunk)?;
        }
        file.sync_all()
    });
    let mut body = body.into_data_stream();
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|error| ApiError::bad_request(format!("the file did not come whole: {error}")))?;
        if chunks.send(chunk).await.is_err() {
            break; // the writer says why
        }
    }
    drop(chunks);
    let written = writer.await.map_err(|_| ApiError::from(StoreError::Closed))?;
    written.map_err(io)
}

/// What a check found.
#[derive(Serialize)]
struct Checked {
    ok: bool,
    /// How many documents were read.
    documents: usize,
    /// What is wrong with the file as a whole.
    file: Vec<String>,
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
struct Damaged {
    id: DocId,
    title: String,
    problems: Vec<String>,
}

/// Reads every document. One after the other, so that the others' reads and writes come in between.
async fn check(State(relay): State<Relay>, guest: Guest) -> Result<Json<Checked>, ApiError> {
    demand(guest.role, Role::Owner)?;
    let file = relay.shared.store.check_file().await?;
    let rows = relay.shared.store.documents().await?;
    let documents = rows.len();
    let mut damaged = Vec::new();
    for row in rows {
        let found = examined(&relay, &row.id).await?;
        if !found.problems.is_empty() {
            damaged.push(Damaged {
                id: found.doc,
                title: found.title,
                problems: found.problems,
            });
        }
    }
    Ok(Json(Checked {
        ok: file.is_empty() && damaged.is_empty(),
        documents,
        file,
        damaged,
    }))
}

async fn examined(relay: &Relay, doc: &DocId) -> Result<Examined, ApiError> {
    let remains = relay.shared.store.remains(doc.clone()).await?;
    blocking(move || Ok(examine(remains))).await
}

async fn saved(relay: &Relay, guest: &Guest, id: &str) -> Result<Examined, ApiError> {
    demand(guest.role, Role::Owner)?;
    let doc = doc_id(id)?;
    find(relay, &doc).await?;
    examined(relay, &doc).await
}

async fn saved_update(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let body = saved(&relay, &guest, &id).await?.body;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

async fn saved_margin(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let margin = saved(&relay, &guest, &id).await?.margin;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], margin).into_response())
}

async fn saved_markdown(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let text = saved(&relay, &guest, &id).await?.markdown;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
}
