//! A way in for the commands of this program on the same machine: `backup`, `restore`, `check`.
//!
//! It is a listener of its own, on the loopback address and without TLS, whatever the server is served on. Who may use it is
//! whoever can read the data folder: there is a file with its address and a secret.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::access::Caller;
use crate::relay::Relay;
use crate::{api, clock};

/// The file's name in the data folder.
const FILE: &str = "server.json";

/// Where a running server can be asked, and with what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalAddress {
    /// Address and port.
    pub address: SocketAddr,
    /// Goes into `Authorization: Bearer`.
    pub secret: String,
}

impl LocalAddress {
    /// Reads what a server has left in its data folder. A server that was killed leaves it behind: nobody answers there then.
    #[must_use]
    pub fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(data.join(FILE)).ok()?).ok()
    }
}

/// The file, for as long as the server runs.
#[derive(Debug)]
pub struct LocalDoor(PathBuf);

impl Drop for LocalDoor {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0)); // a later server has put its own there, or nobody minds
    }
}

/// Opens the way in and writes the file. Must be called within a tokio runtime; it is open until the process ends.
///
/// # Errors
/// When there is no port, or the file cannot be written.
pub async fn open_local_door(relay: &Relay, data: &Path) -> std::io::Result<LocalDoor> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    // Of each id the first ten characters are the time and no secret.
    let chance = || clock::ulid().to_string().split_off(10);
    let known = LocalAddress {
        address: listener.local_addr()?,
        secret: chance() + &chance(),
    };
    let path = data.join(FILE);
    write_private(&path, &serde_json::to_vec(&known)?)?;
    let routes = axum::Router::new()
        .nest("/api/v1", api::routes())
        .layer(middleware::from_fn_with_state(known.secret, let_in))
        .with_state(relay.clone());
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::warn!(%error, "commands on this machine cannot reach the server any more");
        }
    });
    Ok(LocalDoor(path))
}

async fn let_in(State(secret): State<String>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if given.is_none_or(|given| !crate::access::same(given.as_bytes(), secret.as_bytes())) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    request.extensions_mut().insert(Caller::Process);
    next.run(request).await
}

/// Writes a file that nobody else can read.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    drop(std::fs::remove_file(&beside)); // of a run that was killed
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    std::fs::rename(beside, path)
}
