//! Where those who type are: what tells from an update's bytes alone that it can be applied, and to what effect.
//!
//! A piece of text right behind its writer's last piece, and to the left of the same neighbour, is what yjs would keep as one
//! block with that piece. So it refers to nothing new, stands as deep, and cuts nothing that was not cut before.

use std::collections::HashMap;

use yrs::{ClientID, StateVector};

use crate::ids::IdRange;
use crate::protocol::update::{Typed, UpdateFacts};

/// How many are remembered: more than type at one time. Whoever is forgotten is known again after a letter.
const MAX_RUNS: usize = 256;

/// The last piece of text of each client, by the client.
#[derive(Debug, Default)]
pub(super) struct Runs(HashMap<u64, Typed>);

impl Runs {
    /// Takes note of an update that was applied whole to a document in `before`.
    pub(super) fn begin(&mut self, facts: &UpdateFacts, before: &StateVector) {
        // Text that was there before may be other than the update says.
        let Some(typed) = facts
            .last_typed()
            .filter(|typed| typed.range.clock >= before.get(&ClientID::new(typed.range.client)))
        else {
            return;
        };
        if self.0.len() >= MAX_RUNS {
            self.0.clear();
        }
        self.0.insert(typed.range.client, typed);
    }

    /// The ids of an update that goes on with a run of a document in `state`, and does nothing else.
    pub(super) fn go_on(&mut self, facts: &UpdateFacts, state: &StateVector) -> Option<IdRange> {
        let typed = facts.typed_on()?;
        let IdRange { client, clock, .. } = typed.range;
        let run = self.0.get_mut(&client)?;
        let goes_on = run.range.end() == clock && run.right == typed.right;
        if !goes_on || state.get(&ClientID::new(client)) != clock {
            return None;
        }
        *run = typed;
        Some(typed.range)
    }
}
