//! The web page: files built into the program or read from a folder, and the headers that keep it safe.

use std::path::{Component, Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::error::ApiError;
use crate::relay::{Relay, UiSource};

/// What a page of this server may do. WebAssembly must be named; images may come from elsewhere because documents show
/// them; everything else is ours.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: https:; font-src 'self' data:; \
    connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Shown when the program was built without the page.
const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Inkling</title>\
    <h1>The page is not built</h1><p>The server works, but this program was built without its web page.</p>\
    <p>In the project's folder run <code>npm start -- --server</code>, which builds both, \
    or start the server with <code>--ui DIR</code> and the folder of a built page.</p></html>";

#[derive(RustEmbed)]
#[folder = "../ui/dist"]
#[allow_missing = true]
struct BuiltIn;

/// Everything that no other route takes: a file of the page, or the page.
pub(crate) async fn page(State(relay): State<Relay>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::no_such_call().into_response();
    }
    let path = if path.is_empty() { "index.html" } else { path };
    let found = match &relay.shared.ui {
        UiSource::None => return ApiError::no_such_call().into_response(),
        UiSource::BuiltIn => BuiltIn::get(path).map(|file| Bytes::from(file.data.into_owned())),
        UiSource::Folder(folder) => read(folder, path).await,
    };
    match found {
        Some(bytes) => file(path, bytes),
        None if path == "index.html" => {
            let html = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (StatusCode::SERVICE_UNAVAILABLE, html, NOT_BUILT).into_response()
        }
        None => ApiError::no_such_call().into_response(),
    }
}

/// Reads a file below `folder`; a path that leaves it names nothing.
async fn read(folder: &Path, path: &str) -> Option<Bytes> {
    let relative = PathBuf::from(path);
    if !relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return None;
    }
    let whole = folder.join(relative);
    tokio::task::spawn_blocking(move || std::fs::read(whole).ok())
        .await
        .ok()?
        .map(Bytes::from)
}

fn file(path: &str, bytes: Bytes) -> Response {
    let mime = match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm", // browsers compile it while it loads, but only under this name
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    // Names carry no hash: the browser asks each time, and the page is never half old.
    let cache = if path.ends_with(".html") {
        "no-store"
    } else {
        "no-cache"
    };
    let headers = [(header::CONTENT_TYPE, mime), (header::CACHE_CONTROL, cache)];
    (headers, Body::from(bytes)).into_response()
}

/// Adds the headers that every answer carries.
pub(crate) async fn protect(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
