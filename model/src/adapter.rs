//! LoRA adapters: small matrices that are added to a model's projections (`x W` becomes `x W + x A B`) and teach it a
//! subject or a style. They are read from Hugging Face's PEFT folders and from llama.cpp's GGUF files, put on for one request and
//! taken off for the next.
//!
//! **Invariant.** A model's own graph is never changed. The first request with an adapter opens a second graph on the same file of
//! weights, with two inputs more for each projection; a request without an adapter never runs there. Keys and values
//! that were computed under one adapter are never reused under another.
//!
//! A and B are ordinary inputs, bound once for each adapter and length of run, and not ONNX Runtime's own adapter files: those
//! set overridable initializers, which cannot be bound and are looked up by name in every run, and their
//! flatbuffer format has no writer outside Python.
//!
//! Reading order: [`graph`] (where a graph takes adapters), [`source`] (the files), then [`crate::manager`] (which there are).
pub mod graph;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::gguf::GgufError;
use graph::Slot;
use source::Pair;
pub(crate) use source::{GGUF, PEFT_SETTINGS, PEFT_WEIGHTS};

/// An adapter's name: that of its folder among the adapters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdapterId(pub String);

impl fmt::Display for AdapterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an adapter cannot be used. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The system cannot read or write a file.
    #[error("{}: {source}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A file is no adapter, or is cut short.
    #[error("{} is no whole adapter: {reason}; download or export it again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The adapter does something that is not handled.
    #[error("this adapter {0}, which is not handled: LoRA on the projections of attention and MLP is")]
    NotHandled(String),
    /// It was made for another model.
    #[error(
        "this adapter was made for another model than `{base}`: {reason}; choose the model that it was trained on"
    )]
    OtherBase {
        /// The model.
        base: String,
        /// What does not fit.
        reason: String,
    },
    /// The model cannot take adapters.
    #[error(
        "`{base}` cannot take adapters: {reason}; add the model from its GGUF file with `inkling-models add`"
    )]
    Base {
        /// The model.
        base: String,
        /// Why.
        reason: String,
    },
    /// The GGUF file cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
}

impl AdapterError {
    pub(crate) fn disk(file: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_path_buf();
        move |source| Self::Disk { file, source }
    }
}

/// The two matrices of one input of the graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factors {
    /// [inputs, rank], row by row.
    pub(crate) a: Vec<f32>,
    /// [rank, outputs], row by row, with the adapter's scale.
    pub(crate) b: Vec<f32>,
    pub(crate) rank: usize,
}

/// An adapter that fits a model, ready to be put on.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// By the projection's key in the graph; projections that it does not change are missing.
    factors: BTreeMap<String, Factors>,
    /// Matrices that it changes.
    changed: usize,
    /// The greatest rank of them.
    rank: usize,
    owner: u64,
}

/// Whom a cache belongs to when no adapter is on.
pub(crate) const NOBODY: u64 = 0;

impl Adapter {
    /// Reads an adapter for a model: a PEFT folder, a GGUF file, or a folder with one.
    ///
    /// # Errors
    /// See [`AdapterError`]; nothing is used of an adapter of which a part does not fit.
    pub fn open(place: &Path, base: &str, slots: &[Slot]) -> Result<Self, AdapterError> {
        let pairs = source::read(place, slots)?;
        Self::assemble(pairs, base, slots)
    }

    /// How many of the model's matrices it changes.
    #[must_use]
    pub const fn changed(&self) -> usize {
        self.changed
    }

    /// The greatest rank of its matrices.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// A number that no other loaded adapter has.
    pub(crate) const fn owner(&self) -> u64 {
        self.owner
    }

    pub(crate) fn factors(&self, key: &str) -> Option<&Factors> {
        self.factors.get(key)
    }

    /// Puts the pairs of matrices together as the graph's inputs want them: where it multiplies by several matrices at
    /// once, their A stand side by side and their B one below the other, each under its own outputs.
    fn assemble(
        mut pairs: BTreeMap<(usize, &'static str), Pair>,
        base: &str,
        slots: &[Slot],
    ) -> Result<Self, AdapterError> {
        let other = |reason: String| AdapterError::OtherBase {
            base: base.to_owned(),
            reason,
        };
        let (mut factors, changed) = (BTreeMap::new(), pairs.len());
        let mut most = 0;
        for slot in slots {
            let own: Vec<Option<Pair>> = slot
                .parts
                .iter()
                .map(|part| pairs.remove(&(slot.layer, part.module)))
                .collect();
            let rank: usize = own.iter().flatten().map(|pair| pair.rank).sum();
            if rank == 0 {
                continue;
            }
            let outputs: usize = slot.parts.iter().map(|part| part.outputs).sum();
            let (mut a, mut b) = (vec![0f32; slot.inputs * rank], vec![0f32; rank * outputs]);
            let (mut column, mut output) = (0, 0);
            for (part, pair) in slot.parts.iter().zip(own) {
                if let Some(pair) = pair {
                    if (pair.inputs, pair.outputs) != (slot.inputs, part.outputs) {
                        return Err(other(format!(
                            "its `{}` of layer {} goes from {} to {} numbers, the model's from {} to {}",
                            part.module, slot.layer, pair.inputs, pair.outputs, slot.inputs, part.outputs
                        )));
                    }
                    most = most.max(pair.rank);
                    // its A is stored [rank, inputs] and its B [outputs, rank]
                    for (r, row) in pair.a.chunks_exact(pair.inputs).enumerate() {
                        for (input, number) in row.iter().enumerate() {
                            put(&mut a, input * rank + column + r, *number);
                        }
                    }
                    for (o, row) in pair.b.chunks_exact(pair.rank).enumerate() {
                        for (r, number) in row.iter().enumerate() {
                            put(&mut b, (column + r) * outputs + output + o, number * pair.scale);
                        }
                    }
                    column += pair.rank;
                }
                output += part.outputs;
            }
            factors.insert(slot.key.clone(), Factors { a, b, rank });
        }
        if let Some((layer, module)) = pairs.keys().next() {
            return Err(other(format!(
                "it changes `{module}` of layer {layer}, which the model does not have"
            )));
        }
        if factors.is_empty() {
            return Err(other("it changes none of its matrices".to_owned()));
        }
        static OWNERS: AtomicU64 = AtomicU64::new(NOBODY + 1);
        Ok(Self {
            factors,
            changed,
            rank: most,
            owner: OWNERS.fetch_add(1, Ordering::Relaxed),
        })
    }
}

fn put(numbers: &mut [f32], at: usize, number: f32) {
    if let Some(place) = numbers.get_mut(at) {
        *place = number;
    }
}
