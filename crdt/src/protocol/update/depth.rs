//! How deep elements nest, kept per id, so that an update that nests without end is refused before it is applied.
//!
//! yrs deletes, collects and prints nested elements recursively: a chain of some ten thousand elements, sent a few at a
//! time, would run a thread out of its stack, which takes down the process and cannot be caught.

use std::collections::{BTreeMap, BTreeSet};

use super::block::Block;
use super::{Id, Placed, UpdateFacts};
use crate::authorship::IdMap;
use crate::ids::IdRange;
use crate::protocol::ProtocolError;

/// How deep elements may nest: ten times what a person writes, a tenth of what a thread's stack holds.
pub const MAX_ELEMENT_DEPTH: u32 = 200;

/// How deep each id of a document stands, roots being 0.
#[derive(Debug, Clone, Default)]
pub struct Depths {
    known: IdMap<u32>,
}

impl Depths {
    /// Takes in the blocks of an update that is about to be applied whole.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] when something would stand deeper than [`MAX_ELEMENT_DEPTH`], or blocks refer to each other
    /// in a circle. Nothing is taken in then.
    pub fn extend(&mut self, facts: &UpdateFacts) -> Result<(), ProtocolError> {
        let mut found = Found {
            depths: self,
            facts,
            new: BTreeMap::new(),
        };
        for (&client, section) in &facts.sections {
            for placed in section.iter().filter(|placed| !placed.block.skip) {
                found.settle((client, placed.clock))?;
            }
        }
        let new = found.new;
        for ((client, clock), (len, depth)) in new {
            self.known.insert(IdRange { client, clock, len }, &depth);
        }
        Ok(())
    }
}

struct Found<'a> {
    depths: &'a Depths,
    facts: &'a UpdateFacts,
    new: BTreeMap<Id, (u32, u32)>,
}

impl Found<'_> {
    /// Finds the depth of the block that starts at `start`, and of what it refers to first; without recursion.
    fn settle(&mut self, start: Id) -> Result<(), ProtocolError> {
        let mut waiting = vec![start];
        let mut open = BTreeSet::from([start]);
        while let Some(&id) = waiting.last() {
            let Some(placed) = self.block_at(id).filter(|placed| !self.is_settled(id, *placed)) else {
                waiting.pop();
                continue;
            };
            let Block {
                origin,
                right_origin,
                parent,
                ..
            } = placed.block;
            let depth = [(origin, 0), (right_origin, 0), (parent, 1)]
                .into_iter()
                .filter_map(|(reference, deeper)| Some((reference?, deeper)))
                .try_fold(0, |deepest, (reference, deeper)| {
                    Ok(deepest.max(self.depth(reference)? + deeper))
                });
            match depth {
                Ok(depth) if depth > MAX_ELEMENT_DEPTH => {
                    return Err(ProtocolError::Malformed("nesting: it is too deep"));
                }
                Ok(depth) => {
                    self.new.insert(id, (placed.block.len, depth));
                    waiting.pop();
                }
                Err(first) if open.insert(first) => waiting.push(first),
                Err(_) => return Err(ProtocolError::Malformed("reference")),
            }
        }
        Ok(())
    }

    fn is_settled(&self, id: Id, placed: Placed) -> bool {
        let known = |clock| self.depths.known.get(id.0, clock).is_some();
        self.new.contains_key(&id) || (known(placed.clock) && known(placed.end() - 1))
    }

    /// The depth of an id, or the start of the block of this update that must be settled first.
    fn depth(&self, (client, clock): Id) -> Result<u32, Id> {
        if let Some(&depth) = self.depths.known.get(client, clock) {
            return Ok(depth);
        }
        if let Some((&(_, start), &(len, depth))) = self.new.range((client, 0)..=(client, clock)).next_back()
            && clock < start + len
        {
            return Ok(depth);
        }
        match self.block_at((client, clock)) {
            Some(placed) if !placed.block.skip => Err((client, placed.clock)),
            // Collected or never seen: what stands there is collected as well.
            _ => Ok(0),
        }
    }

    fn block_at(&self, (client, clock): Id) -> Option<Placed> {
        let section = self.facts.sections.get(&client)?;
        let index = section.partition_point(|placed| placed.end() <= clock);
        section.get(index).copied().filter(|placed| placed.clock <= clock)
    }
}
