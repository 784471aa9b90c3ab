//! WebSockets: frames in and out of links, with their limits in size and time.

mod inbound;
mod upgrade;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use crdt::{DocName, PeerKind, Role, Timestamp};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::access::traffic::{Seat, address_of};
use crate::access::{Caller, Claims, User};
use crate::clock;
use crate::connection::{CLOSE_PROTOCOL, CLOSE_TOO_BIG, HocuspocusLink, Link, Threshold, YLink};
use crate::error::ApiError;
use crate::limits::Limits;
use crate::outbox::{CLOSE_TOO_SLOW, Closing, Frame, Outbox, OutboxReader, outbox};
use crate::relay::Relay;
use crate::serve::{Gate, Gated, ReadEnd, Visitor};

use inbound::{Fault, Inbound, Incoming};
use upgrade::Upgrade;

/// Close code: the peer did not say who it is in time, or was silent for too long. Private range, after HTTP's 408; a slow
/// network is no reason to give up, so among the codes that say to come again (45xx).
const CLOSE_TIMEOUT: u16 = 4508;

/// The longest sleep until a right is looked at again: clocks are set.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// In the answer to a y-websocket's upgrade: the document's epoch. These connections have no other way to be told.
pub(crate) const EPOCH_HEADER: &str = "inkling-epoch";

/// Bytes a second that even a slow reader takes: a large document may take its time, a stalled connection not.
const SLOWEST_READER: usize = 16 << 10;

/// Close code: a text, where binary messages are spoken (RFC 6455, 7.4.1).
const CLOSE_UNSUPPORTED: u16 = 1003;

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
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let shared = Arc::clone(&relay.shared);
    shared.guard.access.check_origin(&headers)?;
    let caller = Caller::of(Some(visitor.address), &headers);
    let seat = shared.traffic.connect(address_of(visitor.address, &headers))?;
    let threshold = Threshold {
        gate: Arc::clone(&visitor.gate),
        _waiting: shared.traffic.wait()?,
    };
    Ok(upgrade.answer(move |connection, read| {
        visitor.gate.limit(shared.limits.unauthenticated_bytes);
        let (outbox, reader) = outbox(&shared.limits);
        let socket = Socket::new(connection, read.into(), outbox.clone(), reader, &shared.limits);
        let link = HocuspocusLink::new(relay.clone(), caller, outbox, Some(threshold));
        let link = Box::new(Link::Hocuspocus(link));
        run(socket, link, relay, visitor.gate, seat)
    }))
}

/// `GET /y/{doc}`: y-websocket. Whoever has no right to be here is told before the upgrade.
pub(crate) async fn y(
    State(relay): State<Relay>,
    ConnectInfo(visitor): ConnectInfo<Visitor>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(query): Query<YQuery>,
    upgrade: Upgrade,
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
    let mut response = upgrade.answer(move |connection, read| {
        let (outbox, reader) = outbox(&shared.limits);
        let socket = Socket::new(connection, read.into(), outbox.clone(), reader, &shared.limits);
        let epoch = pass.epoch().map(str::to_owned);
        let gate = visitor.gate;
        // In a box that goes when it is done.
        let joining = Box::pin(async move {
            let who = (identity, role);
            match YLink::join(&relay, &name, who, (Some(pass), epoch), outbox).await {
                Ok(link) => Some((socket, Box::new(Link::Y(link)), relay)),
                Err(closing) => {
                    socket.end(closing).await;
                    None
                }
            }
        });
        async move {
            if let Some((socket, link, relay)) = joining.await {
                run(socket, link, relay, gate, seat).await;
            }
        }
    });
    if let Some(now) = now.and_then(|epoch| epoch.parse().ok()) {
        response.headers_mut().insert(EPOCH_HEADER, now);
    }
    Ok(response)
}

/// A WebSocket.
struct Socket {
    inbound: Inbound<Gated<ReadEnd>>,
    outbox: Outbox,
    reader: OutboxReader,
}

impl Socket {
    fn new(
        connection: Gated,
        read: Vec<u8>,
        outbox: Outbox,
        mut reader: OutboxReader,
        limits: &Limits,
    ) -> Self {
        let (read_end, write_end) = connection.split();
        reader.attach(write_end);
        Self {
            inbound: Inbound::new(read_end, read, limits.frame_bytes),
            outbox,
            reader,
        }
    }

    /// Says why it ends, and waits for the peer to have read it.
    async fn end(mut self, closing: Closing) {
        self.outbox.close(closing.clone());
        let goodbye = self.reader.say_goodbye(&closing);
        // A stalled reader does not get it; the connection ends all the same.
        drop(
            timeout(CLOSE_LINGER, async {
                tokio::join!(drain(&mut self.inbound), goodbye)
            })
            .await,
        );
    }
}

/// Runs a link over a socket until one of them ends.
async fn run(
    mut socket: Socket,
    mut link: Box<Link>,
    relay: Relay,
    gate: Arc<Gate>,
    seat: Option<Seat<IpAddr>>,
) {
    let limits = &relay.shared.limits;
    let mut unread = false;
    let closing = tokio::select! {
        biased;
        closing = socket.outbox.closed() => {
            unread = closing == Closing::gone();
            closing
        }
        () = gate.shut() => {
            let words = format!("a connection may send {} bytes before it has said who it is", limits.unauthenticated_bytes);
            Closing::new(CLOSE_TOO_BIG, words)
        }
        closing = read(&mut socket.inbound, &mut link, &socket.outbox, &relay) => closing,
        closing = write(&mut socket.reader, &socket.outbox, limits) => {
            unread = closing == Closing::gone();
            closing
        }
    };
    tracing::debug!(%closing, "a connection ends");
    // In a box, as is whatever a connection rarely does: its task has room for the largest of all for as long as it lives.
    Box::pin(async move {
        if unread {
            // Nothing can be told to a peer that left while it was being told something, but what it wrote before has arrived.
            let rest = read(&mut socket.inbound, &mut link, &socket.outbox, &relay);
            drop(timeout(CLOSE_LINGER, rest).await);
        }
        socket.outbox.close(closing.clone());
        tokio::join!(link.leave(), socket.end(closing));
        drop(seat);
    })
    .await;
}

/// Reads and drops what the peer still sends, else the system would answer it with a reset, which can overtake the close frame.
async fn drain(inbound: &mut Inbound<Gated<ReadEnd>>) {
    while let Ok(incoming) = inbound.next().await {
        if incoming == Incoming::Close {
            break;
        }
    }
}

/// Hands frames to the link until the peer goes, breaks a limit, falls silent, or may not be here any more.
async fn read(
    inbound: &mut Inbound<Gated<ReadEnd>>,
    link: &mut Link,
    outbox: &Outbox,
    relay: &Relay,
) -> Closing {
    let limits = &relay.shared.limits;
    let mut changes = relay.shared.guard.changes();
    let start = Instant::now();
    let mut heard = start;
    let until = |heard: Instant, authenticated: bool| {
        let silent = heard + limits.idle_after;
        if authenticated {
            silent
        } else {
            silent.min(start + limits.authenticate_within)
        }
    };
    // Set again only when it is over: most of what is heard changes nothing about it.
    let mut patience = pin!(sleep_until(until(heard, false)));
    loop {
        let due = link.due();
        let incoming = tokio::select! {
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
            incoming = inbound.next() => incoming,
            () = patience.as_mut() => {
                let authenticated = link.is_authenticated();
                let until = until(heard, authenticated);
                if until > Instant::now() {
                    patience.as_mut().reset(until);
                    continue;
                }
                let words = if authenticated {
                    "nothing was heard for too long"
                } else {
                    "no authentication message came in time"
                };
                return Closing::new(CLOSE_TIMEOUT, words);
            }
        };
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(Fault::Gone) => return Closing::gone(),
            Err(Fault::TooLong) => {
                let most = limits.frame_bytes;
                return Closing::new(CLOSE_TOO_BIG, format!("a frame may have at most {most} bytes"));
            }
            Err(Fault::Protocol(error)) => return Closing::new(CLOSE_PROTOCOL, error.to_string()),
        };
        heard = Instant::now();
        let received = match incoming {
            Incoming::Binary(frame) => link.receive(frame).await,
            Incoming::Text => Err(Closing::new(
                CLOSE_UNSUPPORTED,
                "this server speaks binary frames only",
            )),
            Incoming::Ping(said) => {
                outbox.say(Frame::pong(said));
                Ok(())
            }
            Incoming::Pong => Ok(()),
            Incoming::Close => return Closing::gone(),
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
    Box::pin(sleep(left.min(LOOK_AT_LEAST_EVERY))).await;
}

/// Brings to the socket what it did not take at once, and asks now and then whether the peer is there.
async fn write(reader: &mut OutboxReader, outbox: &Outbox, limits: &Limits) -> Closing {
    let mut ping = interval(limits.ping_every.max(Duration::from_millis(1)));
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    loop {
        let bytes = tokio::select! {
            bytes = reader.blocked() => bytes,
            _ = ping.tick() => {
                outbox.say(Frame::ping());
                continue;
            }
        };
        let within = limits.write_within + Duration::from_secs((bytes / SLOWEST_READER) as u64);
        match Box::pin(timeout(within, reader.write(bytes))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closing::gone(),
            Err(_) => {
                return Closing::new(CLOSE_TOO_SLOW, "too slow: connect again to get everything");
            }
        }
    }
}
