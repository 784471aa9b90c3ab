//! Whose every recorded id is, in as few spans as that takes: for clients, which know the ids of the characters they show.

use std::collections::BTreeSet;

use super::{Attribution, Credit};
use crate::authorship::IdMap;
use crate::ids::IdRange;

impl Attribution {
    /// Every recorded span of ids with whose it is, in the order of client and clock. Spans of content that has been deleted
    /// are among them. Takes time with the number of spans, not with the length of the text, except for what an undo has
    /// put back.
    #[must_use]
    pub fn spans(&self) -> Vec<(IdRange, Credit)> {
        // Between two neighbouring cuts everything that is recorded says the same of all ids.
        let mut cuts = BTreeSet::new();
        cut(&mut cuts, &self.credits.spans);
        cut(&mut cuts, &self.accepted);
        cut(&mut cuts, &self.revived);
        let mut found: Vec<(IdRange, Credit)> = Vec::new();
        for (recorded, _) in self.authorship.spans() {
            let client = recorded.client;
            let end = recorded.clock.saturating_add(recorded.len);
            let mut clock = recorded.clock;
            while clock < end {
                // Of what was put back every unit may have another past.
                let step = clock.saturating_add(1);
                let next = if self.revived.get(client, clock).is_some() {
                    step
                } else {
                    let cut = cuts.range((client, step)..(client, end)).next();
                    cut.map_or(end, |(_, clock)| *clock)
                };
                if let Some(credit) = self.of(client, clock) {
                    push(&mut found, client, (clock, next), credit);
                }
                clock = next;
            }
        }
        found
    }
}

fn cut<V: Clone + PartialEq>(cuts: &mut BTreeSet<(u64, u32)>, map: &IdMap<V>) {
    for (range, _) in map.iter() {
        cuts.insert((range.client, range.clock));
        cuts.insert((range.client, range.clock.saturating_add(range.len)));
    }
}

fn push(found: &mut Vec<(IdRange, Credit)>, client: u64, (clock, end): (u32, u32), credit: Credit) {
    match found.last_mut() {
        Some((last, same)) if last.client == client && last.clock + last.len == clock && *same == credit => {
            last.len += end - clock;
        }
        _ => {
            let len = end - clock;
            found.push((IdRange { client, clock, len }, credit));
        }
    }
}
