//! Reads the files in which adapters come: Hugging Face's PEFT and llama.cpp's GGUF.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::AdapterError;
use super::graph::Slot;
use crate::gguf::blocks::Format;
use crate::gguf::reader::{GgufFile, Value};

/// The file with a PEFT adapter's settings.
pub(crate) const PEFT_SETTINGS: &str = "adapter_config.json";
/// The file with its matrices.
pub(crate) const PEFT_WEIGHTS: &str = "adapter_model.safetensors";
/// What a GGUF adapter is called among our adapters.
pub(crate) const GGUF: &str = "adapter.gguf";

/// Names of a matrix: in Hugging Face's models, in GGUF files.
const MODULES: [(&str, &str); 7] = [
    ("q_proj", "attn_q"),
    ("k_proj", "attn_k"),
    ("v_proj", "attn_v"),
    ("o_proj", "attn_output"),
    ("gate_proj", "ffn_gate"),
    ("up_proj", "ffn_up"),
    ("down_proj", "ffn_down"),
];

/// What is added to one matrix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    /// [rank, inputs], row by row.
    pub(super) a: Vec<f32>,
    /// [outputs, rank], row by row.
    pub(super) b: Vec<f32>,
    pub(super) rank: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) scale: f32,
}

/// By layer and module.
pub(super) type Pairs = BTreeMap<(usize, &'static str), Pair>;

/// A matrix as it lies in the file: rows, columns, numbers.
#[derive(Debug, Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    numbers: Vec<f32>,
}

/// The two halves of what is added to one matrix, as they are found.
type Halves = BTreeMap<(usize, &'static str), [Option<Matrix>; 2]>;

/// Reads an adapter: a PEFT folder, a GGUF file, or a folder with one.
pub(super) fn read(place: &Path, slots: &[Slot]) -> Result<Pairs, AdapterError> {
    let gguf = place.join(GGUF);
    if gguf.is_file() {
        read_gguf(&gguf, slots)
    } else if place.is_dir() {
        read_peft(place)
    } else {
        read_gguf(place, slots)
    }
}

fn damaged(file: &Path, reason: impl Into<String>) -> AdapterError {
    AdapterError::Damaged {
        file: file.to_path_buf(),
        reason: reason.into(),
    }
}

/// What PEFT writes of a LoRA adapter, as far as it changes what is computed.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Settings {
    peft_type: String,
    lora_alpha: f32,
    use_rslora: bool,
    use_dora: bool,
    fan_in_fan_out: bool,
    bias: String,
    modules_to_save: Option<Vec<String>>,
    alpha_pattern: BTreeMap<String, f32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            peft_type: "LORA".to_owned(),
            lora_alpha: 8.0, // PEFT's own default
            use_rslora: false,
            use_dora: false,
            fan_in_fan_out: false,
            bias: "none".to_owned(),
            modules_to_save: None,
            alpha_pattern: BTreeMap::new(),
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), AdapterError> {
        let saved = self.modules_to_save.as_ref().and_then(|modules| modules.first());
        let what = match self {
            _ if self.peft_type != "LORA" => format!("is of the kind `{}`", self.peft_type),
            _ if self.use_dora => "uses DoRA".to_owned(),
            _ if self.fan_in_fan_out => "is for matrices that lie the other way round".to_owned(),
            _ if self.bias != "none" => "changes biases".to_owned(),
            _ if !self.alpha_pattern.is_empty() => "has scales that differ from matrix to matrix".to_owned(),
            _ => match saved {
                Some(module) => format!("brings a `{module}` of its own"),
                None => return Ok(()),
            },
        };
        Err(AdapterError::NotHandled(what))
    }

    fn scale(&self, rank: usize) -> f32 {
        let rank = rank.max(1) as f32;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }
}

fn read_peft(folder: &Path) -> Result<Pairs, AdapterError> {
    let (settings_file, file) = (folder.join(PEFT_SETTINGS), folder.join(PEFT_WEIGHTS));
    for file in [&settings_file, &file] {
        if !file.is_file() {
            return Err(damaged(
                folder,
                format!(
                    "it lacks {}; a PEFT folder has {PEFT_SETTINGS} and {PEFT_WEIGHTS}",
                    file.file_name().unwrap_or_default().to_string_lossy()
                ),
            ));
        }
    }
    let settings = fs::read(&settings_file).map_err(AdapterError::disk(&settings_file))?;
    let settings: Settings =
        serde_json::from_slice(&settings).map_err(|error| damaged(&settings_file, error.to_string()))?;
    settings.check()?;
    let bytes = fs::read(&file).map_err(AdapterError::disk(&file))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&file, error.to_string()))?;
    let mut halves = Halves::new();
    for (name, tensor) in tensors.iter() {
        let Some((layer, module, half)) = peft_name(name) else {
            return Err(AdapterError::NotHandled(format!("changes `{name}`")));
        };
        let &[rows, columns] = tensor.shape() else {
            return Err(damaged(&file, format!("`{name}` is no matrix")));
        };
        let format = match tensor.dtype() {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::BF16,
            other => {
                return Err(AdapterError::NotHandled(format!(
                    "has numbers of the type {other:?}"
                )));
            }
        };
        let mut numbers = Vec::new();
        format.floats(tensor.data(), &mut numbers);
        let matrix = Matrix {
            rows,
            columns,
            numbers,
        };
        place(&mut halves, (layer, module), half, matrix);
    }
    join(halves, &file, |rank| settings.scale(rank))
}

fn place(halves: &mut Halves, key: (usize, &'static str), half: usize, matrix: Matrix) {
    if let Some(place) = halves.entry(key).or_default().get_mut(half) {
        *place = Some(matrix);
    }
}

/// Layer, module and half (0 for A) of a name such as
/// `base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight`.
fn peft_name(name: &str) -> Option<(usize, &'static str, usize)> {
    let (_, rest) = name.split_once("layers.")?;
    let (layer, rest) = rest.split_once('.')?;
    let rest = rest
        .strip_prefix("self_attn.")
        .or_else(|| rest.strip_prefix("mlp."))?;
    let (module, rest) = rest.split_once('.')?;
    let half = match rest.strip_suffix(".weight")? {
        "lora_A" | "lora_A.default" => 0,
        "lora_B" | "lora_B.default" => 1,
        _ => return None,
    };
    let (module, _) = MODULES.iter().find(|(known, _)| *known == module)?;
    Some((layer.parse().ok()?, module, half))
}

/// The same of a name such as `blk.3.attn_q.weight.lora_a`.
fn gguf_name(name: &str) -> Option<(usize, &'static str, usize)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (module, half) = rest.split_once(".weight.")?;
    let half = match half {
        "lora_a" => 0,
        "lora_b" => 1,
        _ => return None,
    };
    let (module, _) = MODULES.iter().find(|(_, known)| *known == module)?;
    Some((layer.parse().ok()?, module, half))
}

fn read_gguf(file: &Path, slots: &[Slot]) -> Result<Pairs, AdapterError> {
    let gguf = GgufFile::open(file)?;
    let kind = gguf.text("general.type").unwrap_or("model");
    if kind != "adapter" {
        return Err(damaged(file, format!("it says that it is a {kind}")));
    }
    match gguf.text("adapter.type") {
        Some("lora") | None => {}
        Some(other) => return Err(AdapterError::NotHandled(format!("is of the kind `{other}`"))),
    }
    let alpha = gguf
        .value("adapter.lora.alpha")
        .and_then(Value::as_f64)
        .unwrap_or(0.0) as f32;
    let shuffled = gguf.architecture() == "llama";
    let mut halves = Halves::new();
    for (name, tensor) in gguf.tensors() {
        let Some((layer, module, half)) = gguf_name(name) else {
            return Err(AdapterError::NotHandled(format!("changes `{name}`")));
        };
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        gguf.read_rows(tensor, 0, tensor.rows, &mut bytes)?;
        for row in bytes.chunks_exact(tensor.row_bytes.max(1)) {
            tensor.format.floats(row, &mut numbers);
        }
        if half == 1
            && shuffled
            && let Some(head) = head_of(slots, layer, module)
        {
            numbers = unshuffled(&numbers, tensor.columns, head);
        }
        let matrix = Matrix {
            rows: tensor.rows,
            columns: tensor.columns,
            numbers,
        };
        place(&mut halves, (layer, module), half, matrix);
    }
    // as llama.cpp: without an alpha the product is taken as it is
    join(halves, file, |rank| {
        if alpha == 0.0 {
            1.0
        } else {
            alpha / rank.max(1) as f32
        }
    })
}

fn head_of(slots: &[Slot], layer: usize, module: &str) -> Option<usize> {
    slots
        .iter()
        .filter(|slot| slot.layer == layer)
        .flat_map(|slot| &slot.parts)
        .find(|part| part.module == module)?
        .head
}

/// Undoes llama.cpp's order of a head's rows, as [`crate::gguf::family::Family::shuffled_rows`] tells it.
fn unshuffled(numbers: &[f32], columns: usize, head: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = numbers.chunks_exact(columns.max(1)).collect();
    let half = (head / 2).max(1);
    (0..rows.len())
        .filter_map(|row| {
            let (first, row) = (row / head * head, row % head);
            rows.get(first + row % half * 2 + row / half)
        })
        .flat_map(|row| row.iter().copied())
        .collect()
}

fn join(halves: Halves, file: &Path, scale: impl Fn(usize) -> f32) -> Result<Pairs, AdapterError> {
    halves
        .into_iter()
        .map(|(key, [a, b])| {
            let (layer, module) = key;
            let whole = a.zip(b).filter(|(a, b)| {
                a.rows == b.columns
                    && a.rows > 0
                    && a.numbers.len() == a.rows * a.columns
                    && b.numbers.len() == b.rows * b.columns
            });
            let (a, b) = whole.ok_or_else(|| {
                damaged(
                    file,
                    format!("the two matrices for `{module}` of layer {layer} do not fit"),
                )
            })?;
            let pair = Pair {
                rank: a.rows,
                inputs: a.columns,
                outputs: b.rows,
                scale: scale(a.rows),
                a: a.numbers,
                b: b.numbers,
            };
            Ok((key, pair))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_spellings() {
        let name = "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight";
        assert_eq!(peft_name(name), Some((3, "q_proj", 0)));
        assert_eq!(
            peft_name("model.layers.11.mlp.down_proj.lora_B.default.weight"),
            Some((11, "down_proj", 1))
        );
        assert_eq!(peft_name("base_model.model.lm_head.lora_A.weight"), None);
        assert_eq!(
            peft_name("base_model.model.model.layers.3.self_attn.q_proj.lora_magnitude_vector"),
            None
        );
        assert_eq!(
            gguf_name("blk.0.ffn_gate.weight.lora_b"),
            Some((0, "gate_proj", 1))
        );
        assert_eq!(gguf_name("token_embd.weight.lora_a"), None);
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused() {
        for (text, word) in [
            (r#"{"peft_type": "IA3"}"#, "IA3"),
            (r#"{"use_dora": true}"#, "DoRA"),
            (r#"{"bias": "all"}"#, "biases"),
            (r#"{"modules_to_save": ["lm_head"]}"#, "lm_head"),
            (r#"{"alpha_pattern": {"q_proj": 4}}"#, "scales"),
            (r#"{"fan_in_fan_out": true}"#, "other way"),
        ] {
            let settings: Settings = serde_json::from_str(text).unwrap();
            let words = settings.check().unwrap_err().to_string();
            assert!(words.contains(word), "{words}");
        }
        let settings: Settings = serde_json::from_str(r#"{"lora_alpha": 32, "use_rslora": true}"#).unwrap();
        assert!(settings.check().is_ok() && (settings.scale(16) - 8.0).abs() < 1e-6);
    }

    #[test]
    fn shuffled_rows_come_back_in_order() {
        // two heads of four: llama.cpp stores 0 2 1 3 of each
        let stored = [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        assert_eq!(
            unshuffled(&stored, 1, 4),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        );
    }
}
