//! The relay's state machine for one document: its body and its margin, and everybody who has them open.
//!
//! Pure: events go in, effects come out; time, ids and bytes are arguments. Whoever runs it owns sockets and the store.
//!
//! **Invariants.** A connection whose role does not allow a write changes neither state vector nor delete set. Nothing is
//! acknowledged before it and everything before it is committed. Joining, leaving and reconnecting write nothing. Whatever
//! bytes arrive, at worst the connection that sent them is closed.

mod awareness;
mod connections;
mod journal;
mod limits;
mod open;
mod part_doc;
mod record;
mod rest;
mod stateless;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use yrs::{ReadTxn, Transact};

use crate::ids::{ConnId, DocId, IdSource, Identity, Part, Role, Timestamp};
use awareness::Presence;
use journal::Journal;
use part_doc::PartDoc;
use rest::Unread;

pub use limits::Limits;
pub use open::{OpenError, Stored};
pub use part_doc::ApplyError;
pub use record::{Record, Snapshot};

/// Close code: the connection sent something that is not a message (RFC 6455, 7.4.1).
pub const CLOSE_PROTOCOL: u16 = 1002;
/// Close code: the connection does what no correct client does.
pub const CLOSE_POLICY: u16 = 1008;
/// Close code: a message is larger than [`Limits`] allow.
pub const CLOSE_TOO_BIG: u16 = 1009;

/// What happens to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A connection opens one part of the document. The same connection may open both.
    Join {
        /// The connection.
        conn: ConnId,
        /// What it opens.
        part: Part,
        /// Who it is; what it writes is recorded as theirs.
        identity: Identity,
        /// What it may do.
        role: Role,
    },
    /// A connection sent a y-protocols message (or several in one frame).
    Message {
        /// The connection.
        conn: ConnId,
        /// Which part it is about.
        part: Part,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A connection sent a text: `docs/protocol.md`, stateless messages.
    Stateless {
        /// The connection.
        conn: ConnId,
        /// Which part's provider it came from.
        part: Part,
        /// JSON.
        payload: String,
    },
    /// A connection closed one part, or is gone.
    Leave {
        /// The connection.
        conn: ConnId,
        /// What it closed.
        part: Part,
    },
    /// What a connection may do with a part has changed. The role in the body is the one that decides.
    SetRole {
        /// The connection.
        conn: ConnId,
        /// Which part.
        part: Part,
        /// What it may do from now on.
        role: Role,
    },
    /// Every record up to `seq` that was appended since the last failure is on disk.
    Committed {
        /// The last of them.
        seq: u64,
    },
    /// The record `seq` could not be written, and none after it counts.
    StoreFailed {
        /// The first that could not be written.
        seq: u64,
        /// Why, in words for people.
        reason: String,
    },
    /// Time has passed. To be sent every second or so.
    Tick,
    /// It is the time that [`Room::flush_at`] named.
    Flush,
}

/// What is to be done about an event, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send to one connection.
    Send {
        /// The connection.
        to: ConnId,
        /// Which part it is about.
        part: Part,
        /// What.
        message: Outgoing,
    },
    /// Send to everybody who has a part open, but for one.
    Broadcast {
        /// Which part.
        part: Part,
        /// Who knows already.
        except: Option<ConnId>,
        /// What.
        message: Outgoing,
    },
    /// Write to the store, in the order of `seq`; then say [`Event::Committed`] or [`Event::StoreFailed`]. A record
    /// may come again after a failure: writing it twice must be the same as once.
    Append(Record),
    /// Close one part of a connection. The room has forgotten it already; no [`Event::Leave`] is needed.
    Close {
        /// The connection.
        conn: ConnId,
        /// Which part.
        part: Part,
        /// A WebSocket close code.
        code: u16,
        /// Why, in words for people.
        reason: String,
    },
}

/// What a connection is sent. A transport leaves out what its protocol cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A y-protocols message: sync or awareness.
    Y(Vec<u8>),
    /// Hocuspocus only: the connection's oldest unacknowledged change is on disk (`true`) or refused (`false`).
    SyncStatus(bool),
    /// Hocuspocus only: a JSON text.
    Stateless(String),
    /// A refused write, in words. For y-websocket an auth message `permission denied`; Hocuspocus has said it with
    /// [`Outgoing::SyncStatus`], and its auth message would mean that the whole connection is refused.
    Denied(String),
}

/// One document, open.
#[derive(Debug)]
pub struct Room {
    doc: DocId,
    body: PartDoc,
    margin: PartDoc,
    /// The numbers of the records that have not been decoded since they were loaded.
    unread: Unread,
    body_presence: Presence,
    margin_presence: Presence,
    journal: Journal,
    connections: BTreeMap<ConnId, Connection>,
    /// Whether a write of somebody's was put off for want of room.
    somebody_behind: bool,
    limits: Limits,
    /// Told to whoever joins.
    epoch: Option<String>,
    /// The title when somebody asked for it last.
    title: RefCell<Option<String>>,
}

/// One connection, with the parts that it has open.
#[derive(Debug)]
struct Connection {
    identity: Arc<Identity>,
    body: Option<Joined>,
    margin: Option<Joined>,
}

/// One part that a connection has open.
#[derive(Debug)]
struct Joined {
    /// What it may do with this part.
    role: Role,
    /// What it was asked (step 1) and has not answered (step 2) yet, oldest first.
    questions: VecDeque<Question>,
    /// Updates of its that left a hole and were put off until the answer to a question: each wants an acknowledgement.
    put_off: u32,
    /// Answers in a row that left holes.
    holes: u32,
    /// A write was refused for want of room or of a working store: it must be asked again when there is some.
    behind: bool,
    /// Whether it has sent a step 1.
    asked: bool,
    /// Whether it has been asked what it has.
    invited: bool,
}

impl Joined {
    const fn new(role: Role) -> Self {
        Self {
            role,
            questions: VecDeque::new(),
            put_off: 0,
            holes: 0,
            behind: false,
            asked: false,
            invited: false,
        }
    }
}

/// Why a connection was asked what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Part of the handshake. A Hocuspocus client waits for its answer to be acknowledged.
    Handshake,
    /// Something is missing. The client does not count this answer as a change of its own.
    Missing,
}

impl Connection {
    const fn joined(&mut self, part: Part) -> &mut Option<Joined> {
        match part {
            Part::Body => &mut self.body,
            Part::Margin => &mut self.margin,
        }
    }

    const fn get(&self, part: Part) -> Option<&Joined> {
        match part {
            Part::Body => self.body.as_ref(),
            Part::Margin => self.margin.as_ref(),
        }
    }

    const fn has(&self, part: Part) -> bool {
        self.get(part).is_some()
    }
}

impl Room {
    fn new(
        doc: DocId,
        (body, margin): (PartDoc, PartDoc),
        unread: Unread,
        journal: Journal,
        limits: Limits,
    ) -> Self {
        Self {
            doc,
            body,
            margin,
            unread,
            body_presence: Presence::default(),
            margin_presence: Presence::default(),
            journal,
            connections: BTreeMap::new(),
            somebody_behind: false,
            limits,
            epoch: None,
            title: RefCell::default(),
        }
    }

    /// Names the history that this document has: whoever joins is told. A store that is put in the place of another gives its
    /// documents new names, so that a client knows when its copy belongs to another history.
    pub fn set_epoch(&mut self, epoch: impl Into<String>) {
        self.epoch = Some(epoch.into());
    }

    /// Which document this is.
    #[must_use]
    pub const fn id(&self) -> &DocId {
        &self.doc
    }

    /// Takes one event and says what is to be done about it.
    pub fn handle(&mut self, now: Timestamp, ids: &mut dyn IdSource, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Join {
                conn,
                part,
                identity,
                role,
            } => self.join(conn, part, identity, role, &mut effects),
            Event::Message { conn, part, bytes } => self.message(now, conn, part, &bytes, &mut effects),
            Event::Stateless { conn, part, payload } => {
                self.stateless(now, ids, conn, part, &payload, &mut effects);
            }
            Event::Leave { conn, part } => self.leave(conn, part, &mut effects),
            Event::SetRole { conn, part, role } => self.set_role(conn, part, role, &mut effects),
            Event::Committed { seq } => self.committed(seq, &mut effects),
            Event::StoreFailed { seq, reason } => self.store_failed(seq, reason, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
            Event::Flush => self.flush(now, &mut effects),
        }
        effects
    }

    /// Who has the document open: connection, identity, the higher of its roles, and whether they have the body and the margin open.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, &Identity, Role, [bool; 2])> {
        self.connections.iter().map(|(id, connection)| {
            let parts = [connection.has(Part::Body), connection.has(Part::Margin)];
            let role = connection.body.iter().chain(&connection.margin);
            let role = role.map(|joined| joined.role).max().unwrap_or(Role::Viewer);
            (*id, &*connection.identity, role, parts)
        })
    }

    /// The document's title, if it has one.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let mut title = self.title.borrow_mut();
        if self.body.take_named() || !self.body.is_awake() {
            *title = crate::doc::title(&self.body.doc().transact());
        }
        title.clone()
    }

    /// The text of the body as Markdown.
    #[must_use]
    pub fn body_markdown(&self) -> String {
        let txn = self.body.doc().transact();
        txn.get_xml_fragment(crate::doc::BODY_ROOT)
            .map_or_else(String::new, |root| {
                crate::markdown::write(&crate::content::read(&root, &txn))
            })
    }

    /// The whole document, to stand in for the log up to [`Snapshot::seq`].
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            seq: self.journal.committed(),
            body: self.body.encode(),
            margin: self.margin.encode(),
        }
    }

    /// The last record that is on disk with all before it.
    #[must_use]
    pub fn saved_seq(&self) -> u64 {
        self.journal.committed()
    }

    /// Whether everything is on disk: the room can be dropped and opened again without a loss.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.journal.unsaved() == 0 && self.journal.failing().is_none()
    }

    /// What the room's copy of a part has: state vector and delete set.
    #[must_use]
    pub fn state(&self, part: Part) -> yrs::Snapshot {
        self.copy(part).doc().transact().snapshot()
    }

    /// The room's copy of a part, to read. Only the room writes it.
    #[must_use]
    pub fn document(&self, part: Part) -> &yrs::Doc {
        self.copy(part).doc()
    }

    const fn copy(&self, part: Part) -> &PartDoc {
        match part {
            Part::Body => &self.body,
            Part::Margin => &self.margin,
        }
    }

    const fn copy_mut(&mut self, part: Part) -> &mut PartDoc {
        match part {
            Part::Body => &mut self.body,
            Part::Margin => &mut self.margin,
        }
    }
}
