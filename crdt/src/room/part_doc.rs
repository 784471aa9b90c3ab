//! The room's own copy of one part: encoded bytes at rest, a yrs document while somebody writes or asks more than bytes
//! can answer.
//!
//! yrs trusts its input. The bytes are checked before it sees them ([`UpdateFacts`]), but what they mean is not: an update
//! can name a text as its parent or cut a surrogate pair in two, and yrs stops half-way or panics. So the copy keeps the
//! encoded document as well, and is rebuilt from it when that happens.
//!
//! Most updates are a letter behind the letter before. What such a one does is known from its bytes ([`Runs`]), so the decoded
//! document takes it in later, with others, in one transaction: yrs looks at the whole run of text for every transaction.
//! Whoever asks for the document gets it with all of them ([`PartDoc::live`]).

mod live;
mod runs;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::{ClientID, Doc, IdSet, ReadTxn, StateVector, Transact};

use crate::ids::{IdRange, Part};
use crate::protocol::ProtocolError;
use crate::protocol::update::UpdateFacts;
use live::Live;
use runs::Runs;

/// Below this the encoded log is not worth compacting.
const MIN_TAIL: usize = 256 << 10;

/// How many updates, and how many bytes of them, the decoded document is behind at most: as much as is taken in within a
/// fraction of a millisecond.
const MAX_BEHIND: usize = 256;
const MAX_BEHIND_BYTES: usize = 32 << 10;

/// An update (v1) without a block or a delete: what an empty document is.
const EMPTY: [u8; 2] = [0, 0];

/// Why an update was not applied. The copy is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It is not an update.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// It is one, but means nothing that a document can become.
    #[error("the update contradicts the document")]
    Contradiction,
}

/// What applying somebody's update did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing: all of it was known.
    None,
    /// All of it counted.
    Whole {
        /// The ids that are new.
        ranges: Vec<IdRange>,
    },
    /// Some of it could not be integrated for want of what comes before, and was left out.
    Part {
        /// What counted, as an update.
        update: Vec<u8>,
        /// The ids that are new.
        ranges: Vec<IdRange>,
    },
}

/// What a change of the room's own did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// What it changed, as an update; `None` when it added nothing.
    pub(super) update: Option<Vec<u8>>,
    /// The ids that are new.
    pub(super) ranges: Vec<IdRange>,
}

/// One part of the document.
#[derive(Debug)]
pub(super) struct PartDoc {
    part: Part,
    client_id: u32,
    /// The document as one update (or nothing, when it is empty), and all that came since.
    base: Vec<u8>,
    tail: Vec<Vec<u8>>,
    /// The number of what was loaded first: 0 if it was a snapshot.
    first_number: usize,
    tail_size: usize,
    /// What it has, as far as that is known without decoding.
    state: OnceCell<StateVector>,
    /// The decoded document, while it is of use.
    live: OnceCell<Live>,
    /// Where those who type are, as far as the decoded document was there when they began.
    runs: Runs,
    /// How many of the last updates of `tail` the decoded document has not taken in yet, and their bytes.
    behind: Cell<(usize, usize)>,
}

impl PartDoc {
    /// A copy at rest, of updates that were accepted before. Nothing is decoded yet.
    pub(super) fn at_rest(
        part: Part,
        client_id: u32,
        snapshot: Option<Vec<u8>>,
        updates: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let snapshot = snapshot.filter(|bytes| *bytes != EMPTY);
        let mut tail: Vec<_> = updates.into_iter().collect();
        let first_number = usize::from(snapshot.is_none());
        // The first update of all is the whole document, as much as a snapshot would be.
        let base = match snapshot {
            None if tail.len() == 1 => tail.pop().unwrap_or_default(),
            snapshot => snapshot.unwrap_or_default(),
        };
        let copy = Self {
            part,
            client_id,
            base,
            first_number,
            tail_size: tail.iter().map(Vec::len).sum(),
            tail,
            state: OnceCell::new(),
            live: OnceCell::new(),
            runs: Runs::default(),
            behind: Cell::default(),
        };
        if copy.is_empty() {
            drop(copy.state.set(StateVector::default()));
        }
        copy
    }

    /// Decodes the document, if it is not decoded.
    ///
    /// # Errors
    /// The number of the update that is damaged (0 is the snapshot), and what is wrong with it.
    pub(super) fn wake(&mut self) -> Result<(), (usize, ApplyError)> {
        if !self.is_ready() {
            let live = self.decode()?;
            // What came since the snapshot is taken into it, so that the next reader can be answered with bytes.
            if !self.tail.is_empty() && !live.has_holes() {
                self.base = live.encode();
                self.tail.clear();
                self.tail_size = 0;
            }
            drop(self.state.set(live.state()));
            drop(self.live.set(live));
        }
        Ok(())
    }

    /// Whether the document is decoded.
    pub(super) fn is_awake(&self) -> bool {
        self.live.get().is_some()
    }

    /// Whether nothing has to be decoded to write or read it: it is, or it is empty.
    pub(super) fn is_ready(&self) -> bool {
        self.is_awake() || self.is_empty()
    }

    /// Lets go of the decoded document; the bytes stay.
    pub(super) fn rest(&mut self) {
        if self.is_awake() && !self.has_holes() {
            self.compact();
            self.state();
            self.live = OnceCell::new();
            self.runs = Runs::default();
        }
    }

    /// The document, to read and for [`PartDoc::change`].
    pub(super) fn doc(&self) -> &Doc {
        self.live().doc()
    }

    fn decode(&self) -> Result<Live, (usize, ApplyError)> {
        let base = Some(&self.base).filter(|bytes| !bytes.is_empty());
        Live::decode(
            self.part,
            self.client_id,
            base.into_iter().chain(&self.tail).map(Vec::as_slice),
        )
        .map_err(|(number, error)| (number + self.first_number, error))
    }

    /// The decoded document, with everything in it.
    fn live(&self) -> &Live {
        let live = self.live.get_or_init(|| {
            self.decode()
                .expect("whoever opened the room has woken it before asking for what is in it")
        });
        let (behind, _) = self.behind.take();
        if let Some(updates) = self
            .tail
            .len()
            .checked_sub(behind)
            .and_then(|first| self.tail.get(first..))
            && !updates.is_empty()
        {
            live.take_in(updates)
                .expect("text can stand behind text that its writer has written");
        }
        live
    }

    fn live_mut(&mut self) -> &mut Live {
        self.live();
        self.live.get_mut().expect("it was just decoded")
    }

    const fn is_empty(&self) -> bool {
        self.base.is_empty() && self.tail.is_empty()
    }

    /// What it has, if that is known without decoding.
    pub(super) fn known_state(&self) -> Option<&StateVector> {
        self.is_awake().then(|| self.state()).or_else(|| self.state.get())
    }

    /// What it has.
    pub(super) fn state(&self) -> &StateVector {
        self.state.get_or_init(|| self.live().state())
    }

    /// What of that is deleted.
    pub(super) fn deleted(&mut self) -> &IdSet {
        self.live_mut().deleted()
    }

    /// Whether blocks are held back for want of others.
    pub(super) fn has_holes(&self) -> bool {
        self.live.get().is_some_and(Live::has_holes)
    }

    /// Its encoded size in bytes, at most.
    pub(super) const fn size(&self) -> usize {
        self.base.len() + self.tail_size
    }

    /// Whether the whole document is there as bytes, for [`PartDoc::encode`] to hand out without decoding.
    pub(super) const fn is_whole(&self) -> bool {
        self.tail.is_empty()
    }

    /// The whole document as one update.
    pub(super) fn encode(&self) -> Vec<u8> {
        match (self.is_whole(), self.base.is_empty()) {
            (true, true) => EMPTY.to_vec(),
            (true, false) => self.base.clone(),
            (false, _) => self.live().encode(),
        }
    }

    /// What somebody in `state` lacks.
    ///
    /// # Errors
    /// [`ApplyError::Contradiction`] for a state that no copy of this document can have.
    pub(super) fn encode_since(&self, state: &StateVector) -> Result<Vec<u8>, ApplyError> {
        if state.is_empty() && self.is_whole() {
            return Ok(self.encode());
        }
        // A clock in the middle of a surrogate pair makes yrs panic while it reads; nothing is changed by that.
        catch_unwind(AssertUnwindSafe(|| {
            self.doc().transact().encode_state_as_update_v1(state)
        }))
        .map_err(|_| ApplyError::Contradiction)
    }

    /// Whether the map of decisions was touched since the last call.
    pub(super) fn take_decided(&self) -> bool {
        self.live.get().is_some_and(Live::take_decided)
    }

    /// Whether the map with the title was touched since the last call, or the document decoded.
    pub(super) fn take_named(&self) -> bool {
        self.live.get().is_some_and(Live::take_named)
    }

    /// Applies an update that was scanned. What cannot be integrated is left out, not held back.
    ///
    /// # Errors
    /// [`ApplyError`]; the copy is as it was.
    pub(super) fn apply(&mut self, update: &[u8], facts: &UpdateFacts) -> Result<News, ApplyError> {
        if let Some(news) = self.type_on(update, facts) {
            return Ok(news);
        }
        let before = self.state().clone();
        let changed = match self.live().integrate(update, facts, &before) {
            Ok(changed) => changed,
            Err(ApplyError::Contradiction) => {
                self.reset();
                return Err(ApplyError::Contradiction);
            }
            Err(error @ ApplyError::Protocol(_)) => return Err(error),
        };
        if self.has_holes() {
            let Some(news) = changed.map(|changed| changed.update) else {
                self.reset();
                return Ok(News::None);
            };
            let news = news.ok_or(ApplyError::Contradiction)?;
            self.keep(news.clone());
            self.reset();
            let ranges = UpdateFacts::scan(&news)?.inserts_beyond(&before);
            return Ok(News::Part { update: news, ranges });
        }
        let Some(changed) = changed else {
            return Ok(News::None);
        };
        self.state = OnceCell::from(changed.state);
        self.keep(update.to_vec());
        if !changed.looked_at {
            self.runs.begin(facts, &before);
        }
        Ok(News::Whole {
            ranges: facts.inserts_beyond(&before),
        })
    }

    /// Takes note of an update that goes on with a run; `None`: it is another one.
    fn type_on(&mut self, update: &[u8], facts: &UpdateFacts) -> Option<News> {
        if !self.is_awake() {
            return None;
        }
        self.state();
        let state = self.state.get_mut()?;
        let range = self.runs.go_on(facts, state)?;
        state.set_max(ClientID::new(range.client), range.end());
        let (behind, bytes) = self.behind.get();
        let (behind, bytes) = (behind + 1, bytes + update.len());
        self.behind.set((behind, bytes));
        self.keep(update.to_vec());
        if behind >= MAX_BEHIND || bytes >= MAX_BEHIND_BYTES {
            self.live();
        }
        Some(News::Whole { ranges: vec![range] })
    }

    /// Lets the room change the document in transactions of its own, all or nothing: an error (or a panic) leaves it as
    /// it was.
    ///
    /// # Errors
    /// What `change` returns; [`ApplyError`] when it panicked or made what no document may hold.
    pub(super) fn change<T, E: From<ApplyError>>(
        &mut self,
        change: impl FnOnce(&Doc) -> Result<T, E>,
    ) -> Result<(T, Applied), E> {
        let (result, news) = self.live().collect(change);
        let outcome = match result {
            Ok(Ok(outcome)) => self
                .take_own(news)
                .map(|applied| (outcome, applied))
                .map_err(E::from),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApplyError::Contradiction.into()),
        };
        if outcome.is_err() {
            self.reset();
        }
        outcome
    }

    fn take_own(&mut self, news: Vec<Vec<u8>>) -> Result<Applied, ApplyError> {
        let news = match news.len() {
            0 => return Ok(Applied::default()),
            1 => news.into_iter().next().unwrap_or_default(),
            _ => yrs::merge_updates_v1(&news).map_err(|_| ApplyError::Contradiction)?,
        };
        let nothing = StateVector::default();
        let facts = UpdateFacts::scan(&news)?;
        self.live().take_shape(&facts, &nothing)?;
        self.state = OnceCell::new();
        self.keep(news.clone());
        Ok(Applied {
            update: Some(news),
            ranges: facts.inserts_beyond(&nothing),
        })
    }

    /// Adds what was changed to the encoded log.
    fn keep(&mut self, update: Vec<u8>) {
        self.tail_size += update.len();
        self.tail.push(update);
        if self.tail_size > self.base.len().max(MIN_TAIL) {
            self.compact();
        }
    }

    /// Brings the encoded log down to the document as it is.
    pub(super) fn compact(&mut self) {
        if self.tail_size > 0 && !self.has_holes() {
            self.base = self.live().encode();
            self.tail = Vec::new();
            self.tail_size = 0;
        }
    }

    /// Starts again from what was kept.
    fn reset(&mut self) {
        self.state = OnceCell::new();
        self.runs = Runs::default();
        self.behind.take();
        let live = self
            .decode()
            .expect("every part of the log was applied before, in this order");
        self.live = OnceCell::from(live);
    }
}
