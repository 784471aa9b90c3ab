//! From an HTTP request to the bare connection that a WebSocket is spoken on.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::error::ApiError;
use crate::serve::Gated;

/// A request to speak WebSocket (RFC 6455, 4.2), with the answer to it.
///
/// axum has one as well, which gives a whole socket; here the two ends of the connection go different ways.
#[derive(Debug)]
pub(crate) struct Upgrade {
    answer: Response,
    upgrade: OnUpgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut request = Request::new(());
        request.method_mut().clone_from(&parts.method);
        *request.version_mut() = parts.version;
        request.headers_mut().clone_from(&parts.headers);
        let answer = create_response_with_body(&request, Body::empty)
            .map_err(|error| ApiError::bad_request(format!("this address is for WebSockets: {error}")))?;
        let upgrade = parts
            .extensions
            .remove::<OnUpgrade>()
            .ok_or_else(|| ApiError::bad_request("this connection cannot become a WebSocket"))?;
        Ok(Self { answer, upgrade })
    }
}

impl Upgrade {
    /// The answer; once it is sent, `serve` gets the connection and what was read of it already.
    pub(super) fn answer<F>(self, serve: impl FnOnce(Gated, Bytes) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            let upgraded = match upgrade.await {
                Ok(upgraded) => upgraded,
                Err(error) => return tracing::debug!(%error, "a connection ended before it was a WebSocket"),
            };
            match downcast::<TokioIo<Gated>>(upgraded) {
                // A task of its own: this one has room for all that came with the request, for as long as it lives.
                Ok(parts) => drop(tokio::spawn(serve(parts.io.into_inner(), parts.read_buf))),
                Err(_) => tracing::error!("a connection is served that did not come in by the door"),
            }
        });
        self.answer
    }
}
