//! Who wrote what, keyed by CRDT ids: it follows the characters through every later edit.
//!
//! The relay records, per write, the id ranges that came in on an identified connection. Ids are never used twice, so what
//! is recorded first about an id stands.

mod attribution;
#[cfg(test)]
mod attribution_tests;

use std::collections::BTreeMap;

pub use attribution::{Acceptance, Attribution, AuthorRun, Credit, Credits};

use crate::ids::{IdRange, Identity};

/// A map from ids to values that keeps one entry per run of ids with the same value.
///
/// **Invariant:** entries do not overlap, and what was set first for an id stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap<V> {
    /// (client, first clock) -> (clock after the last, value)
    runs: BTreeMap<(u64, u32), (u32, V)>,
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        Self {
            runs: BTreeMap::new(),
        }
    }
}

impl<V: Clone + PartialEq> IdMap<V> {
    /// Sets the value of those ids of `range` that have none yet.
    pub fn insert(&mut self, range: IdRange, value: &V) {
        let end = range.clock.saturating_add(range.len);
        let mut clock = range.clock;
        while clock < end {
            if let Some((_, taken_until, _)) = self.run(range.client, clock) {
                clock = taken_until;
                continue;
            }
            let next_taken = self
                .runs
                .range((range.client, clock)..(range.client, end))
                .next()
                .map_or(end, |(&(_, start), _)| start);
            self.put(range.client, clock, next_taken, value);
            clock = next_taken;
        }
    }

    /// The value of an id.
    #[must_use]
    pub fn get(&self, client: u64, clock: u32) -> Option<&V> {
        self.run(client, clock).map(|(_, _, value)| value)
    }

    /// How many runs there are: what the map costs.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// All runs in the order of client and clock.
    pub fn iter(&self) -> impl Iterator<Item = (IdRange, &V)> {
        self.runs.iter().map(|(&(client, clock), (end, value))| {
            (
                IdRange {
                    client,
                    clock,
                    len: end - clock,
                },
                value,
            )
        })
    }

    fn run(&self, client: u64, clock: u32) -> Option<(u32, u32, &V)> {
        let (&(_, start), (end, value)) = self.runs.range((client, 0)..=(client, clock)).next_back()?;
        (clock < *end).then_some((start, *end, value))
    }

    fn put(&mut self, client: u64, start: u32, end: u32, value: &V) {
        let before = start.checked_sub(1).and_then(|last| self.run(client, last));
        if let Some((run_start, _, run_value)) = before
            && run_value == value
        {
            self.runs.insert((client, run_start), (end, value.clone()));
        } else {
            self.runs.insert((client, start), (end, value.clone()));
        }
    }
}

/// Who wrote every character of a document, from the records of its room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorship {
    authors: Vec<Identity>,
    spans: IdMap<usize>,
}

impl Authorship {
    /// Records that `author` wrote `ranges`; ids that have an author keep theirs.
    pub fn record(&mut self, author: &Identity, ranges: &[IdRange]) {
        let index = self
            .authors
            .iter()
            .position(|known| known == author)
            .unwrap_or_else(|| {
                self.authors.push(author.clone());
                self.authors.len() - 1
            });
        for range in ranges {
            self.spans.insert(*range, &index);
        }
    }

    /// Who wrote the character with this id, if it is recorded.
    #[must_use]
    pub fn author(&self, client: u64, clock: u32) -> Option<&Identity> {
        self.authors.get(*self.spans.get(client, clock)?)
    }

    /// All recorded spans in the order of client and clock.
    pub fn spans(&self) -> impl Iterator<Item = (IdRange, &Identity)> {
        self.spans
            .iter()
            .filter_map(|(range, index)| Some((range, self.authors.get(*index)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(client: u64, clock: u32, len: u32) -> IdRange {
        IdRange { client, clock, len }
    }

    #[test]
    fn runs_of_one_value_are_one_entry() {
        let mut map = IdMap::default();
        for clock in 0..100 {
            map.insert(range(7, clock, 1), &"a");
        }
        assert_eq!(map.runs(), 1);
        assert_eq!(map.get(7, 99), Some(&"a"));
        assert_eq!(map.get(7, 100), None);
        assert_eq!(map.get(6, 0), None);
    }

    #[test]
    fn what_was_set_first_stands() {
        let mut map = IdMap::default();
        map.insert(range(1, 10, 5), &"first");
        map.insert(range(1, 20, 5), &"second");
        map.insert(range(1, 0, 40), &"late");
        let values: Vec<_> = map
            .iter()
            .map(|(run, value)| (run.clock, run.len, *value))
            .collect();
        assert_eq!(
            values,
            [
                (0, 10, "late"),
                (10, 5, "first"),
                (15, 5, "late"),
                (20, 5, "second"),
                (25, 15, "late")
            ]
        );
    }
}
