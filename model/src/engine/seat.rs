//! Where requests run: each has its own cache while it is answered, and several take turns.
use super::{Engine, EngineError, session};
use crate::generate::kv_cache::KvCache;

/// The cache of one request, from [`Engine::take_seat`] to [`Engine::leave`]. No two are ever the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seat(pub(super) u64);

impl Engine {
    /// Takes the cache that [`Engine::turn_to`] has turned to, for one request: nobody else gets it, and it stays until
    /// [`Self::leave`].
    pub fn take_seat(&mut self) -> Seat {
        self.pool.take_seat()
    }

    /// Goes on with a request: what is fed now is its.
    ///
    /// # Errors
    /// When there is no such seat, or what was written together with others cannot be copied back.
    pub fn sit(&mut self, seat: Seat) -> Result<(), EngineError> {
        let gone = || EngineError::Run(ort::Error::new("what was read for this request is lost"));
        if self.pool.sit(seat).ok_or_else(gone)? {
            self.steps.clear(); // they are bound to another cache
        }
        if self.pool.active().lost {
            return Err(gone());
        }
        let most = self.capacity;
        let Some(batch) = &mut self.batch else {
            return Ok(());
        };
        let kept = self.pool.active_mut();
        let before = kept.cache.room();
        let brought = batch.bring_home(kept, most);
        let room = kept.cache.room();
        if room != before {
            self.steps.clear();
            self.pool.holds(room);
        }
        if brought.is_err() {
            self.pool.active_mut().lost = true;
        }
        Ok(brought?)
    }

    /// A request is over. What was read of its prompt may be reused.
    pub fn leave(&mut self, seat: Seat) {
        if let Some(own) = self.batch.as_ref().and_then(|batch| batch.own(seat))
            && let Some(kept) = self.pool.at_mut(seat)
        {
            kept.cut(own);
        }
        self.pool.leave(seat);
        let others =
            |batch: &super::batch::Batch| batch.seats().filter(|seat| self.pool.is_taken(*seat)).count();
        if self.batch.as_ref().is_some_and(|batch| others(batch) < 2) {
            self.part();
        }
    }

    /// One more cache, in use now; `copied`: how much of another's beginning it has.
    pub(super) fn add_cache(&mut self) -> Result<(), EngineError> {
        let allocator = session::cache_allocator(&self.session, self.device.provider);
        let cache = KvCache::new(&self.graph.cache, allocator, self.is_in_place())?;
        self.steps.clear();
        self.pool.add(cache);
        Ok(())
    }

    /// Copies the beginning that the prompt and another cache have in common into the one in use, which is empty.
    pub(super) fn copy_beginning(&mut self, from: usize, prompt: &[u32]) -> Result<(), EngineError> {
        let most = self.capacity;
        let Some((from, kept)) = self.pool.pair(from) else {
            return Ok(());
        };
        let common = super::pool::common(from.reusable(), prompt);
        kept.cache
            .make_room(0, prompt.len().max(common).min(most), most)?;
        kept.cache.copy_tokens(0, &from.cache, 0, 0..common)?;
        let tokens = prompt.get(..common).unwrap_or_default();
        self.pool.fed(tokens);
        let room = self.pool.active().cache.room();
        self.pool.holds(room);
        Ok(())
    }
}
