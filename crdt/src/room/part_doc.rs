//! The room's own copy of one part: a yrs document that survives what is applied to it.
//!
//! yrs trusts its input. The bytes are checked before it sees them ([`UpdateFacts`]), but what they mean is not: an update
//! can name a text as its parent or cut a surrogate pair in two, and yrs stops half-way or panics. So the copy keeps the
//! encoded document as well, and is rebuilt from it when that happens.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use yrs::updates::decoder::Decode;
use yrs::{Doc, IdSet, Observable, ReadTxn, StateVector, Transact, TransactionMut, Update};

use crate::ids::{IdRange, Part};
use crate::protocol::ProtocolError;
use crate::protocol::update::{Shape, UpdateFacts};

/// Below this the encoded log is not worth compacting.
const MIN_TAIL: usize = 256 << 10;

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

/// What applying an update did.
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
    doc: Doc,
    shape: Shape,
    /// The document as one update, and all that came since.
    base: Vec<u8>,
    tail: Vec<Vec<u8>>,
    tail_size: usize,
    /// What transactions changed, collected by an observer.
    news: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Whether the map of decisions was touched since somebody asked.
    decided: Arc<AtomicBool>,
    /// What is deleted, until the next write.
    deleted: Option<IdSet>,
}

impl PartDoc {
    /// Builds the copy from updates that were accepted before. Returns the number of the one that is damaged otherwise.
    pub(super) fn open<'a>(
        part: Part,
        client_id: u32,
        updates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, (usize, ApplyError)> {
        let mut copy = Self {
            part,
            client_id,
            doc: crate::doc::open(client_id.into()),
            shape: Shape::default(),
            base: Vec::new(),
            tail: Vec::new(),
            tail_size: 0,
            news: Arc::default(),
            decided: Arc::default(),
            deleted: None,
        };
        for (number, update) in updates.into_iter().enumerate() {
            copy.integrate(update).map_err(|error| (number, error))?;
        }
        copy.base = copy.encode();
        copy.observe();
        Ok(copy)
    }

    /// The document, to read and for [`PartDoc::change`].
    pub(super) const fn doc(&self) -> &Doc {
        &self.doc
    }

    /// What it has.
    pub(super) fn state(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    /// What of that is deleted.
    pub(super) fn deleted(&mut self) -> &IdSet {
        let doc = &self.doc;
        self.deleted
            .get_or_insert_with(|| doc.transact().snapshot().delete_set)
    }

    /// Whether blocks are held back for want of others.
    pub(super) fn has_holes(&self) -> bool {
        self.doc.transact().has_missing_updates()
    }

    /// Its encoded size in bytes, at most.
    pub(super) const fn size(&self) -> usize {
        self.base.len() + self.tail_size
    }

    /// The whole document as one update.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.doc
            .transact()
            .encode_state_as_update_v1(&StateVector::default())
    }

    /// What somebody in `state` lacks.
    ///
    /// # Errors
    /// [`ApplyError::Contradiction`] for a state that no copy of this document can have.
    pub(super) fn encode_since(&self, state: &StateVector) -> Result<Vec<u8>, ApplyError> {
        // A clock in the middle of a surrogate pair makes yrs panic while it reads; nothing is changed by that.
        catch_unwind(AssertUnwindSafe(|| {
            self.doc.transact().encode_state_as_update_v1(state)
        }))
        .map_err(|_| ApplyError::Contradiction)
    }

    /// Whether the map of decisions was touched since the last call.
    pub(super) fn take_decided(&self) -> bool {
        self.decided.swap(false, Ordering::Relaxed)
    }

    /// Applies an update. What cannot be integrated is left out, not held back.
    ///
    /// # Errors
    /// [`ApplyError`]; the copy is as it was.
    pub(super) fn apply(&mut self, update: &[u8]) -> Result<Applied, ApplyError> {
        let before = self.state();
        let facts = match self.integrate(update) {
            Ok(facts) => facts,
            Err(ApplyError::Contradiction) => {
                self.reset();
                return Err(ApplyError::Contradiction);
            }
            Err(error @ ApplyError::Protocol(_)) => return Err(error),
        };
        let news = self.collect()?;
        if let Some(news) = &news {
            self.keep(news.clone());
        }
        let holes = self.has_holes();
        if holes {
            self.reset();
        }
        let ranges = match &news {
            None => Vec::new(),
            Some(news) if holes => UpdateFacts::scan(news)?.inserts_beyond(&before),
            Some(_) => facts.inserts_beyond(&before),
        };
        Ok(Applied { update: news, ranges })
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
        let result = catch_unwind(AssertUnwindSafe(|| change(&self.doc)));
        let outcome = match result {
            Ok(Ok(outcome)) => self.take_own().map(|applied| (outcome, applied)).map_err(E::from),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApplyError::Contradiction.into()),
        };
        if outcome.is_err() {
            self.reset();
        }
        outcome
    }

    fn take_own(&mut self) -> Result<Applied, ApplyError> {
        let Some(news) = self.collect()? else {
            return Ok(Applied::default());
        };
        let nothing = StateVector::default();
        let facts = UpdateFacts::scan(&news)?;
        self.shape.extend(&facts, &nothing)?;
        self.keep(news.clone());
        Ok(Applied {
            update: Some(news),
            ranges: facts.inserts_beyond(&nothing),
        })
    }

    /// What transactions changed since the last call, as one update.
    fn collect(&self) -> Result<Option<Vec<u8>>, ApplyError> {
        let mut news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        match news.len() {
            0 | 1 => Ok(news.pop()),
            _ => yrs::merge_updates_v1(&news)
                .map(Some)
                .map_err(|_| ApplyError::Contradiction),
        }
    }

    /// Adds what was changed to the encoded log.
    fn keep(&mut self, update: Vec<u8>) {
        self.deleted = None;
        self.tail_size += update.len();
        self.tail.push(update);
        if self.tail_size > self.base.len().max(MIN_TAIL) {
            self.compact();
        }
    }

    /// Brings the encoded log down to the document as it is.
    pub(super) fn compact(&mut self) {
        if self.tail_size > 0 && !self.has_holes() {
            self.base = self.encode();
            self.tail.clear();
            self.tail_size = 0;
        }
    }

    /// Checks and applies one update in a transaction of its own.
    fn integrate(&mut self, update: &[u8]) -> Result<UpdateFacts, ApplyError> {
        let facts = UpdateFacts::scan(update)?;
        self.shape.extend(&facts, &self.state())?;
        let update = Update::decode_v1(update).map_err(|_| ProtocolError::Malformed("content"))?;
        let mut txn = ManuallyDrop::new(
            self.doc
                .try_transact_mut()
                .map_err(|_| ApplyError::Contradiction)?,
        );
        let applied = catch_unwind(AssertUnwindSafe(|| txn.apply_update(update)));
        // Dropping commits, which can panic on its own; inside an unwinding that would end the process.
        let committed = catch_unwind(AssertUnwindSafe(|| {
            drop::<TransactionMut<'_>>(ManuallyDrop::into_inner(txn));
        }));
        match (applied, committed) {
            (Ok(Ok(())), Ok(())) => Ok(facts),
            _ => Err(ApplyError::Contradiction),
        }
    }

    /// Starts again from what was kept.
    fn reset(&mut self) {
        let parts = std::iter::once(&self.base).chain(&self.tail).map(Vec::as_slice);
        *self = Self::open(self.part, self.client_id, parts)
            .expect("every part of the log was applied before, in this order");
    }

    fn observe(&self) {
        let news = Arc::clone(&self.news);
        self.doc
            .observe_update_v1_with("room", move |_, event| {
                news.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(event.update.clone());
            })
            .expect("no transaction is open on a document that was just made");
        if self.part == Part::Body {
            let decided = Arc::clone(&self.decided);
            crate::doc::decisions(&self.doc)
                .observe_with("room", move |_, _| decided.store(true, Ordering::Relaxed));
        }
    }
}
