//! Which items make up a text, and which of them a proposal may delete.

use yrs::block::ClientID;
use yrs::{Assoc, BranchID, ID, IndexedSequence, ReadTxn, StateVector, StickyIndex, XmlOut, XmlTextRef};

use crate::anchor::ItemId;
use crate::ids::IdRange;

/// Units of a text that lie side by side and have consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: ItemId,
    /// Where it begins in its text, in UTF-16 units.
    pub(super) index: u32,
    pub(super) len: u32,
}

/// The runs between two indices of a text.
///
/// yrs tells no ids of items but by way of positions, unit by unit. (`Text::diff_range` with snapshots would tell them all
/// at once, but reads out of bounds in yrs 0.26 when some client has made only one or two items.)
pub(super) fn runs<T: ReadTxn>(txn: &T, text: &XmlTextRef, from: u32, to: u32) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for index in from..to {
        let position = text.sticky_index(txn, index, Assoc::After);
        let Some(id) = position
            .as_ref()
            .and_then(|position| position.id())
            .copied()
            .map(ItemId::from)
        else {
            continue;
        };
        match runs.last_mut() {
            Some(run)
                if run.id.client == id.client
                    && run.id.clock + run.len == id.clock
                    && run.index + run.len == index =>
            {
                run.len += 1;
            }
            _ => runs.push(Run { id, index, len: 1 }),
        }
    }
    runs
}

/// Where the unit of text with this id is, if it is alive.
pub(super) fn unit_at<T: ReadTxn>(txn: &T, id: ID) -> Option<(XmlTextRef, u32)> {
    let offset = StickyIndex::from_id(id, Assoc::After).get_offset(txn)?;
    let behind = StickyIndex::from_id(id, Assoc::Before).get_offset(txn)?;
    // Before and behind a tombstone are one place.
    if behind.index != offset.index + 1 || offset.branch.is_deleted() {
        return None;
    }
    match XmlOut::try_from(offset.branch) {
        Ok(XmlOut::Text(text)) => Some((text, offset.index)),
        Ok(XmlOut::Element(_) | XmlOut::Fragment(_)) | Err(_) => None,
    }
}

/// A set of ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Ids(Vec<IdRange>);

impl Ids {
    pub(super) fn new(ranges: impl IntoIterator<Item = IdRange>) -> Self {
        Self(ranges.into_iter().collect())
    }

    pub(super) fn contains(&self, id: ItemId) -> bool {
        self.0
            .iter()
            .any(|range| range.client == id.client && (range.clock..range.end()).contains(&id.clock))
    }
}

/// What a proposal may delete: what its author saw, and what an undo has put back of that.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) base: StateVector,
    pub(super) restored: Ids,
}

impl Named {
    pub(super) fn contains(&self, id: ItemId) -> bool {
        self.in_base(id) || self.restored.contains(id)
    }

    fn in_base(&self, id: ItemId) -> bool {
        id.to_yrs()
            .is_some_and(|ID { client, clock }| self.base.get(&client) > clock)
    }

    pub(super) fn contains_type(&self, id: &BranchID) -> bool {
        match id {
            BranchID::Nested(id) => self.contains((*id).into()),
            BranchID::Root(_) => false,
        }
    }

    /// The parts of the runs that may be deleted.
    pub(super) fn cut(&self, runs: &[Run]) -> Vec<Run> {
        let mut cut = Vec::new();
        for run in runs {
            let mut open: Option<Run> = None;
            for offset in 0..run.len {
                let id = ItemId {
                    clock: run.id.clock + offset,
                    ..run.id
                };
                match (self.contains(id), open.as_mut()) {
                    (true, Some(open)) => open.len += 1,
                    (true, None) => {
                        open = Some(Run {
                            id,
                            index: run.index + offset,
                            len: 1,
                        });
                    }
                    (false, _) => cut.extend(open.take()),
                }
            }
            cut.extend(open);
        }
        cut
    }
}

/// How many items this replica has made.
pub(super) fn own_clock<T: ReadTxn>(txn: &T, client: ClientID) -> u32 {
    txn.state_vector().get(&client)
}

/// Whether everything that `a` has seen, `b` has seen as well.
pub(super) fn covers(b: &StateVector, a: &StateVector) -> bool {
    a.iter().all(|(client, clock)| b.get(client) >= *clock)
}
