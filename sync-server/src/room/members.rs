//! Who is in a room, and the way to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt::room::Outgoing;
use crdt::{ConnId, DocId, Part};

use crate::framing::{Encoder, Framing};
use crate::outbox::{Closing, Frame, Outbox};
use crate::relay::Shared;

/// To how many the room itself sends in one turn: each takes it a few microseconds.
const SENT_BY_THE_ROOM: usize = 64;

/// For how many sends there is room while there are none.
const KEPT: usize = 16;

/// One part that one connection has open.
#[derive(Debug)]
pub(crate) enum Member {
    /// A link to somebody.
    Link {
        /// What waits for them.
        outbox: Outbox,
        /// How they want it.
        framing: Framing,
        /// Whether a person sits there: the AI peers join documents that have some.
        human: bool,
        /// The document's epoch as they know it, if they do.
        epoch: Option<String>,
    },
    /// The relay itself, writing on somebody's behalf.
    Service {
        /// Changes that are not acknowledged.
        waiting: usize,
        /// Words of the first refusal.
        refused: Option<String>,
    },
}

impl Member {
    /// The document's epoch as they know it.
    pub(super) fn epoch(&self) -> Option<&str> {
        match self {
            Self::Link { epoch, .. } => epoch.as_deref(),
            Self::Service { .. } => None,
        }
    }

    pub(crate) fn greet(&self, greeting: Frame) {
        match self {
            Self::Link { outbox, .. } => outbox.say(greeting),
            Self::Service { .. } => {}
        }
    }

    fn receive(&mut self, message: &Outgoing, encoder: &mut Encoder<'_>, owed: &mut Vec<Outbox>) {
        match self {
            Self::Link { outbox, framing, .. } => {
                if let Some(frame) = encoder.frame(framing)
                    && outbox.push(frame)
                {
                    owed.push(outbox.clone());
                }
            }
            Self::Service { waiting, refused } => match message {
                Outgoing::SyncStatus(true) => *waiting = waiting.saturating_sub(1),
                Outgoing::SyncStatus(false) => {
                    refused.get_or_insert_with(|| "the document refused the change".into());
                }
                Outgoing::Denied(reason) => *refused = Some(reason.clone()),
                Outgoing::Y(_) | Outgoing::Stateless(_) => {}
            },
        }
    }
}

/// Everybody in one room.
#[derive(Debug)]
pub(super) struct Members {
    doc: DocId,
    shared: Arc<Shared>,
    members: BTreeMap<(ConnId, Part), Member>,
    humans: usize,
    /// Those who were told something that has not gone out.
    owed: Vec<Outbox>,
}

impl Members {
    pub(super) const fn new(doc: DocId, shared: Arc<Shared>) -> Self {
        Self {
            doc,
            shared,
            members: BTreeMap::new(),
            humans: 0,
            owed: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn insert(&mut self, conn: ConnId, part: Part, member: Member) {
        self.members.insert((conn, part), member);
        self.count();
    }

    pub(super) fn get(&self, conn: ConnId, part: Part) -> Option<&Member> {
        self.members.get(&(conn, part))
    }

    pub(super) fn remove(&mut self, conn: ConnId, part: Part) -> Option<Member> {
        let gone = self.members.remove(&(conn, part));
        self.count();
        gone
    }

    pub(super) fn send(&mut self, to: ConnId, part: Part, message: &Outgoing) {
        if let Some(member) = self.members.get_mut(&(to, part)) {
            member.receive(message, &mut Encoder::new(message), &mut self.owed);
        }
    }

    pub(super) fn broadcast(&mut self, to: Part, except: Option<ConnId>, message: &Outgoing) {
        let mut encoder = Encoder::new(message);
        for ((conn, part), member) in &mut self.members {
            if *part == to && Some(*conn) != except {
                member.receive(message, &mut encoder, &mut self.owed);
            }
        }
    }

    /// Sends what has been said. To be called at the end of every turn, and before anything that takes long.
    pub(super) fn flush(&mut self) {
        for (number, outbox) in self.owed.drain(..).enumerate() {
            // Of a crowd each one's own task sends, on all cores, and the room goes on.
            if number < SENT_BY_THE_ROOM {
                outbox.flush();
            } else {
                outbox.hand_over();
            }
        }
        if self.owed.capacity() > KEPT {
            self.owed = Vec::new();
        }
    }

    /// Closes the link of one member. The whole link, even when it serves other documents as well: its client connects
    /// again and syncs all of them, which no client does for one document alone.
    pub(super) fn close(&mut self, conn: ConnId, part: Part, closing: &Closing) {
        if let Some(Member::Link { outbox, .. }) = self.remove(conn, part) {
            outbox.close(closing.clone());
        }
    }

    pub(super) fn close_all(&mut self, closing: &Closing) {
        for member in std::mem::take(&mut self.members).into_values() {
            if let Member::Link { outbox, .. } = member {
                outbox.close(closing.clone());
            }
        }
        self.count();
    }

    /// Those whose link has ended without saying so.
    pub(super) fn lost(&self) -> Vec<(ConnId, Part)> {
        let lost = self.members.iter().filter(|(_, member)| match member {
            Member::Link { outbox, .. } => outbox.is_closed(),
            Member::Service { .. } => false,
        });
        lost.map(|(key, _)| *key).collect()
    }

    fn count(&mut self) {
        let humans = self.members.iter().filter(|((_, part), member)| {
            *part == Part::Body && matches!(member, Member::Link { human: true, .. })
        });
        let humans = humans.count();
        if (humans > 0) != (self.humans > 0) {
            self.shared.document_is_open(&self.doc, humans > 0);
        }
        self.humans = humans;
    }
}

/// When a room's task fails, those in it must not go on talking to nobody.
impl Drop for Members {
    fn drop(&mut self) {
        self.close_all(&Closing::new(
            super::CLOSE_UNAVAILABLE,
            "the document's room has failed; connect again",
        ));
    }
}
