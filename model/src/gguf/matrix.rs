//! Matrices as the graph wants them: several GGUF tensors one below the other, their rows in Hugging Face's order,
//! their blocks in one layout. Rows are read, turned and written a few at a time, however large the matrix is.
use super::blocks::{self, Codes, Layout};
use super::family::Family;
use super::onnx::{Element, GraphWriter};
use super::reader::{GgufFile, Tensor};
use super::{GgufError, Report, Variant, onnx};

/// Bytes of rows that are read at once, about.
const BATCH: usize = 1 << 20;

/// Where weights come from, and what has become of them.
pub struct Matrices<'a> {
    gguf: &'a GgufFile,
    family: &'a Family,
    variant: Variant,
    progress: &'a mut dyn FnMut(u64, u64) -> bool,
    done: u64,
    total: u64,
    /// How many matrices are exact, and which are not.
    pub(super) report: Report,
}

impl std::fmt::Debug for Matrices<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matrices")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// What is done with each row.
type EachRow<'a> = &'a mut dyn FnMut(&Tensor, &[u8]) -> Result<(), GgufError>;

/// A matrix of codes in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Numbers of one row.
    pub columns: usize,
    /// Number of rows.
    pub rows: usize,
    /// How its codes lie.
    pub layout: Layout,
    /// Name of the codes.
    pub codes: String,
    /// Name of the scales.
    pub scales: String,
    /// Name of the offsets, one row a block, if there are any.
    pub offsets: Option<String>,
}

impl<'a> Matrices<'a> {
    /// The matrices of a file.
    pub fn new(
        gguf: &'a GgufFile,
        family: &'a Family,
        variant: Variant,
        progress: &'a mut dyn FnMut(u64, u64) -> bool,
    ) -> Self {
        Self {
            gguf,
            family,
            variant,
            progress,
            done: 0,
            total: gguf
                .tensors()
                .map(|(_, tensor)| (tensor.rows * tensor.row_bytes) as u64)
                .sum(),
            report: Report {
                architecture: family.kind.name().to_owned(),
                graph: format!("onnx/{}", variant.graph_file()),
                bytes: 0,
                exact: 0,
                rounded: Vec::new(),
            },
        }
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.gguf.find(name).is_some()
    }

    /// The layout in which a tensor is stored; the same for every tensor of a stack, or `None`.
    ///
    /// # Errors
    /// [`GgufError::Damaged`] when there is no such tensor, or it has no whole number of blocks.
    pub fn layout(&self, names: &[String]) -> Result<Option<Layout>, GgufError> {
        let mut common = None;
        for name in names {
            let layout = self.own_layout(name)?;
            if *common.get_or_insert(layout) != layout {
                return Ok(None);
            }
        }
        Ok(common)
    }

    fn own_layout(&self, name: &str) -> Result<Layout, GgufError> {
        let tensor = self.gguf.tensor(name)?;
        if !tensor.columns.is_multiple_of(Layout::ROUNDED.block) {
            return Err(GgufError::not_handled(
                format!("a matrix of {} columns (`{name}`)", tensor.columns),
                "only whole blocks of 32 are: convert to fp32",
            ));
        }
        Ok(match (tensor.format.layout(), self.variant) {
            (Some(layout), Variant::Exact) => layout,
            (Some(layout), _) if !layout.offsets && layout.block == 32 => layout.widened(),
            _ => Layout::ROUNDED,
        })
    }

    /// A vector or a small matrix as floats.
    ///
    /// # Errors
    /// [`GgufError::Damaged`] when it is not there or not of this size, [`GgufError::Unreadable`].
    pub fn floats(&mut self, name: &str, length: usize) -> Result<Vec<f32>, GgufError> {
        let tensor = self.gguf.tensor(name)?;
        if tensor.rows * tensor.columns != length {
            return Err(self
                .gguf
                .damaged(format!("its tensor `{name}` has the wrong size")));
        }
        let mut floats = Vec::with_capacity(length);
        self.rows(name, &mut |tensor, row| {
            tensor.format.floats(row, &mut floats);
            Ok(())
        })?;
        Ok(floats)
    }

    /// Writes a stack of matrices as floats. Returns (rows, columns).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_floats(
        &mut self,
        graph: &mut GraphWriter,
        names: &[String],
        key: &str,
    ) -> Result<(usize, usize), GgufError> {
        let (rows, columns) = self.shape(names)?;
        let weight = graph.begin(key, Element::Float, &[rows, columns])?;
        let mut floats = Vec::new();
        for name in names {
            self.rows(name, &mut |tensor, row| {
                floats.clear();
                tensor.format.floats(row, &mut floats);
                graph.put(&onnx::bytes_of(&floats))
            })?;
            self.report.exact += 1;
        }
        graph.end(weight);
        Ok((rows, columns))
    }

    /// Writes a stack of matrices as codes in `layout`.
    ///
    /// # Errors
    /// [`GgufError::Damaged`] when one is missing or does not fit, [`GgufError::Unreadable`],
    /// [`GgufError::NotWritten`], [`GgufError::Stopped`].
    pub fn store(
        &mut self,
        graph: &mut GraphWriter,
        names: &[String],
        key: &str,
        layout: Layout,
    ) -> Result<Stored, GgufError> {
        let (rows, columns) = self.shape(names)?;
        let blocks = columns / layout.block;
        let mut stored = Stored {
            columns,
            rows,
            layout,
            codes: format!("{key}.qweight"),
            scales: format!("{key}.scales"),
            offsets: None,
        };
        let (mut scales, mut offsets) = (Vec::new(), Vec::new());
        let sides = [rows, blocks, layout.block * layout.bits / 8];
        let weight = graph.begin(&stored.codes, Element::Byte, &sides)?;
        for name in names {
            let mut packed = Vec::new();
            let own = self.gguf.tensor(name)?.format;
            let from = match (own.layout(), self.variant) {
                (Some(from), Variant::Exact) => Some(from),
                (Some(from), _) if !from.offsets && from.block == layout.block => Some(from),
                _ => None,
            };
            self.rows(name, &mut |tensor, row| {
                let mut codes = Codes::default();
                if let Some(from) = from {
                    tensor.format.codes(row, &mut codes);
                    codes = blocks::widen(from, layout, codes);
                } else {
                    let mut floats = Vec::with_capacity(tensor.columns);
                    tensor.format.floats(row, &mut floats);
                    blocks::round(&floats, &mut codes);
                }
                scales.append(&mut codes.scales);
                offsets.append(&mut codes.offsets);
                if layout.bits == 8 {
                    return graph.put(&codes.codes);
                }
                packed.clear();
                packed.extend(
                    codes
                        .codes
                        .as_chunks()
                        .0
                        .iter()
                        .map(|[low, high]| low | high << 4),
                );
                graph.put(&packed)
            })?;
            match from {
                Some(_) => self.report.exact += 1,
                None => self.report.rounded.push((name.clone(), own.name().to_owned())),
            }
        }
        graph.end(weight);
        graph.floats(&stored.scales, &[rows, blocks], &scales)?;
        if layout.offsets {
            let name = format!("{key}.offsets");
            graph.floats(&name, &[blocks, rows], &transposed(&offsets, blocks))?;
            stored.offsets = Some(name);
        }
        Ok(stored)
    }

    /// (Rows together, columns) of a stack.
    fn shape(&self, names: &[String]) -> Result<(usize, usize), GgufError> {
        let (mut rows, mut columns) = (0, 0);
        for name in names {
            let tensor = self.gguf.tensor(name)?;
            if columns != 0 && tensor.columns != columns {
                return Err(self
                    .gguf
                    .damaged(format!("its tensor `{name}` does not fit its neighbours")));
            }
            rows += tensor.rows;
            columns = tensor.columns;
        }
        Ok((rows, columns))
    }

    /// Goes through a tensor's rows in Hugging Face's order.
    fn rows(&mut self, name: &str, each: EachRow<'_>) -> Result<(), GgufError> {
        let tensor = self.gguf.tensor(name)?;
        let shuffled = self.family.shuffled_rows(name);
        if shuffled.is_some_and(|head| !tensor.rows.is_multiple_of(head)) {
            return Err(self
                .gguf
                .damaged(format!("its tensor `{name}` is no whole number of heads")));
        }
        let step = shuffled.unwrap_or_else(|| (BATCH / tensor.row_bytes).max(1));
        let mut bytes = Vec::new();
        for first in (0..tensor.rows).step_by(step) {
            let count = step.min(tensor.rows - first);
            self.gguf.read_rows(tensor, first, count, &mut bytes)?;
            for row in 0..count {
                let half = count / 2;
                let from = if shuffled.is_some() {
                    row % half * 2 + row / half
                } else {
                    row
                };
                let start = from * tensor.row_bytes;
                each(
                    tensor,
                    bytes.get(start..start + tensor.row_bytes).unwrap_or_default(),
                )?;
            }
            self.done += bytes.len() as u64;
            if !(self.progress)(self.done.min(self.total), self.total) {
                return Err(GgufError::Stopped);
            }
        }
        Ok(())
    }
}

fn transposed(numbers: &[f32], columns: usize) -> Vec<f32> {
    let rows = numbers.len() / columns.max(1);
    (0..columns)
        .flat_map(|column| {
            (0..rows).map(move |row| numbers.get(row * columns + column).copied().unwrap_or_default())
        })
        .collect()
}
