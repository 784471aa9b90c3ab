//! Serves a relay on a listener.

mod carrier;
mod gate;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::relay::Relay;
use carrier::Carrier;
pub(crate) use carrier::{ReadEnd, WriteEnd};
pub(crate) use gate::{Gate, Gated};

/// How long to wait when the system gives no more connections (too many open files).
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Encrypted connections that wait to be served.
const HANDSHAKEN: usize = 64;

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

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Arc<Gate>,
}

impl Connected<IncomingStream<'_, Door>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Where connections come in.
pub(crate) struct Door {
    source: Source,
    local: SocketAddr,
    relay: Relay,
}

enum Source {
    Plain(TcpListener),
    /// Connections whose encryption is settled.
    Tls(mpsc::Receiver<(Encrypted, SocketAddr)>),
}

type Encrypted = Box<tokio_rustls::server::TlsStream<TcpStream>>;

impl Door {
    const fn plain(listener: TcpListener, local: SocketAddr, relay: Relay) -> Self {
        Self {
            source: Source::Plain(listener),
            local,
            relay,
        }
    }

    /// Settles encryption beside each other, each in its time: one slow visitor holds nobody up.
    fn tls(listener: TcpListener, local: SocketAddr, config: Arc<ServerConfig>, relay: Relay) -> Self {
        let within = relay.shared.limits.request_within;
        let most = Arc::new(tokio::sync::Semaphore::new(
            relay.shared.limits.unauthenticated_sockets,
        ));
        let (sender, ready) = mpsc::channel(HANDSHAKEN);
        let acceptor = TlsAcceptor::from(config);
        tokio::spawn(async move {
            loop {
                let (stream, address) = tokio::select! {
                    accepted = accept(&listener) => accepted,
                    () = sender.closed() => return,
                };
                let Ok(permit) = Arc::clone(&most).acquire_owned().await else {
                    return;
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    match timeout(within, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => drop(sender.send((Box::new(stream), address)).await),
                        Ok(Err(error)) => tracing::debug!(%address, %error, "no encryption was agreed on"),
                        Err(_) => tracing::debug!(%address, "encryption took too long"),
                    }
                    drop(permit);
                });
            }
        });
        Self {
            source: Source::Tls(ready),
            local,
            relay,
        }
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Frames are small and somebody waits for each of them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                return (stream, address);
            }
            Err(error) if is_the_visitors(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Whether the visitor, not this machine, is why a connection did not come to be.
fn is_the_visitors(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

impl Listener for Door {
    type Io = Gated;
    type Addr = Visitor;

    async fn accept(&mut self) -> (Gated, Visitor) {
        loop {
            let (carrier, address) = match &mut self.source {
                Source::Plain(listener) => {
                    let (stream, address) = accept(listener).await;
                    (Carrier::Plain(stream), address)
                }
                Source::Tls(ready) => match ready.recv().await {
                    Some((stream, address)) => (Carrier::Tls(stream), address),
                    None => std::future::pending().await, // the runtime ends
                },
            };
            let shared = &self.relay.shared;
            let Some(seat) = shared.traffic.accept(address) else {
                tracing::debug!(%address, "there are too many connections from this address");
                continue;
            };
            let io = Gated::new(carrier, shared.limits.request_within, seat);
            let gate = io.gate();
            return (io, Visitor { address, gate });
        }
    }

    fn local_addr(&self) -> io::Result<Visitor> {
        Ok(Visitor {
            address: self.local,
            gate: Arc::default(),
        })
    }
}

/// Serves until `shutdown` is there; then open requests are finished, and everybody is sent away with everything saved.
///
/// # Errors
/// [`ServeError::KeyNeeded`] for an address beyond this machine when the relay asks for nothing.
pub async fn serve(
    relay: Relay,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_with(relay, listener, None, shutdown).await
}

/// As [`serve`], over TLS when there is a certificate (see [`crate::tls::server`]).
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    relay: Relay,
    listener: TcpListener,
    certificate: Option<Arc<ServerConfig>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && !relay.shared.guard.access.is_guarded() {
        return Err(ServeError::KeyNeeded(address));
    }
    relay.set_listening(address, certificate.is_some());
    let door = match certificate {
        Some(certificate) => Door::tls(listener, address, certificate, relay.clone()),
        None => Door::plain(listener, address, relay.clone()),
    };
    let service = relay.router().into_make_service_with_connect_info::<Visitor>();
    let (ending, ended) = oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        drop(ending);
    };
    let server = axum::serve(door, service).with_graceful_shutdown(shutdown);
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
