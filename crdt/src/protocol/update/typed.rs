//! Typing: pieces of text of one client, each right behind the one before.

use super::{Id, UpdateFacts};
use crate::ids::IdRange;

/// A piece of text at the end of what one client has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The ids of its characters.
    pub(crate) range: IdRange,
    /// Whether it was written right behind the id before its first.
    pub(crate) goes_on: bool,
    /// What it was written to the left of.
    pub(crate) right: Option<Id>,
}

impl UpdateFacts {
    /// The last piece of text of an update that one client wrote and that ends with one.
    #[must_use]
    pub(crate) fn last_typed(&self) -> Option<Typed> {
        let mut sections = self.sections.iter();
        let (Some((&client, section)), None) = (sections.next(), sections.next()) else {
            return None;
        };
        let placed = section.last().filter(|placed| placed.block.text)?;
        let before = placed.clock.checked_sub(1).map(|clock| (client, clock));
        Some(Typed {
            range: IdRange {
                client,
                clock: placed.clock,
                len: placed.block.len,
            },
            goes_on: before.is_some() && placed.block.origin == before,
            right: placed.block.right_origin,
        })
    }

    /// The piece of text that is all of this update, if it goes on behind what its client wrote before.
    #[must_use]
    pub(crate) fn typed_on(&self) -> Option<Typed> {
        let alone = self.deletes.is_empty() && self.sections.values().all(|section| section.len() == 1);
        self.last_typed().filter(|typed| alone && typed.goes_on)
    }
}
