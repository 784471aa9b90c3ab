//! What a connection says in y-protocols messages: questions, writes, awareness.

use std::sync::Arc;

use super::connections::tell_presence;
use super::part_doc::{ApplyError, News};
use super::{
    CLOSE_POLICY, CLOSE_PROTOCOL, CLOSE_TOO_BIG, Connection, Effect, Joined, Outgoing, Question, Record, Room,
};
use crate::awareness;
use crate::ids::{ConnId, IdRange, Identity, Part, PeerKind, Role, Timestamp};
use crate::protocol::update::UpdateFacts;
use crate::protocol::{self, Message, SyncMessage};

/// What a write asks of the room.
struct Write<'a> {
    conn: ConnId,
    part: Part,
    update: &'a [u8],
    /// It came as the answer to a question (sync step 2).
    question: Option<Question>,
    is_answer: bool,
}

/// Whether there is room for a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RoomFor {
    Yes,
    /// Not until the store has caught up, for a reason in words.
    Later(String),
    /// The document is as large as it may be.
    Never(String),
}

/// What was changed in one part.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) part: Part,
    pub(super) update: Vec<u8>,
    pub(super) ranges: Vec<IdRange>,
}

impl Room {
    pub(super) fn message(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        part: Part,
        bytes: &[u8],
        effects: &mut Vec<Effect>,
    ) {
        if self.joined(conn, part).is_none() {
            return;
        }
        if bytes.len() > self.limits.max_message {
            let reason = format!("the message is larger than {} MB", self.limits.max_message >> 20);
            return self.close(conn, part, CLOSE_TOO_BIG, reason, effects);
        }
        let messages = match protocol::decode_all(bytes) {
            Ok(messages) => messages,
            Err(error) => return self.close(conn, part, CLOSE_PROTOCOL, error.to_string(), effects),
        };
        for message in messages {
            // An earlier one of the same frame may have closed the connection.
            if self.joined(conn, part).is_none() {
                return;
            }
            match message {
                Message::Sync(SyncMessage::SyncStep1(state)) => self.answer(conn, part, &state, effects),
                Message::Sync(SyncMessage::SyncStep2(update)) => {
                    let question = self
                        .joined(conn, part)
                        .and_then(|joined| joined.questions.pop_front());
                    let write = Write {
                        conn,
                        part,
                        update: &update,
                        question,
                        is_answer: true,
                    };
                    self.write(now, &write, effects);
                }
                Message::Sync(SyncMessage::Update(update)) => {
                    let write = Write {
                        conn,
                        part,
                        update: &update,
                        question: None,
                        is_answer: false,
                    };
                    self.write(now, &write, effects);
                }
                Message::Awareness(update) => {
                    let Some(identity) = self
                        .connections
                        .get(&conn)
                        .map(|connection| Arc::clone(&connection.identity))
                    else {
                        return;
                    };
                    let limits = self.limits.clone();
                    let notices = self
                        .presence_mut(part)
                        .receive(now, conn, &identity, &update, &limits);
                    for notice in notices {
                        tell_presence(part, &notice, effects);
                    }
                }
                Message::AwarenessQuery => {
                    let known = self.presence(part).known_to_others_than(conn);
                    effects.push(send(conn, part, Outgoing::Y(awareness::encode(&known))));
                }
                // Another room refused something: it is for the people there.
                Message::Auth(_) => {}
                Message::Custom(kind, _) => {
                    let reason = format!("message type {kind} is unknown");
                    return self.close(conn, part, CLOSE_PROTOCOL, reason, effects);
                }
            }
        }
    }

    /// Step 1: says what the connection lacks, and asks what the room lacks.
    fn answer(&mut self, conn: ConnId, part: Part, state: &yrs::StateVector, effects: &mut Vec<Effect>) {
        let missing = match self.copy(part).encode_since(state) {
            Ok(missing) => missing,
            Err(error) => return self.close(conn, part, CLOSE_PROTOCOL, error.to_string(), effects),
        };
        // Somebody who has nothing, of a copy that does not know what it has: they are asked for everything, before they get
        // the document, while that is next to nothing.
        let unknown = self.copy(part).known_state().is_none();
        if unknown && self.joined(conn, part).is_some_and(|joined| !joined.invited) {
            self.ask_beyond(
                conn,
                part,
                Question::Handshake,
                &yrs::StateVector::default(),
                effects,
            );
        }
        effects.push(send(conn, part, Outgoing::Y(protocol::step_2(&missing))));
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        // Two rooms that answered each question with a question would never stop.
        let is_relay = connection.identity.kind == PeerKind::Relay;
        let Some(joined) = connection.joined(part) else {
            return;
        };
        // The question of the handshake went out on joining, if the copy knew then what it has.
        let again = std::mem::replace(&mut joined.asked, true);
        if joined.questions.len() > self.limits.max_questions {
            let reason = "it asks and does not answer: open the document again".to_owned();
            return self.close(conn, part, CLOSE_POLICY, reason, effects);
        }
        if !unknown && (!joined.invited || (again && !is_relay)) {
            self.ask(conn, part, Question::Handshake, effects);
        }
    }

    fn write(&mut self, now: Timestamp, write: &Write<'_>, effects: &mut Vec<Effect>) {
        let &Write {
            conn,
            part,
            update,
            is_answer,
            ..
        } = write;
        let known = self.connections.get(&conn);
        let Some((identity, role)) =
            known.and_then(|known| Some((Arc::clone(&known.identity), known.get(part)?.role)))
        else {
            return;
        };
        // What a reader has to say is known here, so it is no longer than the document.
        let known = self
            .copy(part)
            .size()
            .saturating_add(self.limits.max_read_only_update);
        if !role.may_write(part) && update.len() > known {
            return refuse_role(conn, part, role, effects);
        }
        let facts = match UpdateFacts::scan_foreign(update) {
            Ok(facts) => facts,
            Err(error) => return self.close(conn, part, CLOSE_PROTOCOL, error.to_string(), effects),
        };
        if facts.is_empty() {
            return self.acknowledge(write, effects);
        }
        let state = self.copy(part).state();
        let leaves_hole = facts.leaves_hole_in(state);
        if facts.inserts_beyond(state).is_empty() && facts.deletes().is_empty() {
            return self.acknowledge(write, effects);
        }
        if !role.may_write(part) {
            let state = state.clone();
            // A client answers the handshake's question whatever its role; an answer with nothing new is no write.
            if facts.adds_to(&state, self.copy_mut(part).deleted()) {
                return refuse_role(conn, part, role, effects);
            }
            return self.acknowledge(write, effects);
        }
        match self.room_for(part, update.len()) {
            RoomFor::Yes => {}
            RoomFor::Later(reason) => return self.put_off(write, &reason, effects),
            RoomFor::Never(reason) => return refuse(conn, part, &reason, effects),
        }
        if leaves_hole && !is_answer {
            let most = self.limits.max_put_off;
            if let Some(joined) = self.joined(conn, part) {
                joined.put_off = joined.put_off.saturating_add(1);
                if joined.put_off > most {
                    let reason = "it does not say what is missing: open the document again".to_owned();
                    return self.close(conn, part, CLOSE_POLICY, reason, effects);
                }
            }
            return self.ask(conn, part, Question::Missing, effects);
        }
        if self.count_hole(conn, part, leaves_hole) > self.limits.max_holes {
            let reason = "this copy of the document has gaps: open the document again".to_owned();
            return self.close(conn, part, CLOSE_POLICY, reason, effects);
        }
        let news = match self.copy_mut(part).apply(update, &facts) {
            Ok(news) => news,
            Err(error @ (ApplyError::Protocol(_) | ApplyError::Contradiction)) => {
                return self.close(conn, part, CLOSE_PROTOCOL, error.to_string(), effects);
            }
        };
        // The bytes as they came, when all of them counted: nothing that a client says is put into other words.
        let change = match news {
            News::None => None,
            News::Whole { ranges } => Some((update.to_vec(), ranges)),
            News::Part { update, ranges } => Some((update, ranges)),
        };
        if let Some((update, ranges)) = change {
            let change = Change { part, update, ranges };
            self.publish(now, &identity, vec![change], Some(conn), effects);
        }
        self.acknowledge(write, effects);
        if part == Part::Body {
            self.repair(now, effects);
        }
    }

    /// Tells the others at once, and the store, as one record.
    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        author: &Identity,
        changes: Vec<Change>,
        except: Option<ConnId>,
        effects: &mut Vec<Effect>,
    ) {
        let mut record = Record {
            seq: 0,
            body: None,
            margin: None,
            author: author.clone(),
            at: now,
            ranges: Vec::new(),
            margin_ranges: Vec::new(),
        };
        if changes.is_empty() {
            return;
        }
        for change in changes {
            self.tell(change.part, except, protocol::update(&change.update), effects);
            record.set(change);
        }
        self.journal.append(record, effects);
    }

    /// Sends an update to everybody who can integrate it. Whoever has joined but not asked yet what is missing will find it
    /// in the answer, and could only hold it back until then.
    fn tell(&self, part: Part, except: Option<ConnId>, update: Vec<u8>, effects: &mut Vec<Effect>) {
        let asked = |connection: &Connection| connection.get(part).is_some_and(|joined| joined.asked);
        let mut listeners = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.get(part).is_some());
        let message = Outgoing::Y(update);
        if listeners.all(|(_, connection)| asked(connection)) {
            effects.push(Effect::Broadcast {
                part,
                except,
                message,
            });
            return;
        }
        for (conn, _) in self
            .connections
            .iter()
            .filter(|(conn, known)| Some(**conn) != except && asked(known))
        {
            effects.push(send(*conn, part, message.clone()));
        }
    }

    /// Says that a write is safe, as soon as it is.
    fn acknowledge(&mut self, write: &Write<'_>, effects: &mut Vec<Effect>) {
        let &Write {
            conn,
            part,
            question,
            is_answer,
            ..
        } = write;
        let Some(joined) = self.joined(conn, part) else {
            return;
        };
        let mut count = u32::from(question != Some(Question::Missing));
        if is_answer {
            // What was put off is in the answer.
            count = count.saturating_add(std::mem::take(&mut joined.put_off));
        }
        for _ in 0..count {
            self.journal
                .when_saved(send(conn, part, Outgoing::SyncStatus(true)), effects);
        }
    }

    fn count_hole(&mut self, conn: ConnId, part: Part, leaves_hole: bool) -> u32 {
        let Some(joined) = self.joined(conn, part) else {
            return 0;
        };
        joined.holes = if leaves_hole {
            joined.holes.saturating_add(1)
        } else {
            0
        };
        joined.holes
    }

    /// Takes note of a write that cannot be taken now: it is asked for again, and acknowledged, as soon as there is room.
    fn put_off(&mut self, write: &Write<'_>, reason: &str, effects: &mut Vec<Effect>) {
        let &Write {
            conn, part, question, ..
        } = write;
        self.somebody_behind = true;
        let Some(joined) = self.joined(conn, part) else {
            return;
        };
        if question != Some(Question::Missing) {
            joined.put_off = joined.put_off.saturating_add(1);
        }
        if !std::mem::replace(&mut joined.behind, true) {
            effects.push(send(conn, part, Outgoing::Denied(reason.to_owned())));
        }
    }

    /// Whether a write of `size` bytes can be taken. One can always be when nothing waits for the store, however large.
    pub(super) fn room_for(&mut self, part: Part, size: usize) -> RoomFor {
        let unsaved = self.journal.unsaved();
        if unsaved > 0 && unsaved.saturating_add(size) > self.limits.max_unsaved {
            return RoomFor::Later(match self.journal.failing() {
                Some(reason) => format!("the server cannot save and takes no more changes: {reason}"),
                None => {
                    "the server cannot keep up with saving; the change is asked for again later".to_owned()
                }
            });
        }
        let limit = self.limits.max_part;
        if self.copy(part).size().saturating_add(size) > limit {
            self.copy_mut(part).compact();
        }
        if self.copy(part).size().saturating_add(size) > limit {
            RoomFor::Never(format!(
                "the document is full ({} MB): start a new one",
                limit >> 20
            ))
        } else {
            RoomFor::Yes
        }
    }

    pub(super) fn joined(&mut self, conn: ConnId, part: Part) -> Option<&mut Joined> {
        self.connections
            .get_mut(&conn)
            .map(|connection| Connection::joined(connection, part))?
            .as_mut()
    }
}

pub(super) const fn send(to: ConnId, part: Part, message: Outgoing) -> Effect {
    Effect::Send { to, part, message }
}

fn refuse_role(conn: ConnId, part: Part, role: Role, effects: &mut Vec<Effect>) {
    let reason = format!("permission denied: a {role} cannot change this");
    refuse(conn, part, &reason, effects);
}

fn refuse(conn: ConnId, part: Part, reason: &str, effects: &mut Vec<Effect>) {
    effects.push(send(conn, part, Outgoing::SyncStatus(false)));
    effects.push(send(conn, part, Outgoing::Denied(reason.to_owned())));
}
