//! One run for several requests: a token more for each.
//!
//! Reading the weights is most of what a step costs, and a step for several requests reads them once. Each request keeps
//! its own cache; the batch has a row for each with a copy of it, into which runs write. What a row has and the request's
//! own cache has not (or the other way round) is copied when it is needed: before the request runs alone, or in the batch
//! again.
use ort::session::IoBinding;
use ort::value::Tensor;

use super::graph::Graph;
use super::pool::{Kept, Pool};
use super::seat::Seat;
use super::{Engine, EngineError, TRIAL, keep_last_rows, same, session, write};
use crate::device::Provider;
use crate::generate::kv_cache::{KvCache, ROOM};

/// Whether requests can run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Together {
    No,
    /// The scores differ a little from those alone, as those of runs of several tokens do.
    Nearly,
    /// The scores are those alone.
    Exactly,
}

/// Runs for so many are tried: kernels take rows in groups.
const TRIED_ROWS: [usize; 3] = [2, 3, 6];

/// The requests that run together, and their rows.
#[derive(Debug)]
pub(super) struct Batch {
    rows: Vec<Row>,
    cache: KvCache,
    /// Made when the cache has its room.
    step: Option<Bound>,
}

/// Which tokens of a request are where.
#[derive(Debug)]
struct Row {
    seat: Seat,
    /// Tokens, from the start, that the row has.
    here: usize,
    /// Tokens, from the start, that the request's own cache has.
    own: usize,
}

#[derive(Debug)]
struct Bound {
    binding: IoBinding,
    ids: Tensor<i64>,
    positions: Tensor<i64>,
}

impl Batch {
    /// Rows for these requests, with nothing in them.
    fn new(cache: KvCache, seats: impl Iterator<Item = (Seat, usize)>) -> Self {
        let rows = seats.map(|(seat, own)| Row { seat, here: 0, own }).collect();
        Self {
            rows,
            cache,
            step: None,
        }
    }

    /// Who has a row.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> {
        self.rows.iter().map(|row| row.seat)
    }

    /// Tokens that there is room for, in all rows.
    pub(super) const fn room(&self) -> usize {
        self.rows.len() * self.cache.room()
    }

    /// What a run takes besides is another one now.
    pub(super) fn unbind(&mut self) {
        self.step = None;
    }

    /// How many tokens the own cache of a request has.
    pub(super) fn own(&self, seat: Seat) -> Option<usize> {
        self.rows.iter().find(|row| row.seat == seat).map(|row| row.own)
    }

    /// The request has only so many tokens any more.
    pub(super) fn rewound(&mut self, seat: Seat, keep: usize) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.seat == seat) {
            row.here = row.here.min(keep);
            row.own = row.own.min(keep);
        }
    }

    /// The request has fed tokens alone, into its own cache.
    pub(super) fn fed_alone(&mut self, seat: Seat, length: usize) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.seat == seat) {
            row.own = length;
        }
    }

    /// Gives a request's own cache what only the row has.
    pub(super) fn bring_home(&mut self, kept: &mut Kept<KvCache>, most: usize) -> Result<(), ort::Error> {
        let Some((index, row)) = self
            .rows
            .iter_mut()
            .enumerate()
            .find(|(_, row)| row.seat == kept.seat())
        else {
            return Ok(());
        };
        let length = kept.tokens.len();
        if row.own < length {
            kept.cache.make_room(row.own, length, most)?;
            kept.room = kept.cache.room();
            kept.cache
                .copy_tokens(0, &self.cache, index, row.own..length.min(row.here))?;
            row.own = length;
        }
        Ok(())
    }

    fn row_of(&self, seat: Seat) -> Option<usize> {
        self.rows.iter().position(|row| row.seat == seat)
    }

    /// Gives the rows of these requests what only their own caches have, and all room for a token more. Returns how many tokens
    /// each row has; a row that rests has what it had.
    fn gather(
        &mut self,
        next: &[(Seat, u32)],
        pool: &Pool<KvCache>,
        most: usize,
    ) -> Result<Vec<usize>, EngineError> {
        let mut lengths: Vec<usize> = self.rows.iter().map(|row| row.here).collect();
        for (row, length) in self.rows.iter().zip(&mut lengths) {
            if next.iter().any(|(seat, _)| *seat == row.seat) {
                let kept = pool.at(row.seat).filter(|kept| !kept.lost).ok_or_else(lost)?;
                *length = kept.tokens.len();
            }
        }
        let needed = lengths.iter().max().map_or(1, |longest| longest + 1);
        if needed > most {
            return Err(EngineError::Full {
                capacity: most,
                needed,
            });
        }
        let used = self.rows.iter().map(|row| row.here).max().unwrap_or(0);
        if self.cache.make_room(used, needed, most)? {
            self.step = None; // it is bound to the buffers before
        }
        for (index, (row, length)) in self.rows.iter_mut().zip(&lengths).enumerate() {
            if let Some(kept) = pool.at(row.seat).filter(|_| row.here < *length) {
                self.cache
                    .copy_tokens(index, &kept.cache, 0, row.here..(*length).min(row.own))?;
                row.here = *length;
            }
        }
        Ok(lengths)
    }
}

fn lost() -> EngineError {
    EngineError::Run(ort::Error::new("what was read for a request is lost"))
}

impl Engine {
    /// Whether several requests can run together: the cache is written in place and can be copied here, and trials have
    /// given the same scores as each alone, or nearly.
    pub fn runs_together(&mut self) -> bool {
        if let Some(known) = self.together {
            return known != Together::No;
        }
        let found = if self.is_in_place() && self.pool.active().cache.copies() {
            self.try_together().unwrap_or_else(|reason| {
                tracing::warn!(reason, "requests cannot be answered together, which is slower");
                Together::No
            })
        } else {
            Together::No
        };
        self.together = Some(found);
        found != Together::No
    }

    /// Whether the scores of a run for several are those of each alone, to the last bit, as far as a trial can tell.
    pub(crate) fn is_exact_together(&self) -> bool {
        self.together == Some(Together::Exactly)
    }

    /// Whether so many requests, the longest with so many tokens, have room: no more than what is kept of earlier requests may
    /// take.
    #[must_use]
    pub fn has_room_for(&self, requests: usize, longest: usize) -> bool {
        let row = (longest.min(self.capacity) + 1).next_multiple_of(ROOM) * self.graph.token_bytes();
        requests * row <= self.pool.limit()
    }

    /// How many tokens a request has so far.
    #[must_use]
    pub fn length_of(&self, seat: Seat) -> usize {
        self.pool.at(seat).map_or(0, |kept| kept.tokens.len())
    }

    /// Requests of different lengths, alone and together.
    fn try_together(&mut self) -> Result<Together, String> {
        let mut seats = Vec::new();
        let tried = self.compare_together(&mut seats);
        for seat in seats {
            if self.sit(seat).and_then(|()| self.reset()).is_err() {
                tracing::warn!("a cache of a trial cannot be emptied");
            }
            self.leave(seat);
        }
        tried
    }

    /// The same; what it sits on is left to the caller.
    fn compare_together(&mut self, seats: &mut Vec<Seat>) -> Result<Together, String> {
        let words = |error: EngineError| error.to_string();
        let last = u32::try_from(self.graph.vocabulary.saturating_sub(1)).unwrap_or(u32::MAX);
        let tokens: Vec<u32> = TRIAL.iter().map(|token| (*token).min(last)).collect();
        if tokens.len() > self.capacity {
            return Err("the context is too short for a trial".to_owned());
        }
        let mut trials = Vec::new();
        for row in 0..TRIED_ROWS.into_iter().max().unwrap_or(0) {
            let prompt = tokens.get(row % 3..=3 + row % 2).unwrap_or_default();
            let token = tokens.get(5 - row % 2).copied().unwrap_or_default();
            self.add_cache().map_err(words)?;
            let seat = self.take_seat();
            seats.push(seat);
            self.feed(prompt).map_err(words)?;
            let alone = self.feed(&[token]).map_err(words)?.to_vec();
            self.rewind(prompt.len()).map_err(words)?;
            trials.push((seat, token, alone));
        }
        let mut found = Together::Exactly;
        for rows in TRIED_ROWS {
            let trials = trials.get(..rows).unwrap_or_default();
            let next: Vec<_> = trials.iter().map(|(seat, token, _)| (*seat, *token)).collect();
            let places = self.feed_together(&next).map_err(words)?;
            for ((_, _, alone), place) in trials.iter().zip(places) {
                let beside = self.row(place);
                same(alone, beside)?;
                if alone.as_slice() != beside {
                    found = Together::Nearly;
                }
            }
            for (seat, _) in next {
                self.sit(seat).map_err(words)?;
                let before = self.tokens().len().saturating_sub(1);
                self.rewind(before).map_err(words)?;
            }
        }
        Ok(found)
    }

    /// Feeds one token to each of several requests, in one run. Returns where in [`Self::row`] the scores of each are. No seat is
    /// named twice. After an error everybody has what they had before.
    ///
    /// A row costs a copy of what its request has read, so rows are kept: one whose request is not named here rests.
    ///
    /// # Errors
    /// [`EngineError::Full`], [`EngineError::Empty`], or ONNX Runtime's.
    pub fn feed_together(&mut self, next: &[(Seat, u32)]) -> Result<Vec<usize>, EngineError> {
        if next.is_empty() {
            return Err(EngineError::Empty);
        }
        let mut batch = self.rows_for(next);
        let ran = self.run_together(&mut batch, next);
        let mut places = Vec::with_capacity(next.len());
        for (seat, token) in next.iter().filter(|_| ran.is_ok()) {
            let place = batch.row_of(*seat).unwrap_or_default();
            if let (Some(kept), Some(row)) = (self.pool.at_mut(*seat), batch.rows.get_mut(place)) {
                kept.tokens.push(*token);
                row.here = kept.tokens.len();
            }
            places.push(place);
        }
        self.batch = Some(batch);
        ran.map(|()| places)
    }

    /// The batch that there is, if these requests have rows in it and nobody has left; or another one.
    fn rows_for(&mut self, next: &[(Seat, u32)]) -> Batch {
        let owner = self.pool.owner();
        if let Some(batch) = self.batch.take() {
            let stays = batch.seats().all(|seat| self.pool.is_taken_for(seat, owner))
                && next.iter().all(|(seat, _)| batch.row_of(*seat).is_some());
            if stays {
                return batch;
            }
            self.batch = Some(batch);
        }
        let mut seats: Vec<Seat> = next.iter().map(|(seat, _)| *seat).collect();
        // who rests keeps a row
        for seat in self.batch.iter().flat_map(Batch::seats) {
            if self.pool.is_taken_for(seat, owner) && !seats.contains(&seat) {
                seats.push(seat);
            }
        }
        self.part();
        let allocator = session::cache_allocator(&self.session, self.device.provider);
        let cache = KvCache::of_rows(&self.graph.cache, allocator, seats.len());
        let own = |seat| self.pool.at(seat).map_or(0, |kept| kept.tokens.len());
        Batch::new(cache, seats.into_iter().map(|seat| (seat, own(seat))))
    }

    fn run_together(&mut self, batch: &mut Batch, next: &[(Seat, u32)]) -> Result<(), EngineError> {
        let lengths = batch.gather(next, &self.pool, self.capacity)?;
        self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut step = match batch.step.take() {
            Some(step) => step,
            None => self.bind_together(batch)?,
        };
        // what a row that rests is fed lies behind what counts of it
        let fed = |seat: Seat| {
            next.iter()
                .find(|(named, _)| *named == seat)
                .map_or(0, |(_, token)| *token)
        };
        write(&mut step.ids, batch.seats().map(|seat| i64::from(fed(seat))));
        write(&mut step.positions, lengths.iter().map(|length| *length as i64));
        if self.device.provider != Provider::Cpu {
            bind_tokens(&self.graph, &mut step)?;
        }
        let total = lengths.iter().max().map_or(1, |longest| longest + 1);
        let mut mask = vec![0i64; lengths.len() * total];
        for (row, length) in mask.chunks_mut(total).zip(&lengths) {
            row.iter_mut().take(length + 1).for_each(|counts| *counts = 1);
        }
        step.binding.bind_input(
            "attention_mask",
            &Tensor::from_array(([lengths.len(), total], mask))?,
        )?;
        let outputs = self.session.run_binding(&step.binding)?;
        keep_last_rows(&mut self.logits, &outputs, lengths.len() * self.graph.vocabulary)?;
        drop(outputs);
        self.session.has_read(lengths.len());
        batch.step = Some(step);
        Ok(())
    }

    fn bind_together(&self, batch: &mut Batch) -> Result<Bound, ort::Error> {
        let rows = batch.rows.len();
        let column = || Tensor::from_array(([rows, 1usize], vec![0i64; rows]));
        let mut step = Bound {
            binding: self.session.create_binding()?,
            ids: column()?,
            positions: column()?,
        };
        bind_tokens(&self.graph, &mut step)?;
        if let Some(keep) = &self.graph.keep {
            step.binding.bind_input(keep.name.as_str(), &keep.tensor(1)?)?;
        }
        for (name, tensor) in self.worn.inputs() {
            step.binding.bind_input(name.as_str(), tensor)?;
        }
        let allocator = ort::memory::Allocator::default();
        let mut logits = Tensor::<f32>::new(&allocator, [rows, 1, self.graph.vocabulary])?;
        step.binding.bind_output("logits", &mut logits)?;
        batch.cache.bind(&self.graph.cache, &mut step.binding)?;
        Ok(step)
    }

    /// Ends the batch; everybody's own cache has all that is theirs, or is known to be lost.
    pub(super) fn part(&mut self) {
        let Some(mut batch) = self.batch.take() else {
            return;
        };
        self.steps.clear(); // they may be bound to a cache that gets other buffers now
        let seats: Vec<Seat> = batch.seats().collect();
        for seat in seats {
            let Some(kept) = self.pool.at_mut(seat) else {
                continue;
            };
            if let Err(error) = batch.bring_home(kept, self.capacity) {
                tracing::warn!(%error, "what was written together cannot be copied");
                kept.lost = true;
            }
        }
    }
}

fn bind_tokens(graph: &Graph, step: &mut Bound) -> Result<(), ort::Error> {
    step.binding.bind_input("input_ids", &step.ids)?;
    if graph.has_positions {
        step.binding.bind_input("position_ids", &step.positions)?;
    }
    Ok(())
}
