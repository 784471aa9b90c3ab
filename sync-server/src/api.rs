//! The REST interface, as `docs/protocol.md` describes it.

mod authors;
mod copies;
#[cfg(feature = "ai")]
pub(crate) mod models;
mod privacy;
mod versions;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use crdt::{DocId, Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{ApiError, demand};
use crate::relay::{ModelStatus, Relay};
use crate::router::Guest;
use crate::store::{AccessWrite, DocumentRow};
use crate::uplink::LinkState;

/// The longest body of a request: an imported book.
const MAX_BODY: usize = 32 << 20;

pub(crate) fn routes() -> Router<Relay> {
    let routes = Router::new();
    #[cfg(feature = "ai")]
    let routes = routes.merge(models::routes());
    routes
        .route("/status", get(status))
        .route("/documents", get(list).post(create))
        .route("/documents/import", post(import))
        .route("/documents/{id}", get(one).patch(rename).delete(delete))
        .route("/documents/{id}/markdown", get(markdown))
        .route("/links", post(link))
        .merge(crate::access::api::routes())
        .merge(versions::routes())
        .merge(authors::routes())
        .merge(copies::routes())
        .merge(privacy::routes())
        .fallback(|| async { ApiError::no_such_call() })
        .method_not_allowed_fallback(|| async { ApiError::no_such_call() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: &'static str,
    role: Role,
    listening: Option<String>,
    models: Vec<ModelStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_problem: Option<String>,
    storage: Storage,
}

#[derive(Serialize)]
struct Storage {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

async fn status(State(relay): State<Relay>, guest: Guest) -> Json<Status> {
    let message = relay.storage_problem();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        role: guest.role,
        listening: relay.listening().map(|address| address.to_string()),
        models: relay.models(),
        model_problem: relay.model_problem(),
        storage: Storage {
            ok: message.is_none(),
            message,
        },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    id: DocId,
    title: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    epoch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_state: Option<LinkState>,
}

impl Document {
    fn new(relay: &Relay, row: DocumentRow) -> Self {
        let (link, link_state) = relay.link_states().remove(&row.id).unzip();
        Self {
            id: row.id,
            title: row.title,
            created_at: row.created_at,
            updated_at: row.updated_at,
            epoch: row.epoch,
            link,
            link_state,
        }
    }
}

async fn list(State(relay): State<Relay>, guest: Guest) -> Result<Json<Vec<Document>>, ApiError> {
    let rows = relay.shared.store.documents().await?;
    Ok(Json(
        rows.into_iter()
            .filter(|row| guest.may_see(&relay, &row.id))
            .map(|row| Document::new(&relay, row))
            .collect(),
    ))
}

async fn find(relay: &Relay, doc: &DocId) -> Result<DocumentRow, ApiError> {
    match relay.shared.store.document(doc.clone()).await? {
        Some(row) if !row.deleted => Ok(row),
        Some(_) => Err(crate::store::StoreError::Deleted(doc.clone()).into()),
        None => Err(ApiError::no_document(doc)),
    }
}

fn doc_id(id: &str) -> Result<DocId, ApiError> {
    DocId::parse(id).map_err(|error| ApiError::bad_request(error.to_string()))
}

async fn one(
    State(relay): State<Relay>,
    _guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Document>, ApiError> {
    let row = find(&relay, &doc_id(&id)?).await?;
    Ok(Json(Document::new(&relay, row)))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct New {
    title: Option<String>,
    markdown: Option<String>,
}

/// Reads a JSON body; an empty one is an object without fields.
fn body<T: Default + for<'de> Deserialize<'de>>(bytes: &Bytes) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not the JSON expected: {error}")))
}

async fn create(State(relay): State<Relay>, guest: Guest, bytes: Bytes) -> Result<Response, ApiError> {
    let New { title, .. } = body(&bytes)?;
    add(&relay, guest, title.as_deref(), None).await
}

async fn import(State(relay): State<Relay>, guest: Guest, bytes: Bytes) -> Result<Response, ApiError> {
    let New { title, markdown } = body(&bytes)?;
    let markdown =
        markdown.ok_or_else(|| ApiError::bad_request("the body needs `markdown`, the text to import"))?;
    add(&relay, guest, title.as_deref(), Some(&markdown)).await
}

async fn add(
    relay: &Relay,
    guest: Guest,
    title: Option<&str>,
    markdown: Option<&str>,
) -> Result<Response, ApiError> {
    demand(guest.role, Role::Editor)?;
    let (pass, role) = (guest.pass, guest.role);
    let doc = relay.create((guest.identity, role), title, markdown).await?;
    if let Some(owner) = relay.shared.guard.owner_row(&pass, &doc) {
        relay.change_access(AccessWrite::PutMember(owner)).await?;
    }
    let row = find(relay, &doc).await?;
    Ok((StatusCode::CREATED, Json(Document::new(relay, row))).into_response())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rename {
    title: Option<String>,
}

async fn rename(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Json<Document>, ApiError> {
    demand(guest.role, Role::Editor)?;
    let doc = doc_id(&id)?;
    let Rename { title } = body(&bytes)?;
    let title = title.ok_or_else(|| ApiError::bad_request("the body needs `title`, the new title"))?;
    find(&relay, &doc).await?;
    relay.rename(&doc, (guest.identity, guest.role), title).await?;
    Ok(Json(Document::new(&relay, find(&relay, &doc).await?)))
}

async fn delete(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    demand(guest.role, Role::Owner)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    relay.unlink(&doc).await?;
    relay.rooms.delete(&doc).await?;
    relay
        .shared
        .store
        .write_access(AccessWrite::ForgetDepartures(doc.clone()))
        .await?;
    relay.change_access(AccessWrite::Forget(doc)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn markdown(
    State(relay): State<Relay>,
    _guest: Guest,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let text = relay.rooms.markdown(&doc).await?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewLink {
    url: Option<String>,
}

async fn link(State(relay): State<Relay>, guest: Guest, bytes: Bytes) -> Result<Response, ApiError> {
    demand(guest.role, Role::Owner)?;
    let NewLink { url } = body(&bytes)?;
    let url = url.ok_or_else(|| {
        ApiError::bad_request("the body needs `url`, the link of a document on another server")
    })?;
    let doc = relay.link(&url).await?;
    let row = find(&relay, &doc).await?;
    Ok((StatusCode::CREATED, Json(Document::new(&relay, row))).into_response())
}
