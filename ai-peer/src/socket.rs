//! A WebSocket as a link: binary frames in and out, and a look whether the other side is still there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_peer::Link;
use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// Frames that may wait in each direction.
const CAPACITY: usize = 64;

/// How long a server may take to answer a new connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How often the other side is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Without a word for so long it is not.
const DEAD_AFTER: Duration = Duration::from_secs(50);

/// Why there is no connection, in words for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the server refuses this key (HTTP {0}): give another one with --key")]
    Key(StatusCode),
    #[error("there is no y-websocket endpoint at {url} (HTTP {status}): a server of ours has it under /y")]
    Path { url: String, status: StatusCode },
    #[error("{url} is no address to connect to: {reason}")]
    Address { url: String, reason: String },
    #[error("the server's certificate is not trusted: {0}; give its authority's certificate with --ca")]
    Certificate(String),
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
}

impl OpenError {
    /// Whether trying again changes nothing.
    pub(crate) const fn is_final(&self) -> bool {
        match self {
            Self::Key(_) | Self::Path { .. } | Self::Address { .. } | Self::Certificate(_) => true,
            Self::Unreachable(_) => false,
        }
    }
}

/// Whom this program trusts: what browsers trust (Mozilla's list), and the certificates (PEM) in `authorities`.
pub(crate) fn trust(authorities: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = authorities {
        let found: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .with_context(|| format!("--ca {}", path.display()))?;
        anyhow::ensure!(
            !found.is_empty(),
            "--ca {}: it holds no certificate as PEM",
            path.display()
        );
        for certificate in found {
            roots.add(certificate)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects; the link closes when the socket does, and the other way round.
pub(crate) async fn open(url: &str, trust: &Arc<ClientConfig>) -> Result<Link, OpenError> {
    let plain = url.split('?').next().unwrap_or(url).to_owned();
    let connector = Some(Connector::Rustls(Arc::clone(trust)));
    let connecting = connect_async_tls_with_config(url, None, false, connector);
    let connected = timeout(CONNECT_PATIENCE, connecting).await;
    let (socket, _) = match connected {
        Err(_) => return Err(OpenError::Unreachable("it does not answer".to_owned())),
        Ok(Ok(connected)) => connected,
        Ok(Err(Error::Http(answer))) => {
            return Err(match answer.status() {
                status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => OpenError::Key(status),
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    OpenError::Unreachable(format!("it answers HTTP {status}"))
                }
                status => OpenError::Path { url: plain, status },
            });
        }
        Ok(Err(Error::Tls(error))) => return Err(OpenError::Certificate(error.to_string())),
        Ok(Err(Error::Io(error))) if is_certificate(&error) => {
            return Err(OpenError::Certificate(error.to_string()));
        }
        Ok(Err(Error::Url(error))) => {
            return Err(OpenError::Address {
                url: plain,
                reason: error.to_string(),
            });
        }
        Ok(Err(error)) => return Err(OpenError::Unreachable(error.to_string())),
    };
    let (near, far) = Link::pair(CAPACITY);
    tokio::spawn(async move {
        if let Err(error) = pump(socket, far).await {
            tracing::info!("the connection broke: {error}");
        }
    });
    Ok(near)
}

/// Whether a connection broke over the server's certificate.
fn is_certificate(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

async fn pump(mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>, link: Link) -> Result<(), Error> {
    let Link { tx, mut rx } = link;
    let mut heard = Instant::now();
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            frame = rx.recv() => match frame {
                Some(frame) => socket.send(Message::Binary(frame)).await?,
                None => return socket.close(None).await,
            },
            message = socket.next() => {
                heard = Instant::now();
                match message.transpose()? {
                    Some(Message::Binary(frame)) => {
                        if tx.send(frame).await.is_err() {
                            return socket.close(None).await;
                        }
                    }
                    Some(Message::Close(frame)) => {
                        if let Some(frame) = frame.filter(|frame| !frame.reason.is_empty()) {
                            tracing::info!("the server closed the connection: {}", frame.reason);
                        }
                        return Ok(());
                    }
                    Some(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    None => return Ok(()),
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > DEAD_AFTER {
                    tracing::info!("the server has not been heard of for {} s", heard.elapsed().as_secs());
                    return Ok(());
                }
                socket.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A server that sends back what it gets; its certificate, and its port.
    async fn echo() -> (String, u16) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever does not trust it hangs up.
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            }
        });
        (made.cert.pem(), port)
    }

    #[tokio::test]
    async fn an_encrypted_server_is_reached_when_it_is_trusted() {
        let (certificate, port) = echo().await;
        let url = format!("wss://localhost:{port}/y/plan?key=secret");
        let stranger = trust(None).unwrap();
        let refused = open(&url, &stranger).await.unwrap_err();
        assert!(
            refused.is_final() && refused.to_string().contains("--ca"),
            "{refused}"
        );
        assert!(!refused.to_string().contains("secret"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), certificate.as_bytes())
            .unwrap();
        let mut link = open(&url, &trust(Some(&path)).unwrap()).await.unwrap();
        link.tx.send(Bytes::from_static(b"hello")).await.unwrap();
        assert_eq!(link.rx.recv().await.as_deref(), Some(&b"hello"[..]));
        let empty = folder.path().join("empty.pem");
        std::fs::File::create(&empty).unwrap();
        assert!(
            trust(Some(&empty))
                .unwrap_err()
                .to_string()
                .contains("no certificate")
        );
    }
}
