//! A room at rest: its document is encoded bytes, which answer everybody who has nothing yet. It is decoded when somebody
//! writes, decides, or asks for a part of it.

use super::part_doc::{ApplyError, PartDoc};
use super::{Event, OpenError, Record, Room};
use crate::ids::{Part, PeerKind};
use crate::protocol::{self, Message, SyncMessage};

/// An update (v1) without a block or a delete.
const EMPTY: [u8; 2] = [0, 0];

/// The numbers of the records that a part's encoded log was loaded from, to name a damaged one by.
#[derive(Debug, Default)]
pub(super) struct Unread {
    body: Vec<u64>,
    margin: Vec<u64>,
}

impl Unread {
    pub(super) fn of(records: &[Record]) -> Self {
        let numbers = |part| {
            let with_part = records.iter().filter(|record| record.part(part).is_some());
            with_part.map(|record| record.seq).collect()
        };
        Self {
            body: numbers(Part::Body),
            margin: numbers(Part::Margin),
        }
    }
}

impl Room {
    /// Whether nothing has to be decoded for any event: both parts are, or are empty.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.body.is_ready() && self.margin.is_ready()
    }

    /// Whether a decoded document is there to be let go of.
    #[must_use]
    pub fn is_decoded(&self) -> bool {
        self.body.is_awake() || self.margin.is_awake()
    }

    /// Decodes the document, if it is at rest. A large one takes a while: a hundred milliseconds for ten megabytes.
    ///
    /// # Errors
    /// [`OpenError`] names what is damaged. The room can be of no more use then.
    pub fn wake(&mut self) -> Result<(), OpenError> {
        for part in [Part::Body, Part::Margin] {
            self.copy_mut(part)
                .wake()
                .map_err(|damage| self.damaged(part, damage))?;
            if self.copy(part).has_holes() {
                return Err(OpenError::Incomplete {
                    doc: self.doc.clone(),
                    part,
                });
            }
        }
        self.unread = Unread::default();
        Ok(())
    }

    /// Lets go of the decoded document. To be called when nobody has written for a while; nothing can be told from outside,
    /// but that the next write takes longer.
    pub fn rest(&mut self) {
        self.body.rest();
        self.margin.rest();
    }

    /// The bytes of both parts, encoded, at most: what decoding them takes grows with it.
    #[must_use]
    pub const fn encoded_size(&self) -> usize {
        self.body.size().saturating_add(self.margin.size())
    }

    /// Whether the decoded document is needed for an event: [`Room::wake`] should come first then. ([`Room::handle`] would
    /// decode it as well, but panics when it is damaged.)
    #[must_use]
    pub fn must_wake_for(&self, event: &Event) -> bool {
        match event {
            // It waits to be asked.
            Event::Join { part, identity, .. } => {
                identity.kind == PeerKind::Relay && self.copy(*part).known_state().is_none()
            }
            Event::Leave { .. }
            | Event::Committed { .. }
            | Event::StoreFailed { .. }
            | Event::Tick
            | Event::Flush => false,
            Event::SetRole { .. } => {
                let known = |copy: &PartDoc| copy.known_state().is_some();
                !(known(&self.body) && known(&self.margin))
            }
            Event::Stateless { .. } => !self.is_awake(),
            Event::Message { part, bytes, .. } => {
                let copy = self.copy(*part);
                !copy.is_ready()
                    && protocol::decode_all(bytes).is_ok_and(|messages| {
                        messages.iter().any(|message| match message {
                            Message::Sync(SyncMessage::SyncStep1(state)) => {
                                !(state.is_empty() && copy.is_whole())
                            }
                            Message::Sync(SyncMessage::SyncStep2(update) | SyncMessage::Update(update)) => {
                                *update != EMPTY
                            }
                            Message::Awareness(_)
                            | Message::AwarenessQuery
                            | Message::Auth(_)
                            | Message::Custom(..) => false,
                        })
                    })
            }
        }
    }

    fn damaged(&self, part: Part, (number, source): (usize, ApplyError)) -> OpenError {
        let numbers = match part {
            Part::Body => &self.unread.body,
            Part::Margin => &self.unread.margin,
        };
        let doc = self.doc.clone();
        match number.checked_sub(1).and_then(|index| numbers.get(index)) {
            Some(&seq) => OpenError::Record {
                doc,
                seq,
                part,
                source,
            },
            None => OpenError::Snapshot { doc, part, source },
        }
    }
}
