//! Coming and going, the store's answers, and the passing of time.

use std::sync::Arc;

use serde_json::json;

use super::awareness::Notice;
use super::{CLOSE_POLICY, Connection, Effect, Joined, Outgoing, Question, Room};
use crate::awareness;
use crate::ids::{ConnId, Identity, Part, PeerKind, Role, Timestamp};
use crate::protocol;

const PARTS: [Part; 2] = [Part::Body, Part::Margin];

impl Room {
    pub(super) fn join(
        &mut self,
        conn: ConnId,
        part: Part,
        identity: Identity,
        role: Role,
        effects: &mut Vec<Effect>,
    ) {
        // Opened again without leaving: what the first time left behind goes first.
        if self
            .connections
            .get(&conn)
            .is_some_and(|connection| connection.has(part))
        {
            self.leave(conn, part, effects);
        }
        // One connection is one peer: what it writes in either part is recorded as theirs, and an AI stays an AI.
        let known = self.connections.get(&conn).map(|known| &known.identity);
        if known.is_some_and(|known| !is_same_peer(known, &identity)) {
            effects.push(Effect::Close {
                conn,
                part,
                code: CLOSE_POLICY,
                reason: "this connection is somebody else's: open another one".to_owned(),
            });
            return;
        }
        let role = ceiling(&identity, role);
        let welcome = (part == Part::Body).then(|| welcome(role, &identity, self.epoch.as_deref()));
        let is_relay = identity.kind == PeerKind::Relay;
        let connection = self.connections.entry(conn).or_insert(Connection {
            identity: Arc::new(identity),
            body: None,
            margin: None,
        });
        *connection.joined(part) = Some(Joined::new(role));
        let mut send = |message| {
            effects.push(Effect::Send {
                to: conn,
                part,
                message,
            });
        };
        if let Some(welcome) = welcome {
            send(Outgoing::Stateless(welcome));
            if let Some(reason) = self.journal.failing() {
                send(Outgoing::Stateless(storage_message(Some(reason))));
            }
        }
        // A copy at rest may not know what it has; whoever brings something tells so with a question of their own. But for
        // another room, which waits to be asked.
        if is_relay || self.copy(part).known_state().is_some() {
            self.ask(conn, part, Question::Handshake, effects);
        }
        let known = self.presence(part).known_to_others_than(conn);
        if !known.is_empty() {
            effects.push(Effect::Send {
                to: conn,
                part,
                message: Outgoing::Y(awareness::encode(&known)),
            });
        }
    }

    pub(super) fn leave(&mut self, conn: ConnId, part: Part, effects: &mut Vec<Effect>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if connection.joined(part).take().is_none() {
            return;
        }
        if PARTS.iter().all(|part| !connection.has(*part)) {
            self.connections.remove(&conn);
        }
        let gone = self.presence_mut(part).leave(conn);
        if !gone.is_empty() {
            tell_presence(part, &Notice::to_all(gone), effects);
        }
    }

    /// Closes one part of a connection and forgets it.
    pub(super) fn close(
        &mut self,
        conn: ConnId,
        part: Part,
        code: u16,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        self.leave(conn, part, effects);
        effects.push(Effect::Close {
            conn,
            part,
            code,
            reason,
        });
    }

    pub(super) fn set_role(&mut self, conn: ConnId, part: Part, role: Role, effects: &mut Vec<Effect>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let role = ceiling(&connection.identity, role);
        let identity = Arc::clone(&connection.identity);
        let Some(joined) = connection.joined(part) else {
            return;
        };
        let before = std::mem::replace(&mut joined.role, role);
        if before == role {
            return;
        }
        if part == Part::Body {
            let welcome = welcome(role, &identity, self.epoch.as_deref());
            effects.push(Effect::Send {
                to: conn,
                part,
                message: Outgoing::Stateless(welcome),
            });
        }
        // What it tried to write before was refused; now it may come.
        if role.may_write(part) && !before.may_write(part) {
            self.ask(conn, part, Question::Missing, effects);
        }
    }

    /// Sends step 1: what do you have that I lack? Not while an earlier question of the kind is unanswered: its
    /// answer has not been sent yet, so it will hold everything.
    pub(super) fn ask(&mut self, conn: ConnId, part: Part, question: Question, effects: &mut Vec<Effect>) {
        let state = self.copy(part).state().clone();
        self.ask_beyond(conn, part, question, &state, effects);
    }

    /// As [`Room::ask`]: what do you have beyond `state`?
    pub(super) fn ask_beyond(
        &mut self,
        conn: ConnId,
        part: Part,
        question: Question,
        state: &yrs::StateVector,
        effects: &mut Vec<Effect>,
    ) {
        let Some(joined) = self
            .connections
            .get_mut(&conn)
            .and_then(|connection| connection.joined(part).as_mut())
        else {
            return;
        };
        if question == Question::Missing && !joined.questions.is_empty() {
            return;
        }
        joined.questions.push_back(question);
        joined.invited |= question == Question::Handshake;
        effects.push(Effect::Send {
            to: conn,
            part,
            message: Outgoing::Y(protocol::step_1(state)),
        });
    }

    pub(super) fn committed(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let released = self.journal.on_committed(seq);
        effects.extend(released.effects.into_iter().filter(|effect| {
            match effect {
                // The answer to somebody who has left since.
                Effect::Send { to, part, .. } => self
                    .connections
                    .get(to)
                    .is_some_and(|connection| connection.has(*part)),
                Effect::Broadcast { .. } | Effect::Append(_) | Effect::Close { .. } => true,
            }
        }));
        if released.recovered {
            effects.push(storage(None));
        }
        if self.journal.unsaved() == 0 {
            self.ask_those_behind(effects);
        }
    }

    pub(super) fn store_failed(&mut self, seq: u64, reason: String, effects: &mut Vec<Effect>) {
        let message = storage(Some(&reason));
        if self.journal.on_failed(seq, reason) {
            effects.push(message);
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.journal.retry(effects);
        for part in PARTS {
            let limits = self.limits.clone();
            let presence = self.presence_mut(part);
            let gone = presence.expire(now, &limits);
            if !gone.is_empty() {
                tell_presence(part, &Notice::to_all(gone), effects);
            }
            if !self.connections.values().any(|connection| connection.has(part)) {
                continue;
            }
            for notice in self.presence_mut(part).renewals(now, &limits) {
                tell_presence(part, &notice, effects);
            }
        }
    }

    /// When there is something to be told about who is here that had to wait: send [`super::Event::Flush`] then.
    #[must_use]
    pub fn flush_at(&self) -> Option<Timestamp> {
        PARTS
            .into_iter()
            .filter_map(|part| self.presence(part).flush_at(&self.limits))
            .min()
    }

    pub(super) fn flush(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for part in PARTS {
            let limits = self.limits.clone();
            for notice in self.presence_mut(part).flush(now, &limits) {
                tell_presence(part, &notice, effects);
            }
        }
    }

    /// Asks for the writes that were put off for want of room, now that there is some.
    fn ask_those_behind(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.somebody_behind) {
            return;
        }
        let mut behind = Vec::new();
        for (conn, connection) in &mut self.connections {
            for part in PARTS {
                if connection
                    .joined(part)
                    .as_mut()
                    .is_some_and(|joined| std::mem::take(&mut joined.behind))
                {
                    behind.push((*conn, part));
                }
            }
        }
        for (conn, part) in behind {
            self.ask(conn, part, Question::Missing, effects);
        }
    }

    pub(super) const fn presence(&self, part: Part) -> &super::Presence {
        match part {
            Part::Body => &self.body_presence,
            Part::Margin => &self.margin_presence,
        }
    }

    pub(super) const fn presence_mut(&mut self, part: Part) -> &mut super::Presence {
        match part {
            Part::Body => &mut self.body_presence,
            Part::Margin => &mut self.margin_presence,
        }
    }
}

pub(super) fn tell_presence(part: Part, notice: &Notice, effects: &mut Vec<Effect>) {
    effects.push(Effect::Broadcast {
        part,
        except: notice.except,
        message: Outgoing::Y(awareness::encode(&notice.entries)),
    });
}

/// What a peer may be at most: an AI suggests, whatever its token says.
fn ceiling(identity: &Identity, role: Role) -> Role {
    match identity.kind {
        PeerKind::Ai => role.min(Role::Suggester),
        PeerKind::Human | PeerKind::Relay => role,
    }
}

/// Whether two identities are of one peer. A name may change while somebody is here.
fn is_same_peer(one: &Identity, other: &Identity) -> bool {
    one.id == other.id && one.kind == other.kind
}

fn welcome(role: Role, identity: &Identity, epoch: Option<&str>) -> String {
    let mut welcome = json!({ "type": "welcome", "role": role, "peer": identity.id });
    if let (Some(epoch), Some(fields)) = (epoch, welcome.as_object_mut()) {
        fields.insert("epoch".to_owned(), epoch.into());
    }
    welcome.to_string()
}

fn storage(failing: Option<&str>) -> Effect {
    Effect::Broadcast {
        part: Part::Body,
        except: None,
        message: Outgoing::Stateless(storage_message(failing)),
    }
}

fn storage_message(failing: Option<&str>) -> String {
    match failing {
        None => json!({ "type": "storage", "ok": true }),
        Some(reason) => json!({ "type": "storage", "ok": false, "message": reason }),
    }
    .to_string()
}
