//! A relay: a room, a clock, and a disk that loses what it has not written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crdt::decision;
use crdt::ids::{DocId, IdRange, Part, Timestamp};
use crdt::protocol::update::UpdateFacts;
use crdt::room::{Limits, Record, Room, Stored};
use yrs::{ReadTxn, StateVector, Transact};

use super::hands::Id;

/// A relay.
pub(crate) struct Site {
    pub(crate) room: Room,
    pub(crate) disk: Disk,
    /// Milliseconds.
    pub(crate) now: u64,
    /// The number of the last record that the room has made.
    pub(crate) last: u64,
    next_client: u32,
}

/// What survives a crash, and what does not.
#[derive(Default)]
pub(crate) struct Disk {
    stored: Stored,
    /// Handed over, not written.
    pub(crate) queue: VecDeque<Record>,
    /// How many records were written.
    pub(crate) records: usize,
    /// The last record that was written.
    pub(crate) written: u64,
    clocks: BTreeMap<(Part, u64), u32>,
    deleted: BTreeSet<(Part, Id)>,
}

pub(crate) const PARTS: [Part; 2] = [Part::Body, Part::Margin];

impl Site {
    /// A relay with a document. `first_client` is the room's own client id, the next ones are those after a restart.
    pub(crate) fn new(body: Option<Vec<u8>>, first_client: u32) -> Result<Self, String> {
        let stored = Stored {
            snapshot_margin: body.is_some().then(|| vec![0, 0]),
            snapshot_body: body,
            tail: Vec::new(),
            next_seq: 1,
        };
        Ok(Self {
            room: open(&stored, first_client)?,
            disk: Disk {
                stored,
                ..Disk::default()
            },
            now: 1_000_000_000,
            last: 0,
            next_client: first_client + 1,
        })
    }

    pub(crate) const fn time(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Ends at once and starts again. **Invariant 5**: what was written is there.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        self.disk.queue.clear();
        self.room = open(&self.disk.stored, self.next_client)?;
        self.next_client += 1;
        self.last = self.disk.stored.next_seq.saturating_sub(1);
        self.disk.is_all_in(&self.room)
    }

    pub(crate) fn compact(&mut self) -> Result<(), String> {
        let snapshot = self.room.snapshot();
        self.disk.stored.tail.retain(|record| record.seq > snapshot.seq);
        // It may hold more than what was written before, and then that is on disk as well.
        self.disk.note(Part::Body, &snapshot.body)?;
        self.disk.note(Part::Margin, &snapshot.margin)?;
        self.disk.stored.snapshot_body = Some(snapshot.body);
        self.disk.stored.snapshot_margin = Some(snapshot.margin);
        Ok(())
    }

    /// The ids of the decisions in the room's body.
    pub(crate) fn decisions(&self) -> BTreeSet<String> {
        let records = decision::decisions(&self.room.document(Part::Body).transact());
        records.into_iter().map(|record| record.id).collect()
    }
}

fn open(stored: &Stored, client_id: u32) -> Result<Room, String> {
    let doc = DocId::parse("plan").map_err(|error| error.to_string())?;
    Room::open(doc, stored, client_id, Limits::default())
        .map_err(|error| format!("the room cannot be opened again: {error}"))
}

impl Disk {
    /// Writes a record, as a table with `seq` as its key does: a second write of it is the first one. With `forget` the
    /// store says that it has written and has not.
    pub(crate) fn write(&mut self, record: Record, forget: bool) -> Result<(), String> {
        self.stored.next_seq = self.stored.next_seq.max(record.seq + 1);
        self.written = self.written.max(record.seq);
        self.records += 1;
        for part in PARTS {
            if let Some(update) = record.part(part) {
                self.note(part, update)?;
            }
        }
        if forget {
            let empty = Record {
                body: Some(vec![0, 0]),
                margin: None,
                ..record
            };
            self.stored.tail.push(empty);
            return Ok(());
        }
        match self
            .stored
            .tail
            .binary_search_by_key(&record.seq, |known| known.seq)
        {
            Ok(at) if self.stored.tail[at] == record => Ok(()),
            Ok(_) => Err(format!("there are two records {}", record.seq)),
            Err(at) => {
                self.stored.tail.insert(at, record);
                Ok(())
            }
        }
    }

    /// An update is on disk.
    fn note(&mut self, part: Part, update: &[u8]) -> Result<(), String> {
        let facts = UpdateFacts::scan(update).map_err(|error| error.to_string())?;
        for range in facts.inserts_beyond(&StateVector::default()) {
            let clock = self.clocks.entry((part, range.client)).or_default();
            *clock = range.end().max(*clock);
        }
        for range in facts.deletes() {
            self.deleted.extend(ids(range).map(|id| (part, id)));
        }
        Ok(())
    }

    /// Whether everything of a client up to `clock` was written.
    pub(crate) fn has(&self, part: Part, client: u64, clock: u32) -> bool {
        self.clocks.get(&(part, client)).copied().unwrap_or_default() >= clock
    }

    /// Whether the deletion of an id was written.
    pub(crate) fn has_deleted(&self, part: Part, id: Id) -> bool {
        self.deleted.contains(&(part, id))
    }

    fn is_all_in(&self, room: &Room) -> Result<(), String> {
        let body = room.document(Part::Body).transact();
        let margin = room.document(Part::Margin).transact();
        let states = [body.state_vector(), margin.state_vector()];
        for (&(part, client), &clock) in &self.clocks {
            let state = match part {
                Part::Body => &states[0],
                Part::Margin => &states[1],
            };
            let there = state.get(&yrs::ClientID::new(client));
            if there < clock {
                return Err(format!(
                    "client {client} wrote {clock} into {part:?} that were saved, and {there} are there after a restart"
                ));
            }
        }
        let gone = [body.snapshot().delete_set, margin.snapshot().delete_set];
        for &(part, (client, clock)) in &self.deleted {
            let gone = match part {
                Part::Body => &gone[0],
                Part::Margin => &gone[1],
            };
            let ranges = gone.get(&yrs::ClientID::new(client));
            let is_gone = ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&clock)));
            if !is_gone {
                return Err(format!(
                    "({client}, {clock}) was deleted and that was saved, and it is there after a restart"
                ));
            }
        }
        Ok(())
    }
}

/// The ids of a range.
pub(crate) fn ids(range: &IdRange) -> impl Iterator<Item = Id> + use<> {
    let client = range.client;
    (range.clock..range.end()).map(move |clock| (client, clock))
}
