//! A room with an honest writer and somebody hostile, and the bytes that the hostile one sends.

use crdt::awareness::{self, Entry};
use crdt::ids::{ConnId, DocId, Part, PeerKind, Role, Timestamp};
use crdt::protocol;
use crdt::room::{Effect, Event, Limits, Room, Stored};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use super::harness::{edit_body, identity};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);
pub(crate) const WRITER: ConnId = ConnId(1);
pub(crate) const HOSTILE: ConnId = ConnId(2);

/// The room and everybody in it.
pub(crate) struct Scene {
    pub(crate) room: Room,
    rng: StdRng,
    role: Role,
    kind: PeerKind,
    /// A proposal in the margin that the hostile one would like to see accepted.
    pub(crate) proposal: String,
    /// Updates that somebody really made: the best bytes to damage.
    real: Vec<Vec<u8>>,
    pub(crate) writer: Doc,
    /// As `real`, of the margin.
    margin: Vec<Vec<u8>>,
    saved: u64,
}

impl Scene {
    pub(crate) fn new(seed: u64, role: Role, kind: PeerKind) -> Self {
        let room = Room::open(
            DocId::parse("plan").unwrap(),
            &Stored::default(),
            9,
            Limits::default(),
        )
        .unwrap();
        let mut scene = Self {
            room,
            rng: StdRng::seed_from_u64(seed),
            role,
            kind,
            proposal: "P1".to_owned(),
            real: Vec::new(),
            writer: crdt::doc::open(50),
            margin: Vec::new(),
            saved: 0,
        };
        for part in [Part::Body, Part::Margin] {
            scene.join(WRITER, part);
            scene.join(HOSTILE, part);
        }
        for _ in 0..60 {
            scene.write();
        }
        scene.propose();
        scene
    }

    /// An honest proposal that an editor could accept.
    fn propose(&mut self) {
        let margin = crdt::doc::open(51);
        let body = self.writer.transact();
        let proposal: crdt::Proposal = serde_json::from_value(json!({
            "id": self.proposal, "author": { "kind": "ai" }, "kind": "comment", "state": "pending",
            "anchor": crdt::Anchor::for_caret(&body, 0), "base": crdt::margin::Base::of(&body), "payload": "words",
        }))
        .unwrap();
        drop(body);
        crdt::margin::put_proposal(&mut margin.transact_mut(), &proposal);
        let update = margin
            .transact()
            .encode_state_as_update_v1(&StateVector::default());
        self.event(Event::Message {
            conn: WRITER,
            part: Part::Margin,
            bytes: protocol::update(&update),
        });
        self.margin.push(update);
    }

    /// What somebody may say besides y-protocols: decisions of all kinds, damaged now and then.
    pub(crate) fn hostile_text(&mut self) -> String {
        let action = *["accept", "reject", "undo", "preview", ""]
            .choose(&mut self.rng)
            .unwrap();
        let force = self.rng.random_bool(0.5);
        let proposal = if self.rng.random_bool(0.9) {
            self.proposal.as_str()
        } else {
            "\u{0}"
        };
        let kind = *["decide", "decide", "decide", "preview", "welcome", "decided"]
            .choose(&mut self.rng)
            .unwrap();
        let question =
            json!({ "type": kind, "seq": 1, "proposal": proposal, "action": action, "force": force })
                .to_string();
        if self.rng.random_bool(0.8) {
            return question;
        }
        let mut bytes = question.into_bytes();
        self.damage(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A random number below another.
    pub(crate) fn roll(&mut self, below: u32) -> u32 {
        self.rng.random_range(0..below)
    }

    pub(crate) fn join(&mut self, conn: ConnId, part: Part) {
        let (role, kind) = match conn {
            HOSTILE => (self.role, self.kind),
            _ => (Role::Editor, PeerKind::Human),
        };
        let identity = identity(&conn.to_string(), kind);
        self.event(Event::Join {
            conn,
            part,
            identity,
            role,
        });
        self.event(Event::Message {
            conn,
            part,
            bytes: protocol::step_1(&StateVector::default()),
        });
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<Effect> {
        let rng = &mut self.rng;
        let effects = self.room.handle(NOW, &mut || rng.random(), event);
        // The disk is quick and sure.
        let last = effects
            .iter()
            .filter_map(|effect| {
                if let Effect::Append(record) = effect {
                    Some(record.seq)
                } else {
                    None
                }
            })
            .max();
        if let Some(seq) = last {
            self.saved = seq;
            self.room.handle(NOW, &mut || 0, Event::Committed { seq });
        }
        effects
    }

    /// An honest edit of the body and of the margin; both must get through.
    pub(crate) fn write(&mut self) {
        let before = self.writer.transact().state_vector();
        edit_body(&self.writer, &mut self.rng);
        let update = self.writer.transact().encode_diff_v1(&before);
        self.event(Event::Message {
            conn: WRITER,
            part: Part::Body,
            bytes: protocol::update(&update),
        });
        self.real.push(update);
        assert_eq!(
            self.room.state(Part::Body),
            self.writer.transact().snapshot(),
            "an honest edit was lost"
        );
    }

    /// Sends hostile bytes; returns whether the connection was closed, which must be told to nobody else.
    pub(crate) fn attack(&mut self, part: Part, bytes: Vec<u8>) -> bool {
        let effects = self.event(Event::Message {
            conn: HOSTILE,
            part,
            bytes,
        });
        let mut closed = false;
        for effect in &effects {
            if let Effect::Close {
                conn,
                part: closed_part,
                code,
                reason,
            } = effect
            {
                assert_eq!((*conn, *closed_part), (HOSTILE, part));
                assert!(*code >= 1000 && !reason.is_empty());
                closed = true;
            }
        }
        closed
    }

    /// Bytes that are nearly right, or not at all.
    pub(crate) fn hostile_bytes(&mut self) -> Vec<u8> {
        let mut bytes = match self.rng.random_range(0..10) {
            0 => (0..self.rng.random_range(0..80))
                .map(|_| self.rng.random())
                .collect(),
            1 => self.a_real_write(),
            2 => {
                let state = (0..self.rng.random_range(0..4))
                    .map(|_| {
                        (
                            yrs::ClientID::new(self.rng.random_range(48..52)),
                            self.rng.random_range(0..300),
                        )
                    })
                    .collect();
                protocol::step_1(&state)
            }
            3 => {
                let client = self.rng.random_range(0..5);
                let state = *["{}", "null", "{", "[1]", "\u{0}"].choose(&mut self.rng).unwrap();
                awareness::encode(&[Entry {
                    client,
                    clock: self.rng.random(),
                    state: Some(state.to_owned()),
                }])
            }
            4 => {
                // What has been written already, as a write: it must pass without an effect.
                protocol::update(self.real.choose(&mut self.rng).unwrap())
            }
            5 => {
                // Two halves that do not belong together.
                let first = self.real.choose(&mut self.rng).unwrap();
                let second = self.real.choose(&mut self.rng).unwrap();
                let at = self.rng.random_range(0..first.len());
                let from = self.rng.random_range(0..second.len());
                protocol::step_2(&[&first[..at], &second[from..]].concat())
            }
            6 => protocol::update(self.margin.choose(&mut self.rng).unwrap()),
            _ => protocol::update(self.real.choose(&mut self.rng).unwrap()),
        };
        if self.rng.random_bool(0.8) {
            for _ in 0..self.rng.random_range(1..4) {
                self.damage(&mut bytes);
            }
        }
        if self.rng.random_bool(0.05) {
            // Several messages in one frame: something innocent first.
            let mut both = protocol::query_awareness();
            both.extend(bytes);
            return both;
        }
        bytes
    }

    /// A correct update by a client of its own.
    pub(crate) fn a_real_write(&mut self) -> Vec<u8> {
        let doc = crdt::doc::open(self.rng.random_range(60..64));
        if self.rng.random_bool(0.5) {
            let update = self
                .writer
                .transact()
                .encode_state_as_update_v1(&StateVector::default());
            doc.transact_mut()
                .apply_update(Update::decode_v1(&update).unwrap())
                .unwrap();
        }
        let before = doc.transact().state_vector();
        edit_body(&doc, &mut self.rng);
        let update = doc.transact().encode_diff_v1(&before);
        if self.rng.random_bool(0.5) {
            protocol::update(&update)
        } else {
            protocol::step_2(&update)
        }
    }

    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..bytes.len());
        match self.rng.random_range(0..5) {
            0 => bytes[at] = self.rng.random(),
            1 => bytes[at] ^= 1 << self.rng.random_range(0..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, self.rng.random()),
            _ => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(&mut self.rng).unwrap(),
        }
    }
}
