//! Errors as the REST interface says them: a status, a code to switch on, and words for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crdt::{DocId, Role};

use crate::access::AccessError;
use crate::room::{EditError, JoinError};
use crate::store::StoreError;
use crate::uplink::LinkError;

/// What the REST interface answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 404 for anything else.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 409: it cannot be done as things are.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 413.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 429.
    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message)
    }

    /// 503, for a moment.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// 404 for a version.
    pub(crate) fn no_version(number: u64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no version {number} of this document: it may have been thinned out with age"),
        )
    }

    /// 400 for a file that is no backup.
    pub(crate) fn bad_backup(error: &StoreError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_backup",
            format!("this file cannot be restored ({error}); nothing was changed"),
        )
    }

    /// 404 for a document.
    pub(crate) fn no_document(doc: &DocId) -> Self {
        JoinError::Unknown(doc.clone()).into()
    }

    /// 404 for an address.
    pub(crate) fn no_such_call() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such call; docs/protocol.md lists them",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(code = self.code, message = self.message, "a request failed");
        }
        let body = serde_json::json!({ "code": self.code, "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        let (status, code) = match &error {
            AccessError::KeyMissing => (StatusCode::UNAUTHORIZED, "key_missing"),
            AccessError::KeyWrong => (StatusCode::UNAUTHORIZED, "key_wrong"),
            AccessError::Origin(_) => (StatusCode::FORBIDDEN, "origin"),
            AccessError::Role { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            AccessError::Token => (StatusCode::BAD_REQUEST, "bad_request"),
            AccessError::TokenBad(_) => (StatusCode::UNAUTHORIZED, "token_bad"),
            AccessError::Expired => (StatusCode::UNAUTHORIZED, "expired"),
            AccessError::Revoked => (StatusCode::FORBIDDEN, "revoked"),
            AccessError::NotHere => (StatusCode::FORBIDDEN, "not_here"),
            AccessError::ShutOut => (StatusCode::FORBIDDEN, "shut_out"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Full(_) | StoreError::Refused(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "storage_full")
            }
            StoreError::Busy => (StatusCode::CONFLICT, "busy"),
            StoreError::NoFile => (StatusCode::BAD_REQUEST, "no_file"),
            StoreError::Deleted(_) => (StatusCode::NOT_FOUND, "deleted"),
            StoreError::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<JoinError> for ApiError {
    fn from(error: JoinError) -> Self {
        let (status, code) = match error {
            JoinError::Store(error) => return error.into(),
            JoinError::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
            JoinError::Deleted(_) => (StatusCode::NOT_FOUND, "deleted"),
            JoinError::Epoch => (StatusCode::CONFLICT, "epoch"),
            JoinError::Open(_) => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            JoinError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Join(error) => error.into(),
            EditError::TooLarge(_) => Self::too_large(error.to_string()),
            EditError::Refused(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", error.to_string()),
            EditError::NotSaved => Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage", error.to_string()),
        }
    }
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Store(error) => error.into(),
            LinkError::Replaced => Self::new(StatusCode::CONFLICT, "replaced", error.to_string()),
            LinkError::Address { .. } => Self::bad_request(error.to_string()),
        }
    }
}

/// A role that is less than what the call takes.
pub(crate) fn demand(role: Role, needed: Role) -> Result<(), ApiError> {
    Ok(crate::access::demand(role, needed)?)
}
