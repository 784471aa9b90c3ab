//! Somebody with a window: a copy of body and margin, a connection, and what they believe to be saved.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crdt::ids::{ConnId, IdRange, Part, PeerKind, Role, Timestamp};
use crdt::protocol::update::UpdateFacts;
use crdt::replica::{REMOTE, Replica};
use crdt::room::Outgoing;
use yrs::updates::decoder::Decode;
use yrs::{Doc, Origin, ReadTxn, StateVector, Transact, Update};

/// What is under way to a room.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    /// y-protocols messages about a part.
    Y(Part, Vec<u8>),
    /// A stateless message on the body's provider.
    Text(String),
}

/// A connection: first in, first out, both ways.
pub(crate) struct Link {
    pub(crate) conn: ConnId,
    pub(crate) up: VecDeque<Frame>,
    pub(crate) down: VecDeque<(Part, Outgoing)>,
}

/// A copy of one part.
pub(crate) struct Copy {
    pub(crate) part: Part,
    pub(crate) replica: Replica,
    /// As HocuspocusProvider counts: 1 on connecting, one more per update, one less per `SyncStatus(true)`.
    pub(crate) unsynced: u32,
    /// Frames of this connection were disturbed or refused, so the counting is off.
    pub(crate) uncounted: bool,
    /// What this copy has deleted itself.
    deleted: Arc<Mutex<Vec<IdRange>>>,
}

/// Somebody.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) site: usize,
    pub(crate) role: Role,
    pub(crate) kind: PeerKind,
    /// How far their clock is off, in milliseconds.
    pub(crate) skew: i64,
    pub(crate) body: Copy,
    pub(crate) margin: Copy,
    pub(crate) link: Option<Link>,
    /// What a model is working on.
    pub(crate) job: Option<Job>,
    /// Decisions that were confirmed to them.
    pub(crate) decided: Vec<String>,
}

/// A model's work.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) request: String,
    pub(crate) proposal: Option<String>,
    pub(crate) words: VecDeque<String>,
}

impl Copy {
    pub(crate) fn new(part: Part, client: u32) -> Self {
        let replica = Replica::new(client);
        let deleted: Arc<Mutex<Vec<IdRange>>> = Arc::default();
        let sink = Arc::clone(&deleted);
        let remote = Origin::from(REMOTE);
        replica
            .doc()
            .observe_update_v1_with("simulation", move |txn, event| {
                if txn.origin() != Some(&remote) {
                    let facts = UpdateFacts::scan(&event.update).expect("what yrs wrote");
                    sink.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend(facts.deletes());
                }
            })
            .expect("no transaction is open");
        Self {
            part,
            replica,
            unsynced: 0,
            uncounted: false,
            deleted,
        }
    }

    /// A new copy of the same part, with what this one has if it was `stored`.
    pub(crate) fn again(&self, client: u32, stored: bool) -> Self {
        let new = Self::new(self.part, client);
        if stored {
            let update = self.encode();
            let update = Update::decode_v1(&update).expect("what yrs wrote");
            let mut txn = new.replica.doc().transact_mut_with(REMOTE);
            txn.apply_update(update).expect("what yrs wrote");
        }
        new
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let txn = self.replica.doc().transact();
        txn.encode_state_as_update_v1(&StateVector::default())
    }

    pub(crate) fn doc(&self) -> &Doc {
        self.replica.doc()
    }

    pub(crate) fn client_id(&self) -> u64 {
        self.replica.doc().client_id().get()
    }

    /// The clock up to which this copy has written itself.
    pub(crate) fn own_clock(&self) -> u32 {
        let doc = self.replica.doc();
        doc.transact().state_vector().get(&doc.client_id())
    }

    /// What this copy has deleted itself.
    pub(crate) fn own_deletes(&self) -> Vec<IdRange> {
        self.deleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Client {
    pub(crate) fn new(name: String, site: usize, role: Role, kind: PeerKind, client: u32) -> Self {
        Self {
            name,
            site,
            role,
            kind,
            skew: 0,
            body: Copy::new(Part::Body, client),
            margin: Copy::new(Part::Margin, client),
            link: None,
            job: None,
            decided: Vec::new(),
        }
    }

    pub(crate) const fn copy(&self, part: Part) -> &Copy {
        match part {
            Part::Body => &self.body,
            Part::Margin => &self.margin,
        }
    }

    pub(crate) const fn copy_mut(&mut self, part: Part) -> &mut Copy {
        match part {
            Part::Body => &mut self.body,
            Part::Margin => &mut self.margin,
        }
    }

    pub(crate) const fn time(&self, site: u64) -> Timestamp {
        Timestamp(site.saturating_add_signed(self.skew))
    }

    /// Sends what was changed in a copy, if there is a connection.
    pub(crate) fn flush(&mut self, part: Part) {
        let frames = self.copy_mut(part).replica.drain_updates();
        if let Some(link) = &mut self.link {
            link.up
                .extend(frames.iter().map(|frame| Frame::Y(part, frame.clone())));
            self.copy_mut(part).unsynced += frames.len() as u32;
        }
    }

    /// What is said first on a new connection.
    pub(crate) fn begin(&mut self, conn: ConnId) {
        let mut up = VecDeque::new();
        for part in super::site::PARTS {
            let copy = self.copy_mut(part);
            copy.unsynced = 1;
            copy.uncounted = false;
            let frames = copy.replica.connected();
            up.extend(frames.into_iter().map(|frame| Frame::Y(part, frame)));
        }
        self.link = Some(Link {
            conn,
            up,
            down: VecDeque::new(),
        });
    }

    /// The connection is gone, for this side.
    pub(crate) fn end(&mut self) -> Option<Link> {
        self.body.replica.disconnected();
        self.margin.replica.disconnected();
        self.link.take()
    }

    /// Takes in one message.
    pub(crate) fn receive(&mut self, now: Timestamp, part: Part, message: &Outgoing) -> Result<(), String> {
        match message {
            Outgoing::Y(bytes) => {
                let received = self
                    .copy_mut(part)
                    .replica
                    .receive(now, bytes)
                    .map_err(|error| format!("the room said something wrong: {error}"))?;
                if let Some(link) = &mut self.link {
                    let replies = received.replies.into_iter();
                    link.up.extend(replies.map(|reply| Frame::Y(part, reply)));
                }
            }
            Outgoing::SyncStatus(true) => {
                let copy = self.copy_mut(part);
                copy.unsynced = copy.unsynced.saturating_sub(1);
            }
            Outgoing::SyncStatus(false) => self.copy_mut(part).uncounted = true,
            Outgoing::Stateless(text) => self.hear(text)?,
            Outgoing::Denied(_) => {}
        }
        Ok(())
    }

    fn hear(&mut self, text: &str) -> Result<(), String> {
        let message: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if message["type"] == "decided" && message["ok"] == true {
            let id = message["decision"].as_str().ok_or("a decision without an id")?;
            self.decided.push(id.to_owned());
        }
        Ok(())
    }
}
