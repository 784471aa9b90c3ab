//! What a room is asked, and how it is kept open meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crdt::room::{Event, Room};
use crdt::{ConnId, DocId, Identity, Part, Role};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::edit::Edit;
use super::join::JoinError;
use super::members::Member;
use crate::outbox::{Closing, Frame};

/// What a room is asked. Its queue has places for dozens of these, used or not, so each is a box.
pub(crate) enum Command {
    /// Somebody opens a part.
    Join(Box<Join>),
    /// Somebody who joined said something, or left.
    Event(Box<Said>),
    /// The body as Markdown.
    Markdown(Box<Question<String>>),
    /// Somebody wants to look at the document.
    Look(Box<(Look, Ticket)>),
    /// An edit by the relay on somebody's behalf.
    Edit(Box<Edit>),
    /// The document is to be deleted.
    Delete(Box<Question<()>>),
    /// The relay stops, or the store is about to be replaced: send everybody away, bring everything to the disk, end.
    ShutDown(Box<Closing>),
}

/// What somebody who joined said.
pub(crate) struct Said {
    pub(crate) event: Event,
    /// Its part of the inbox's bytes, given back when it is done.
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

/// Something to be answered.
pub(crate) struct Question<T> {
    pub(crate) reply: oneshot::Sender<Result<T, JoinError>>,
    pub(crate) ticket: Ticket,
}

/// Somebody opens a part of a document.
pub(crate) struct Join {
    pub(crate) conn: ConnId,
    pub(crate) part: Part,
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) member: Member,
    /// Sent before anything of the room's.
    pub(crate) greeting: Option<Frame>,
    pub(crate) reply: oneshot::Sender<Result<(), JoinError>>,
    /// Keeps the room open until the join is done.
    pub(crate) ticket: Ticket,
}

/// Looks at a document, or at why there is none. Must not take long: everybody in the room waits.
pub(crate) type Look = Box<dyn FnOnce(Result<&Room, JoinError>) + Send>;

/// A count of those who were given a handle to the room and have not used it yet.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    /// How many handles the keeper of rooms has given out.
    pub(crate) handed: AtomicU64,
    pub(super) returned: AtomicU64,
}

/// A handle to a room. The room stays open while it lives.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Visitors>);

impl Ticket {
    pub(crate) fn new(visitors: &Arc<Visitors>) -> Self {
        visitors.handed.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(visitors))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.returned.fetch_add(1, Ordering::AcqRel);
    }
}

/// Asks the keeper of rooms to let this room go, unless it has given out handles since `handed`.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) doc: DocId,
    pub(crate) handed: u64,
}
