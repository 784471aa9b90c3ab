//! What must be known of a document to see that an update would break it: how deep elements nest, and where characters are
//! that take two units.
//!
//! yrs deletes, collects and prints nested elements recursively: a chain of some ten thousand elements, sent a few at a
//! time, would run a thread out of its stack, which takes down the process and cannot be caught. And it counts in UTF-16
//! units but keeps UTF-8: a text that is split between the two units of a character has another length when it is
//! written and read again, and every id after it means something else. (yjs puts U+FFFD in the place of both halves.) No
//! editor splits a character; lib0's diff, which y-prosemirror uses, takes care not to.

use std::collections::{BTreeMap, BTreeSet};

use yrs::{ClientID, StateVector};

use super::block::Block;
use super::{Id, Placed, UpdateFacts};
use crate::authorship::IdMap;
use crate::ids::IdRange;
use crate::protocol::ProtocolError;

/// How deep elements may nest: ten times what a person writes, a tenth of what a thread's stack holds.
pub const MAX_ELEMENT_DEPTH: u32 = 200;

/// The shape of a document, grown with every update.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// How deep each id stands, roots being 0.
    depths: IdMap<u32>,
    /// The second units of characters that take two. Costs as much as the document has emoji.
    pairs: BTreeSet<Id>,
}

impl Shape {
    /// Takes in the blocks of an update that is about to be applied to a document in `state`.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] when something would stand deeper than [`MAX_ELEMENT_DEPTH`], blocks refer to each other in
    /// a circle, or a character would be split. Nothing is taken in then.
    pub fn extend(&mut self, facts: &UpdateFacts, state: &StateVector) -> Result<(), ProtocolError> {
        if facts
            .cuts(state)
            .any(|cut| self.pairs.contains(&cut) || facts.pairs.contains(&cut))
        {
            return Err(ProtocolError::Malformed("cut: it splits a character"));
        }
        let mut found = Found {
            depths: &self.depths,
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
            self.depths.insert(IdRange { client, clock, len }, &depth);
        }
        self.pairs.extend(&facts.pairs);
        Ok(())
    }
}

impl UpdateFacts {
    /// The ids before which an update splits what stands there, in a document in `state`.
    fn cuts(&self, state: &StateVector) -> impl Iterator<Item = Id> {
        let deletes = self
            .deletes
            .iter()
            .flat_map(|range| [(range.client, range.clock), (range.client, range.end())]);
        let blocks = self.sections.iter().flat_map(|(&client, section)| {
            let known = state.get(&ClientID::new(client));
            section.iter().flat_map(move |placed| {
                let Block {
                    origin, right_origin, ..
                } = placed.block;
                let after = origin.map(|(client, clock)| (client, clock + 1));
                [
                    after,
                    right_origin,
                    Some((client, placed.clock)),
                    Some((client, known)),
                ]
                .into_iter()
                .flatten()
            })
        });
        deletes.chain(blocks)
    }
}

struct Found<'a> {
    depths: &'a IdMap<u32>,
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
        let known = |clock| self.depths.get(id.0, clock).is_some();
        self.new.contains_key(&id) || (known(placed.clock) && known(placed.end() - 1))
    }

    /// The depth of an id, or the start of the block of this update that must be settled first.
    fn depth(&self, (client, clock): Id) -> Result<u32, Id> {
        if let Some(&depth) = self.depths.get(client, clock) {
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
