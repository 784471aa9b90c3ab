//! The decoded document behind a [`PartDoc`](super::PartDoc), and what is known of it besides.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Result as Caught;

use yrs::error::UpdateError;
use yrs::updates::decoder::Decode;
use yrs::{ClientID, Doc, IdSet, Observable, ReadTxn, StateVector, Transact, TransactionMut, Update};

use super::ApplyError;
use crate::ids::Part;
use crate::protocol::ProtocolError;
use crate::protocol::update::{Shape, UpdateFacts};

/// The key of the observers that this module sets.
const OBSERVER: &str = "room";

/// What a transaction changed.
#[derive(Debug)]
pub(super) struct Changed {
    /// What the document has now.
    pub(super) state: StateVector,
    /// What was integrated, as an update, where not all of the given one was.
    pub(super) update: Option<Vec<u8>>,
    /// Whether it is in a map that the room looks at after every change.
    pub(super) looked_at: bool,
}

#[derive(Debug)]
pub(super) struct Live {
    doc: Doc,
    shape: RefCell<Shape>,
    /// Whether the map of decisions was touched since somebody asked.
    decided: Arc<AtomicBool>,
    /// Whether the map with the title was.
    named: Arc<AtomicBool>,
    /// Whether one of them was, by the last update.
    looked_at: Arc<AtomicBool>,
    /// What is deleted, until the next write.
    deleted: RefCell<Option<IdSet>>,
}

impl Live {
    /// Builds the document from updates that were accepted before. Returns the number of the one that is damaged otherwise.
    pub(super) fn decode<'a>(
        part: Part,
        client_id: u32,
        updates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, (usize, ApplyError)> {
        let live = Self {
            doc: crate::doc::open(client_id.into()),
            shape: RefCell::default(),
            decided: Arc::default(),
            named: Arc::new(AtomicBool::new(true)),
            looked_at: Arc::default(),
            deleted: RefCell::default(),
        };
        let mut state = StateVector::default();
        for (number, update) in updates.into_iter().enumerate() {
            let changed = UpdateFacts::scan(update)
                .map_err(ApplyError::from)
                .and_then(|facts| live.integrate(update, &facts, &state));
            if let Some(changed) = changed.map_err(|error| (number, error))? {
                state = changed.state;
            }
        }
        if part == Part::Body {
            for (map, touched) in [
                (crate::doc::decisions(&live.doc), &live.decided),
                (crate::doc::meta(&live.doc), &live.named),
            ] {
                let (touched, looked_at) = (Arc::clone(touched), Arc::clone(&live.looked_at));
                map.observe_with(OBSERVER, move |_, _| {
                    touched.store(true, Ordering::Relaxed);
                    looked_at.store(true, Ordering::Relaxed);
                });
            }
        }
        Ok(live)
    }

    pub(super) const fn doc(&self) -> &Doc {
        &self.doc
    }

    pub(super) fn state(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    pub(super) fn deleted(&mut self) -> &IdSet {
        let doc = &self.doc;
        self.deleted
            .get_mut()
            .get_or_insert_with(|| doc.transact().snapshot().delete_set)
    }

    pub(super) fn has_holes(&self) -> bool {
        self.doc.transact().has_missing_updates()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.doc
            .transact()
            .encode_state_as_update_v1(&StateVector::default())
    }

    pub(super) fn take_decided(&self) -> bool {
        self.decided.swap(false, Ordering::Relaxed)
    }

    pub(super) fn take_named(&self) -> bool {
        self.named.swap(false, Ordering::Relaxed)
    }

    /// Takes in the shape of what a transaction of the room's own wrote.
    pub(super) fn take_shape(&self, facts: &UpdateFacts, state: &StateVector) -> Result<(), ApplyError> {
        self.deleted.replace(None);
        Ok(self.shape.borrow_mut().extend(facts, state)?)
    }

    /// Applies updates that only type on, one after the other, in one transaction.
    pub(super) fn take_in(&self, updates: &[Vec<u8>]) -> Result<(), ApplyError> {
        let mut decoded = Vec::with_capacity(updates.len());
        let mut state = self.state();
        for bytes in updates {
            let facts = UpdateFacts::scan(bytes)?;
            self.take_shape(&facts, &state)?;
            for range in facts.inserts_beyond(&state) {
                state.set_max(ClientID::new(range.client), range.end());
            }
            decoded.push(decode(bytes)?);
        }
        self.transact(|txn| {
            decoded
                .into_iter()
                .try_for_each(|update| txn.apply_update(update))
        })
    }

    /// Checks and applies one update in a transaction of its own; `before` is what the document has. `None`: nothing of it
    /// was new.
    pub(super) fn integrate(
        &self,
        update: &[u8],
        facts: &UpdateFacts,
        before: &StateVector,
    ) -> Result<Option<Changed>, ApplyError> {
        let update = decode(update)?;
        self.shape.borrow_mut().extend(facts, before)?;
        self.looked_at.store(false, Ordering::Relaxed);
        let changed = self.transact(|txn| {
            txn.apply_update(update)?;
            txn.commit();
            let changed = txn.after_state() != txn.before_state() || !txn.delete_set().is_empty();
            Ok(changed.then(|| Changed {
                state: txn.after_state().clone(),
                update: txn.has_missing_updates().then(|| txn.encode_update_v1()),
                looked_at: self.looked_at.load(Ordering::Relaxed),
            }))
        })?;
        if changed.is_some() {
            self.deleted.replace(None);
        }
        Ok(changed)
    }

    /// Lets yrs `apply` something in a transaction of its own, and catches what it makes of it.
    fn transact<T>(
        &self,
        apply: impl FnOnce(&mut TransactionMut<'_>) -> Result<T, UpdateError>,
    ) -> Result<T, ApplyError> {
        let mut txn = ManuallyDrop::new(
            self.doc
                .try_transact_mut()
                .map_err(|_| ApplyError::Contradiction)?,
        );
        let applied = catch_unwind(AssertUnwindSafe(|| apply(&mut txn)));
        // Dropping commits what is not committed, which can panic on its own; inside an unwinding that would end the process.
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            drop::<TransactionMut<'_>>(ManuallyDrop::into_inner(txn));
        }));
        match (applied, dropped) {
            (Ok(Ok(done)), Ok(())) => Ok(done),
            _ => Err(ApplyError::Contradiction),
        }
    }

    /// Runs `change` and returns what it returned, or that it panicked, with the updates that its transactions made.
    pub(super) fn collect<T>(&self, change: impl FnOnce(&Doc) -> T) -> (Caught<T>, Vec<Vec<u8>>) {
        let news: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let sink = Arc::clone(&news);
        // Observed only while the room writes: yrs encodes every transaction again for whoever observes.
        let observed = self.doc.observe_update_v1_with(OBSERVER, move |_, event| {
            sink.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(event.update.clone());
        });
        let result = catch_unwind(AssertUnwindSafe(|| change(&self.doc)));
        // After a panic the document is thrown away, and the observer with it.
        drop((observed, self.doc.unobserve_update_v1(OBSERVER)));
        let news = std::mem::take(&mut *news.lock().unwrap_or_else(PoisonError::into_inner));
        (result, news)
    }
}

fn decode(update: &[u8]) -> Result<Update, ApplyError> {
    let decoded = Update::decode_v1(update);
    decoded.map_err(|_| ProtocolError::Malformed("content").into())
}
