//! Serves a relay on a listener.

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::relay::Relay;

/// How long requests that are under way may take at the end.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// Why a relay is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could reach it, and it has no key.
    #[error("{0} can be reached from other machines, so this server needs a key")]
    KeyNeeded(SocketAddr),
    /// The listener failed.
    #[error("the listener failed")]
    Io(#[from] std::io::Error),
}

/// Serves until `shutdown` is there; then open requests are finished, and everybody is sent away with everything saved.
///
/// # Errors
/// [`ServeError::KeyNeeded`] for an address beyond this machine when the relay has no keys.
pub async fn serve(
    relay: Relay,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && relay.shared.access.keys.is_empty() {
        return Err(ServeError::KeyNeeded(address));
    }
    relay.set_listening(address);
    let listener = listener.tap_io(|stream| {
        // Frames are small and somebody waits for each of them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let service = relay.router().into_make_service_with_connect_info::<SocketAddr>();
    let (ending, ended) = oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        drop(ending);
    };
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown);
    let late = async {
        drop(ended.await); // an error is the signal
        tokio::time::sleep(FINISH_WITHIN).await;
    };
    tokio::select! {
        result = server => result?,
        () = late => tracing::warn!("some requests took too long and were cut off"),
    }
    relay.shutdown().await;
    Ok(())
}
