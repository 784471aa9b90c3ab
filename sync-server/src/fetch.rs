//! One HTTP request to another server: for an identity provider's keys, and for the commands that ask a running server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// `http://…` or `https://…`.
    pub url: &'a str,
    /// Goes into `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// JSON.
    pub body: Option<&'a str>,
    /// The most bytes of an answer.
    pub max_answer: usize,
    /// How long all of it may take.
    pub within: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none.
    #[error("`{0}` is no address: it begins with http:// or https://")]
    Address(String),
    /// Nobody answers.
    #[error("{0} does not answer")]
    TimedOut(String),
    /// The connection, its encryption or the answer failed.
    #[error("{host} cannot be asked: {reason}")]
    Failed {
        /// Who was asked.
        host: String,
        /// What went wrong.
        reason: String,
    },
}

/// Asks, once; redirects are not followed.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(request: &Request<'_>, tls: &Arc<rustls::ClientConfig>) -> Result<Answer, FetchError> {
    let bad = || FetchError::Address(request.url.to_owned());
    let url = Url::parse(request.url).map_err(|_| bad())?;
    let host = url.host_str().ok_or_else(bad)?.to_owned();
    let port = url.port_or_known_default().ok_or_else(bad)?;
    let encrypted = match url.scheme() {
        "http" => false,
        "https" => true,
        _ => return Err(bad()),
    };
    let failed = |reason: String| FetchError::Failed {
        host: host.clone(),
        reason,
    };
    let asking = async {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((bare.as_str(), port))
            .await
            .map_err(|error| failed(error.to_string()))?;
        if encrypted {
            let name = rustls::pki_types::ServerName::try_from(bare).map_err(|_| bad())?;
            let stream = TlsConnector::from(Arc::clone(tls))
                .connect(name, stream)
                .await
                .map_err(|error| failed(error.to_string()))?;
            ask(request, &url, stream).await.map_err(failed)
        } else {
            ask(request, &url, stream).await.map_err(failed)
        }
    };
    timeout(request.within, asking)
        .await
        .map_err(|_| FetchError::TimedOut(host.clone()))?
}

async fn ask<S>(request: &Request<'_>, url: &Url, stream: S) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // It ends with the answer; an error in it shows in the answer as well.
    let connection = tokio::spawn(connection);
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let target = url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    );
    let mut message = hyper::Request::builder()
        .method(request.method)
        .uri(target)
        .header("host", authority)
        .header("accept", "application/json");
    if let Some(bearer) = request.bearer {
        message = message.header("authorization", format!("Bearer {bearer}"));
    }
    if request.body.is_some() {
        message = message.header("content-type", "application/json");
    }
    let body = Bytes::copy_from_slice(request.body.unwrap_or_default().as_bytes());
    let message = message.body(Full::new(body)).map_err(|error| error.to_string())?;
    let answer = sender
        .send_request(message)
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), request.max_answer)
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}
