//! One link to one or several rooms, in either framing; what carries its frames is not its business.

mod hocuspocus;

use bytes::Bytes;
use crdt::{DocName, Identity, PeerKind, Role, Timestamp, protocol};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::access::pass::Pass;
use crate::access::traffic::{Bucket, Seat};
use crate::clock;
use crate::framing::Framing;
use crate::outbox::{Closing, Outbox, OutboxReader};
use crate::relay::Relay;
use crate::room::Member;
use crate::rooms::RoomLink;

pub(crate) use hocuspocus::{HocuspocusLink, Threshold};

/// Close code: a frame that is none (RFC 6455, 7.4.1).
pub(crate) const CLOSE_PROTOCOL: u16 = 1002;
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
    pub(crate) async fn receive(&mut self, frame: Vec<u8>) -> Result<(), Closing> {
        match self {
            Self::Hocuspocus(link) => Box::pin(link.receive(&frame)).await,
            Self::Y(link) => {
                link.pace.keep(&frame).await;
                link.room.message(frame).await;
                Ok(())
            }
        }
    }

    /// Whether the peer has shown that it may be here.
    pub(crate) fn is_authenticated(&self) -> bool {
        match self {
            Self::Hocuspocus(link) => link.is_authenticated(),
            Self::Y(_) => true,
        }
    }

    /// Looks again at what the peer may do. `Err`: nothing any more, and the link is to be closed.
    pub(crate) async fn reconsider(&mut self) -> Result<(), Closing> {
        match self {
            Self::Hocuspocus(link) => Box::pin(link.reconsider()).await,
            Self::Y(link) => Box::pin(link.reconsider()).await,
        }
    }

    /// When to look again although nothing has changed: a token runs out.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Hocuspocus(link) => link.due(),
            Self::Y(link) => link.due(),
        }
    }

    /// Leaves all rooms.
    pub(crate) async fn leave(self) {
        match self {
            Self::Hocuspocus(link) => Box::pin(link.leave()).await,
            Self::Y(link) => Box::pin(link.room.leave()).await,
        }
    }
}

/// Holds awareness messages to a rate: who sends more waits, documents and all.
#[derive(Debug)]
struct Pace(Bucket);

impl Pace {
    fn new(relay: &Relay) -> Self {
        Self(Bucket::new(
            relay.shared.limits.awareness_per_second,
            Instant::now(),
        ))
    }

    /// Waits until a y-protocols message may go on.
    async fn keep(&mut self, message: &[u8]) {
        if !matches!(message, [protocol::AWARENESS | protocol::QUERY_AWARENESS, ..]) {
            return;
        }
        while let Err(wait) = self.0.take(Instant::now()) {
            Box::pin(sleep(wait)).await; // a connection has no room for what is this rare
        }
    }
}

/// A link that speaks y-protocols for one part of one document.
#[derive(Debug)]
pub(crate) struct YLink {
    relay: Relay,
    room: RoomLink,
    name: DocName,
    role: Role,
    /// What it is let in with; links of this process have none, and keep their role.
    pass: Option<Pass>,
    pace: Pace,
    _seat: Option<Seat<crdt::DocId>>,
}

impl YLink {
    /// Joins the room. `Err`: how the link is to be closed.
    pub(crate) async fn join(
        relay: &Relay,
        name: &DocName,
        (identity, role): (Identity, Role),
        (pass, epoch): (Option<Pass>, Option<String>),
        outbox: Outbox,
    ) -> Result<Self, Closing> {
        let seat = match &pass {
            Some(_) => Some(relay.shared.traffic.sit_down(&name.doc)?),
            None => None,
        };
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
        let room = joined.map_err(|error| error.closing())?;
        Ok(Self {
            pace: Pace::new(relay),
            relay: relay.clone(),
            room,
            name: name.clone(),
            role,
            pass,
            _seat: seat,
        })
    }

    async fn reconsider(&mut self) -> Result<(), Closing> {
        let Some(pass) = &self.pass else { return Ok(()) };
        let roles = self.relay.shared.guard.roles(pass, &self.name.doc, clock::now());
        let role = roles.map_err(|error| error.closing())?.part(self.name.part);
        if std::mem::replace(&mut self.role, role) != role {
            self.room.set_role(role).await;
        }
        Ok(())
    }

    fn due(&self) -> Option<Timestamp> {
        self.relay.shared.guard.ends(self.pass.as_ref()?)
    }
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
                let weight = reader.weigh(&frame);
                let closing = tokio::select! {
                    biased;
                    closing = reader.closed() => Some(closing),
                    delivered = to_peer.send(frame.message()) => delivered.err().map(|_| Closing::gone()),
                };
                reader.sent(weight);
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
                Some(frame) => if let Err(closing) = link.receive(frame.into()).await {
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
