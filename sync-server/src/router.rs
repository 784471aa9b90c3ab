//! All routes of the relay, and who asks.

use axum::extract::{ConnectInfo, FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Router, middleware};
use crdt::{DocId, Identity, Role};
use serde::Deserialize;

use crate::access::pass::Pass;
use crate::access::traffic::slow_down;
use crate::access::{Caller, Claims, User};
use crate::error::ApiError;
use crate::relay::Relay;
use crate::serve::Visitor;
use crate::{api, clock, socket, ui};

/// The relay's routes.
pub(crate) fn router(relay: Relay) -> Router {
    Router::new()
        .nest("/api/v1", api::routes())
        .route("/hocuspocus", any(socket::hocuspocus))
        .route("/y/{*name}", any(socket::y))
        .route("/health", get(health))
        .fallback(ui::page)
        .layer(middleware::from_fn_with_state(relay.clone(), slow_down))
        .layer(middleware::map_response(ui::protect))
        .with_state(relay)
}

/// For whoever watches the process: it answers, whether or not the store can write (`/api/v1/status` says that).
async fn health() -> impl IntoResponse {
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain")], "ok\n")
}

/// Who calls the REST interface, and with which role.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) identity: Identity,
    /// In the document that the path names (`/documents/{id}…`); elsewhere [`Guest::general`], or the least.
    pub(crate) role: Role,
    /// For the server as a whole; `None` for whoever may open certain documents only.
    pub(crate) general: Option<Role>,
    pub(crate) pass: Pass,
}

impl Guest {
    /// Whether a document is to be shown to them.
    pub(crate) fn may_see(&self, relay: &Relay, doc: &DocId) -> bool {
        relay.shared.guard.roles(&self.pass, doc, clock::now()).is_ok()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GuestQuery {
    key: Option<String>,
    user: String,
    name: String,
    role: Option<Role>,
}

impl FromRequestParts<Relay> for Guest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, relay: &Relay) -> Result<Self, ApiError> {
        let guard = &relay.shared.guard;
        guard.access.check_origin(&parts.headers)?;
        let caller = caller(parts);
        let query = Query::<GuestQuery>::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::bad_request(error.body_text()))?
            .0;
        let bearer = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let key = bearer
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::to_owned)
            .or(query.key);
        let user = Some(User {
            id: query.user,
            name: query.name,
        });
        let claims = Claims {
            key,
            user,
            role: query.role,
            ..Claims::default()
        };
        let pass = guard.admit(caller, claims).await?;
        let general = guard.general_role(&pass);
        let role = match document(parts).await? {
            Some(doc) => guard.roles(&pass, &doc, clock::now())?.body,
            None => general.unwrap_or(Role::Viewer),
        };
        Ok(Self {
            identity: pass.identity("rest"),
            role,
            general,
            pass,
        })
    }
}

/// The document that a path is about, if it is about one.
async fn document(parts: &mut Parts) -> Result<Option<DocId>, ApiError> {
    let about = parts
        .uri
        .path()
        .trim_start_matches("/api/v1")
        .starts_with("/documents/");
    let Ok(params) = RawPathParams::from_request_parts(parts, &()).await else {
        return Ok(None);
    };
    let id = params.iter().find(|(name, _)| *name == "id").map(|(_, id)| id);
    match id.filter(|_| about) {
        Some(id) => DocId::parse(id)
            .map(Some)
            .map_err(|error| ApiError::bad_request(error.to_string())),
        None => Ok(None),
    }
}

/// Where the request comes from: this process marks its own, everybody else has an address.
fn caller(parts: &Parts) -> Caller {
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return *caller;
    }
    let peer = parts
        .extensions
        .get::<ConnectInfo<Visitor>>()
        .map(|ConnectInfo(visitor)| visitor.address);
    Caller::of(peer, &parts.headers)
}
