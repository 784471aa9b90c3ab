//! A client's copy of one Y document, kept equal to the relay's over y-protocols; no socket, no clock.
//!
//! Whoever runs it passes on what it returns and hands in what arrives. Local changes are made in transactions on
//! [`Replica::doc`] and sent with [`Replica::drain_updates`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use yrs::updates::decoder::Decode;
use yrs::{Doc, Origin, ReadTxn, StateVector, Transact, Update};

use crate::awareness::Awareness;
use crate::ids::Timestamp;
use crate::protocol::update::UpdateFacts;
use crate::protocol::{self, Message, ProtocolError, SyncMessage};

/// The origin of transactions that apply what the relay sent. A transaction with this origin is not sent back.
pub const REMOTE: &str = "remote";

/// Why a frame could not be taken in. The link should be closed; the document is usable as it is, and a new connection
/// syncs what is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// It is no message.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// It holds an update that contradicts the document.
    #[error("the update contradicts the document")]
    Contradiction,
    /// A transaction of the caller's is still open.
    #[error("the document is being changed")]
    Busy,
}

/// What a frame did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// To be sent, in this order.
    pub replies: Vec<Vec<u8>>,
    /// Whether the document changed.
    pub changed: bool,
    /// Whether the others' awareness changed.
    pub awareness_changed: bool,
    /// The relay refused something, in its words.
    pub denied: Option<String>,
}

/// One client's copy.
#[derive(Debug)]
pub struct Replica {
    doc: Doc,
    awareness: Awareness,
    /// Local changes that have not been sent.
    outbox: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Whether the relay has asked what this copy has. Before that nothing is sent: the answer holds it all.
    asked: bool,
    /// Whether the relay has answered what this copy lacks.
    synced: bool,
    /// Whether a full sync was asked for because blocks are held back.
    healing: bool,
}

impl Replica {
    /// An empty copy. `client_id` names it in everything it writes: no two live copies may share one.
    #[must_use]
    pub fn new(client_id: u32) -> Self {
        let doc = crate::doc::open(u64::from(client_id));
        let outbox: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let sink = Arc::clone(&outbox);
        let remote = Origin::from(REMOTE);
        doc.observe_update_v1_with("replica", move |txn, event| {
            if txn.origin() != Some(&remote) {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(event.update.clone());
            }
        })
        .expect("no transaction is open on a document that was just made");
        Self {
            doc,
            awareness: Awareness::new(u64::from(client_id)),
            outbox,
            asked: false,
            synced: false,
            healing: false,
        }
    }

    /// The document: read it, change it, observe it.
    #[must_use]
    pub const fn doc(&self) -> &Doc {
        &self.doc
    }

    /// Who else is here.
    #[must_use]
    pub const fn awareness(&self) -> &Awareness {
        &self.awareness
    }

    /// Whether the relay has sent what this copy lacked when the link came up.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        self.synced
    }

    /// The link is up: what to send first.
    pub fn connected(&mut self) -> Vec<Vec<u8>> {
        self.asked = false;
        self.synced = false;
        self.healing = false;
        let mut first = vec![protocol::step_1(&self.state()), protocol::query_awareness()];
        first.extend(self.awareness.announce());
        first
    }

    /// The link is down. Returns whether the others' awareness changed.
    pub fn disconnected(&mut self) -> bool {
        self.asked = false;
        self.synced = false;
        self.awareness.disconnected()
    }

    /// Takes in one frame.
    ///
    /// # Errors
    /// [`ReplicaError`]: close the link.
    pub fn receive(&mut self, now: Timestamp, frame: &[u8]) -> Result<Received, ReplicaError> {
        let mut received = Received::default();
        for message in protocol::decode_all(frame)? {
            match message {
                Message::Sync(SyncMessage::SyncStep1(state)) => {
                    self.asked = true;
                    // Changes that were waiting are in the answer.
                    self.lock_outbox().clear();
                    received
                        .replies
                        .push(protocol::step_2(&self.encode_since(&state)?));
                }
                Message::Sync(SyncMessage::SyncStep2(update)) => {
                    received.changed |= self.apply(&update)?;
                    self.synced = true;
                }
                Message::Sync(SyncMessage::Update(update)) => {
                    received.changed |= self.apply(&update)?;
                    // A hole: an update went missing. One full sync heals it, and asking twice would not help more.
                    // Before the first answer has come, it is that which is missing.
                    if self.synced && self.is_holding_back() && !std::mem::replace(&mut self.healing, true) {
                        received.replies.push(protocol::step_1(&self.state()));
                    }
                }
                Message::Awareness(update) => {
                    let heard = self.awareness.receive(now, &update);
                    received.awareness_changed |= heard.changed;
                    received.replies.extend(heard.reply);
                }
                Message::AwarenessQuery => received.replies.extend(self.awareness.announce()),
                Message::Auth(reason) => received.denied = reason.or(received.denied),
                Message::Custom(kind, _) => return Err(ProtocolError::UnknownType(kind.into()).into()),
            }
        }
        if !self.is_holding_back() {
            self.healing = false;
        }
        Ok(received)
    }

    /// The frames that say what was changed here since the last call. Empty while the relay has not asked for this copy's
    /// state: its answer holds the changes then.
    pub fn drain_updates(&mut self) -> Vec<Vec<u8>> {
        let changes = std::mem::take(&mut *self.lock_outbox());
        if self.asked {
            changes.iter().map(|change| protocol::update(change)).collect()
        } else {
            Vec::new()
        }
    }

    /// Sets what the others see of this client (`None`: it leaves); returns the frame to send, if anything changed.
    pub fn set_local_state(&mut self, now: Timestamp, state: Option<Value>) -> Option<Vec<u8>> {
        self.awareness.set_local(now, state)
    }

    /// Time has passed: renews the own awareness and forgets others. To be called every few seconds.
    pub fn tick(&mut self, now: Timestamp) -> Received {
        let heard = self.awareness.tick(now);
        Received {
            replies: heard.reply.into_iter().collect(),
            awareness_changed: heard.changed,
            ..Received::default()
        }
    }

    /// Whether blocks wait for others that have not arrived.
    #[must_use]
    pub fn is_holding_back(&self) -> bool {
        self.doc.transact().has_missing_updates()
    }

    fn state(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    fn lock_outbox(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encode_since(&self, state: &StateVector) -> Result<Vec<u8>, ReplicaError> {
        // A clock in the middle of a surrogate pair makes yrs panic while it reads; nothing is changed by that.
        catch_unwind(AssertUnwindSafe(|| self.doc.transact().encode_diff_v1(state)))
            .map_err(|_| ReplicaError::Contradiction)
    }

    fn apply(&self, update: &[u8]) -> Result<bool, ReplicaError> {
        let facts = UpdateFacts::scan(update)?;
        if facts.is_empty() {
            return Ok(false);
        }
        let update = Update::decode_v1(update).map_err(|_| ProtocolError::Malformed("content"))?;
        let mut txn = self
            .doc
            .try_transact_mut_with(REMOTE)
            .map_err(|_| ReplicaError::Busy)?;
        txn.apply_update(update)
            .map_err(|_| ReplicaError::Contradiction)?;
        let changed = txn.before_state() != &txn.state_vector() || !txn.delete_set().is_empty();
        Ok(changed)
    }
}
