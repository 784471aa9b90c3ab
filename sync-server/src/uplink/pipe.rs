//! One part of a linked document: frames from the local room to the remote one and back, for as long as it lasts, again
//! and again.

use std::time::Duration;

use bytes::Bytes;
use crdt::protocol::{self, Message as YMessage};
use crdt::{Identity, Part, PeerKind, Role};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

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

/// Close codes that say not to come again as one is: the key, the document, the right to it.
const FINAL_CODES: std::ops::Range<u16> = 4400..4500;

/// How a connection ended.
enum End {
    /// It broke, or the other server asked to come again.
    Down,
    /// The other server will not have this link.
    Refused,
    /// The document there is not the one from before.
    Replaced,
}

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
                let end = if same {
                    pass(&relay, &target, part, socket, &report).await
                } else {
                    End::Replaced
                };
                match end {
                    End::Replaced => {
                        tracing::warn!(doc = %target.doc(), host = target.host(), "the document there was replaced");
                        // In a task of its own: this one may be ended meanwhile.
                        drop(tokio::spawn(async move { relay.keep_as_branch(target.doc()).await }).await);
                        return;
                    }
                    End::Down => {
                        tracing::info!(doc = %target.doc(), host = target.host(), ?part, "the link is down");
                        report(LinkState::Offline);
                    }
                    End::Refused => {
                        report(LinkState::Refused);
                        backoff = relay.shared.limits.uplink_backoff;
                    }
                }
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

/// Connects; says the epoch of the document there, if the other server tells.
async fn connect(relay: &Relay, target: &Target, part: Part) -> Result<(Socket, Option<String>), Error> {
    let bytes = relay.shared.limits.frame_bytes;
    let config = WebSocketConfig::default()
        .max_message_size(Some(bytes))
        .max_frame_size(Some(bytes));
    let known = relay.uplinks.row(target.doc()).and_then(|row| row.epoch);
    let url = target.socket(part, "Inkling link", known.as_deref());
    let trust = Connector::Rustls(std::sync::Arc::clone(&relay.shared.tls));
    let connecting = connect_async_tls_with_config(url.as_str(), Some(config), true, Some(trust));
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
async fn pass(
    relay: &Relay,
    target: &Target,
    part: Part,
    socket: Socket,
    report: &(impl Fn(LinkState) + Send),
) -> End {
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
    let doc = target.doc();
    let down = async {
        let mut state = LinkState::Offline;
        // The other server pings; silence means that it is gone.
        while let Ok(Some(Ok(message))) = timeout(idle_after, stream.next()).await {
            match message {
                Message::Binary(frame) => {
                    match heard(&frame) {
                        // Its room has let this link in: it asks, or answers.
                        Heard::Sync if state == LinkState::Offline => {
                            tracing::info!(%doc, host, ?part, "linked");
                            state = LinkState::Connected;
                            report(state);
                        }
                        // What is written here does not arrive there: the copies are apart until somebody acts.
                        Heard::Denied(reason) => {
                            tracing::warn!(%doc, host, ?part, reason, "the other server does not take changes from here");
                            state = LinkState::Refused;
                            report(state);
                        }
                        Heard::Sync | Heard::Other => {}
                    }
                    if to_relay.send(frame).await.is_err() {
                        break;
                    }
                }
                Message::Close(Some(frame)) if u16::from(frame.code) == CLOSE_EPOCH => return End::Replaced,
                Message::Close(Some(frame)) if FINAL_CODES.contains(&u16::from(frame.code)) => {
                    let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
                    tracing::warn!(%doc, host, ?part, code, reason, "the other server refuses the link");
                    return End::Refused;
                }
                Message::Close(_) => break,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        if state == LinkState::Refused {
            End::Refused
        } else {
            End::Down
        }
    };
    let up = async {
        let mut batch: Vec<Bytes> = Vec::new();
        while from_relay.recv_many(&mut batch, crate::connection::BATCH).await > 0 {
            for frame in batch.drain(..) {
                // An error shows on the way down as well, and there with the other server's reason.
                if sink.feed(Message::Binary(frame)).await.is_err() {
                    return std::future::pending().await;
                }
            }
            if sink.flush().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        end = down => end,
        () = up => End::Down,
    }
}

/// What a frame of the other server tells about the link itself.
enum Heard {
    Sync,
    Denied(String),
    Other,
}

fn heard(frame: &[u8]) -> Heard {
    match frame {
        [protocol::SYNC, ..] => Heard::Sync,
        [protocol::AUTH, ..] => match protocol::decode(frame) {
            Ok(YMessage::Auth(Some(reason))) => Heard::Denied(reason),
            _ => Heard::Other,
        },
        _ => Heard::Other,
    }
}
