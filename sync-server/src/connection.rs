//! One link to one or several rooms, in either framing; what carries its frames is not its business.

use std::collections::HashMap;

use bytes::Bytes;
use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage, Scope};
use crdt::{ConnId, DocId, DocName, Identity, Part, PeerKind, Role};
use tokio::sync::mpsc;

use crate::access::{Caller, Claims};
use crate::framing::Framing;
use crate::outbox::{Closing, Outbox, OutboxReader};
use crate::relay::Relay;
use crate::room::Member;
use crate::rooms::RoomLink;

/// Close code: a frame that is none (RFC 6455, 7.4.1).
const CLOSE_PROTOCOL: u16 = 1002;
/// Close code: a frame that is too large.
pub(crate) const CLOSE_TOO_BIG: u16 = 1009;
/// Close code: too many documents.
const CLOSE_POLICY: u16 = 1008;

/// How many frames are taken out of an outbox at once.
pub(crate) const BATCH: usize = 256;

/// A link of either kind.
#[derive(Debug)]
pub(crate) enum Link {
    Hocuspocus(HocuspocusLink),
    Y(YLink),
}

impl Link {
    /// Takes one frame from the peer. `Err`: the link is to be closed.
    pub(crate) async fn receive(&mut self, frame: &[u8]) -> Result<(), Closing> {
        match self {
            Self::Hocuspocus(link) => link.receive(frame).await,
            Self::Y(link) => {
                link.room.message(frame.to_vec()).await;
                Ok(())
            }
        }
    }

    /// Whether the peer has shown that it may be here.
    pub(crate) fn is_authenticated(&self) -> bool {
        match self {
            Self::Hocuspocus(link) => link.authenticated,
            Self::Y(_) => true,
        }
    }

    /// Leaves all rooms.
    pub(crate) async fn leave(self) {
        match self {
            Self::Hocuspocus(link) => {
                for (_, open) in link.open {
                    open.room.leave().await;
                }
            }
            Self::Y(link) => link.room.leave().await,
        }
    }
}

/// A link that speaks y-protocols for one part of one document.
#[derive(Debug)]
pub(crate) struct YLink {
    room: RoomLink,
}

impl YLink {
    /// Joins the room. `Err`: how the link is to be closed.
    pub(crate) async fn join(
        relay: &Relay,
        name: &DocName,
        (identity, role): (Identity, Role),
        epoch: Option<String>,
        outbox: Outbox,
    ) -> Result<Self, Closing> {
        let human = identity.kind == PeerKind::Human;
        let member = Member::Link {
            outbox,
            framing: Framing::Y,
            human,
            epoch,
        };
        let joined = relay
            .rooms
            .join(name, relay.next_conn(), (identity, role), member, None)
            .await;
        joined.map(|room| Self { room }).map_err(|error| error.closing())
    }
}

/// A link that speaks Hocuspocus: several documents, each authenticated for itself.
#[derive(Debug)]
pub(crate) struct HocuspocusLink {
    relay: Relay,
    caller: Caller,
    outbox: Outbox,
    open: HashMap<Address, Open>,
    /// The number of each document's connection: body and margin of one provider session are one connection.
    conns: HashMap<(DocId, Option<String>), ConnId>,
    authenticated: bool,
}

#[derive(Debug)]
struct Open {
    room: RoomLink,
    role: Role,
}

impl HocuspocusLink {
    pub(crate) fn new(relay: Relay, caller: Caller, outbox: Outbox) -> Self {
        Self {
            relay,
            caller,
            outbox,
            open: HashMap::new(),
            conns: HashMap::new(),
            authenticated: false,
        }
    }

    async fn receive(&mut self, frame: &[u8]) -> Result<(), Closing> {
        let frame = Frame::decode(frame).map_err(|error| Closing::new(CLOSE_PROTOCOL, error.to_string()))?;
        match frame {
            Frame::Ping => self.outbox.push(Frame::Pong.encode().into()),
            Frame::Pong => {}
            Frame::Document { address, message } => self.document(address, message).await?,
        }
        Ok(())
    }

    async fn document(&mut self, address: Address, message: HocusMessage) -> Result<(), Closing> {
        match message {
            HocusMessage::Token { token, .. } => return self.token(address, &token).await,
            HocusMessage::Close(_) => {
                if let Some(open) = self.open.remove(&address) {
                    open.room.leave().await;
                }
            }
            HocusMessage::Y(bytes) | HocusMessage::SyncReply(bytes) => {
                // Without an open document: it was left, or refused, while this was on its way.
                if let Some(open) = self.open.get(&address) {
                    open.room.message(bytes).await;
                }
            }
            HocusMessage::Stateless(payload) => {
                if let Some(open) = self.open.get(&address) {
                    open.room.stateless(payload).await;
                }
            }
            HocusMessage::TokenRequest
            | HocusMessage::PermissionDenied(_)
            | HocusMessage::Authenticated(_)
            | HocusMessage::BroadcastStateless(_)
            | HocusMessage::SyncStatus(_) => {
                return Err(Closing::new(
                    CLOSE_PROTOCOL,
                    "only a server may send this message",
                ));
            }
        }
        Ok(())
    }

    /// The first message about a document, or a new token for one that is open.
    async fn token(&mut self, address: Address, token: &str) -> Result<(), Closing> {
        let name = match DocName::parse(&address.name) {
            Ok(name) => name,
            Err(error) => return self.deny(address, &error.to_string()).await,
        };
        let claims = match Claims::from_token(token) {
            Ok(claims) => claims,
            Err(error) => return self.deny(address, &error.to_string()).await,
        };
        let role = match self.relay.shared.access.role(self.caller, &claims) {
            Ok(role) => role,
            Err(error) => return self.deny(address, &error.to_string()).await,
        };
        self.authenticated = true;
        let scope = if role.may_write(name.part) {
            Scope::ReadWrite
        } else {
            Scope::ReadOnly
        };
        let greeting = encode(&address, HocusMessage::Authenticated(scope));
        if let Some(open) = self.open.get_mut(&address) {
            if open.role != role {
                open.role = role;
                open.room.set_role(role).await;
            }
            self.outbox.push(greeting);
            return Ok(());
        }
        if self.open.len() >= self.relay.shared.limits.documents_per_connection {
            return Err(Closing::new(
                CLOSE_POLICY,
                "too many documents are open on this connection",
            ));
        }
        let conn = self.conn(&name, &address);
        let identity = claims.identity(&format!("connection-{}", conn.0));
        let human = identity.kind == PeerKind::Human && name.part == Part::Body;
        let framing = Framing::Hocuspocus(address.clone());
        let member = Member::Link {
            outbox: self.outbox.clone(),
            framing,
            human,
            epoch: claims.epoch,
        };
        match self
            .relay
            .rooms
            .join(&name, conn, (identity, role), member, Some(greeting))
            .await
        {
            Ok(room) => {
                self.open.insert(address, Open { room, role });
                Ok(())
            }
            Err(error) => self.deny(address, &error.to_string()).await,
        }
    }

    fn conn(&mut self, name: &DocName, address: &Address) -> ConnId {
        let key = (name.doc.clone(), address.session.clone());
        *self.conns.entry(key).or_insert_with(|| self.relay.next_conn())
    }

    async fn deny(&mut self, address: Address, reason: &str) -> Result<(), Closing> {
        if let Some(open) = self.open.remove(&address) {
            open.room.leave().await;
        }
        self.outbox.push(encode(
            &address,
            HocusMessage::PermissionDenied(reason.to_owned()),
        ));
        Ok(())
    }
}

fn encode(address: &Address, message: HocusMessage) -> Bytes {
    Frame::Document {
        address: address.clone(),
        message,
    }
    .encode()
    .into()
}

/// Runs a link whose other end is in this process.
pub(crate) async fn run_pipe(
    mut link: Link,
    outbox: Outbox,
    mut reader: OutboxReader,
    mut from_peer: mpsc::Receiver<Bytes>,
    to_peer: mpsc::Sender<Bytes>,
    max_frame: usize,
) {
    let own = outbox.clone();
    let pump = tokio::spawn(async move {
        let mut batch = Vec::new();
        while reader.take(&mut batch, BATCH).await.is_ok() {
            for frame in batch.drain(..) {
                let bytes = frame.len();
                let closing = tokio::select! {
                    biased;
                    closing = reader.closed() => Some(closing),
                    delivered = to_peer.send(frame) => delivered.err().map(|_| Closing::gone()),
                };
                reader.sent(bytes);
                if let Some(closing) = closing {
                    own.close(closing);
                    return;
                }
            }
        }
    });
    let closing = loop {
        tokio::select! {
            biased;
            closing = outbox.closed() => break closing,
            frame = from_peer.recv() => match frame {
                Some(frame) if frame.len() > max_frame => {
                    break Closing::new(CLOSE_TOO_BIG, format!("a frame may have {max_frame} bytes, this one has {}", frame.len()));
                }
                Some(frame) => if let Err(closing) = link.receive(&frame).await {
                    break closing;
                },
                None => break Closing::gone(),
            },
        }
    };
    tracing::debug!(%closing, "a link of this process ends");
    outbox.close(closing);
    link.leave().await;
    drop(pump.await); // it panics never and is not aborted
}
