//! Who wrote what, and copies that keep it.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use crdt::authorship::{Attribution, AuthorRun, Credit};
use crdt::{DocId, Part, Role, history};
use serde::{Deserialize, Serialize};
use yrs::Transact;

use super::versions::{Now, Rewritten, blocking, open, rewrite, write_again};
use super::{Document, body, doc_id, find};
use crate::clock;
use crate::error::{ApiError, demand};
use crate::relay::Relay;
use crate::router::Guest;
use crate::store::{AccessWrite, Write};

pub(super) fn routes() -> Router<Relay> {
    Router::new()
        .route("/documents/{id}/authorship", get(authorship))
        .route("/documents/{id}/authorship/ids", get(ids))
        .route("/documents/{id}/copy", post(copy))
}

#[derive(Serialize)]
struct Authors {
    runs: Vec<AuthorRun>,
}

async fn authorship(
    State(relay): State<Relay>,
    _guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Authors>, ApiError> {
    let (doc, now, kept) = read(&relay, &id).await?;
    let runs = blocking(move || {
        let body = open(&doc, "its present state", &now.body)?;
        let txn = body.transact();
        Ok(Attribution::new(kept.0, kept.1, &txn).runs(&txn))
    })
    .await?;
    Ok(Json(Authors { runs }))
}

/// Whose the recorded ids are: `spans` are `[client, clock, length, index in credits]`.
#[derive(Serialize)]
struct ById {
    credits: Vec<Credit>,
    spans: Vec<(u64, u32, u32, usize)>,
}

impl ById {
    fn new(attribution: &Attribution) -> Self {
        let mut told = Self {
            credits: Vec::new(),
            spans: Vec::new(),
        };
        for (range, credit) in attribution.spans() {
            let known = told.credits.iter().position(|known| *known == credit);
            let index = known.unwrap_or_else(|| {
                told.credits.push(credit);
                told.credits.len() - 1
            });
            told.spans.push((range.client, range.clock, range.len, index));
        }
        told
    }
}

/// For whoever has the document: they know the ids of its characters, which say the same however the text changes.
async fn ids(
    State(relay): State<Relay>,
    _guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<ById>, ApiError> {
    let (doc, now, kept) = read(&relay, &id).await?;
    let told = blocking(move || {
        let body = open(&doc, "its present state", &now.body)?;
        let attribution = Attribution::new(kept.0, kept.1, &body.transact());
        Ok(ById::new(&attribution))
    })
    .await?;
    Ok(Json(told))
}

type Kept = (crdt::authorship::Authorship, crdt::authorship::Credits);

/// A document as it is, and what is recorded about it. In this order: everything that it holds is recorded by then.
async fn read(relay: &Relay, id: &str) -> Result<(DocId, Now, Kept), ApiError> {
    let doc = doc_id(id)?;
    let now = Now::of(relay, &doc).await?;
    let authorship = relay.shared.store.authorship(doc.clone(), Part::Body).await?;
    let credits = relay.shared.store.credits(doc.clone()).await?;
    Ok((doc, now, (authorship, credits)))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Copied {
    title: Option<String>,
}

/// Makes a document with the same text, whose characters keep their authors. Its history and its margin begin anew.
async fn copy(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    // It takes no right in the document but to read it, and one to make documents.
    let role = guest.general.unwrap_or(Role::Viewer);
    demand(role, Role::Editor)?;
    let Copied { title } = body(&bytes)?;
    let (doc, now, kept) = read(&relay, &id).await?;
    let row = find(&relay, &doc).await?;
    let title = title.unwrap_or_else(|| format!("{} (copy)", row.title).trim().to_owned());
    let made = blocking(move || {
        let source = open(&doc, "its present state", &now.body)?;
        let attribution = Attribution::new(kept.0, kept.1, &source.transact());
        let target = crdt::doc::open(u64::from(rand::random::<u32>()));
        rewrite(&target, &attribution, |target| {
            let meta = crdt::doc::meta(target);
            crdt::doc::set_title(&meta, &mut target.transact_mut(), &title);
            history::copy(&source, target)
        })
    })
    .await?;
    let id = clock::ulid().to_string().to_lowercase();
    let new = doc_id(&id)?;
    let create = Write::Create {
        doc: new.clone(),
        title: String::new(),
        at: clock::now(),
    };
    relay.shared.store.write(create).await?;
    if let Some(Rewritten { update, credits }) = made {
        write_again(&relay, &new, (guest.identity, role), update, credits).await?;
    }
    if let Some(owner) = relay.shared.guard.owner_row(&guest.pass, &new) {
        relay.change_access(AccessWrite::PutMember(owner)).await?;
    }
    let row = find(&relay, &new).await?;
    Ok((StatusCode::CREATED, Json(Document::new(&relay, row))).into_response())
}
