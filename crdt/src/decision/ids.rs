//! Which items make up a text, and which of them a proposal may delete.

use yrs::block::ClientID;
use yrs::{
    Assoc, BranchID, ID, IndexedSequence, ReadTxn, StateVector, StickyIndex, Text, XmlElementRef,
    XmlFragment, XmlOut, XmlTextRef,
};

use super::record::{Decision, Revived};
use crate::anchor::ItemId;
use crate::ids::IdRange;

/// Units of a text that lie side by side and have consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: ItemId,
    /// Where it begins in its text, in UTF-16 units.
    pub(crate) index: u32,
    pub(crate) len: u32,
}

impl Run {
    pub(crate) fn ids(&self) -> IdRange {
        IdRange {
            client: self.id.client,
            clock: self.id.clock,
            len: self.len,
        }
    }
}

/// The runs between two indices of a text.
///
/// yrs tells no ids of items but by way of positions, unit by unit. (`Text::diff_range` with snapshots would tell them all
/// at once, but reads out of bounds in yrs 0.26 when some client has made only one or two items.)
pub(crate) fn runs<T: ReadTxn>(txn: &T, text: &XmlTextRef, from: u32, to: u32) -> Vec<Run> {
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
pub(crate) fn unit_at<T: ReadTxn>(txn: &T, id: ID) -> Option<(XmlTextRef, u32)> {
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
pub(crate) struct Ids(Vec<IdRange>);

impl Ids {
    pub(crate) fn new(ranges: impl IntoIterator<Item = IdRange>) -> Self {
        Self(ranges.into_iter().collect())
    }

    pub(crate) fn contains(&self, id: ItemId) -> bool {
        self.0
            .iter()
            .any(|range| range.client == id.client && (range.clock..range.end()).contains(&id.clock))
    }
}

/// What undos have put back, from all records: the same content under other ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lives(Vec<Revived>);

/// Content that is put back and taken out again more often than this has lost its history; records that go in circles
/// were not written by an undo.
const MAX_LIVES: usize = 1_000;

impl Lives {
    pub(crate) fn of(decisions: &[Decision]) -> Self {
        let revived = decisions.iter().flat_map(|decision| &decision.revived).copied();
        Self(
            revived
                .filter(|revived| revived.was.len == revived.is.len)
                .collect(),
        )
    }

    pub(crate) fn add(&mut self, revived: &[Revived]) {
        self.0.extend(revived);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id that something had before it was put back.
    fn before(&self, id: ItemId) -> Option<ItemId> {
        self.0.iter().find_map(|Revived { was, is }| {
            let held = is.client == id.client && (is.clock..is.end()).contains(&id.clock);
            held.then(|| ItemId {
                client: was.client,
                clock: was.clock.saturating_add(id.clock - is.clock),
            })
        })
    }

    /// Some ids and all that the same content has had since.
    pub(crate) fn since(&self, ranges: &[IdRange]) -> Vec<IdRange> {
        let mut all = ranges.to_vec();
        let mut next = 0;
        while let Some(range) = all.get(next).copied().filter(|_| next < MAX_LIVES + ranges.len()) {
            for Revived { was, is } in self.0.iter().filter(|revived| revived.was.client == range.client) {
                let start = was.clock.max(range.clock);
                let end = was.end().min(range.end());
                if start < end {
                    let later = IdRange {
                        client: is.client,
                        clock: is.clock.saturating_add(start - was.clock),
                        len: end - start,
                    };
                    if !all.contains(&later) {
                        all.push(later);
                    }
                }
            }
            next += 1;
        }
        all
    }
}

/// What a proposal may delete: what its author saw, also when an undo has put it back since.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) base: StateVector,
    pub(crate) lives: Lives,
}

impl Named {
    pub(crate) fn contains(&self, id: ItemId) -> bool {
        let mut id = id;
        for _ in 0..MAX_LIVES {
            if self.in_base(id) {
                return true;
            }
            match self.lives.before(id) {
                Some(before) => id = before,
                None => return false,
            }
        }
        false
    }

    fn in_base(&self, id: ItemId) -> bool {
        id.to_yrs()
            .is_some_and(|ID { client, clock }| self.base.get(&client) > clock)
    }

    pub(crate) fn contains_type(&self, id: &BranchID) -> bool {
        match id {
            BranchID::Nested(id) => self.contains((*id).into()),
            BranchID::Root(_) => false,
        }
    }

    /// The parts of the runs that may be deleted.
    pub(crate) fn cut(&self, runs: &[Run]) -> Vec<Run> {
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
pub(crate) fn own_clock<T: ReadTxn>(txn: &T, client: ClientID) -> u32 {
    txn.state_vector().get(&client)
}

/// The ids of an element and of all that is in it, in the order of the text: elements and units of text.
pub(crate) fn ids_within<T: ReadTxn>(txn: &T, element: &XmlElementRef) -> Vec<IdRange> {
    let mut ids = Vec::new();
    let own = super::tree::item_of(element);
    ids.extend(own.map(|ItemId { client, clock }| IdRange {
        client,
        clock,
        len: 1,
    }));
    for child in element.children(txn) {
        match child {
            XmlOut::Text(text) => ids.extend(ids_of_text(txn, &text, 0, text.len(txn))),
            XmlOut::Element(child) => ids.extend(ids_within(txn, &child)),
            XmlOut::Fragment(_) => {}
        }
    }
    ids
}

/// The ids of a part of a text.
pub(crate) fn ids_of_text<T: ReadTxn>(txn: &T, text: &XmlTextRef, from: u32, to: u32) -> Vec<IdRange> {
    runs(txn, text, from, to).iter().map(Run::ids).collect()
}

/// Two lists of as many ids, side by side; nothing if they are not as many.
pub(crate) fn side_by_side(was: &[IdRange], is: &[IdRange]) -> Vec<Revived> {
    let count = |ranges: &[IdRange]| ranges.iter().map(|range| u64::from(range.len)).sum::<u64>();
    let mut pairs = Vec::new();
    if count(was) != count(is) {
        return pairs;
    }
    let (mut was, mut is) = (was.iter().copied(), is.iter().copied());
    let (mut left, mut right) = (was.next(), is.next());
    while let (Some(a), Some(b)) = (left, right) {
        let len = a.len.min(b.len);
        if len > 0 {
            pairs.push(Revived {
                was: IdRange { len, ..a },
                is: IdRange { len, ..b },
            });
        }
        let rest = |range: IdRange| IdRange {
            clock: range.clock.saturating_add(len),
            len: range.len - len,
            ..range
        };
        left = Some(rest(a)).filter(|range| range.len > 0).or_else(|| was.next());
        right = Some(rest(b)).filter(|range| range.len > 0).or_else(|| is.next());
    }
    pairs
}
