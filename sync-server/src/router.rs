//! All routes of the relay, and who asks.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Router, middleware};
use crdt::{Identity, Role};
use serde::Deserialize;

use crate::access::{Caller, Claims, User};
use crate::error::ApiError;
use crate::relay::Relay;
use crate::{api, socket, ui};

/// The relay's routes.
pub(crate) fn router(relay: Relay) -> Router {
    Router::new()
        .nest("/api/v1", api::routes())
        .route("/hocuspocus", any(socket::hocuspocus))
        .route("/y/{*name}", any(socket::y))
        .route("/health", get(health))
        .fallback(ui::page)
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
    pub(crate) role: Role,
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
        let access = &relay.shared.access;
        access.check_origin(&parts.headers)?;
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
        let role = access.role(caller, &claims)?;
        Ok(Self {
            identity: claims.identity("rest"),
            role,
        })
    }
}

/// Where the request comes from: this process marks its own, everybody else has an address.
fn caller(parts: &Parts) -> Caller {
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return *caller;
    }
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| *peer);
    Caller::of(peer, &parts.headers)
}
