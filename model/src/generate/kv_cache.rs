//! Keys and values of the tokens read so far: one buffer that runs write into, or tensors that grow.
use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::{DynTensor, DynValue, TensorElementType as Element};

use crate::engine::graph::CacheSlot;

/// The cache of one engine.
///
/// In place: past and present are the same buffer of a fixed number of tokens, as graphs with
/// GroupQueryAttention allow; cutting it costs nothing. Growing: every run returns longer tensors.
#[derive(Debug)]
pub struct KvCache {
    slots: Vec<CacheSlot>,
    allocator: Allocator,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    InPlace(Vec<DynTensor>),
    Growing(Vec<DynValue>),
}

impl KvCache {
    /// An empty cache; with a capacity, in place.
    pub(crate) fn new(
        slots: &[CacheSlot],
        allocator: Allocator,
        capacity: Option<usize>,
    ) -> Result<Self, ort::Error> {
        let mut cache = Self {
            slots: slots.to_vec(),
            allocator,
            storage: Storage::Growing(Vec::new()),
        };
        match capacity {
            Some(capacity) => {
                let tensors = slots
                    .iter()
                    .map(|slot| cache.tensor(slot, capacity))
                    .collect::<Result<_, _>>()?;
                cache.storage = Storage::InPlace(tensors);
            }
            None => cache.clear()?,
        }
        Ok(cache)
    }

    pub(crate) const fn is_in_place(&self) -> bool {
        matches!(self.storage, Storage::InPlace(_))
    }

    fn tensor(&self, slot: &CacheSlot, tokens: usize) -> Result<DynTensor, ort::Error> {
        DynTensor::new(
            &self.allocator,
            slot.element,
            [1i64, slot.heads, tokens as i64, slot.dim],
        )
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> Result<(), ort::Error> {
        if self.is_in_place() {
            return Ok(()); // what lies behind the tokens that count is never read
        }
        let empty = self
            .slots
            .iter()
            .map(|slot| Ok(self.tensor(slot, 0)?.into_dyn()))
            .collect::<Result<_, ort::Error>>()?;
        self.storage = Storage::Growing(empty);
        Ok(())
    }

    /// Cuts to the first `keep` tokens; returns how many are left, which is 0 if it cannot be cut there.
    pub(crate) fn truncate(&mut self, keep: usize) -> Result<usize, ort::Error> {
        let Storage::Growing(values) = &self.storage else {
            return Ok(keep);
        };
        if keep == 0 || self.slots.iter().any(|slot| slot.element != Element::Float32) {
            self.clear()?;
            return Ok(0);
        }
        let mut cut = Vec::with_capacity(values.len());
        for (slot, value) in self.slots.iter().zip(values) {
            let mut tensor = self.tensor(slot, keep)?;
            let (shape, from) = value.try_extract_tensor::<f32>()?;
            let before = shape
                .get(2)
                .and_then(|tokens| usize::try_from(*tokens).ok())
                .unwrap_or(0);
            let dim = usize::try_from(slot.dim).unwrap_or(0);
            let (_, to) = tensor.try_extract_tensor_mut::<f32>()?;
            for (to, from) in to
                .chunks_mut((keep * dim).max(1))
                .zip(from.chunks((before * dim).max(1)))
            {
                to.copy_from_slice(
                    from.get(..to.len())
                        .ok_or_else(|| ort::Error::new("the cache is shorter than thought"))?,
                );
            }
            cut.push(tensor.into_dyn());
        }
        self.storage = Storage::Growing(cut);
        Ok(keep)
    }

    /// Binds past and present of every layer to the buffer. Only in place.
    pub(crate) fn bind(&mut self, slots: &[CacheSlot], binding: &mut IoBinding) -> Result<(), ort::Error> {
        let Storage::InPlace(tensors) = &mut self.storage else {
            return Ok(());
        };
        for (slot, tensor) in slots.iter().zip(tensors) {
            binding.bind_input(slot.past.as_str(), tensor)?;
            binding.bind_output(slot.present.as_str(), tensor)?;
        }
        Ok(())
    }

    /// The growing tensors, to be given to a run. [`Self::put`] what it returns.
    pub(crate) fn take(&mut self) -> Vec<DynValue> {
        match &mut self.storage {
            Storage::Growing(values) => std::mem::take(values),
            Storage::InPlace(_) => Vec::new(),
        }
    }

    /// One tensor that a run returned, in the order of the slots.
    pub(crate) fn put(&mut self, value: DynValue) {
        if let Storage::Growing(values) = &mut self.storage {
            values.push(value);
        }
    }
}
