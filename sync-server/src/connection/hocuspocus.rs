//! A link that speaks Hocuspocus: several documents, each authenticated for itself.

use std::collections::HashMap;
use std::sync::Arc;

use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage, Scope};
use crdt::{ConnId, DocId, DocName, Identity, Part, PeerKind, Role, Timestamp};
use tokio::sync::OwnedSemaphorePermit;

use super::{CLOSE_POLICY, CLOSE_PROTOCOL, Pace};
use crate::access::pass::Pass;
use crate::access::traffic::Seat;
use crate::access::{AccessError, Caller, Claims};
use crate::clock;
use crate::framing::Framing;
use crate::outbox::{self, Closing, Outbox};
use crate::relay::Relay;
use crate::room::Member;
use crate::rooms::RoomLink;
use crate::serve::Gate;

/// How long before a token runs out a client is asked for a new one, in milliseconds.
const ASK_BEFORE: u64 = 30_000;

/// The longest session name, in bytes: clients make up a random number.
const MAX_SESSION_BYTES: usize = 200;

/// What holds somebody back who has not said who they are.
#[derive(Debug)]
pub(crate) struct Threshold {
    pub(crate) gate: Arc<Gate>,
    pub(crate) _waiting: OwnedSemaphorePermit,
}

impl Drop for Threshold {
    fn drop(&mut self) {
        self.gate.open();
    }
}

/// A link that speaks Hocuspocus.
#[derive(Debug)]
pub(crate) struct HocuspocusLink {
    relay: Relay,
    caller: Caller,
    outbox: Outbox,
    open: HashMap<Address, Open>,
    /// The peer of each document's connection: body and margin of one provider session are one connection.
    peers: HashMap<(DocId, Option<String>), Peer>,
    authenticated: bool,
    threshold: Option<Threshold>,
    pace: Pace,
}

#[derive(Debug)]
struct Open {
    room: RoomLink,
    name: DocName,
    role: Role,
    pass: Pass,
    /// When to ask for a new token.
    ask_at: Option<Timestamp>,
    _seat: Option<Seat<DocId>>,
}

/// Who a connection is; whoever sends its tokens stays that one.
#[derive(Debug, Clone)]
struct Peer {
    conn: ConnId,
    id: String,
    kind: PeerKind,
}

impl HocuspocusLink {
    pub(crate) fn new(relay: Relay, caller: Caller, outbox: Outbox, threshold: Option<Threshold>) -> Self {
        Self {
            pace: Pace::new(&relay),
            relay,
            caller,
            outbox,
            open: HashMap::new(),
            peers: HashMap::new(),
            authenticated: false,
            threshold,
        }
    }

    pub(super) const fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    pub(super) async fn receive(&mut self, frame: &[u8]) -> Result<(), Closing> {
        let frame = Frame::decode(frame).map_err(|error| Closing::new(CLOSE_PROTOCOL, error.to_string()))?;
        match frame {
            Frame::Ping => self.outbox.say(outbox::Frame::binary(&Frame::Pong.encode())),
            Frame::Pong => {}
            Frame::Document { address, message } => self.document(address, message).await?,
        }
        Ok(())
    }

    pub(super) async fn leave(self) {
        for (_, open) in self.open {
            open.room.leave().await;
        }
    }

    async fn document(&mut self, address: Address, message: HocusMessage) -> Result<(), Closing> {
        match message {
            // In a box, as is whatever a connection rarely does: its task has room for the largest of all for as long as it lives.
            HocusMessage::Token { token, .. } => return Box::pin(self.token(address, &token)).await,
            HocusMessage::Close(_) => self.close(&address).await,
            HocusMessage::Y(bytes) | HocusMessage::SyncReply(bytes) => {
                // Without an open document: it was left, or refused, while this was on its way.
                if let Some(open) = self.open.get(&address) {
                    self.pace.keep(&bytes).await;
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
        if address
            .session
            .as_ref()
            .is_some_and(|session| session.len() > MAX_SESSION_BYTES)
        {
            return Err(Closing::new(CLOSE_POLICY, "the session's name is too long"));
        }
        let name = match DocName::parse(&address.name) {
            Ok(name) => name,
            Err(error) => return self.deny(address, &error.to_string()).await,
        };
        let (pass, role) = match self.admit(&name, token).await {
            Ok(admitted) => admitted,
            Err(error) => return self.deny(address, &error.to_string()).await,
        };
        self.authenticated = true;
        self.threshold = None;
        let key = (name.doc.clone(), address.session.clone());
        let known = self.peers.get(&key).cloned();
        let conn = known
            .as_ref()
            .map_or_else(|| self.relay.next_conn(), |peer| peer.conn);
        let identity = pass.identity(&format!("connection-{}", conn.0));
        if known.is_some_and(|peer| peer.id != identity.id || peer.kind != identity.kind) {
            let words = "this connection is somebody else's: open another one";
            return self.deny(address, words).await;
        }
        let ask_at = self.ask_at(&pass);
        if let Some(open) = self.open.get_mut(&address) {
            (open.pass, open.ask_at) = (pass, ask_at);
            if std::mem::replace(&mut open.role, role) != role {
                open.room.set_role(role).await;
            }
            self.outbox.say(greeting(&address, role));
            return Ok(());
        }
        if self.open.len() >= self.relay.shared.limits.documents_per_connection {
            return Err(Closing::new(
                CLOSE_POLICY,
                "too many documents are open on this connection",
            ));
        }
        let peer = Peer {
            conn,
            id: identity.id.clone(),
            kind: identity.kind,
        };
        self.peers.insert(key, peer);
        let epoch = pass.epoch().map(str::to_owned);
        let room = match self.join((&address, &name), conn, (identity, role), epoch).await {
            Ok(joined) => joined,
            Err(Refused::Closing(closing)) => return Err(closing),
            Err(Refused::Words(words)) => return self.deny(address, &words).await,
        };
        let open = Open {
            room: room.0,
            name,
            role,
            pass,
            ask_at,
            _seat: room.1,
        };
        self.open.insert(address, open);
        Ok(())
    }

    async fn admit(&self, name: &DocName, token: &str) -> Result<(Pass, Role), AccessError> {
        let guard = &self.relay.shared.guard;
        let pass = guard.admit(self.caller, Claims::from_token(token)?).await?;
        let role = guard.roles(&pass, &name.doc, clock::now())?.part(name.part);
        Ok((pass, role))
    }

    async fn join(
        &self,
        (address, name): (&Address, &DocName),
        conn: ConnId,
        (identity, role): (Identity, Role),
        epoch: Option<String>,
    ) -> Result<(RoomLink, Option<Seat<DocId>>), Refused> {
        let seat = match self.caller {
            Caller::Process => None,
            Caller::Local | Caller::Remote => {
                let seat = self.relay.shared.traffic.sit_down(&name.doc);
                Some(seat.map_err(Refused::Closing)?)
            }
        };
        let human = identity.kind == PeerKind::Human && name.part == Part::Body;
        let member = Member::Link {
            outbox: self.outbox.clone(),
            framing: Framing::Hocuspocus(address.clone()),
            human,
            epoch,
        };
        let greeting = Some(greeting(address, role));
        let joined = self
            .relay
            .rooms
            .join(name, conn, (identity, role), member, greeting)
            .await;
        match joined {
            Ok(room) => Ok((room, seat)),
            // A refusal of the document would be taken for good: it is the connection that has to come again.
            Err(error) if error.is_transient() => Err(Refused::Closing(error.closing())),
            Err(error) => Err(Refused::Words(error.to_string())),
        }
    }

    /// Looks again at every open document.
    pub(super) async fn reconsider(&mut self) -> Result<(), Closing> {
        let now = clock::now();
        let addresses: Vec<Address> = self.open.keys().cloned().collect();
        for address in addresses {
            let Some(open) = self.open.get_mut(&address) else {
                continue;
            };
            match self.relay.shared.guard.roles(&open.pass, &open.name.doc, now) {
                Ok(roles) => {
                    let role = roles.part(open.name.part);
                    if std::mem::replace(&mut open.role, role) != role {
                        open.room.set_role(role).await;
                        self.outbox.say(greeting(&address, role));
                    }
                    if open.ask_at.is_some_and(|at| at <= now) {
                        open.ask_at = None;
                        self.outbox.say(encode(&address, HocusMessage::TokenRequest));
                    }
                }
                Err(error) => self.deny(address, &error.to_string()).await?,
            }
        }
        Ok(())
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        let ends = |open: &Open| self.relay.shared.guard.ends(&open.pass);
        let all = self.open.values().flat_map(|open| [open.ask_at, ends(open)]);
        all.flatten().min()
    }

    /// Half a minute before the end, or half-way when there is less.
    fn ask_at(&self, pass: &Pass) -> Option<Timestamp> {
        let now = clock::now().0;
        let left = pass.expires()?.0.saturating_sub(now);
        Some(Timestamp(now + left.saturating_sub(ASK_BEFORE).max(left / 2)))
    }

    /// Leaves a document; with its last part the peer is forgotten.
    async fn close(&mut self, address: &Address) {
        if let Some(open) = self.open.remove(address) {
            open.room.leave().await;
        }
        let Ok(DocName { doc, .. }) = DocName::parse(&address.name) else {
            return;
        };
        let same =
            |(other, open): (&Address, &Open)| open.name.doc == doc && other.session == address.session;
        if !self.open.iter().any(same) {
            self.peers.remove(&(doc, address.session.clone()));
        }
    }

    async fn deny(&mut self, address: Address, reason: &str) -> Result<(), Closing> {
        self.close(&address).await;
        self.outbox.say(encode(
            &address,
            HocusMessage::PermissionDenied(reason.to_owned()),
        ));
        Ok(())
    }
}

/// Why a document was not joined.
enum Refused {
    /// The connection ends, and the client comes again.
    Closing(Closing),
    /// The document is refused, for good.
    Words(String),
}

fn greeting(address: &Address, role: Role) -> outbox::Frame {
    let part = DocName::parse(&address.name).map_or(Part::Body, |name| name.part);
    let scope = if role.may_write(part) {
        Scope::ReadWrite
    } else {
        Scope::ReadOnly
    };
    encode(address, HocusMessage::Authenticated(scope))
}

fn encode(address: &Address, message: HocusMessage) -> outbox::Frame {
    let frame = Frame::Document {
        address: address.clone(),
        message,
    };
    outbox::Frame::binary(&frame.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::outbox;
    use crate::{RelayConfig, StorePath};

    #[tokio::test]
    async fn nothing_is_kept_of_sessions_that_are_over() {
        let relay = Relay::open(RelayConfig::new(StorePath::Memory)).await.unwrap();
        let (outbox, _reader) = outbox(&relay.shared.limits);
        let mut link = HocuspocusLink::new(relay, Caller::Process, outbox, None);
        let frame = |name: &str, session: u32, message| {
            let address = Address {
                name: name.to_owned(),
                session: Some(session.to_string()),
            };
            Frame::Document { address, message }.encode()
        };
        let token = || HocusMessage::Token {
            token: String::new(),
            version: None,
        };
        for session in 0..50 {
            for name in ["plan", "plan~margin"] {
                link.receive(&frame(name, session, token())).await.unwrap();
            }
            assert_eq!(link.peers.len(), 1, "both parts are one peer's");
            link.receive(&frame("plan", session, HocusMessage::Close(None)))
                .await
                .unwrap();
            assert_eq!(link.peers.len(), 1, "the margin is still open");
            link.receive(&frame("plan~margin", session, HocusMessage::Close(None)))
                .await
                .unwrap();
            assert!(link.peers.is_empty());
        }
        let long = Address {
            name: "plan".into(),
            session: Some("s".repeat(300)),
        };
        let frame = Frame::Document {
            address: long,
            message: token(),
        };
        assert_eq!(
            link.receive(&frame.encode()).await.unwrap_err().code,
            CLOSE_POLICY
        );
    }
}
