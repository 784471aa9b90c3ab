//! One part of a linked document: frames from the local room to the remote one and back, for as long as it lasts, again
//! and again.

use std::time::Duration;

use bytes::Bytes;
use crdt::{Identity, Part, PeerKind, Role};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::LinkState;
use super::address::Target;
use crate::relay::{FramePipe, Relay};
use crate::room::CLOSE_EPOCH;
use crate::socket::EPOCH_HEADER;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The first wait after a failure; each further one is up to twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// How long a connection must have lasted for the waits to begin anew.
const STABLE: Duration = Duration::from_secs(10);
/// How long to wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Keeps one part in sync for ever; tells `report` how it is.
pub(super) async fn run(relay: Relay, target: Target, part: Part, report: impl Fn(LinkState) + Send) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let begin = Instant::now();
        match connect(&relay, &target, part).await {
            Ok((socket, epoch)) => {
                let same = match &epoch {
                    Some(epoch) => relay.is_same_epoch(target.doc(), epoch).await,
                    None => true,
                };
                let ended = if same {
                    tracing::info!(doc = %target.doc(), host = target.host(), ?part, "linked");
                    report(LinkState::Connected);
                    pass(&relay, &target, part, socket).await
                } else {
                    Ended::Replaced
                };
                if ended == Ended::Replaced {
                    tracing::warn!(doc = %target.doc(), host = target.host(), "the document there was replaced");
                    // In a task of its own: this one may be ended meanwhile.
                    drop(tokio::spawn(async move { relay.keep_as_branch(target.doc()).await }).await);
                    return;
                }
                tracing::info!(doc = %target.doc(), host = target.host(), ?part, "the link is down");
                report(LinkState::Offline);
            }
            Err(Error::Http(response)) if response.status().is_client_error() => {
                tracing::warn!(doc = %target.doc(), status = %response.status(), "the other server refuses the link");
                report(LinkState::Refused);
                backoff = relay.shared.limits.uplink_backoff;
            }
            Err(error) => {
                tracing::debug!(doc = %target.doc(), %error, "the other server is not reached");
                report(LinkState::Offline);
            }
        }
        if begin.elapsed() > STABLE {
            backoff = FIRST_BACKOFF;
        }
        // Anywhere up to the whole wait, so that a hundred windows do not come back in the same instant.
        sleep(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
        backoff = (backoff * 2).min(relay.shared.limits.uplink_backoff);
    }
}

/// Why a link that was up is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The connection, or the room here.
    Down,
    /// The document there is not the one from before.
    Replaced,
}

/// Connects; says the epoch of the document there, if the other server tells.
async fn connect(relay: &Relay, target: &Target, part: Part) -> Result<(Socket, Option<String>), Error> {
    let bytes = relay.shared.limits.frame_bytes;
    let config = WebSocketConfig::default()
        .max_message_size(Some(bytes))
        .max_frame_size(Some(bytes));
    let known = relay.uplinks.row(target.doc()).and_then(|row| row.epoch);
    let url = target.socket(part, "Inkling link", known.as_deref());
    let connecting = connect_async_with_config(url.as_str(), Some(config), true);
    match timeout(CONNECT_WITHIN, connecting).await {
        Ok(connected) => {
            let (socket, response) = connected?;
            let epoch = response.headers().get(EPOCH_HEADER);
            let epoch = epoch.and_then(|epoch| epoch.to_str().ok()).map(str::to_owned);
            Ok((socket, epoch))
        }
        Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Joins the local room and passes frames on until one side ends. Joining anew each time makes both rooms ask again.
async fn pass(relay: &Relay, target: &Target, part: Part, socket: Socket) -> Ended {
    let name = Relay::name(target.doc().clone(), part);
    let host = target.host();
    let identity = Identity {
        id: format!("relay:{host}"),
        name: host.to_owned(),
        kind: PeerKind::Relay,
        model: None,
    };
    let FramePipe {
        to_relay,
        mut from_relay,
    } = relay.connect_y(name, identity, Role::Editor);
    let (mut sink, mut stream) = socket.split();
    let idle_after = relay.shared.limits.idle_after;
    let down = async {
        // The other server pings; silence means that it is gone.
        while let Ok(Some(Ok(message))) = timeout(idle_after, stream.next()).await {
            match message {
                Message::Binary(frame) => {
                    if to_relay.send(frame).await.is_err() {
                        break;
                    }
                }
                Message::Close(Some(frame)) if u16::from(frame.code) == CLOSE_EPOCH => {
                    return Ended::Replaced;
                }
                Message::Close(_) => break,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ended::Down
    };
    let up = async {
        let mut batch: Vec<Bytes> = Vec::new();
        while from_relay.recv_many(&mut batch, crate::connection::BATCH).await > 0 {
            for frame in batch.drain(..) {
                if sink.feed(Message::Binary(frame)).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        ended = down => ended,
        () = up => Ended::Down,
    }
}
