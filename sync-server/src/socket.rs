//! WebSockets: frames in and out of links, with their limits in size and time.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use crdt::{DocName, PeerKind, Role};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite;

use crate::access::{Caller, Claims, User};
use crate::connection::{BATCH, CLOSE_TOO_BIG, HocuspocusLink, Link, YLink};
use crate::error::ApiError;
use crate::limits::Limits;
use crate::outbox::{Closing, Outbox, OutboxReader, outbox};
use crate::relay::Relay;

/// Close code: the peer did not say who it is in time. Private range, after HTTP's 408.
const CLOSE_AUTHENTICATE: u16 = 4408;
/// Close code: nothing was heard for too long. As above.
const CLOSE_IDLE: u16 = 4408;

/// In the answer to a y-websocket's upgrade: the document's epoch. These connections have no other way to be told.
pub(crate) const EPOCH_HEADER: &str = "inkling-epoch";

/// How long a closed connection is read, for its close frame to arrive before the TCP connection goes.
const CLOSE_LINGER: Duration = Duration::from_secs(2);

/// The query of a y-websocket address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct YQuery {
    key: Option<String>,
    user: String,
    name: String,
    role: Option<Role>,
    kind: Option<PeerKind>,
    model: Option<String>,
    epoch: Option<String>,
}

impl From<YQuery> for Claims {
    fn from(query: YQuery) -> Self {
        let user = User {
            id: query.user,
            name: query.name,
        };
        Self {
            key: query.key,
            user: Some(user),
            role: query.role,
            kind: query.kind,
            model: query.model,
            epoch: query.epoch,
        }
    }
}

/// `GET /hocuspocus`: every document on the socket is authenticated by its first message.
pub(crate) async fn hocuspocus(
    State(relay): State<Relay>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    relay.shared.access.check_origin(&headers)?;
    let caller = Caller::of(Some(peer), &headers);
    let limits = &relay.shared.limits;
    let upgrade = upgrade
        .max_message_size(limits.frame_bytes)
        .max_frame_size(limits.frame_bytes);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (outbox, reader) = outbox(&relay.shared.limits);
        let link = HocuspocusLink::new(relay.clone(), caller, outbox.clone());
        run(
            socket,
            Link::Hocuspocus(link),
            outbox,
            reader,
            &relay.shared.limits,
        )
        .await;
    }))
}

/// `GET /y/{doc}`: y-websocket. Whoever has no right to be here is told before the upgrade.
pub(crate) async fn y(
    State(relay): State<Relay>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(query): Query<YQuery>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    relay.shared.access.check_origin(&headers)?;
    let claims = Claims::from(query);
    let role = relay
        .shared
        .access
        .role(Caller::of(Some(peer), &headers), &claims)?;
    let name = DocName::parse(&name).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let identity = claims.identity(&format!("connection-{}", relay.next_conn().0));
    let now = relay.epoch(&name.doc).await;
    let limits = &relay.shared.limits;
    let upgrade = upgrade
        .max_message_size(limits.frame_bytes)
        .max_frame_size(limits.frame_bytes);
    let mut response = upgrade.on_upgrade(move |mut socket| async move {
        let (outbox, reader) = outbox(&relay.shared.limits);
        match YLink::join(&relay, &name, (identity, role), claims.epoch, outbox.clone()).await {
            Ok(link) => run(socket, Link::Y(link), outbox, reader, &relay.shared.limits).await,
            Err(closing) => drop(socket.send(close_message(&closing)).await), // it may be gone already
        }
    });
    if let Some(now) = now.and_then(|epoch| epoch.parse().ok()) {
        response.headers_mut().insert(EPOCH_HEADER, now);
    }
    Ok(response)
}

fn close_message(closing: &Closing) -> Message {
    Message::Close(Some(CloseFrame {
        code: closing.code,
        reason: closing.reason.as_str().into(),
    }))
}

/// Runs a link over a socket until one of them ends.
async fn run(socket: WebSocket, mut link: Link, outbox: Outbox, reader: OutboxReader, limits: &Limits) {
    let (sink, mut stream) = socket.split();
    let writer = tokio::spawn(write(
        sink,
        reader,
        outbox.clone(),
        limits.ping_every,
        limits.write_within,
    ));
    let closing = tokio::select! {
        biased;
        closing = outbox.closed() => closing,
        closing = read(&mut stream, &mut link, limits) => closing,
    };
    tracing::debug!(%closing, "a connection ends");
    outbox.close(closing);
    link.leave().await;
    // The writer sends the close frame. What the peer still sends is read and dropped, else the system would answer it with
    // a reset, which can overtake the close frame.
    let rest = async {
        while let Some(Ok(message)) = stream.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
        }
    };
    let both = async { tokio::join!(rest, writer) };
    drop(timeout(CLOSE_LINGER, both).await);
}

/// Hands frames to the link until the peer goes, breaks a limit, or falls silent.
async fn read(stream: &mut SplitStream<WebSocket>, link: &mut Link, limits: &Limits) -> Closing {
    let deadline = tokio::time::Instant::now() + limits.authenticate_within;
    loop {
        let silent = tokio::time::Instant::now() + limits.idle_after;
        let authenticated = link.is_authenticated();
        let until = if authenticated {
            silent
        } else {
            silent.min(deadline)
        };
        let message = match tokio::time::timeout_at(until, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return read_error(error, limits.frame_bytes),
            Ok(None) => return Closing::gone(),
            Err(_) if authenticated => return Closing::new(CLOSE_IDLE, "nothing was heard for too long"),
            Err(_) => {
                return Closing::new(CLOSE_AUTHENTICATE, "no authentication message came in time");
            }
        };
        let received = match message {
            Message::Binary(frame) => link.receive(&frame).await,
            Message::Text(_) => Err(Closing::new(1003, "this server speaks binary frames only")),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => return Closing::gone(),
        };
        if let Err(closing) = received {
            return closing;
        }
    }
}

fn read_error(error: axum::Error, max_frame: usize) -> Closing {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Closing::new(
            CLOSE_TOO_BIG,
            format!("a frame may have at most {max_frame} bytes"),
        ),
        Some(tungstenite::Error::Protocol(error)) => Closing::new(1002, error.to_string()),
        _ => Closing::gone(),
    }
}

/// Brings what waits to the socket, all of it with one flush, and asks now and then whether the peer is there.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut reader: OutboxReader,
    outbox: Outbox,
    ping_every: Duration,
    write_within: Duration,
) {
    let mut ping = interval(ping_every.max(Duration::from_millis(1)));
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    let mut batch: Vec<Bytes> = Vec::new();
    let closing = loop {
        let step = tokio::select! {
            taken = reader.take(&mut batch, BATCH) => match taken {
                Ok(()) => send_batch(&mut sink, &mut batch, &mut reader, write_within).await,
                Err(closing) => Err(closing),
            },
            _ = ping.tick() => {
                let sent = timeout(write_within, sink.send(Message::Ping(Bytes::new()))).await;
                if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Closing::gone()) }
            }
        };
        if let Err(closing) = step {
            break closing;
        }
    };
    outbox.close(closing.clone());
    // A stalled reader does not get it; the connection ends all the same.
    drop(timeout(CLOSE_LINGER, sink.send(close_message(&closing))).await);
}

async fn send_batch(
    sink: &mut SplitSink<WebSocket, Message>,
    batch: &mut Vec<Bytes>,
    reader: &mut OutboxReader,
    write_within: Duration,
) -> Result<(), Closing> {
    let bytes = batch.iter().map(Bytes::len).sum();
    let send = async {
        for frame in batch.drain(..) {
            sink.feed(Message::Binary(frame)).await?;
        }
        sink.flush().await
    };
    let sent = tokio::select! {
        biased;
        closing = reader.closed() => return Err(closing),
        sent = timeout(write_within, send) => sent,
    };
    reader.sent(bytes);
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closing::gone()),
        Err(_) => Err(Closing::new(
            crate::outbox::CLOSE_TOO_SLOW,
            "too slow: connect again to get everything",
        )),
    }
}
