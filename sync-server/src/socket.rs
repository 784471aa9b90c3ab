//! WebSockets: frames in and out of links, with their limits in size and time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use crdt::{DocName, PeerKind, Role, Timestamp};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_tungstenite::tungstenite;

use crate::access::traffic::address_of;
use crate::access::{Caller, Claims, User};
use crate::clock;
use crate::connection::{BATCH, CLOSE_TOO_BIG, HocuspocusLink, Link, Threshold, YLink};
use crate::error::ApiError;
use crate::outbox::{Closing, KEPT_FRAMES, Outbox, OutboxReader, outbox};
use crate::relay::Relay;
use crate::serve::{Gate, Visitor};

/// Close code: the peer did not say who it is in time, or was silent for too long. Private range, after HTTP's 408; a slow
/// network is no reason to give up, so among the codes that say to come again (45xx).
const CLOSE_TIMEOUT: u16 = 4508;

/// The longest sleep until a right is looked at again: clocks are set.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// In the answer to a y-websocket's upgrade: the document's epoch. These connections have no other way to be told.
pub(crate) const EPOCH_HEADER: &str = "inkling-epoch";

/// Bytes a second that even a slow reader takes: a large document may take its time, a stalled connection not.
const SLOWEST_READER: usize = 16 << 10;

/// Bytes that a connection reads at once: its buffer is there for as long as it is open, and nearly all frames are smaller.
const READ_BUFFER: usize = 1 << 10;

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
    ConnectInfo(visitor): ConnectInfo<Visitor>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let shared = Arc::clone(&relay.shared);
    shared.guard.access.check_origin(&headers)?;
    let caller = Caller::of(Some(visitor.address), &headers);
    let seat = shared.traffic.connect(address_of(visitor.address, &headers))?;
    let threshold = Threshold {
        gate: Arc::clone(&visitor.gate),
        _waiting: shared.traffic.wait()?,
    };
    let upgrade = upgrade
        .max_message_size(shared.limits.frame_bytes)
        .max_frame_size(shared.limits.frame_bytes)
        .read_buffer_size(READ_BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        visitor.gate.limit(shared.limits.unauthenticated_bytes);
        let (outbox, reader) = outbox(&shared.limits);
        let link = HocuspocusLink::new(relay.clone(), caller, outbox.clone(), Some(threshold));
        let link = Link::Hocuspocus(link);
        Box::pin(run(socket, link, outbox, reader, &relay, &visitor.gate)).await;
        drop(seat);
    }))
}

/// `GET /y/{doc}`: y-websocket. Whoever has no right to be here is told before the upgrade.
pub(crate) async fn y(
    State(relay): State<Relay>,
    ConnectInfo(visitor): ConnectInfo<Visitor>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(query): Query<YQuery>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let shared = Arc::clone(&relay.shared);
    shared.guard.access.check_origin(&headers)?;
    let seat = shared.traffic.connect(address_of(visitor.address, &headers))?;
    let caller = Caller::of(Some(visitor.address), &headers);
    let pass = shared.guard.admit(caller, Claims::from(query)).await?;
    let name = DocName::parse(&name).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let role = shared
        .guard
        .roles(&pass, &name.doc, clock::now())?
        .part(name.part);
    let identity = pass.identity(&format!("connection-{}", relay.next_conn().0));
    let now = relay.epoch(&name.doc).await;
    let upgrade = upgrade
        .max_message_size(shared.limits.frame_bytes)
        .max_frame_size(shared.limits.frame_bytes)
        .read_buffer_size(READ_BUFFER);
    let mut response = upgrade.on_upgrade(move |socket| async move {
        let (outbox, reader) = outbox(&shared.limits);
        let epoch = pass.epoch().map(str::to_owned);
        let (who, own) = ((identity, role), outbox.clone());
        let joined = Box::pin(YLink::join(&relay, &name, who, (Some(pass), epoch), own)).await;
        match joined {
            Ok(link) => Box::pin(run(socket, Link::Y(link), outbox, reader, &relay, &visitor.gate)).await,
            Err(closing) => Box::pin(refuse(socket, &closing)).await,
        }
        drop(seat);
    });
    if let Some(now) = now.and_then(|epoch| epoch.parse().ok()) {
        response.headers_mut().insert(EPOCH_HEADER, now);
    }
    Ok(response)
}

/// Closes a socket whose document cannot be joined.
async fn refuse(socket: WebSocket, closing: &Closing) {
    let (mut sink, mut stream) = socket.split();
    let close = sink.send(close_message(closing));
    let both = async { tokio::join!(drain(&mut stream), close) };
    drop(timeout(CLOSE_LINGER, both).await); // it may be gone already
}

/// Reads and drops what the peer still sends, else the system would answer it with a reset, which can overtake the close frame.
async fn drain(stream: &mut SplitStream<WebSocket>) {
    while let Some(Ok(message)) = stream.next().await {
        if matches!(message, Message::Close(_)) {
            break;
        }
    }
}

fn close_message(closing: &Closing) -> Message {
    Message::Close(Some(CloseFrame {
        code: closing.code,
        reason: closing.reason.as_str().into(),
    }))
}

/// Runs a link over a socket until one of them ends.
async fn run(
    socket: WebSocket,
    mut link: Link,
    outbox: Outbox,
    reader: OutboxReader,
    relay: &Relay,
    gate: &Gate,
) {
    let limits = &relay.shared.limits;
    let (sink, mut stream) = socket.split();
    let writer = tokio::spawn(write(
        sink,
        reader,
        outbox.clone(),
        limits.ping_every,
        limits.write_within,
    ));
    let mut unread = false;
    let closing = tokio::select! {
        biased;
        closing = outbox.closed() => {
            unread = closing == Closing::gone();
            closing
        }
        () = gate.shut() => {
            let words = format!("a connection may send {} bytes before it has said who it is", limits.unauthenticated_bytes);
            Closing::new(CLOSE_TOO_BIG, words)
        }
        closing = read(&mut stream, &mut link, relay) => closing,
    };
    tracing::debug!(%closing, "a connection ends");
    if unread {
        // Nothing can be told to a peer that left while it was being told something, but what it wrote before has arrived.
        drop(timeout(CLOSE_LINGER, Box::pin(read(&mut stream, &mut link, relay))).await);
    }
    outbox.close(closing);
    link.leave().await;
    // The writer sends the close frame.
    let both = Box::pin(async { tokio::join!(drain(&mut stream), writer) });
    drop(timeout(CLOSE_LINGER, both).await);
}

/// Hands frames to the link until the peer goes, breaks a limit, falls silent, or may not be here any more.
async fn read(stream: &mut SplitStream<WebSocket>, link: &mut Link, relay: &Relay) -> Closing {
    let limits = &relay.shared.limits;
    let mut changes = relay.shared.guard.changes();
    let start = Instant::now();
    let mut heard = start;
    loop {
        let authenticated = link.is_authenticated();
        let silent = heard + limits.idle_after;
        let until = if authenticated {
            silent
        } else {
            silent.min(start + limits.authenticate_within)
        };
        let due = link.due();
        let message = tokio::select! {
            biased;
            // Before the next frame, so that none of it is done with a right that is gone.
            changed = changes.changed() => {
                let looked = link.reconsider().await;
                match (changed, looked) {
                    (Ok(()), Ok(())) => continue,
                    (_, Err(closing)) => return closing,
                    (Err(_), _) => return Closing::gone(), // the relay has ended
                }
            }
            () = until_due(due) => match link.reconsider().await {
                Ok(()) => continue,
                Err(closing) => return closing,
            },
            message = timeout_at(until, stream.next()) => message,
        };
        let message = match message {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return read_error(error, limits.frame_bytes),
            Ok(None) => return Closing::gone(),
            Err(_) if authenticated => return Closing::new(CLOSE_TIMEOUT, "nothing was heard for too long"),
            Err(_) => return Closing::new(CLOSE_TIMEOUT, "no authentication message came in time"),
        };
        heard = Instant::now();
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

/// Waits until a moment, or for a while when it is far.
async fn until_due(due: Option<Timestamp>) {
    let Some(due) = due else {
        return std::future::pending().await;
    };
    let left = Duration::from_millis(due.0.saturating_sub(clock::now().0));
    tokio::time::sleep(left.min(LOOK_AT_LEAST_EVERY)).await;
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
    drop(timeout(CLOSE_LINGER, Box::pin(sink.send(close_message(&closing)))).await);
}

async fn send_batch(
    sink: &mut SplitSink<WebSocket, Message>,
    batch: &mut Vec<Bytes>,
    reader: &mut OutboxReader,
    write_within: Duration,
) -> Result<(), Closing> {
    let weight = reader.weigh(batch);
    let bytes: usize = batch.iter().map(Bytes::len).sum();
    let within = write_within + Duration::from_secs((bytes / SLOWEST_READER) as u64);
    let send = async {
        for frame in batch.drain(..) {
            sink.feed(Message::Binary(frame)).await?;
        }
        sink.flush().await
    };
    // Whether it was closed meanwhile is asked only if it has to wait.
    let sent = tokio::select! {
        biased;
        sent = timeout(within, send) => sent,
        closing = reader.closed() => return Err(closing),
    };
    reader.sent(weight);
    if batch.capacity() > KEPT_FRAMES {
        *batch = Vec::new();
    }
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closing::gone()),
        Err(_) => Err(Closing::new(
            crate::outbox::CLOSE_TOO_SLOW,
            "too slow: connect again to get everything",
        )),
    }
}
