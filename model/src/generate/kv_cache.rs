//! Keys and values of the tokens read so far: buffers that runs write into, or tensors that every run returns anew.
use std::ops::Range;

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::{
    DynTensor, DynValue, PrimitiveTensorElementType, TensorElementType as Element, TensorValueTypeMarker,
    Value,
};

use crate::engine::graph::CacheSlot;
use crate::native;

/// Room in place is made for so many more tokens at a time.
pub(crate) const ROOM: usize = 128;

/// Caches of so many tokens leave enough memory behind, when they move or go, to give it back to the system at once.
const LONG: usize = 1024;

fn to_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// The cache of one request, or of several that are answered together: a row for each.
///
/// In place: past and present are the same buffer, as graphs with GroupQueryAttention allow; cutting it costs nothing.
/// Its room follows what is read: a buffer for the whole context would cost its memory from the start, and every step
/// would be slower, because what attention needs besides is as wide as the buffer. Growing: every run returns longer
/// tensors.
#[derive(Debug)]
pub struct KvCache {
    slots: Vec<CacheSlot>,
    allocator: Allocator,
    rows: usize,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    InPlace {
        tensors: Vec<DynTensor>,
        /// Tokens that there is room for.
        room: usize,
    },
    Growing(Vec<DynValue>),
}

impl Storage {
    /// In place, with no room yet.
    const EMPTY: Self = Self::InPlace {
        tensors: Vec::new(),
        room: 0,
    };
}

impl KvCache {
    /// An empty cache of one row, in place or growing.
    pub(crate) fn new(slots: &[CacheSlot], allocator: Allocator, in_place: bool) -> Result<Self, ort::Error> {
        let mut cache = Self {
            slots: slots.to_vec(),
            allocator,
            rows: 1,
            storage: Storage::Growing(Vec::new()),
        };
        if in_place {
            cache.storage = Storage::EMPTY;
        }
        cache.clear()?;
        Ok(cache)
    }

    /// An empty cache in place, of so many rows.
    pub(crate) fn of_rows(slots: &[CacheSlot], allocator: Allocator, rows: usize) -> Self {
        Self {
            slots: slots.to_vec(),
            allocator,
            rows,
            storage: Storage::EMPTY,
        }
    }

    pub(crate) const fn is_in_place(&self) -> bool {
        matches!(self.storage, Storage::InPlace { .. })
    }

    /// Tokens that the buffers in place have room for; 0 when the cache grows.
    pub(crate) const fn room(&self) -> usize {
        match self.storage {
            Storage::InPlace { room, .. } => room,
            Storage::Growing(_) => 0,
        }
    }

    fn tensor(&self, slot: &CacheSlot, tokens: usize) -> Result<DynTensor, ort::Error> {
        DynTensor::new(
            &self.allocator,
            slot.element,
            [self.rows as i64, slot.heads, tokens as i64, slot.dim],
        )
    }

    /// Makes room in place for `needed` tokens, of at most `most`, and keeps the first `used`. Returns whether the buffers
    /// are others now, which must be bound anew. After an error the cache is empty.
    pub(crate) fn make_room(&mut self, used: usize, needed: usize, most: usize) -> Result<bool, ort::Error> {
        let room = self.room();
        if needed <= room || !self.is_in_place() {
            return Ok(false);
        }
        let wanted = if self.copies() {
            needed.max(room + room / 8).next_multiple_of(ROOM).min(most)
        } else {
            most // what another device holds is not copied here
        };
        let Storage::InPlace { tensors: old, .. } = std::mem::replace(&mut self.storage, Storage::EMPTY)
        else {
            return Ok(false);
        };
        // one after the other: the old and the new are never there twice
        let mut old = old.into_iter().filter(|_| used > 0);
        let mut tensors = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            tensors.push(match old.next() {
                Some(from) => self.copy(slot, &from, used, wanted)?,
                None => self.tensor(slot, wanted)?,
            });
        }
        self.storage = Storage::InPlace {
            tensors,
            room: wanted,
        };
        if used >= LONG {
            native::give_back_free_memory();
        }
        Ok(true)
    }

    /// Copies tokens of a row of another cache to a row of this one. Both are in place and have room for them.
    pub(crate) fn copy_tokens(
        &mut self,
        row: usize,
        from: &Self,
        from_row: usize,
        tokens: Range<usize>,
    ) -> Result<(), ort::Error> {
        let short = || ort::Error::new("the cache is shorter than thought");
        if tokens.is_empty() {
            return Ok(());
        }
        let (room, from_room) = (self.room(), from.room());
        let (
            Storage::InPlace { tensors: to, .. },
            Storage::InPlace {
                tensors: from_tensors,
                ..
            },
        ) = (&mut self.storage, &from.storage)
        else {
            return Err(short());
        };
        for ((slot, to), from) in self.slots.iter().zip(to).zip(from_tensors) {
            let (heads, dim) = (to_usize(slot.heads), to_usize(slot.dim));
            let pieces = (0..heads).map(|head| {
                let start = |row: usize, room: usize| ((row * heads + head) * room + tokens.start) * dim;
                (start(row, room), start(from_row, from_room))
            });
            copy_pieces(slot.element, to, from, pieces, tokens.len() * dim)?;
        }
        Ok(())
    }

    /// Whether its numbers can be copied here.
    pub(crate) fn copies(&self) -> bool {
        self.allocator.memory_info().is_cpu_accessible()
            && self
                .slots
                .iter()
                .all(|slot| matches!(slot.element, Element::Float32 | Element::Float16))
    }

    /// A tensor with room for so many tokens that begins with the first `keep` of another.
    fn copy<T: TensorValueTypeMarker + ?Sized>(
        &self,
        slot: &CacheSlot,
        from: &Value<T>,
        keep: usize,
        room: usize,
    ) -> Result<DynTensor, ort::Error> {
        let mut tensor = self.tensor(slot, room)?;
        let before = from.shape().get(2).copied().map_or(0, to_usize);
        let dim = to_usize(slot.dim);
        let pieces =
            (0..self.rows * to_usize(slot.heads)).map(|head| (head * room * dim, head * before * dim));
        copy_pieces(slot.element, &mut tensor, from, pieces, keep * dim)?;
        Ok(tensor)
    }

    /// Forgets everything. What it held is given back.
    pub(crate) fn clear(&mut self) -> Result<(), ort::Error> {
        let was_long = self.room() >= LONG;
        self.storage = if self.is_in_place() {
            Storage::EMPTY
        } else {
            let empty = self
                .slots
                .iter()
                .map(|slot| Ok(self.tensor(slot, 0)?.into_dyn()))
                .collect::<Result<_, ort::Error>>()?;
            Storage::Growing(empty)
        };
        if was_long {
            native::give_back_free_memory();
        }
        Ok(())
    }

    /// Cuts to the first `keep` tokens; returns how many are left, which is 0 if it cannot be cut there.
    pub(crate) fn truncate(&mut self, keep: usize) -> Result<usize, ort::Error> {
        let Storage::Growing(values) = &self.storage else {
            return Ok(keep); // what lies behind the tokens that count is never read
        };
        if keep == 0 || !self.copies() {
            self.clear()?;
            return Ok(0);
        }
        let cut = self
            .slots
            .iter()
            .zip(values)
            .map(|(slot, value)| Ok(self.copy(slot, value, keep, keep)?.into_dyn()))
            .collect::<Result<_, ort::Error>>()?;
        self.storage = Storage::Growing(cut);
        Ok(keep)
    }

    /// Binds past and present of every layer to the buffer. Only in place.
    pub(crate) fn bind(&mut self, slots: &[CacheSlot], binding: &mut IoBinding) -> Result<(), ort::Error> {
        let Storage::InPlace { tensors, .. } = &mut self.storage else {
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
            Storage::InPlace { .. } => Vec::new(),
        }
    }

    /// One tensor that a run returned, in the order of the slots.
    pub(crate) fn put(&mut self, value: DynValue) {
        if let Storage::Growing(values) = &mut self.storage {
            values.push(value);
        }
    }
}

/// Copies `length` numbers for each of the places, (in `to`, in `from`).
fn copy_pieces<T: TensorValueTypeMarker + ?Sized>(
    element: Element,
    to: &mut DynTensor,
    from: &Value<T>,
    pieces: impl Iterator<Item = (usize, usize)>,
    length: usize,
) -> Result<(), ort::Error> {
    match element {
        Element::Float16 => copy_numbers::<half::f16, T>(to, from, pieces, length),
        _ => copy_numbers::<f32, T>(to, from, pieces, length),
    }
}

fn copy_numbers<N: PrimitiveTensorElementType + Copy, T: TensorValueTypeMarker + ?Sized>(
    to: &mut DynTensor,
    from: &Value<T>,
    pieces: impl Iterator<Item = (usize, usize)>,
    length: usize,
) -> Result<(), ort::Error> {
    let (_, from) = from.try_extract_tensor::<N>()?;
    let (_, to) = to.try_extract_tensor_mut::<N>()?;
    for (place, source) in pieces {
        let (Some(to), Some(from)) = (
            to.get_mut(place..place + length),
            from.get(source..source + length),
        ) else {
            return Err(ort::Error::new("the cache is shorter than thought"));
        };
        to.copy_from_slice(from);
    }
    Ok(())
}
