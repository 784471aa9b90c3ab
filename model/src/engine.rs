//! One loaded decoder graph with its cache: tokens in, scores of the next token out.
mod adapted;
mod batch;
pub mod graph;
mod options;
pub(crate) mod pool;
mod seat;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ort::session::{IoBinding, SessionInputValue, SessionInputs};
use ort::value::Tensor;

use crate::adapter::{Adapter, NOBODY};
use crate::artifact::Artifact;
use crate::device::{DeviceReport, Provider};
use crate::generate::kv_cache::KvCache;
use crate::native::weights::MappedSession;
use crate::runtime::Runtime;
use adapted::Worn;
use graph::Graph;
pub use options::{CachePlan, EngineError, EngineOptions, LoadError};
use pool::{Place, Pool};
pub use seat::Seat;

/// Tokens of a prompt that are read in one run where others wait. Between runs a cancelled request is noticed; larger runs are a little
/// faster (measured on 2 cores: 64 tokens 1.27 ms each, 128 tokens 1.19 ms).
pub const PREFILL_CHUNK: usize = 64;

/// A graph, its caches, and the tokens in them.
#[derive(Debug)]
pub struct Engine {
    session: MappedSession,
    graph: Graph,
    worn: Worn,
    pool: Pool<KvCache>,
    /// Those that are answered together.
    batch: Option<batch::Batch>,
    /// Whether that works; tried when it is wanted first.
    together: Option<batch::Together>,
    capacity: usize,
    device: DeviceReport,
    /// The bindings for one token and for drafts, by their length: they are used again and again.
    steps: Vec<(usize, Step)>,
    logits: Vec<f32>,
    runs: Arc<AtomicU64>,
}

/// Tokens for a trial of the cache; any will do.
const TRIAL: [u32; 6] = [30, 41, 52, 63, 74, 85];

/// How far scores of a trial may differ, as a share of their range; a cache that is not written is off by tenths of it.
const TRIAL_TOLERANCE: f32 = 0.02;

/// Inputs and outputs bound once for runs of one length.
#[derive(Debug)]
struct Step {
    binding: IoBinding,
    ids: Tensor<i64>,
    positions: Tensor<i64>,
}

impl Engine {
    /// Opens the graph on the first provider that takes it.
    ///
    /// # Errors
    /// [`LoadError::NotOpened`] and [`LoadError::Unsupported`].
    pub fn open(runtime: &Runtime, artifact: &Artifact, options: &EngineOptions) -> Result<Self, LoadError> {
        let opened = session::open(runtime, &artifact.graph, options)?;
        let graph =
            Graph::of_session(&opened.session, artifact.vocabulary).map_err(LoadError::Unsupported)?;
        let capacity = artifact
            .context_length
            .map_or(options.context, |limit| limit.min(options.context));
        let in_place = match options.cache {
            CachePlan::Detect => opened.attention_nodes * 2 == graph.cache.len(),
            CachePlan::InPlace => true,
            CachePlan::Growing => false,
        };
        let provider = opened.report.provider;
        let first_run = |error: EngineError| LoadError::first_run(provider, &error);
        let cache = |in_place: bool| {
            let allocator = session::cache_allocator(&opened.session, opened.report.provider);
            KvCache::new(&graph.cache, allocator, in_place).map_err(|error| first_run(error.into()))
        };
        let (growing, cache) = (cache(false)?, cache(in_place)?);
        let token_bytes = graph.token_bytes();
        let worn = Worn::new(&graph.adapter).map_err(|error| first_run(error.into()))?;
        let mut engine = Self {
            session: opened.session,
            graph,
            worn,
            pool: Pool::new(cache, token_bytes, options.kept_bytes),
            batch: None,
            together: None,
            capacity,
            device: opened.report,
            steps: Vec::new(),
            logits: Vec::new(),
            runs: Arc::default(),
        };
        if in_place && let Err(reason) = engine.try_in_place() {
            tracing::warn!(reason, "the cache cannot be written in place, which is slower");
            engine.pool.active_mut().cache = growing;
        }
        engine.reset().map_err(first_run)?;
        engine.runs.store(0, Ordering::Relaxed);
        engine.session.settle();
        Ok(engine)
    }

    /// Whether runs really write into the cache that they are given: the same tokens in one run and in two must give the
    /// same scores, which they only do if the second run finds what the first one left.
    fn try_in_place(&mut self) -> Result<(), String> {
        let last = u32::try_from(self.graph.vocabulary.saturating_sub(1)).unwrap_or(u32::MAX);
        let tokens: Vec<u32> = TRIAL.iter().map(|token| (*token).min(last)).collect();
        if tokens.len() > self.capacity {
            return Err("the context is too short for a trial".to_owned());
        }
        let words = |error: EngineError| error.to_string();
        let whole = self.feed(&tokens).map_err(words)?.to_vec();
        self.reset().map_err(words)?;
        let (first, rest) = tokens.split_at(tokens.len() / 2);
        self.feed(first).map_err(words)?;
        same(&whole, self.feed(rest).map_err(words)?)
    }

    /// Tokens that the context holds.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Counts the runs of the graph, from the moment each of them begins.
    #[must_use]
    pub fn runs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.runs)
    }

    /// Where it runs.
    #[must_use]
    pub const fn device(&self) -> &DeviceReport {
        &self.device
    }

    /// Number of tokens that have a score.
    #[must_use]
    pub const fn vocabulary(&self) -> usize {
        self.graph.vocabulary
    }

    /// The scores (logits) of the token that follows what was fed last; empty before the first run.
    #[must_use]
    pub fn scores(&self) -> &[f32] {
        &self.logits
    }

    /// The scores of every token of the last run of [`Self::feed_all`], or of the last one of [`Self::feed`].
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        let width = self.graph.vocabulary;
        self.logits
            .get(index * width..(index + 1) * width)
            .unwrap_or_default()
    }

    /// Turns to the cache that has most of this prompt, or to an empty one if none has much of it. Returns how many of
    /// the prompt's tokens, from its start, are there to be reused; [`Self::rewind`] to no more than that.
    ///
    /// # Errors
    /// When an empty cache cannot be allocated.
    pub fn turn_to(&mut self, prompt: &[u32]) -> Result<usize, EngineError> {
        let place = self.pool.place(prompt);
        if !matches!(place, Place::Kept(index) if self.pool.is_active(index)) {
            self.steps.clear(); // they are bound to the cache before
        }
        match place {
            Place::Kept(index) => self.pool.turn_to(index),
            Place::Emptied(index) => {
                self.pool.turn_to(index);
                self.reset()?;
            }
            Place::New => self.add_cache()?,
            Place::Copied(from) => {
                let copies = self.is_in_place() && self.pool.active().cache.copies();
                self.add_cache()?;
                if copies {
                    self.copy_beginning(from, prompt)?;
                }
            }
        }
        Ok(pool::common(self.reusable(), prompt))
    }

    /// Puts an adapter on, or none. [`Self::turn_to`] comes next: what the caches hold belongs to the one before.
    ///
    /// # Errors
    /// When the graph takes no adapters, or memory is short.
    pub fn wear(&mut self, adapter: Option<&Adapter>) -> Result<(), EngineError> {
        if self.worn.put_on(adapter)? {
            self.steps.clear(); // they are bound to the one before
            if let Some(batch) = &mut self.batch {
                batch.unbind();
            }
        }
        self.pool.set_owner(adapter.map_or(NOBODY, Adapter::owner));
        Ok(())
    }

    /// What the caches of an owner's earlier requests can be reused for.
    pub(crate) fn kept(&self, owner: u64) -> Vec<Vec<u32>> {
        self.pool.contents(owner)
    }

    /// Bytes of keys and values that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let together = self.batch.as_ref().map_or(0, batch::Batch::room);
        self.pool.bytes() + together * self.graph.token_bytes()
    }

    /// The tokens in the cache.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.pool.active().tokens
    }

    /// The tokens at the start of the cache that were read in runs of several tokens, as prompts are.
    ///
    /// Runs of one token go through other kernels, whose results differ a little; a prompt that reused them
    /// could be answered otherwise than the same prompt on an empty cache. Runs of several tokens give the same
    /// numbers however the prompt was divided.
    #[must_use]
    pub fn reusable(&self) -> &[u32] {
        self.pool.active().reusable()
    }

    /// Whether the cache is one buffer that runs write into, instead of growing with every run.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.pool.active().cache.is_in_place()
    }

    /// Makes room for so many tokens in all, so that it need not be made bit by bit while they are read.
    ///
    /// # Errors
    /// When it cannot be allocated; then nothing is left.
    pub fn reserve(&mut self, tokens: usize) -> Result<(), EngineError> {
        let most = self.capacity;
        let kept = self.pool.active_mut();
        match kept.cache.make_room(kept.tokens.len(), tokens.min(most), most) {
            Ok(false) => Ok(()),
            Ok(true) => {
                let room = kept.cache.room();
                self.steps.clear(); // they are bound to the buffers before
                self.pool.holds(room);
                Ok(())
            }
            Err(error) => {
                self.reset()?;
                Err(error.into())
            }
        }
    }

    /// Forgets what follows the first `keep` tokens, or more if the cache cannot be cut there. Returns how
    /// many tokens are left.
    ///
    /// # Errors
    /// When a cut copy cannot be allocated; then nothing is left.
    pub fn rewind(&mut self, keep: usize) -> Result<usize, EngineError> {
        let kept = self.pool.active_mut();
        if keep >= kept.tokens.len() {
            return Ok(kept.tokens.len());
        }
        match kept.cache.truncate(keep) {
            Ok(left) => {
                kept.cut(left);
                let seat = kept.seat();
                if let Some(batch) = &mut self.batch {
                    batch.rewound(seat, left);
                }
                Ok(left)
            }
            Err(error) => {
                self.reset()?;
                Err(error.into())
            }
        }
    }

    /// Forgets everything, whatever state a failed run left behind.
    ///
    /// # Errors
    /// When an empty cache cannot be allocated.
    pub fn reset(&mut self) -> Result<(), EngineError> {
        self.steps.clear();
        if let Some(batch) = &mut self.batch {
            batch.rewound(self.pool.active().seat(), 0);
        }
        Ok(self.pool.forget().clear()?)
    }

    /// Feeds tokens after what is cached, in one run; returns the scores of the token after the last one.
    /// After an error the cache is as before, or empty.
    ///
    /// # Errors
    /// [`EngineError::Full`], [`EngineError::Empty`], or ONNX Runtime's.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<&[f32], EngineError> {
        self.run(tokens, false)?;
        Ok(&self.logits)
    }

    /// The same, and keeps the scores after every one of the tokens: see [`Self::row`].
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn feed_all(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.run(tokens, true)
    }

    fn run(&mut self, tokens: &[u32], all: bool) -> Result<(), EngineError> {
        if !self.pool.is_own() {
            self.turn_to(&[])?;
            self.reset()?;
        }
        let needed = self.tokens().len() + tokens.len();
        if tokens.is_empty() {
            return Err(EngineError::Empty);
        }
        if needed > self.capacity {
            return Err(EngineError::Full {
                capacity: self.capacity,
                needed,
            });
        }
        self.reserve(needed)?;
        self.runs.fetch_add(1, Ordering::Relaxed);
        if self.is_in_place() {
            self.feed_in_place(tokens, all)?;
        } else if let Err(error) = self.feed_growing(tokens, all) {
            self.reset()?;
            return Err(error);
        }
        self.pool.fed(tokens);
        self.session.has_read(tokens.len());
        if let Some(batch) = &mut self.batch {
            let kept = self.pool.active();
            batch.fed_alone(kept.seat(), kept.tokens.len());
        }
        Ok(())
    }

    fn feed_in_place(&mut self, tokens: &[u32], all: bool) -> Result<(), EngineError> {
        let past = self.tokens().len();
        let is_kept = all || tokens.len() == 1;
        let kept = self
            .steps
            .iter()
            .position(|(length, _)| is_kept && *length == tokens.len());
        let mut step = match kept {
            Some(index) => self.steps.swap_remove(index).1,
            None => self.bind(tokens.len(), all)?,
        };
        write(&mut step.ids, tokens.iter().map(|token| i64::from(*token)));
        write(&mut step.positions, (past..).map(|position| position as i64));
        if self.device.provider != Provider::Cpu {
            // another device copies inputs when they are bound, not when they are used
            self.bind_tokens(&mut step)?;
        }
        let total = past + tokens.len();
        // the mask's length tells the graph how much of the cache counts, so it alone is made anew
        step.binding.bind_input(
            "attention_mask",
            &Tensor::from_array(([1usize, total], vec![1i64; total]))?,
        )?;
        {
            let outputs = self.session.run_binding(&step.binding)?;
            let rows = if all { tokens.len() } else { 1 };
            keep_last_rows(&mut self.logits, &outputs, rows * self.graph.vocabulary)?;
        }
        if is_kept {
            self.steps.push((tokens.len(), step));
        }
        Ok(())
    }

    fn bind_tokens(&self, step: &mut Step) -> Result<(), ort::Error> {
        step.binding.bind_input("input_ids", &step.ids)?;
        if self.graph.has_positions {
            step.binding.bind_input("position_ids", &step.positions)?;
        }
        Ok(())
    }

    fn bind(&mut self, length: usize, all: bool) -> Result<Step, ort::Error> {
        let row = || Tensor::from_array(([1usize, length], vec![0i64; length]));
        let mut step = Step {
            binding: self.session.create_binding()?,
            ids: row()?,
            positions: row()?,
        };
        self.bind_tokens(&mut step)?;
        let mut rows = length;
        if let Some(keep) = &self.graph.keep {
            rows = if all { length } else { 1 };
            step.binding.bind_input(keep.name.as_str(), &keep.tensor(rows)?)?;
        }
        for (name, tensor) in self.worn.inputs() {
            step.binding.bind_input(name.as_str(), tensor)?;
        }
        let allocator = ort::memory::Allocator::default();
        let mut logits = Tensor::<f32>::new(&allocator, [1, rows, self.graph.vocabulary])?;
        step.binding.bind_output("logits", &mut logits)?;
        let cache = &mut self.pool.active_mut().cache;
        cache.bind(&self.graph.cache, &mut step.binding)?;
        Ok(step)
    }

    fn feed_growing(&mut self, tokens: &[u32], all: bool) -> Result<(), EngineError> {
        let past = self.tokens().len();
        let rows = if all { tokens.len() } else { 1 };
        let (new, total) = (tokens.len(), past + tokens.len());
        let ids: Vec<i64> = tokens.iter().map(|token| i64::from(*token)).collect();
        let mut inputs: Vec<(std::borrow::Cow<'_, str>, SessionInputValue<'_>)> = vec![
            (
                "input_ids".into(),
                Tensor::from_array(([1usize, new], ids))?.into(),
            ),
            (
                "attention_mask".into(),
                Tensor::from_array(([1usize, total], vec![1i64; total]))?.into(),
            ),
        ];
        if self.graph.has_positions {
            let positions: Vec<i64> = (past as i64..total as i64).collect();
            inputs.push((
                "position_ids".into(),
                Tensor::from_array(([1usize, new], positions))?.into(),
            ));
        }
        if let Some(keep) = &self.graph.keep {
            inputs.push((keep.name.clone().into(), keep.tensor(rows)?.into()));
        }
        for (name, tensor) in self.worn.inputs() {
            inputs.push((name.clone().into(), tensor.into()));
        }
        let cache = &mut self.pool.active_mut().cache;
        for (slot, value) in self.graph.cache.iter().zip(cache.take()) {
            inputs.push((slot.past.clone().into(), value.into()));
        }
        let mut outputs = self.session.run(SessionInputs::<'_, '_, 0>::ValueMap(inputs))?;
        keep_last_rows(&mut self.logits, &outputs, rows * self.graph.vocabulary)?;
        for slot in &self.graph.cache {
            let value = outputs
                .remove(&slot.present)
                .ok_or_else(|| ort::Error::new(format!("the model returned no `{}`", slot.present)))?;
            cache.put(value);
        }
        Ok(())
    }
}

/// Whether two ways to the same scores agree; if not, how far they are apart, in words.
fn same(scores: &[f32], others: &[f32]) -> Result<(), String> {
    let (least, most) = scores.iter().fold((f32::MAX, f32::MIN), |(least, most), score| {
        (least.min(*score), most.max(*score))
    });
    let apart = scores
        .iter()
        .zip(others)
        .fold(0f32, |apart, (a, b)| apart.max((a - b).abs()));
    // NaN must not pass for equal
    if others.len() == scores.len() && apart <= (most - least) * TRIAL_TOLERANCE {
        Ok(())
    } else {
        Err(format!(
            "two ways to the same scores differ by {apart} in scores from {least} to {most}"
        ))
    }
}

fn write(tensor: &mut Tensor<i64>, values: impl Iterator<Item = i64>) {
    for (place, value) in tensor.extract_tensor_mut().1.iter_mut().zip(values) {
        *place = value;
    }
}

fn keep_last_rows(
    logits: &mut Vec<f32>,
    outputs: &ort::session::SessionOutputs<'_>,
    length: usize,
) -> Result<(), ort::Error> {
    let output = outputs
        .get("logits")
        .ok_or_else(|| ort::Error::new("the model returned no `logits`"))?;
    let (_, scores) = output.try_extract_tensor::<f32>()?;
    let last = scores
        .len()
        .checked_sub(length)
        .and_then(|start| scores.get(start..))
        .ok_or_else(|| ort::Error::new("the model returned fewer scores than its vocabulary has tokens"))?;
    logits.clear();
    logits.extend_from_slice(last);
    Ok(())
}
