//! Edits that the relay makes on somebody's behalf (a new title, an import): the same way in as everybody's.

use std::sync::{Arc, Mutex, PoisonError};

use crdt::room::{Event, Room};
use crdt::{ConnId, Identity, Part, Role, protocol};
use tokio::sync::oneshot;
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use super::{JoinError, Member, RoomTask, Ticket};

/// What an edit does to a copy of the body. Each of its transactions becomes one update.
pub(crate) type EditFn = Box<dyn FnOnce(&Doc) + Send>;

/// An edit that the room is asked for.
pub(crate) struct Edit {
    pub(crate) conn: ConnId,
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) edit: EditFn,
    pub(crate) reply: oneshot::Sender<Result<(), EditError>>,
    pub(crate) ticket: Ticket,
}

/// Why an edit was not made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The document cannot be opened.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The text or the title is longer than is taken.
    #[error("{0}")]
    TooLarge(String),
    /// The role does not allow it, or the document is full.
    #[error("{0}")]
    Refused(String),
    /// It is made, but not on disk.
    #[error("the change is made but could not be saved yet; it will be as soon as the disk takes it")]
    NotSaved,
}

/// An edit that waits for its acknowledgements.
pub(super) struct Waiting {
    conn: ConnId,
    reply: oneshot::Sender<Result<(), EditError>>,
    /// Keeps the room open.
    _ticket: Ticket,
}

impl RoomTask {
    /// Joins as a connection of its own, writes, and answers when everything is on disk.
    pub(super) async fn edit(&mut self, edit: Edit) {
        let Edit {
            conn,
            identity,
            role,
            edit,
            reply,
            ticket,
        } = edit;
        if let Err(error) = self.wake().await {
            return drop((reply.send(Err(error.into())), ticket));
        }
        let updates = match self.room() {
            Ok(room) => updates_of(room, edit),
            Err(error) => return drop((reply.send(Err(error.into())), ticket)),
        };
        let member = Member::Service {
            waiting: updates.len(),
            refused: None,
        };
        if let Err(error) = self.join(conn, Part::Body, identity, role, member, None).await {
            return drop((reply.send(Err(error.into())), ticket));
        }
        self.edits.push(Waiting {
            conn,
            reply,
            _ticket: ticket,
        });
        for update in updates {
            let bytes = protocol::update(&update);
            self.event(Event::Message {
                conn,
                part: Part::Body,
                bytes,
            })
            .await;
        }
        self.finish_edits().await;
    }

    /// Answers those edits whose changes are all acknowledged or refused.
    pub(super) async fn finish_edits(&mut self) {
        let mut waiting = Vec::new();
        let mut done = Vec::new();
        for edit in std::mem::take(&mut self.edits) {
            match self.members.get(edit.conn, Part::Body) {
                Some(Member::Service {
                    refused: Some(reason),
                    ..
                }) => {
                    done.push((edit.conn, edit.reply, Err(EditError::Refused(reason.clone()))));
                }
                Some(Member::Service { waiting: 0, .. }) => done.push((edit.conn, edit.reply, Ok(()))),
                Some(_) if edit.reply.is_closed() => done.push((edit.conn, edit.reply, Ok(()))),
                Some(_) => waiting.push(edit),
                None => done.push((edit.conn, edit.reply, Err(EditError::NotSaved))),
            }
        }
        self.edits = waiting;
        for (conn, reply, result) in done {
            self.event(Event::Leave {
                conn,
                part: Part::Body,
            })
            .await;
            drop(reply.send(result)); // perhaps nobody waits for it any more
        }
    }
}

fn updates_of(room: &Room, edit: EditFn) -> Vec<Vec<u8>> {
    let state = room
        .document(Part::Body)
        .transact()
        .encode_state_as_update_v1(&StateVector::default());
    let copy = crdt::doc::open(u64::from(rand::random::<u32>()));
    let copied =
        Update::decode_v1(&state).is_ok_and(|update| copy.transact_mut().apply_update(update).is_ok());
    if !copied {
        tracing::error!(doc = %room.id(), "the room's own state could not be copied");
        return Vec::new();
    }
    let updates: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let sink = Arc::clone(&updates);
    let observed = copy.observe_update_v1(move |_, event| {
        sink.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.update.clone());
    });
    edit(&copy);
    drop(observed);
    let mut updates = updates.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *updates)
}

/// The body as Markdown.
pub(super) fn markdown(room: &Room) -> String {
    let body = room.document(Part::Body);
    let fragment = crdt::doc::fragment(body);
    let txn = body.transact();
    crdt::markdown::write(&crdt::content::read(&fragment, &txn))
}
