//! A relay in memory: the real room, without sockets and store, over links with latency.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ai_peer::Link;
use bytes::Bytes;
use crdt::protocol;
use crdt::room::{Effect, Event, Limits, Outgoing, Room, Stored};
use crdt::{ConnId, DocId, Identity, Part, Role, Timestamp};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One document's relay.
#[derive(Clone)]
pub struct Relay(Arc<Mutex<State>>);

struct State {
    room: Room,
    next: u64,
    ids: u128,
    wires: HashMap<(ConnId, Part), mpsc::UnboundedSender<(Instant, Bytes)>>,
    latency: HashMap<ConnId, Duration>,
    names: HashMap<String, ConnId>,
    started: Instant,
}

impl Relay {
    pub fn new() -> Self {
        let doc = DocId::parse("doc").unwrap();
        Self(Arc::new(Mutex::new(State {
            room: Room::open(doc, &Stored::default(), 7, Limits::default()).unwrap(),
            next: 1,
            ids: 0,
            wires: HashMap::new(),
            latency: HashMap::new(),
            names: HashMap::new(),
            started: Instant::now(),
        })))
    }

    /// Both links of a new connection. Frames take `latency` each way.
    pub fn connect(&self, identity: &Identity, role: Role, latency: Duration) -> (Link, Link) {
        self.connect_unequal(identity, role, latency, latency)
    }

    /// The same with a latency for each of the two links.
    pub fn connect_unequal(
        &self,
        identity: &Identity,
        role: Role,
        body: Duration,
        margin: Duration,
    ) -> (Link, Link) {
        let conn = self.next_conn(identity);
        let body = self.link(conn, Part::Body, identity, role, body);
        (body, self.link(conn, Part::Margin, identity, role, margin))
    }

    /// A connection that opens one part only.
    pub fn connect_part(&self, identity: &Identity, role: Role, part: Part) -> Link {
        let conn = self.next_conn(identity);
        self.link(conn, part, identity, role, Duration::ZERO)
    }

    fn next_conn(&self, identity: &Identity) -> ConnId {
        let mut state = self.lock();
        let conn = ConnId(state.next);
        state.next += 1;
        state.names.insert(identity.id.clone(), conn);
        conn
    }

    /// Cuts whatever connection this peer made last.
    pub fn cut(&self, id: &str) {
        let mut state = self.lock();
        let conn = state.names[id];
        for part in [Part::Body, Part::Margin] {
            if state.wires.remove(&(conn, part)).is_some() {
                state.handle(Event::Leave { conn, part });
            }
        }
    }

    /// The body's state vector and delete set.
    pub fn body_state(&self) -> crdt_snapshot::Snapshot {
        self.lock().room.state(Part::Body)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn link(&self, conn: ConnId, part: Part, identity: &Identity, role: Role, latency: Duration) -> Link {
        let (near, far) = Link::pair(1024);
        let (wire, mut queue) = wire();
        {
            let mut state = self.lock();
            state.wires.insert((conn, part), wire);
            state.latency.insert(conn, latency);
            let identity = identity.clone();
            state.handle(Event::Join {
                conn,
                part,
                identity,
                role,
            });
        }
        let Link { tx, mut rx } = far;
        tokio::spawn(async move {
            while let Some((sent, frame)) = queue.recv().await {
                tokio::time::sleep_until(sent + latency).await;
                if tx.send(frame).await.is_err() {
                    break;
                }
            }
        });
        let relay = self.clone();
        tokio::spawn(async move {
            let (late, mut delayed) = wire_in();
            let pump = tokio::spawn(async move {
                while let Some(frame) = rx.recv().await {
                    if late.send((Instant::now(), frame)).is_err() {
                        break;
                    }
                }
            });
            while let Some((sent, frame)) = delayed.recv().await {
                tokio::time::sleep_until(sent + latency).await;
                let mut state = relay.lock();
                if !state.wires.contains_key(&(conn, part)) {
                    break;
                }
                let bytes = frame.to_vec();
                state.handle(Event::Message { conn, part, bytes });
            }
            pump.abort();
            let mut state = relay.lock();
            if state.wires.remove(&(conn, part)).is_some() {
                state.handle(Event::Leave { conn, part });
            }
        });
        near
    }
}

/// Names the type without importing yrs everywhere.
mod crdt_snapshot {
    pub use yrs::Snapshot;
}

type Wire = (
    mpsc::UnboundedSender<(Instant, Bytes)>,
    mpsc::UnboundedReceiver<(Instant, Bytes)>,
);

#[expect(
    clippy::disallowed_methods,
    reason = "a test's relay has as much room as the test needs"
)]
fn wire() -> Wire {
    mpsc::unbounded_channel()
}

fn wire_in() -> Wire {
    wire()
}

impl State {
    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now =
                Timestamp(1_700_000_000_000 + u64::try_from(self.started.elapsed().as_millis()).unwrap());
            let ids = &mut self.ids;
            let mut next = || {
                *ids += 1;
                *ids
            };
            for effect in self.room.handle(now, &mut next, event) {
                match effect {
                    Effect::Send { to, part, message } => self.send(to, part, &message),
                    Effect::Broadcast {
                        part,
                        except,
                        message,
                    } => {
                        let to: Vec<ConnId> = self
                            .wires
                            .keys()
                            .filter(|(_, wire)| *wire == part)
                            .map(|(conn, _)| *conn)
                            .collect();
                        for conn in to.into_iter().filter(|conn| Some(*conn) != except) {
                            self.send(conn, part, &message);
                        }
                    }
                    Effect::Append(record) => events.push(Event::Committed { seq: record.seq }),
                    Effect::Close {
                        conn, part, reason, ..
                    } => {
                        eprintln!("the relay closed {conn}: {reason}");
                        self.wires.remove(&(conn, part));
                    }
                }
            }
        }
    }

    fn send(&self, to: ConnId, part: Part, message: &Outgoing) {
        let frame = match message {
            Outgoing::Y(frame) => frame.clone(),
            Outgoing::Denied(reason) => protocol::permission_denied(reason),
            Outgoing::SyncStatus(_) | Outgoing::Stateless(_) => return,
        };
        if let Some(wire) = self.wires.get(&(to, part)) {
            let _ = wire.send((Instant::now(), Bytes::from(frame)));
        }
    }
}
