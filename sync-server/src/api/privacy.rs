//! The REST calls about what may leave the machine: a document's policy, what would be masked, who has agreed to that, what has
//! left; and the engines' self-test.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use crdt::policy::{Agreement, Leave, Policy};
use crdt::{DocId, Role, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{body, doc_id, find};
use crate::clock;
use crate::engine_room::{EngineRoom, EngineStatus};
use crate::error::{ApiError, demand};
use crate::relay::Relay;
use crate::router::Guest;
use crate::store::{AccessWrite, AgreementRow, DepartureRow, PolicyRow};

/// The most engines that a policy may name, and the longest name in bytes.
const MAX_ENGINES: usize = 64;
const MAX_NAME_BYTES: usize = 200;

/// The longest text that is looked through for a preview, in bytes.
const MAX_PREVIEW: usize = 1 << 20;

pub(super) fn routes() -> Router<Relay> {
    Router::new()
        .route("/doctor", get(doctor))
        .route("/documents/{id}/privacy", get(privacy).put(set_privacy))
        .route("/documents/{id}/privacy/preview", post(preview))
        .route("/documents/{id}/privacy/agree", post(agree))
        .route("/documents/{id}/departures", get(departures))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Privacy {
    #[serde(flatten)]
    policy: Policy,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<String>,
    /// Engines outside this program, to choose from.
    available: Vec<EngineStatus>,
    /// Whether who asks has agreed to all that may leave.
    agreed: bool,
    /// Of a document that is linked to another server: what that one says. Its engines heed its own policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    there: Option<Value>,
    may_set: bool,
}

async fn shown(relay: &Relay, doc: &DocId, guest: &Guest) -> Result<Privacy, ApiError> {
    let row = relay.shared.guard.policy(doc);
    let available = match relay.engine_room() {
        Some(room) => blocking(move || room.engines()).await?,
        None => Vec::new(),
    };
    let (policy, set) = row.map(|row| (row.policy, (row.set_at, row.set_by))).unzip();
    let (set_at, set_by) = set.unzip();
    let policy: Policy = policy.unwrap_or_default();
    let agreement = relay
        .shared
        .guard
        .agreement(doc, asker(guest))
        .map(|row| row.agreement);
    let covers = |engine: &String| {
        agreement
            .as_ref()
            .is_some_and(|word| word.covers(engine, policy.leave))
    };
    Ok(Privacy {
        agreed: policy.engines.iter().all(covers),
        there: None,
        policy,
        set_at,
        set_by,
        available: available
            .into_iter()
            .filter(|engine| engine.place != "here")
            .collect(),
        may_set: guest.role >= Role::Owner,
    })
}

async fn privacy(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Privacy>, ApiError> {
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let there = relay
        .ask_there(&doc, ("GET", "privacy"), asker(&guest), None)
        .await;
    Ok(Json(Privacy {
        there: there.filter(|(status, _)| *status == 200).map(|(_, said)| said),
        ..shown(&relay, &doc, &guest).await?
    }))
}

#[derive(Default, Deserialize)]
struct NewPolicy {
    leave: Option<Leave>,
    #[serde(default)]
    engines: Vec<String>,
    /// With an agreement: it is about what the other server of a linked document says.
    #[serde(default)]
    there: bool,
}

async fn set_privacy(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Json<Privacy>, ApiError> {
    demand(guest.role, Role::Owner)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let NewPolicy { leave, engines, .. } = body(&bytes)?;
    let leave =
        leave.ok_or_else(|| ApiError::bad_request("the body needs `leave`: nothing, masked or asIs"))?;
    let fits = |name: &String| !name.is_empty() && name.len() <= MAX_NAME_BYTES;
    if engines.len() > MAX_ENGINES || !engines.iter().all(fits) {
        return Err(ApiError::bad_request(format!(
            "`engines` are at most {MAX_ENGINES} names of 1 to {MAX_NAME_BYTES} bytes"
        )));
    }
    let row = PolicyRow {
        doc: doc.clone(),
        policy: Policy { leave, engines },
        set_at: clock::now(),
        set_by: guest.identity.id.clone(),
    };
    relay.change_access(AccessWrite::PutPolicy(row)).await?;
    Ok(Json(shown(&relay, &doc, &guest).await?))
}

/// The id that the requests of whoever asks name: what they call themselves, as in the margin.
fn asker(guest: &Guest) -> &str {
    guest.pass.claimed().unwrap_or(&guest.identity.id)
}

/// Keeps that somebody has been shown what leaves, and lets it: without it no engine elsewhere answers them.
async fn agree(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Json<Privacy>, ApiError> {
    demand(guest.role, Role::Suggester)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let NewPolicy {
        leave,
        engines,
        there,
    } = body(&bytes)?;
    if there {
        return agree_there(&relay, &doc, &guest, leave, &engines).await;
    }
    let policy = relay
        .shared
        .guard
        .policy(&doc)
        .map(|row| row.policy)
        .unwrap_or_default();
    let is_so = leave == Some(policy.leave)
        && !engines.is_empty()
        && engines.iter().all(|name| policy.engines.contains(name));
    if !is_so {
        return Err(ApiError::conflict(
            "what may leave this document has changed since it was shown, or `leave` and `engines` are not what was shown: look again",
        ));
    }
    let row = AgreementRow {
        doc: doc.clone(),
        person: asker(&guest).to_owned(),
        agreement: Agreement {
            leave: policy.leave,
            engines: policy
                .engines
                .into_iter()
                .filter(|name| engines.contains(name))
                .collect(),
        },
        at: clock::now(),
        by: guest.identity.id.clone(),
    };
    relay.change_access(AccessWrite::Agree(row)).await?;
    Ok(Json(shown(&relay, &doc, &guest).await?))
}

/// Hands an agreement on to the server that the document is linked to.
async fn agree_there(
    relay: &Relay,
    doc: &DocId,
    guest: &Guest,
    leave: Option<Leave>,
    engines: &[String],
) -> Result<Json<Privacy>, ApiError> {
    let body = serde_json::json!({"leave": leave, "engines": engines}).to_string();
    let said = relay
        .ask_there(doc, ("POST", "privacy/agree"), asker(guest), Some(&body))
        .await;
    match said {
        Some((200, said)) => Ok(Json(Privacy {
            there: Some(said),
            ..shown(relay, doc, guest).await?
        })),
        Some((_, said)) => Err(ApiError::conflict(
            said.get("message")
                .and_then(Value::as_str)
                .unwrap_or("the other server does not take the agreement"),
        )),
        None => Err(ApiError::busy(
            "the other server of this document is not reached: ask again when it is",
        )),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Departure {
    at: Timestamp,
    by: String,
    engine: String,
    place: String,
    leave: Leave,
    characters: u64,
    masked: BTreeMap<String, u64>,
}

impl From<DepartureRow> for Departure {
    fn from(row: DepartureRow) -> Self {
        Self {
            at: row.at,
            by: row.by,
            engine: row.engine,
            place: row.place,
            leave: row.leave,
            characters: row.characters,
            masked: row.masked,
        }
    }
}

async fn departures(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Vec<Departure>>, ApiError> {
    demand(guest.role, Role::Owner)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let rows = relay.shared.store.departures(doc).await?;
    Ok(Json(rows.into_iter().map(Departure::from).collect()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewPreview {
    /// The document's text unless given.
    text: Option<String>,
    /// Names that are known besides.
    names: Vec<String>,
}

async fn preview(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    demand(guest.role, Role::Suggester)?;
    let doc = doc_id(&id)?;
    find(&relay, &doc).await?;
    let NewPreview { text, names } = body(&bytes)?;
    let text = match text {
        Some(text) => text,
        None => relay.rooms.markdown(&doc).await?,
    };
    if text.len() > MAX_PREVIEW {
        return Err(ApiError::too_large(
            "a preview is made of one megabyte of text at most",
        ));
    }
    let room = running(&relay)?;
    Ok(Json(blocking(move || room.preview(&text, &names)).await?))
}

/// For whoever owns the whole server.
async fn doctor(State(relay): State<Relay>, guest: Guest) -> Result<Json<Value>, ApiError> {
    demand(guest.general.unwrap_or(Role::Viewer), Role::Owner)?;
    let room = running(&relay)?;
    Ok(Json(blocking(move || room.examine()).await?))
}

fn running(relay: &Relay) -> Result<Arc<dyn EngineRoom>, ApiError> {
    relay.engine_room().ok_or_else(|| {
        let why = relay.model_problem();
        ApiError::not_found(why.unwrap_or_else(|| "no engine runs here (yet)".to_owned()))
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ApiError::busy("this could not be done; the server's log says more"))
}
