//! The room's own copy of one part: encoded bytes at rest, a yrs document while somebody writes or asks more than bytes
//! can answer.
//!
//! yrs trusts its input. The bytes are checked before it sees them ([`UpdateFacts`]), but what they mean is not: an update
//! can name a text as its parent or cut a surrogate pair in two, and yrs stops half-way or panics. So the copy keeps the
//! encoded document as well, and is rebuilt from it when that happens.

mod live;

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::{Doc, IdSet, ReadTxn, StateVector, Transact};

use crate::ids::{IdRange, Part};
use crate::protocol::ProtocolError;
use crate::protocol::update::UpdateFacts;
use live::Live;

/// Below this the encoded log is not worth compacting.
const MIN_TAIL: usize = 256 << 10;

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
    tail_size: usize,
    /// What it has, as far as that is known without decoding.
    state: OnceCell<StateVector>,
    /// The decoded document, while it is of use.
    live: OnceCell<Live>,
}

impl PartDoc {
    /// A copy at rest, of updates that were accepted before. Nothing is decoded yet.
    pub(super) fn at_rest(
        part: Part,
        client_id: u32,
        snapshot: Option<Vec<u8>>,
        updates: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let base = snapshot.filter(|bytes| *bytes != EMPTY).unwrap_or_default();
        let tail: Vec<_> = updates.into_iter().collect();
        let copy = Self {
            part,
            client_id,
            base,
            tail_size: tail.iter().map(Vec::len).sum(),
            tail,
            state: OnceCell::new(),
            live: OnceCell::new(),
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
        if self.live.get().is_none() {
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

    /// Lets go of the decoded document; the bytes stay.
    pub(super) fn rest(&mut self) {
        if self.is_awake() && !self.has_holes() {
            self.compact();
            self.state();
            self.live = OnceCell::new();
        }
    }

    /// The document, to read and for [`PartDoc::change`].
    pub(super) fn doc(&self) -> &Doc {
        self.live().doc()
    }

    fn decode(&self) -> Result<Live, (usize, ApplyError)> {
        let first = usize::from(self.base.is_empty());
        let base = Some(&self.base).filter(|bytes| !bytes.is_empty());
        Live::decode(
            self.part,
            self.client_id,
            base.into_iter().chain(&self.tail).map(Vec::as_slice),
        )
        .map_err(|(number, error)| (number + first, error))
    }

    fn live(&self) -> &Live {
        self.live.get_or_init(|| {
            self.decode()
                .expect("whoever opened the room has woken it before asking for what is in it")
        })
    }

    fn live_mut(&mut self) -> &mut Live {
        self.live();
        self.live.get_mut().expect("it was just decoded")
    }

    fn is_empty(&self) -> bool {
        self.base.is_empty() && self.tail.is_empty()
    }

    /// What it has, if that is known without decoding.
    pub(super) fn known_state(&self) -> Option<&StateVector> {
        self.state.get()
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

    /// Applies an update that was scanned. What cannot be integrated is left out, not held back.
    ///
    /// # Errors
    /// [`ApplyError`]; the copy is as it was.
    pub(super) fn apply(&mut self, update: &[u8], facts: &UpdateFacts) -> Result<News, ApplyError> {
        let before = self.state().clone();
        let changed = match self.live_mut().integrate(update, facts, &before) {
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
        Ok(News::Whole {
            ranges: facts.inserts_beyond(&before),
        })
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
        self.live_mut().take_shape(&facts, &nothing)?;
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
        let live = self
            .decode()
            .expect("every part of the log was applied before, in this order");
        self.live = OnceCell::from(live);
    }
}
