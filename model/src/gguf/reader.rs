//! Reads a GGUF file (versions 2 and 3): its metadata whole, its tensors row by row as they are asked for.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Tensors are read rather than mapped into
//! memory: a file that somebody cuts short meanwhile is then an error instead of the end of the process.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::GgufError;
use super::blocks::Format;

/// A value of the metadata. Numbers are widened.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of values of one kind.
    List(Vec<Self>),
}

impl Value {
    /// As a number that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            Self::Float(_) | Self::Bool(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// As a float.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            Self::Bool(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// As a text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Numbers per row.
    pub columns: usize,
    /// Number of rows; 1 for a vector.
    pub rows: usize,
    /// How the numbers are stored.
    pub format: Format,
    /// Bytes of one row.
    pub row_bytes: usize,
    /// Place of the first byte in the file.
    at: u64,
}

/// An open GGUF file.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    file: File,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
}

/// Lists within lists, deeper than any real file has them.
const DEEPEST: usize = 3;
/// Of a text that is no vocabulary or template; longer is damage.
const LONGEST_KEY: u64 = 65_535;

impl GgufFile {
    /// Opens a file and reads everything but the tensors' numbers.
    ///
    /// # Errors
    /// [`GgufError::Unreadable`], [`GgufError::Damaged`], and [`GgufError::NotHandled`] for versions and formats.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let unreadable = |source| GgufError::Unreadable {
            file: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut source = Source {
            reader: BufReader::with_capacity(1 << 16, file),
            at: 0,
            length,
        };
        let (metadata, tensors) = source.head().map_err(|trouble| trouble.of_file(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: source.reader.into_inner(),
            metadata,
            tensors,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A value of the metadata.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A text of the metadata.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(Value::as_str)
    }

    /// `general.architecture`, for example `llama`; empty when the file does not say.
    #[must_use]
    pub fn architecture(&self) -> &str {
        self.text("general.architecture").unwrap_or_default()
    }

    /// A hyper-parameter of the architecture, e.g. `block_count`.
    #[must_use]
    pub fn parameter(&self, key: &str) -> Option<&Value> {
        self.value(&format!("{}.{key}", self.architecture()))
    }

    /// A hyper-parameter that must be there.
    ///
    /// # Errors
    /// [`GgufError::Damaged`] when it is not, or is no sensible size.
    pub fn size(&self, key: &str) -> Result<usize, GgufError> {
        self.parameter(key)
            .and_then(Value::as_u64)
            .and_then(|value| usize::try_from(value).ok())
            // the largest real one is a vocabulary or a context of some millions
            .filter(|value| (1..1 << 28).contains(value))
            .ok_or_else(|| self.damaged(format!("it does not say {}.{key}", self.architecture())))
    }

    /// A tensor by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// A tensor that must be there.
    ///
    /// # Errors
    /// [`GgufError::Damaged`] when it is not.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, GgufError> {
        self.find(name)
            .ok_or_else(|| self.damaged(format!("it has no tensor `{name}`")))
    }

    /// Every tensor with its name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Reads some rows of a tensor into `bytes`, which is made as long as they are.
    ///
    /// # Errors
    /// [`GgufError::Unreadable`].
    pub fn read_rows(
        &self,
        tensor: &Tensor,
        first: usize,
        count: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), GgufError> {
        bytes.resize(count * tensor.row_bytes, 0);
        let at = tensor.at + (first * tensor.row_bytes) as u64;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(bytes))
            .map_err(|source| GgufError::Unreadable {
                file: self.path.clone(),
                source,
            })
    }

    pub(crate) fn damaged(&self, reason: impl Into<String>) -> GgufError {
        GgufError::Damaged {
            file: self.path.clone(),
            reason: reason.into(),
        }
    }
}

/// What goes wrong while the head is read; the file's name is added by whoever knows it.
enum Trouble {
    System(io::Error),
    Damaged(String),
    NotHandled(String, String),
}

impl Trouble {
    fn of_file(self, path: &Path) -> GgufError {
        let file = path.to_path_buf();
        match self {
            Self::System(error) if error.kind() == io::ErrorKind::UnexpectedEof => GgufError::Damaged {
                file,
                reason: "it ends in the middle".into(),
            },
            Self::System(source) => GgufError::Unreadable { file, source },
            Self::Damaged(reason) => GgufError::Damaged { file, reason },
            Self::NotHandled(what, instead) => GgufError::NotHandled { what, instead },
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Damaged(reason.into()))
}

/// The file's head, read from the start. Every count is held against what is left of the file before it is believed.
struct Source {
    reader: BufReader<File>,
    at: u64,
    length: u64,
}

type Head = (BTreeMap<String, Value>, BTreeMap<String, Tensor>);

impl Source {
    fn head(&mut self) -> Result<Head, Trouble> {
        if self.length < 24 || self.bytes::<4>()? != *b"GGUF" {
            return damaged("it does not begin with the letters GGUF");
        }
        match self.u32()? {
            2 | 3 => {}
            version if version.swap_bytes() < 16 => {
                return Err(Trouble::NotHandled(
                    "a GGUF file for big-endian machines".into(),
                    "take the ordinary file of the same model".into(),
                ));
            }
            version => {
                return Err(Trouble::NotHandled(
                    format!("version {version} of GGUF"),
                    "versions 2 and 3 are: make the file anew with a current llama.cpp".into(),
                ));
            }
        }
        let (tensors, pairs) = (self.count(24)?, self.count(13)?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let key = self.text(LONGEST_KEY)?;
            let kind = self.u32()?;
            metadata.insert(key, self.value(kind, 0)?);
        }
        let mut places = Vec::new();
        for _ in 0..tensors {
            places.push(self.tensor()?);
        }
        let alignment = metadata
            .get("general.alignment")
            .and_then(Value::as_u64)
            .unwrap_or(32);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return damaged(format!("its tensors are aligned to {alignment} bytes"));
        }
        let start = self.at.next_multiple_of(alignment);
        let mut found = BTreeMap::new();
        for (name, mut tensor) in places {
            let end = (tensor.rows as u64)
                .checked_mul(tensor.row_bytes as u64)
                .and_then(|bytes| bytes.checked_add(start)?.checked_add(tensor.at));
            if end.is_none_or(|end| end > self.length) {
                return damaged(format!(
                    "it has {} bytes, and its tensor `{name}` lies behind them",
                    self.length
                ));
            }
            tensor.at += start;
            if found.insert(name.clone(), tensor).is_some() {
                return damaged(format!("it has two tensors `{name}`"));
            }
        }
        Ok((metadata, found))
    }

    fn tensor(&mut self) -> Result<(String, Tensor), Trouble> {
        let name = self.text(LONGEST_KEY)?;
        let dimensions = self.u32()?;
        if dimensions > 4 {
            return damaged(format!("its tensor `{name}` has {dimensions} dimensions"));
        }
        let mut sizes = Vec::new();
        for _ in 0..dimensions {
            sizes.push(self.u64()?);
        }
        let kind = self.u32()?;
        let format = Format::of_ggml(kind).map_err(|what| {
            Trouble::NotHandled(
                format!("the format {what} of tensor `{name}`"),
                "take a file of the same model in Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 or F16".into(),
            )
        })?;
        let columns = sizes.first().copied().unwrap_or(1);
        let rows = sizes
            .iter()
            .skip(1)
            .try_fold(1u64, |rows, size| rows.checked_mul(*size));
        let (Ok(columns), Some(Ok(rows))) = (usize::try_from(columns), rows.map(usize::try_from)) else {
            return damaged(format!("its tensor `{name}` is larger than any memory"));
        };
        let row_bytes = match format.row_bytes(columns) {
            Some(bytes) if columns > 0 && rows > 0 => bytes,
            _ => {
                return damaged(format!(
                    "rows of its tensor `{name}` are no whole number of blocks"
                ));
            }
        };
        let tensor = Tensor {
            columns,
            rows,
            format,
            row_bytes,
            at: self.u64()?,
        };
        Ok((name, tensor))
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, Trouble> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.bytes()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.bytes()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.bytes()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.bytes()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.bytes()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.bytes()?).into()),
            7 => Value::Bool(self.bytes::<1>()? != [0]),
            8 => Value::Text(self.text(self.length)?),
            9 if depth < DEEPEST => {
                let kind = self.u32()?;
                let count = self.count(1)?;
                // grown while reading: a false count must not reserve memory
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(kind, depth + 1)?);
                }
                Value::List(list)
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.bytes()?)),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            _ => return damaged(format!("its metadata has a value of kind {kind}")),
        })
    }

    /// A number of things that take at least `least` bytes each.
    fn count(&mut self, least: u64) -> Result<u64, Trouble> {
        let count = self.u64()?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.length - self.at => Ok(count),
            _ => damaged(format!("it promises {count} values and ends before")),
        }
    }

    fn text(&mut self, longest: u64) -> Result<String, Trouble> {
        let length = self.count(1)?;
        if length > longest {
            return damaged("it has a name that is too long");
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.reader.read_exact(&mut bytes)?;
        self.at += length;
        String::from_utf8(bytes).or_else(|_| damaged("it has a text that is no UTF-8"))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Trouble> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Trouble> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }
}
