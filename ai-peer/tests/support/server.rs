//! A y-websocket server on a port of its own, in front of the relay in memory.

use std::sync::{Arc, Mutex};

use ai_peer::Link;
use crdt::{Identity, Part, PeerKind, Role};
use futures_util::{SinkExt, StreamExt};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::Relay;

pub struct Server {
    port: u16,
    sockets: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Server {
    /// Serves one document under `/y/`, to whoever has the key `secret`.
    pub async fn start(relay: &Relay, doc: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            sockets: Arc::default(),
        };
        let (relay, sockets) = (relay.clone(), Arc::clone(&server.sockets));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let task = tokio::spawn(serve(relay.clone(), stream, doc));
                sockets.lock().unwrap().push(task.abort_handle());
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/y", self.port)
    }

    /// Breaks all connections, as a network does.
    pub fn drop_sockets(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            socket.abort();
        }
    }
}

async fn serve(relay: Relay, stream: TcpStream, doc: &str) {
    let mut opened = None;
    #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let refuse = |status| {
            let mut answer = ErrorResponse::new(None);
            *answer.status_mut() = status;
            Err(answer)
        };
        let path = percent_decode_str(request.uri().path())
            .decode_utf8_lossy()
            .into_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let part = match path.strip_prefix("/y/").map(|name| name.strip_prefix(doc)) {
            Some(Some("")) => Part::Body,
            Some(Some("~margin")) => Part::Margin,
            _ => return refuse(StatusCode::NOT_FOUND),
        };
        if !query.split('&').any(|pair| pair == "key=secret") {
            return refuse(StatusCode::UNAUTHORIZED);
        }
        assert!(
            query.contains("role=suggester") && query.contains("kind=ai"),
            "{query}"
        );
        opened = Some(part);
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, check).await else {
        return;
    };
    let identity = Identity {
        id: "ai".into(),
        name: "AI".into(),
        kind: PeerKind::Ai,
        model: None,
    };
    let Link { tx, mut rx } = relay.connect_part(&identity, Role::Suggester, opened.unwrap());
    loop {
        tokio::select! {
            frame = rx.recv() => {
                let Some(frame) = frame else { return };
                if socket.send(Message::Binary(frame)).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    if tx.send(frame).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
