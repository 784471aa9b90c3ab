//! Peers, links, a store that loses what it has not written, and one room between them; all of it driven by a seed.

use std::collections::VecDeque;

use crdt::ids::{ConnId, DocId, Identity, Part, PeerKind, Role, Timestamp};
use crdt::protocol::update::UpdateFacts;
use crdt::replica::Replica;
use crdt::room::{Effect, Event, Limits, Outgoing, Record, Room, Stored};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use yrs::{
    Map, ReadTxn, Text, Transact, WriteTxn, XmlElementPrelim, XmlFragment, XmlOut, XmlTextPrelim, XmlTextRef,
};

const WORDS: [&str; 8] = [
    "a",
    "Grüße",
    "🌲",
    "line\n",
    "日本",
    "the quick brown fox",
    "🏳️‍🌈",
    " ",
];

/// A client: its copy, its link, and what it believes is saved.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) replica: Replica,
    pub(crate) part: Part,
    pub(crate) role: Role,
    pub(crate) conn: Option<ConnId>,
    /// On the way to the room, and from it.
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Outgoing>,
    /// As HocuspocusProvider counts: 1 on connecting, one more per update, one less per `SyncStatus(true)`.
    pub(crate) unsynced: u32,
    /// A frame of this connection was lost, so the counting is off.
    pub(crate) lossy: bool,
    pub(crate) refusals: usize,
}

/// What the disk holds: survives a crash.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    stored: Stored,
    /// Handed over, not written.
    queue: VecDeque<Record>,
    pub(crate) records: usize,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) room: Room,
    pub(crate) disk: Disk,
    pub(crate) peers: Vec<Peer>,
    pub(crate) now: Timestamp,
    rng: StdRng,
    next_conn: u64,
    next_client: u32,
}

/// Prints the one line that repeats a failing run.
pub(crate) struct OnPanic(pub(crate) u64, pub(crate) &'static str);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "rerun with SEED={} cargo nextest run -p crdt --test {}",
                self.0, self.1
            );
        }
    }
}

pub(crate) fn identity(name: &str, kind: PeerKind) -> Identity {
    Identity {
        id: name.to_owned(),
        name: name.to_owned(),
        kind,
        model: None,
    }
}

impl Network {
    pub(crate) fn new(seed: u64, roles: &[(Part, Role)]) -> Self {
        let room = open(&Stored::default(), 1);
        let peers = roles
            .iter()
            .zip(100..)
            .map(|(&(part, role), client)| Peer {
                replica: Replica::new(client),
                part,
                role,
                conn: None,
                up: VecDeque::new(),
                down: VecDeque::new(),
                unsynced: 0,
                lossy: false,
                refusals: 0,
            })
            .collect();
        Self {
            room,
            disk: Disk::default(),
            peers,
            now: Timestamp(1_000_000),
            rng: StdRng::seed_from_u64(seed),
            next_conn: 1,
            next_client: 2,
        }
    }

    /// One random thing happens.
    pub(crate) fn step(&mut self) {
        let peer = self.rng.random_range(0..self.peers.len());
        match self.rng.random_range(0..1000) {
            0..200 => self.edit(peer),
            200..520 => drop(self.deliver_up(peer)),
            520..830 => drop(self.deliver_down(peer)),
            830..860 => self.connect(peer),
            860..870 => self.disconnect(peer),
            870..875 => self.lose_a_frame(peer),
            875..950 => self.store_writes(),
            950..958 => self.store_fails(),
            958..985 => self.tick(1_000),
            985..990 => self.compact(),
            990..998 => self.set_awareness(peer),
            _ => self.crash(),
        }
        self.check_acknowledged(peer);
    }

    /// What a client believes to be saved is on disk.
    fn check_acknowledged(&self, peer: usize) {
        let peer = &self.peers[peer];
        if peer.conn.is_none() || peer.unsynced > 0 || peer.lossy || !peer.role.may_write(peer.part) {
            return;
        }
        let client = peer.replica.doc().client_id();
        let written = peer.replica.doc().transact().state_vector().get(&client);
        let kept = self.disk.clock_of(peer.part, client);
        assert!(
            kept >= written,
            "client {client} believes {written} to be saved, the disk has {kept}"
        );
    }

    pub(crate) fn edit(&mut self, peer: usize) {
        let rng = &mut self.rng;
        let peer = &mut self.peers[peer];
        match peer.part {
            Part::Body => edit_body(peer.replica.doc(), rng),
            Part::Margin => {
                let mut txn = peer.replica.doc().transact_mut();
                let requests = txn.get_or_insert_map("requests");
                let key = format!("r{}", rng.random_range(0..6));
                if rng.random_bool(0.2) {
                    requests.remove(&mut txn, &key);
                } else {
                    requests.insert(&mut txn, key, *WORDS.choose(rng).unwrap());
                }
            }
        }
        let frames = peer.replica.drain_updates();
        if peer.conn.is_some() {
            peer.unsynced += frames.len() as u32;
            peer.up.extend(frames);
        }
    }

    pub(crate) fn connect(&mut self, peer: usize) {
        if self.peers[peer].conn.is_some() {
            return;
        }
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let (part, role) = (self.peers[peer].part, self.peers[peer].role);
        let frames = self.peers[peer].replica.connected();
        self.peers[peer].conn = Some(conn);
        self.peers[peer].unsynced = 1;
        self.peers[peer].lossy = false;
        self.peers[peer].up.extend(frames);
        let identity = identity(&format!("peer{peer}"), PeerKind::Human);
        self.event(Event::Join {
            conn,
            part,
            identity,
            role,
        });
    }

    pub(crate) fn disconnect(&mut self, peer: usize) {
        let Some(conn) = self.drop_link(peer) else { return };
        let part = self.peers[peer].part;
        self.event(Event::Leave { conn, part });
    }

    fn drop_link(&mut self, peer: usize) -> Option<ConnId> {
        let peer = &mut self.peers[peer];
        peer.up.clear();
        peer.down.clear();
        peer.replica.disconnected();
        peer.conn.take()
    }

    fn lose_a_frame(&mut self, peer: usize) {
        let up = self.rng.random_bool(0.5);
        let peer = &mut self.peers[peer];
        let lost = if up {
            peer.up.pop_front().is_some()
        } else {
            peer.down.pop_front().is_some()
        };
        peer.lossy |= lost;
    }

    pub(crate) fn deliver_up(&mut self, peer: usize) -> bool {
        let Some(conn) = self.peers[peer].conn else {
            return false;
        };
        let part = self.peers[peer].part;
        let Some(bytes) = self.peers[peer].up.pop_front() else {
            return false;
        };
        self.event(Event::Message { conn, part, bytes });
        true
    }

    pub(crate) fn deliver_down(&mut self, peer: usize) -> bool {
        let now = self.now;
        let peer = &mut self.peers[peer];
        let Some(message) = peer.down.pop_front() else {
            return false;
        };
        match message {
            Outgoing::Y(bytes) => {
                let received = peer
                    .replica
                    .receive(now, &bytes)
                    .expect("a room says nothing wrong");
                peer.up.extend(received.replies);
            }
            Outgoing::SyncStatus(true) => peer.unsynced = peer.unsynced.saturating_sub(1),
            Outgoing::SyncStatus(false) => peer.refusals += 1,
            Outgoing::Stateless(_) | Outgoing::Denied(_) => {}
        }
        true
    }

    fn set_awareness(&mut self, peer: usize) {
        let state = json!({ "cursor": self.rng.random_range(0..100) });
        let now = self.now;
        let peer = &mut self.peers[peer];
        let frame = peer.replica.set_local_state(now, Some(state));
        if peer.conn.is_some() {
            peer.up.extend(frame);
        }
    }

    pub(crate) fn tick(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        let now = self.now;
        for peer in &mut self.peers {
            let received = peer.replica.tick(now);
            if peer.conn.is_some() {
                peer.up.extend(received.replies);
            }
        }
        self.event(Event::Tick);
    }

    pub(crate) fn store_writes(&mut self) {
        let count = self.rng.random_range(0..=self.disk.queue.len());
        let mut last = None;
        for record in self.disk.queue.drain(..count) {
            last = Some(record.seq);
            self.disk.stored.write(record);
            self.disk.records += 1;
        }
        if let Some(seq) = last {
            self.event(Event::Committed { seq });
        }
    }

    fn store_fails(&mut self) {
        let Some(first) = self.disk.queue.front() else {
            return;
        };
        let seq = first.seq;
        self.disk.queue.clear();
        self.event(Event::StoreFailed {
            seq,
            reason: "disk full".to_owned(),
        });
    }

    fn compact(&mut self) {
        let snapshot = self.room.snapshot();
        self.disk.stored.tail.retain(|record| record.seq > snapshot.seq);
        self.disk.stored.snapshot_body = Some(snapshot.body);
        self.disk.stored.snapshot_margin = Some(snapshot.margin);
    }

    /// `kill -9`: what is not on disk is gone, and so is every connection.
    pub(crate) fn crash(&mut self) {
        self.disk.queue.clear();
        for peer in 0..self.peers.len() {
            self.drop_link(peer);
        }
        self.room = open(&self.disk.stored, self.next_client);
        self.next_client += 1;
    }

    fn event(&mut self, event: Event) {
        let rng = &mut self.rng;
        let effects = self.room.handle(self.now, &mut || rng.random(), event);
        for effect in effects {
            match effect {
                Effect::Send { to, part, message } => {
                    if let Some(peer) = self.peers.iter_mut().find(|peer| peer.conn == Some(to)) {
                        assert_eq!(peer.part, part);
                        peer.down.push_back(message);
                    }
                }
                Effect::Broadcast {
                    part,
                    except,
                    message,
                } => {
                    for peer in self
                        .peers
                        .iter_mut()
                        .filter(|peer| peer.conn.is_some() && peer.part == part)
                    {
                        if peer.conn != except {
                            peer.down.push_back(message.clone());
                        }
                    }
                }
                Effect::Append(record) => self.disk.queue.push_back(record),
                Effect::Close { conn, reason, .. } => panic!("{conn} was closed: {reason}"),
            }
        }
    }

    /// Lets everything settle: all connected, nothing under way, everything saved.
    pub(crate) fn settle(&mut self) {
        for peer in 0..self.peers.len() {
            if self.peers[peer].lossy {
                self.disconnect(peer);
            }
            self.connect(peer);
        }
        for _ in 0..10_000 {
            let mut moved = false;
            for peer in 0..self.peers.len() {
                moved |= self.deliver_up(peer);
                moved |= self.deliver_down(peer);
                self.check_acknowledged(peer);
            }
            if !self.disk.queue.is_empty() {
                self.store_writes();
                moved = true;
            }
            if !moved && self.room.is_saved() {
                return;
            }
            if !moved {
                self.tick(1_000);
            }
        }
        panic!("the network does not come to rest");
    }

    /// The invariants that hold at rest.
    pub(crate) fn check(&self) {
        for part in [Part::Body, Part::Margin] {
            let expected = self.room.state(part);
            assert!(!self.room.document(part).transact().has_missing_updates());
            for (number, peer) in self
                .peers
                .iter()
                .enumerate()
                .filter(|(_, peer)| peer.part == part)
            {
                let txn = peer.replica.doc().transact();
                assert!(!txn.has_missing_updates(), "peer {number} holds blocks back");
                let client = peer.replica.doc().client_id();
                if peer.role.may_write(part) {
                    let state = txn.snapshot();
                    assert_eq!(state, expected, "peer {number} is apart from the room");
                    assert_eq!(text(&txn, part), text(&self.room.document(part).transact(), part));
                    assert_eq!(peer.unsynced, 0, "peer {number} was not told that all is saved");
                } else {
                    assert_eq!(
                        expected.state_map.get(&client),
                        0,
                        "peer {number} may not write and did"
                    );
                }
                let here: Vec<u64> = self.states_of_others(part, number);
                let seen: Vec<u64> = peer
                    .replica
                    .awareness()
                    .others()
                    .map(|(client, _)| client)
                    .collect();
                assert_eq!(seen, here, "peer {number} sees somebody else");
            }
        }
    }

    fn states_of_others(&self, part: Part, number: usize) -> Vec<u64> {
        let others = self
            .peers
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number);
        others
            .filter(|(_, peer)| peer.part == part && peer.replica.awareness().local().is_some())
            .map(|(_, peer)| peer.replica.doc().client_id().get())
            .collect()
    }
}

impl Disk {
    fn clock_of(&self, part: Part, client: yrs::ClientID) -> u32 {
        let snapshot = match part {
            Part::Body => &self.stored.snapshot_body,
            Part::Margin => &self.stored.snapshot_margin,
        };
        let parts = snapshot
            .iter()
            .map(Vec::as_slice)
            .chain(self.stored.tail.iter().filter_map(|r| r.part(part)));
        let nothing = yrs::StateVector::default();
        parts
            .flat_map(|update| UpdateFacts::scan(update).unwrap().inserts_beyond(&nothing))
            .filter(|range| range.client == client.get())
            .map(|range| range.end())
            .max()
            .unwrap_or(0)
    }
}

trait Write {
    fn write(&mut self, record: Record);
}

impl Write for Stored {
    /// As a table with `seq` as its key: a second write of a record is the first one.
    fn write(&mut self, record: Record) {
        self.next_seq = self.next_seq.max(record.seq + 1);
        match self.tail.binary_search_by_key(&record.seq, |known| known.seq) {
            Ok(at) => assert_eq!(self.tail[at], record),
            Err(at) => self.tail.insert(at, record),
        }
    }
}

fn open(stored: &Stored, client_id: u32) -> Room {
    Room::open(
        DocId::parse("plan").unwrap(),
        stored,
        client_id,
        Limits::default(),
    )
    .unwrap()
}

pub(crate) fn text<T: ReadTxn>(txn: &T, part: Part) -> String {
    use yrs::GetString;
    match part {
        Part::Body => txn
            .get_xml_fragment("default")
            .map_or_else(String::new, |root| root.get_string(txn)),
        Part::Margin => txn.get_map("requests").map_or_else(String::new, |requests| {
            let mut entries: Vec<String> = requests
                .iter(txn)
                .map(|(key, value)| format!("{key}={}", value.to_string(txn)))
                .collect();
            entries.sort();
            entries.join(";")
        }),
    }
}

pub(crate) fn edit_body(doc: &yrs::Doc, rng: &mut StdRng) {
    let mut txn = doc.transact_mut();
    let root = txn.get_or_insert_xml_fragment("default");
    let blocks = root.len(&txn);
    if blocks == 0 || rng.random_bool(0.1) {
        let at = rng.random_range(0..=blocks);
        let block = root.insert(&mut txn, at, XmlElementPrelim::empty("paragraph"));
        block.push_back(&mut txn, XmlTextPrelim::new(*WORDS.choose(rng).unwrap()));
    } else if blocks > 3 && rng.random_bool(0.05) {
        root.remove(&mut txn, rng.random_range(0..blocks));
    } else if let Some(XmlOut::Element(block)) = root.get(&txn, rng.random_range(0..blocks))
        && let Some(XmlOut::Text(line)) = block.get(&txn, 0)
    {
        edit_text(&line, &mut txn, rng);
    }
}

fn edit_text(line: &XmlTextRef, txn: &mut yrs::TransactionMut<'_>, rng: &mut StdRng) {
    // Offsets only between whole characters, as an editor's are.
    let borders: Vec<u32> = {
        let text = yrs::GetString::get_string(line, txn);
        let mut at = 0;
        std::iter::once(0)
            .chain(text.chars().map(|c| {
                at += c.len_utf16() as u32;
                at
            }))
            .collect()
    };
    let at = rng.random_range(0..borders.len());
    if rng.random_bool(0.3) && at + 1 < borders.len() {
        let to = rng.random_range(at + 1..borders.len());
        line.remove_range(txn, borders[at], borders[to] - borders[at]);
    } else {
        line.insert(txn, borders[at], WORDS.choose(rng).unwrap());
    }
}
