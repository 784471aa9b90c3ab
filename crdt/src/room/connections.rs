//! Coming and going, the store's answers, and the passing of time.

use serde_json::json;

use super::{Connection, Effect, Joined, Outgoing, Question, Room};
use crate::awareness::{self, Entry};
use crate::ids::{ConnId, Identity, Part, Role, Timestamp};
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
        let welcome = (part == Part::Body).then(|| welcome(role, &identity, self.epoch.as_deref()));
        let connection = self.connections.entry(conn).or_insert(Connection {
            identity,
            role,
            body: None,
            margin: None,
        });
        connection.role = role;
        *connection.joined(part) = Some(Joined::default());
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
        self.ask(conn, part, Question::Handshake, effects);
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
        broadcast_awareness(part, None, &gone, effects);
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

    pub(super) fn set_role(&mut self, conn: ConnId, role: Role, effects: &mut Vec<Effect>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let before = std::mem::replace(&mut connection.role, role);
        if before == role {
            return;
        }
        let welcome = welcome(role, &connection.identity, self.epoch.as_deref());
        let opened: Vec<Part> = PARTS
            .into_iter()
            .filter(|part| connection.has(*part) && role.may_write(*part) && !before.may_write(*part))
            .collect();
        if connection.has(Part::Body) {
            effects.push(Effect::Send {
                to: conn,
                part: Part::Body,
                message: Outgoing::Stateless(welcome),
            });
        }
        // What it tried to write before was refused; now it may come.
        for part in opened {
            self.ask(conn, part, Question::Missing, effects);
        }
    }

    /// Sends step 1: what do you have that I lack? Not while an earlier question of the kind is unanswered: its
    /// answer has not been sent yet, so it will hold everything.
    pub(super) fn ask(&mut self, conn: ConnId, part: Part, question: Question, effects: &mut Vec<Effect>) {
        let state = self.copy(part).state();
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
        effects.push(Effect::Send {
            to: conn,
            part,
            message: Outgoing::Y(protocol::step_1(&state)),
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
            let gone = self.presence_mut(part).expire(now, &limits);
            broadcast_awareness(part, None, &gone, effects);
            let listeners: Vec<ConnId> = self
                .connections
                .iter()
                .filter(|(_, connection)| connection.has(part))
                .map(|(id, _)| *id)
                .collect();
            for to in listeners {
                let renewals = self.presence(part).renewals_for(to);
                if !renewals.is_empty() {
                    effects.push(Effect::Send {
                        to,
                        part,
                        message: Outgoing::Y(awareness::encode(&renewals)),
                    });
                }
            }
            self.presence_mut(part).renewals_sent();
        }
    }

    fn ask_those_behind(&mut self, effects: &mut Vec<Effect>) {
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

pub(super) fn broadcast_awareness(
    part: Part,
    except: Option<ConnId>,
    entries: &[Entry],
    effects: &mut Vec<Effect>,
) {
    if !entries.is_empty() {
        effects.push(Effect::Broadcast {
            part,
            except,
            message: Outgoing::Y(awareness::encode(entries)),
        });
    }
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
