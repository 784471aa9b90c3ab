//! A GGUF file turned into a folder in Hugging Face's ONNX layout, without Python.
//!
//! **Invariant.** A weight is stored exactly where its format has an ONNX counterpart, and the [`Report`] names
//! every matrix whose weights were rounded.
//!
//! | GGUF | ONNX `MatMulNBits` | `exact` | `q8` |
//! |---|---|---|---|
//! | Q8_0, Q5_0 | 8 bits, blocks of 32 | exact | exact |
//! | Q4_0 | 4 bits, blocks of 32 | exact | exact, in 8 bits |
//! | Q6_K | 8 bits, blocks of 16 | exact | rounded to blocks of 32 |
//! | Q4_1, Q4_K | 4 bits, blocks of 32, and a term for the blocks' offsets | exact | rounded |
//! | Q5_1, Q5_K | 8 bits, blocks of 32, and a term for the blocks' offsets | exact | rounded |
//! | F32, F16, BF16 | 8 bits, blocks of 32 | rounded | rounded |
//!
//! Other formats are refused by name. Activations are rounded to 8 bits while the graph runs, as llama.cpp does too.
//!
//! Reading order: [`reader`] (the file), [`blocks`] (weights), [`matrix`] (matrices as the graph wants them),
//! [`onnx`] (the graph's file), [`family`] (what the architectures differ in), [`decoder`] (the graph),
//! [`tokenizer`] and [`settings`] (the other files of the folder).
pub mod blocks;
pub mod decoder;
pub mod family;
pub mod matrix;
pub mod onnx;
pub mod reader;
mod sentencepiece;
pub mod settings;
pub mod tokenizer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use decoder::Decoder;
use family::Family;
use reader::GgufFile;

/// Why a file is not converted. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The system cannot read the file.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The file says nonsense, or ends too early.
    #[error("{} is no whole GGUF file: {reason}; download it again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is whole, and holds something that is not handled here.
    #[error("{what} is not handled; {instead}")]
    NotHandled {
        /// What it is.
        what: String,
        /// What to do.
        instead: String,
    },
    /// The result cannot be written.
    #[error("{} cannot be written", file.display())]
    NotWritten {
        /// The file.
        file: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Whoever waits for it has said stop.
    #[error("the conversion was stopped")]
    Stopped,
}

impl GgufError {
    pub(crate) fn not_handled(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::NotHandled {
            what: what.into(),
            instead: instead.into(),
        }
    }
}

/// How the weights are stored in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// 32-bit floats: large and slow, for comparing.
    Fp32,
    /// Everything in 8 bits with one scale for 32 weights.
    #[default]
    Q8,
    /// Each matrix in the file's own blocks where that is exact.
    Exact,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Q8, Self::Exact];

    /// Its name in file names and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Q8 => "q8",
            Self::Exact => "exact",
        }
    }

    /// The variant of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// The graph's file, in the folder `onnx`.
    #[must_use]
    pub fn graph_file(self) -> String {
        match self {
            Self::Fp32 => "model.onnx".into(),
            Self::Q8 | Self::Exact => format!("model_{}.onnx", self.name()),
        }
    }
}

/// What is wanted of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertOptions {
    /// How the weights are stored.
    pub variant: Variant,
    /// The longest context that the graph has positions for, in tokens; the model's own if that is shorter.
    pub longest_context: usize,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            // rotary tables grow with it: 32,768 positions of a head of 128 are 17 MB
            longest_context: 32_768,
        }
    }
}

/// What came of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The model's architecture, as GGUF names it.
    pub architecture: String,
    /// The graph, relative to the folder.
    pub graph: String,
    /// Bytes of graph and weights.
    pub bytes: u64,
    /// Matrices whose weights are what the file says.
    pub exact: usize,
    /// Matrices whose weights were rounded: name and GGUF format.
    pub rounded: Vec<(String, String)>,
}

impl Report {
    /// One sentence for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut formats: Vec<&str> = self.rounded.iter().map(|(_, format)| format.as_str()).collect();
        formats.sort_unstable();
        formats.dedup();
        let rounded = match self.rounded.len() {
            0 => "none rounded".to_owned(),
            count => format!(
                "{count} rounded to 8 bits (stored as {} in the file)",
                formats.join(", ")
            ),
        };
        format!(
            "{}, {:.0} MB; of its matrices {} are exact, {rounded}",
            self.graph,
            self.bytes as f64 / 1e6,
            self.exact
        )
    }
}

/// Converts `file` into `folder`, which must exist and be the caller's own: after an error it holds a part.
/// `progress` is told bytes of weights done and bytes in all, and says whether to go on.
///
/// # Errors
/// See [`GgufError`].
pub fn convert(
    file: &Path,
    folder: &Path,
    options: ConvertOptions,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Report, GgufError> {
    let gguf = GgufFile::open(file)?;
    let family = Family::of(&gguf, options.longest_context)?;
    // what is quick comes first, so that a tokenizer that is not handled is told before minutes of work
    let tokenizer = tokenizer::tokenizer(&gguf)?;
    for (name, text) in settings::files(&gguf, &family)? {
        write(&folder.join(name), text.as_bytes())?;
    }
    write(&folder.join("tokenizer.json"), tokenizer.as_bytes())?;
    let onnx = folder.join("onnx");
    fs::create_dir_all(&onnx).map_err(|source| GgufError::NotWritten {
        file: onnx.clone(),
        source,
    })?;
    Decoder::new(&gguf, &family, options.variant, &onnx, progress)?.build()
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), GgufError> {
    crate::files::write(file, bytes).map_err(|source| GgufError::NotWritten {
        file: file.to_path_buf(),
        source,
    })
}
