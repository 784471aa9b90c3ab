//! Versions over REST: list, keep, read, compare, restore.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use crdt::authorship::{Attribution, Credits};
use crdt::history::{self, BlockChange, Kind, Packed, TextRun, Version};
use crdt::{DocId, Node, Part, Role};
use serde::{Deserialize, Serialize};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use super::{body, doc_id, find};
use crate::clock;
use crate::error::{ApiError, demand};
use crate::relay::Relay;
use crate::router::Guest;
use crate::store::{NewVersion, StoreError, Write};

/// Who reads earlier versions: they may hold what was taken out before the document was shown to others.
const READS: Role = Role::Editor;

/// The longest name of a version, in bytes.
const MAX_NAME: usize = 200;
/// The longest reason for a version, in bytes.
const MAX_WHY: usize = 2000;

pub(super) fn routes() -> Router<Relay> {
    Router::new()
        .route("/documents/{id}/versions", get(list).post(keep))
        .route("/documents/{id}/versions/{version}", get(one))
        .route("/documents/{id}/versions/{version}/markdown", get(markdown))
        .route("/documents/{id}/versions/{version}/diff", get(diff))
        .route("/documents/{id}/versions/{version}/restore", post(restore))
}

async fn list(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Vec<Version>>, ApiError> {
    demand(guest.role, READS)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    Ok(Json(relay.shared.store.versions(doc).await?))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct New {
    name: Option<String>,
    why: Option<String>,
}

async fn keep(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    demand(guest.role, Role::Editor)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let New { name, why } = body(&bytes)?;
    for (field, text, most) in [("name", &name, MAX_NAME), ("why", &why, MAX_WHY)] {
        if text.as_ref().is_some_and(|text| text.len() > most) {
            return Err(ApiError::bad_request(format!("`{field}` may have {most} bytes")));
        }
    }
    let now = Now::of(&relay, &doc).await?;
    let note = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let kept = now
        .keep(&relay, &guest, Kind::Named, (note(name), note(why)))
        .await?;
    Ok((StatusCode::CREATED, Json(kept)).into_response())
}

/// A version with its text as ProseMirror's JSON.
#[derive(Serialize)]
struct Content {
    #[serde(flatten)]
    version: Version,
    content: Node,
}

async fn one(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, number)): Path<(String, u64)>,
) -> Result<Json<Content>, ApiError> {
    demand(guest.role, READS)?;
    let doc = doc_id(&id)?;
    let (version, nodes) = version_nodes(&relay, &doc, number).await?;
    let content = Node::element("doc", nodes);
    Ok(Json(Content { version, content }))
}

async fn markdown(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, number)): Path<(String, u64)>,
) -> Result<Response, ApiError> {
    demand(guest.role, READS)?;
    let doc = doc_id(&id)?;
    let (_, nodes) = version_nodes(&relay, &doc, number).await?;
    let text = crdt::markdown::write(&nodes);
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct With {
    with: Option<String>,
}

/// What differs, from the version to the other one.
#[derive(Serialize)]
struct Difference {
    text: Vec<TextRun>,
    blocks: Vec<BlockChange>,
}

async fn diff(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, number)): Path<(String, u64)>,
    Query(With { with }): Query<With>,
) -> Result<Json<Difference>, ApiError> {
    demand(guest.role, READS)?;
    let doc = doc_id(&id)?;
    let (_, before) = version_nodes(&relay, &doc, number).await?;
    let after = match with.as_deref() {
        None | Some("now") => {
            let now = Now::of(&relay, &doc).await?;
            blocking(move || nodes(&open(&now.doc, "its present state", &now.body)?)).await?
        }
        Some(other) => {
            let other = other
                .parse()
                .map_err(|_| ApiError::bad_request("`with` is the number of another version, or `now`"))?;
            version_nodes(&relay, &doc, other).await?.1
        }
    };
    let difference = move || {
        Ok(Difference {
            text: history::text(&before, &after),
            blocks: history::blocks(&before, &after),
        })
    };
    Ok(Json(blocking(difference).await?))
}

/// What a restore did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    /// Whether anything had to be changed.
    changed: bool,
    /// The version that there is of it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
}

async fn restore(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, number)): Path<(String, u64)>,
) -> Result<Json<Restored>, ApiError> {
    demand(guest.role, Role::Editor)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let then = version_body(&relay, &doc, number).await?.1;
    let now = Now::of(&relay, &doc).await?;
    let authorship = relay.shared.store.authorship(doc.clone(), Part::Body).await?;
    let credits = relay.shared.store.credits(doc.clone()).await?;
    let (named, state) = (doc.clone(), now.body.clone());
    let edit = blocking(move || {
        let (copy, then) = (
            open(&named, "its present state", &state)?,
            open(&named, "the version", &then)?,
        );
        let attribution = Attribution::new(authorship, credits, &copy.transact());
        rewrite(&copy, &attribution, |copy| history::restore(copy, &then))
    })
    .await?;
    let Some(Rewritten { update, credits }) = edit else {
        return Ok(Json(Restored {
            changed: false,
            version: None,
        }));
    };
    let why = |words: String| (None, Some(words));
    let before = why(format!("before version {number} was restored"));
    now.keep(&relay, &guest, Kind::BeforeRestore, before).await?;
    write_again(
        &relay,
        &doc,
        (guest.identity.clone(), guest.role),
        update,
        credits,
    )
    .await?;
    let after = Now::of(&relay, &doc).await?;
    let words = why(format!("restored from version {number}"));
    let version = after.keep(&relay, &guest, Kind::Restored, words).await?;
    Ok(Json(Restored {
        changed: true,
        version: Some(version),
    }))
}

/// An edit that writes content again, and whose that is.
pub(super) struct Rewritten {
    pub(super) update: Vec<u8>,
    pub(super) credits: Credits,
}

/// Edits a copy. `None`: nothing was changed.
pub(super) fn rewrite(
    copy: &Doc,
    attribution: &Attribution,
    edit: impl FnOnce(&Doc) -> Result<Vec<crdt::decision::Revived>, crdt::content::ContentError>,
) -> Result<Option<Rewritten>, ApiError> {
    let news: Arc<std::sync::Mutex<Vec<Vec<u8>>>> = Arc::default();
    let sink = Arc::clone(&news);
    let observed = copy.observe_update_v1(move |_, event| {
        let mut sink = sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sink.push(event.update.clone());
    });
    let failed = |what: String| ApiError::from(StoreError::Io(crate::store::Cause::new(what)));
    let again = edit(copy).map_err(|error| failed(error.to_string()))?;
    drop(observed);
    let news = std::mem::take(&mut *news.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    if news.is_empty() {
        return Ok(None);
    }
    // One update, so that it is there whole or not at all.
    let update = yrs::merge_updates_v1(&news).map_err(|error| failed(error.to_string()))?;
    Ok(Some(Rewritten {
        update,
        credits: attribution.credits(&again),
    }))
}

/// Notes whose the content is, and then makes the edit as whoever asks for it.
pub(super) async fn write_again(
    relay: &Relay,
    doc: &DocId,
    who: (crdt::Identity, Role),
    update: Vec<u8>,
    credits: Credits,
) -> Result<(), ApiError> {
    if !credits.is_empty() {
        let credit = Write::Credit {
            doc: doc.clone(),
            credits: Arc::new(credits),
            at: clock::now(),
        };
        relay.shared.store.write(credit).await?;
    }
    let edit = move |body: &Doc| {
        let applied =
            Update::decode_v1(&update).map(|update| body.transact_mut().apply_update(update).is_ok());
        if !applied.unwrap_or(false) {
            tracing::error!("an edit that was made on a copy does not fit the document");
        }
    };
    Ok(relay.edit(doc, who, Box::new(edit)).await?)
}

/// A document's body as it is now.
pub(super) struct Now {
    pub(super) doc: DocId,
    pub(super) body: Vec<u8>,
    seq: u64,
}

impl Now {
    pub(super) async fn of(relay: &Relay, doc: &DocId) -> Result<Self, ApiError> {
        find(relay, doc).await?;
        let look = |room: &crdt::Room| {
            let body = room.document(Part::Body);
            let state = body.transact().encode_state_as_update_v1(&StateVector::default());
            (state, room.saved_seq())
        };
        let (body, seq) = relay.rooms.look(doc, look).await?;
        Ok(Self {
            doc: doc.clone(),
            body,
            seq,
        })
    }

    async fn keep(
        self,
        relay: &Relay,
        guest: &Guest,
        kind: Kind,
        (name, why): (Option<String>, Option<String>),
    ) -> Result<Version, ApiError> {
        let body = self.body;
        let version = NewVersion {
            at: clock::now(),
            by: guest.identity.clone(),
            kind,
            name,
            why,
            seq: self.seq,
            body: blocking(move || Ok(Packed::v2(body))).await?,
        };
        Ok(relay.shared.store.keep_version(self.doc, version).await?)
    }
}

/// A version's entry and its body as one update.
async fn version_body(relay: &Relay, doc: &DocId, number: u64) -> Result<(Version, Vec<u8>), ApiError> {
    find(relay, doc).await?;
    let found = relay.shared.store.version(doc.clone(), number).await?;
    let found = found.ok_or_else(|| ApiError::no_version(number))?;
    let named = doc.clone();
    let body = blocking(move || {
        found.body.into_v1().map_err(|error| {
            let what = format!("version {number}: {error}");
            StoreError::Damaged { doc: named, what }.into()
        })
    })
    .await?;
    Ok((found.version, body))
}

async fn version_nodes(relay: &Relay, doc: &DocId, number: u64) -> Result<(Version, Vec<Node>), ApiError> {
    let (version, body) = version_body(relay, doc, number).await?;
    let doc = doc.clone();
    let nodes = blocking(move || nodes(&open(&doc, "the version", &body)?)).await?;
    Ok((version, nodes))
}

/// Opens a copy, with a name of its own for what is written to it.
pub(super) fn open(doc: &DocId, what: &str, update: &[u8]) -> Result<Doc, ApiError> {
    history::open(update, u64::from(rand::random::<u32>())).map_err(|error| {
        let what = format!("{what}: {error}");
        StoreError::Damaged {
            doc: doc.clone(),
            what,
        }
        .into()
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the last step of what can fail")]
fn nodes(body: &Doc) -> Result<Vec<Node>, ApiError> {
    let root = crdt::doc::fragment(body);
    Ok(crdt::content::read(&root, &body.transact()))
}

/// Runs what takes as long as opening a document where nobody waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::from(StoreError::Closed))?
}
