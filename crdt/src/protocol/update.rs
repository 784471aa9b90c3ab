//! What an update (v1) would do, found by walking its bytes without applying them.
//!
//! Three needs meet here. Safety: yrs reads lengths, strings and clocks unchecked, so an update is walked from end to end
//! before yrs sees it. Rights: whether an update adds anything is known before it is applied. Order: so is whether it could
//! be integrated whole or would leave a hole. The format is that of `Y.encodeStateAsUpdate`; see `readClientsStructRefs`
//! and `readDeleteSet` in yjs 13.6 and `Update::decode` in yrs 0.26.

mod block;
mod shape;
mod typed;

use std::collections::{BTreeMap, BTreeSet};

use yrs::{ClientID, IdSet, StateVector};

pub use shape::{MAX_ELEMENT_DEPTH, Shape};
pub(crate) use typed::Typed;

use super::bytes::Reader;
use super::{MAX_CLIENTS, ProtocolError};
use crate::ids::IdRange;
use block::Block;

/// The largest clock that is let in: yrs subtracts clocks as `i32`.
const MAX_CLOCK: u32 = i32::MAX.cast_unsigned();

/// A CRDT id as this module passes it around: client and clock.
type Id = (u64, u32);

/// The facts about one update.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdateFacts {
    /// Per client, its blocks in the order of clocks, without a gap (skipped stretches are blocks as well).
    sections: BTreeMap<u64, Vec<Placed>>,
    deletes: Vec<IdRange>,
    /// The second units of characters that take two, sorted.
    pairs: BTreeSet<Id>,
}

/// A block and where it stands among those of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placed {
    clock: u32,
    block: Block,
}

impl Placed {
    const fn end(&self) -> u32 {
        self.clock + self.block.len
    }
}

impl UpdateFacts {
    /// Walks an update from end to end.
    ///
    /// # Errors
    /// [`ProtocolError`] when yrs could not be trusted with it: cut short, malformed, trailing bytes, invalid UTF-8, clocks that
    /// overflow, a client listed twice, or content that no document here holds (sub-documents, moves).
    pub fn scan(update: &[u8]) -> Result<Self, ProtocolError> {
        Self::walk(update, &mut Allowance::unlimited())
    }

    /// As [`UpdateFacts::scan`], for what somebody sends: the facts about a few bytes can take forty times their size, so what
    /// is dense beyond any document is refused before that memory is taken.
    ///
    /// # Errors
    /// As [`UpdateFacts::scan`], and [`ProtocolError::TooMany`].
    pub fn scan_foreign(update: &[u8]) -> Result<Self, ProtocolError> {
        Self::walk(update, &mut Allowance::of(update.len()))
    }

    fn walk(update: &[u8], allowance: &mut Allowance) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(update);
        let mut facts = Self::default();
        let sections = reader.count(3)?;
        allowance.take_clients(sections)?;
        for _ in 0..sections {
            facts.scan_section(&mut reader, allowance)?;
        }
        facts.scan_deletes(&mut reader, allowance)?;
        if reader.is_empty() {
            Ok(facts)
        } else {
            Err(ProtocolError::Malformed("end"))
        }
    }

    /// Whether it neither inserts nor deletes anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.sections.values().flatten().all(|placed| placed.block.skip)
    }

    /// The id ranges of the blocks that a document in `state` does not have, in the order of client and clock.
    #[must_use]
    pub fn inserts_beyond(&self, state: &StateVector) -> Vec<IdRange> {
        let mut ranges: Vec<IdRange> = Vec::new();
        for (&client, section) in &self.sections {
            let known = state.get(&ClientID::new(client));
            for placed in section
                .iter()
                .filter(|placed| !placed.block.skip && placed.end() > known)
            {
                let clock = placed.clock.max(known);
                let len = placed.end() - clock;
                match ranges.last_mut() {
                    Some(last) if last.client == client && last.clock + last.len == clock => last.len += len,
                    _ => ranges.push(IdRange { client, clock, len }),
                }
            }
        }
        ranges
    }

    /// The id ranges that it deletes, whether they are deleted already or not.
    #[must_use]
    pub fn deletes(&self) -> &[IdRange] {
        &self.deletes
    }

    /// Whether a document in `state` with `deleted` gone learns anything from this update.
    #[must_use]
    pub fn adds_to(&self, state: &StateVector, deleted: &IdSet) -> bool {
        !self.inserts_beyond(state).is_empty() || self.deletes.iter().any(|range| !covers(deleted, *range))
    }

    /// Whether a document in `state` could integrate only a part of this update now.
    #[must_use]
    pub fn leaves_hole_in(&self, state: &StateVector) -> bool {
        let known = |client: u64| state.get(&ClientID::new(client));
        let end_of = |client: u64| {
            let end = self
                .sections
                .get(&client)
                .and_then(|section| section.last())
                .map_or(0, Placed::end);
            end.max(known(client))
        };
        self.sections.iter().any(|(&client, section)| {
            let mut reached = known(client);
            section.iter().filter(|placed| !placed.block.skip).any(|placed| {
                let gap = placed.clock > reached;
                reached = reached.max(placed.end());
                gap || placed
                    .block
                    .refers_to()
                    .any(|(client, clock)| clock >= end_of(client))
            })
        }) || self
            .deletes
            .iter()
            .any(|range| range.clock + range.len > end_of(range.client))
    }

    fn scan_section(
        &mut self,
        reader: &mut Reader<'_>,
        allowance: &mut Allowance,
    ) -> Result<(), ProtocolError> {
        let count = reader.uint31()? as usize;
        let client = reader.uint()?;
        let mut clock = reader.uint31()?;
        // Every block takes two bytes or more.
        if count > reader.rest().len() / 2 {
            return Err(ProtocolError::Truncated);
        }
        allowance.take_blocks(count)?;
        let mut section = Vec::with_capacity(count);
        let mut pairs = Vec::new();
        for _ in 0..count {
            let block = Block::read(reader, &mut pairs)?;
            // Old versions of yjs wrote empty blocks; yrs leaves them out as well.
            if block.len == 0 {
                continue;
            }
            // A block that refers to its own client's future can never be integrated.
            if block
                .refers_to()
                .any(|(other, at)| other == client && at >= clock)
            {
                return Err(ProtocolError::Malformed("reference"));
            }
            section.push(Placed { clock, block });
            let end = advance(clock, block.len)?;
            self.pairs
                .extend(pairs.drain(..).map(|offset| (client, clock + offset)));
            clock = end;
        }
        // yjs writes one section per client; yrs would put a second one's blocks after those of the first.
        match self.sections.insert(client, section) {
            None => Ok(()),
            Some(_) => Err(ProtocolError::Malformed("list of clients")),
        }
    }

    fn scan_deletes(
        &mut self,
        reader: &mut Reader<'_>,
        allowance: &mut Allowance,
    ) -> Result<(), ProtocolError> {
        let mut clients = Vec::new();
        let lists = reader.count(2)?;
        allowance.take_clients(lists)?;
        for _ in 0..lists {
            let client = reader.uint()?;
            clients.push(client);
            let mut reached = 0;
            let ranges = reader.count(2)?;
            allowance.take_blocks(ranges)?;
            for _ in 0..ranges {
                let range = IdRange {
                    client,
                    clock: reader.uint31()?,
                    len: reader.uint31()?,
                };
                // Sorted and apart, as yjs writes them and as yrs takes for granted.
                if range.len == 0 || range.clock < reached {
                    return Err(ProtocolError::Malformed("delete set"));
                }
                reached = advance(range.clock, range.len)?;
                self.deletes.push(range);
            }
        }
        clients.sort_unstable();
        let all = clients.len();
        clients.dedup();
        // yrs would forget the first of two lists for a client.
        if clients.len() == all {
            Ok(())
        } else {
            Err(ProtocolError::Malformed("delete set"))
        }
    }
}

/// Blocks and ranges that any update may have, however short.
const FREE_BLOCKS: usize = 256;
/// Bytes that a block or a range of deletions takes at least, on average: a typed character takes twenty.
const BYTES_PER_BLOCK: usize = 4;
/// The most blocks and ranges of one update: those of a book with all that was ever deleted from it.
const MAX_BLOCKS: usize = 1 << 20;

/// How much more of an update may still come.
struct Allowance {
    blocks: usize,
    clients: usize,
}

impl Allowance {
    /// For what was let in before.
    const fn unlimited() -> Self {
        Self {
            blocks: usize::MAX,
            clients: usize::MAX,
        }
    }

    /// For an update of so many bytes.
    const fn of(bytes: usize) -> Self {
        let blocks = FREE_BLOCKS + bytes / BYTES_PER_BLOCK;
        Self {
            blocks: if blocks < MAX_BLOCKS { blocks } else { MAX_BLOCKS },
            clients: 2 * MAX_CLIENTS,
        }
    }

    fn take_blocks(&mut self, count: usize) -> Result<(), ProtocolError> {
        self.blocks = self
            .blocks
            .checked_sub(count)
            .ok_or(ProtocolError::TooMany("blocks for its size"))?;
        Ok(())
    }

    fn take_clients(&mut self, count: usize) -> Result<(), ProtocolError> {
        self.clients = self
            .clients
            .checked_sub(count)
            .ok_or(ProtocolError::TooMany("clients"))?;
        Ok(())
    }
}

fn advance(clock: u32, len: u32) -> Result<u32, ProtocolError> {
    clock
        .checked_add(len)
        .filter(|end| *end <= MAX_CLOCK)
        .ok_or(ProtocolError::Malformed("clock"))
}

fn covers(deleted: &IdSet, range: IdRange) -> bool {
    let end = range.clock + range.len;
    let mut clock = range.clock;
    let Some(ranges) = deleted.get(&ClientID::new(range.client)) else {
        return false;
    };
    for known in ranges.iter() {
        if known.start <= clock && clock < known.end {
            clock = known.end;
        }
        if clock >= end {
            return true;
        }
    }
    false
}
