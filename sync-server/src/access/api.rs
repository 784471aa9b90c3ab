//! The REST calls about access: share links, members, tokens.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use crdt::ids::{DocId, Role, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::jwt::NewToken;
use super::{AccessError, MAX_NAME_BYTES};
use crate::clock;
use crate::error::{ApiError, demand};
use crate::relay::Relay;
use crate::router::Guest;
use crate::store::{AccessWrite, MemberRow, ShareRow};

/// The most links and the most members that a document may have.
const MAX_SHARES: usize = 1000;
const MAX_MEMBERS: usize = 10_000;

pub(crate) fn routes() -> Router<Relay> {
    Router::new()
        .route("/documents/{id}/shares", get(shares).post(share))
        .route("/documents/{id}/shares/{share}", delete(revoke))
        .route("/documents/{id}/members", get(members))
        .route(
            "/documents/{id}/members/{sub}",
            axum::routing::put(set_member).delete(remove_member),
        )
        .route("/tokens", post(token))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    id: String,
    url: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    created_at: Timestamp,
    created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

impl Share {
    fn new(relay: &Relay, headers: &HeaderMap, row: ShareRow) -> Self {
        let key = relay.shared.guard.share_key(&row);
        let doc: String = url::form_urlencoded::byte_serialize(row.doc.as_str().as_bytes()).collect();
        let url = format!(
            "{}/#/d/{}?key={key}",
            base(relay, headers),
            doc.replace('+', "%20")
        );
        Self {
            id: row.id,
            url,
            role: row.role,
            label: row.label,
            created_at: row.created_at,
            created_by: row.created_by,
            expires_at: row.expires_at,
        }
    }
}

/// The server's address as whoever asks knows it.
fn base(relay: &Relay, headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let encrypted = relay.is_encrypted() || text("x-forwarded-proto") == Some("https");
    let scheme = if encrypted { "https" } else { "http" };
    let own = || relay.listening().map(|address| address.to_string());
    let host = text(header::HOST.as_str()).map(str::to_owned).or_else(own);
    format!("{scheme}://{}", host.unwrap_or_else(|| "localhost".to_owned()))
}

fn doc_id(id: &str) -> Result<DocId, ApiError> {
    DocId::parse(id).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not the JSON expected: {error}")))
}

/// Whoever made a document owns it; for others it must be there.
async fn owned(relay: &Relay, guest: &Guest, id: &str) -> Result<DocId, ApiError> {
    demand(guest.role, Role::Owner)?;
    let doc = doc_id(id)?;
    match relay.shared.store.document(doc.clone()).await? {
        Some(row) if !row.deleted => Ok(doc),
        _ => Err(ApiError::no_document(&doc)),
    }
}

async fn shares(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Share>>, ApiError> {
    let doc = owned(&relay, &guest, &id).await?;
    let rows = relay.shared.guard.shares(&doc, clock::now());
    Ok(Json(
        rows.into_iter()
            .map(|row| Share::new(&relay, &headers, row))
            .collect(),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewShare {
    role: Role,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    label: Option<String>,
}

async fn share(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let doc = owned(&relay, &guest, &id).await?;
    let new: NewShare = body(&bytes)?;
    if new.expires_at.is_some_and(|at| at <= clock::now()) {
        return Err(ApiError::bad_request(
            "`expiresAt` is over: give milliseconds since 1970 that are to come",
        ));
    }
    if new
        .label
        .as_ref()
        .is_some_and(|label| label.len() > MAX_NAME_BYTES)
    {
        return Err(ApiError::bad_request(format!(
            "`label` may have {MAX_NAME_BYTES} bytes"
        )));
    }
    if relay.shared.guard.shares(&doc, clock::now()).len() >= MAX_SHARES {
        return Err(ApiError::bad_request(format!(
            "a document may have {MAX_SHARES} links: revoke some"
        )));
    }
    let row = ShareRow {
        id: clock::ulid().to_string().to_lowercase(),
        doc,
        role: new.role,
        label: new.label,
        created_at: clock::now(),
        created_by: guest.identity.id,
        expires_at: new.expires_at,
    };
    relay.change_access(AccessWrite::PutShare(row.clone())).await?;
    Ok((StatusCode::CREATED, Json(Share::new(&relay, &headers, row))).into_response())
}

async fn revoke(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, share)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let doc = owned(&relay, &guest, &id).await?;
    let known = relay.shared.guard.shares(&doc, clock::now());
    if !known.iter().any(|row| row.id == share) {
        return Err(ApiError::not_found(
            "there is no such link: it was revoked, or has expired",
        ));
    }
    relay.change_access(AccessWrite::RemoveShare(share)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    sub: String,
    role: RoleOrNone,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<Role>,
    set_at: Timestamp,
    set_by: String,
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            sub: row.sub,
            role: row.role.map_or(RoleOrNone::Word(None), RoleOrNone::Role),
            margin: row.margin,
            set_at: row.set_at,
            set_by: row.set_by,
        }
    }
}

/// A role, or the word `none`: shut out.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum RoleOrNone {
    Role(Role),
    #[serde(with = "none")]
    Word(Option<()>),
}

mod none {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(_: &Option<()>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("none")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<()>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(None),
            _ => Err(serde::de::Error::custom(
                "a role: viewer, suggester, editor, owner or none",
            )),
        }
    }
}

async fn members(
    State(relay): State<Relay>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Json<Vec<Member>>, ApiError> {
    let doc = owned(&relay, &guest, &id).await?;
    Ok(Json(
        relay
            .shared
            .guard
            .members(&doc)
            .into_iter()
            .map(Member::from)
            .collect(),
    ))
}

#[derive(Deserialize)]
struct NewMember {
    role: RoleOrNone,
    #[serde(default)]
    margin: Option<Role>,
}

async fn set_member(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, sub)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<Json<Member>, ApiError> {
    let doc = owned(&relay, &guest, &id).await?;
    let new: NewMember = body(&bytes)?;
    if sub.is_empty() || sub.len() > MAX_NAME_BYTES {
        return Err(ApiError::bad_request(format!(
            "a subject has 1 to {MAX_NAME_BYTES} bytes"
        )));
    }
    let known = relay.shared.guard.members(&doc);
    if known.len() >= MAX_MEMBERS && !known.iter().any(|member| member.sub == sub) {
        return Err(ApiError::bad_request(format!(
            "a document may have {MAX_MEMBERS} members"
        )));
    }
    let row = MemberRow {
        doc,
        sub,
        role: match new.role {
            RoleOrNone::Role(role) => Some(role),
            RoleOrNone::Word(_) => None,
        },
        margin: new.margin,
        set_at: clock::now(),
        set_by: guest.identity.id,
    };
    relay.change_access(AccessWrite::PutMember(row.clone())).await?;
    Ok(Json(row.into()))
}

async fn remove_member(
    State(relay): State<Relay>,
    guest: Guest,
    Path((id, sub)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let doc = owned(&relay, &guest, &id).await?;
    relay
        .change_access(AccessWrite::RemoveMember { doc, sub })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Made {
    token: String,
}

/// For whoever owns the whole server.
async fn token(State(relay): State<Relay>, guest: Guest, bytes: Bytes) -> Result<Response, ApiError> {
    demand(guest.general.ok_or(AccessError::NotHere)?, Role::Owner)?;
    let new: NewToken = body(&bytes)?;
    let token = relay.shared.guard.mint(&new)?;
    Ok((StatusCode::CREATED, Json(Made { token })).into_response())
}
