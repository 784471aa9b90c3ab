//! A room on a desk: events in by hand, effects looked at one by one.

use crate::harness::identity;
use crdt::ids::{ConnId, DocId, Part, PeerKind, Role, Timestamp};
use crdt::protocol::{self, Message, SyncMessage};
use crdt::room::{Effect, Event, Limits, Outgoing, Record, Room, Stored};
use serde_json::Value;
use yrs::{Doc, ReadTxn, StateVector, Text, Transact, WriteTxn};

pub(crate) const NOW: Timestamp = Timestamp(5_000);
pub(crate) const ALICE: ConnId = ConnId(1);
pub(crate) const BOB: ConnId = ConnId(2);

pub(crate) struct Desk {
    pub(crate) room: Room,
    pub(crate) now: Timestamp,
    chance: u128,
}

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::open(&Stored::default(), limits)
    }

    pub(crate) fn open(stored: &Stored, limits: Limits) -> Self {
        Self::with(Room::open(DocId::parse("plan").unwrap(), stored, 9, limits).unwrap())
    }

    pub(crate) fn with(room: Room) -> Self {
        Self {
            room,
            now: NOW,
            chance: 0,
        }
    }

    pub(crate) fn join_event(conn: ConnId, part: Part, role: Role, kind: PeerKind) -> Event {
        let identity = identity(&format!("peer {conn}"), kind);
        Event::Join {
            conn,
            part,
            identity,
            role,
        }
    }

    pub(crate) fn open_as(stored: &Stored, client_id: u32) -> Self {
        let room = Room::open(
            DocId::parse("plan").unwrap(),
            stored,
            client_id,
            Limits::default(),
        )
        .unwrap();
        Self {
            room,
            now: NOW,
            chance: 1000,
        }
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<Effect> {
        let chance = &mut self.chance;
        self.room.handle(
            self.now,
            &mut || {
                *chance += 1;
                *chance
            },
            event,
        )
    }

    pub(crate) fn join(&mut self, conn: ConnId, part: Part, role: Role) -> Vec<Effect> {
        self.join_as(conn, part, role, PeerKind::Human)
    }

    pub(crate) fn join_as(&mut self, conn: ConnId, part: Part, role: Role, kind: PeerKind) -> Vec<Effect> {
        let mut effects = self.event(Self::join_event(conn, part, role, kind));
        effects.extend(self.say(conn, part, protocol::step_1(&StateVector::default())));
        effects
    }

    pub(crate) fn say(&mut self, conn: ConnId, part: Part, bytes: Vec<u8>) -> Vec<Effect> {
        self.event(Event::Message { conn, part, bytes })
    }

    pub(crate) fn tell(&mut self, conn: ConnId, payload: &Value) -> Vec<Effect> {
        self.event(Event::Stateless {
            conn,
            part: Part::Body,
            payload: payload.to_string(),
        })
    }

    pub(crate) fn commit(&mut self, effects: &[Effect]) -> Vec<Effect> {
        let seq = records(effects).iter().map(|record| record.seq).max().unwrap();
        self.event(Event::Committed { seq })
    }
}

pub(crate) fn records(effects: &[Effect]) -> Vec<Record> {
    effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Append(record) = effect {
                Some(record.clone())
            } else {
                None
            }
        })
        .collect()
}

pub(crate) fn acks(effects: &[Effect], conn: ConnId) -> Vec<bool> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                to,
                message: Outgoing::SyncStatus(saved),
                ..
            } if *to == conn => Some(*saved),
            _ => None,
        })
        .collect()
}

pub(crate) fn texts(effects: &[Effect], conn: ConnId) -> Vec<Value> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                to,
                message: Outgoing::Stateless(text),
                ..
            } if *to == conn => Some(serde_json::from_str(text).unwrap()),
            Effect::Broadcast {
                part: Part::Body,
                message: Outgoing::Stateless(text),
                ..
            } => Some(serde_json::from_str(text).unwrap()),
            _ => None,
        })
        .collect()
}

pub(crate) fn messages(effects: &[Effect], conn: ConnId) -> Vec<Message> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                to,
                message: Outgoing::Y(bytes),
                ..
            } if *to == conn => Some(protocol::decode(bytes).unwrap()),
            _ => None,
        })
        .collect()
}

pub(crate) fn asks(effects: &[Effect], conn: ConnId) -> usize {
    let steps = messages(effects, conn);
    steps
        .iter()
        .filter(|message| matches!(message, Message::Sync(SyncMessage::SyncStep1(_))))
        .count()
}

pub(crate) fn write(doc: &Doc, text: &str) -> Vec<u8> {
    let before = doc.transact().state_vector();
    {
        let mut txn = doc.transact_mut();
        let line = txn.get_or_insert_text("t");
        line.push(&mut txn, text);
    }
    doc.transact().encode_diff_v1(&before)
}

pub(crate) fn whole(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}
