//! Makes random LoRA adapters, writes them in both formats, and merges them into a model's weights.
use std::collections::BTreeMap;
use std::path::Path;

use model::Artifact;
use model::adapter::graph::Slot;
use prost::Message;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};

use crate::support::put;

pub(crate) const RANK: usize = 4;
const ALPHA: f32 = 8.0;

/// Numbers between -1 and 1 that are always the same.
struct Chance(u64);

impl Chance {
    fn numbers(&mut self, count: usize, width: f32) -> Vec<f32> {
        let mut next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * width
        };
        (0..count).map(|_| next()).collect()
    }
}

/// A and B of one matrix, as PEFT stores them: [rank, inputs] and [outputs, rank].
pub(crate) struct Matrices {
    a: Vec<f32>,
    b: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

/// By layer and module.
pub(crate) type Random = BTreeMap<(usize, &'static str), Matrices>;

pub(crate) fn random(slots: &[Slot], seed: u64, strength: f32) -> Random {
    let mut chance = Chance(seed);
    let mut all = Random::new();
    for slot in slots {
        for part in &slot.parts {
            let matrices = Matrices {
                a: chance.numbers(RANK * slot.inputs, (slot.inputs as f32).sqrt().recip()),
                b: chance.numbers(part.outputs * RANK, strength),
                inputs: slot.inputs,
                outputs: part.outputs,
            };
            all.insert((slot.layer, part.module), matrices);
        }
    }
    all
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Writes it as PEFT does.
pub(crate) fn write_peft(random: &Random, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    put(
        &folder.join("adapter_config.json"),
        format!(r#"{{"peft_type": "LORA", "r": {RANK}, "lora_alpha": {ALPHA}, "bias": "none"}}"#).as_bytes(),
    );
    let mut tensors = Vec::new();
    for ((layer, module), matrices) in random {
        let block = if module.ends_with("o_proj") || "qkv".contains(&module[..1]) {
            "self_attn"
        } else {
            "mlp"
        };
        let name =
            |half: &str| format!("base_model.model.model.layers.{layer}.{block}.{module}.lora_{half}.weight");
        tensors.push((name("A"), vec![RANK, matrices.inputs], bytes(&matrices.a)));
        tensors.push((name("B"), vec![matrices.outputs, RANK], bytes(&matrices.b)));
    }
    let views = tensors.iter().map(|(name, sides, bytes)| {
        (
            name.clone(),
            TensorView::new(Dtype::F32, sides.clone(), bytes).unwrap(),
        )
    });
    serialize_to_file(views, None, &folder.join("adapter_model.safetensors")).unwrap();
}

/// Writes it as llama.cpp's converter does; `head` is the width of the heads whose rows it shuffles.
pub(crate) fn write_gguf(random: &Random, head: usize, file: &Path) {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut tensors: Vec<(String, usize, Vec<f32>)> = Vec::new();
    for ((layer, module), matrices) in random {
        let name = match *module {
            "q_proj" => "attn_q",
            "k_proj" => "attn_k",
            "v_proj" => "attn_v",
            "o_proj" => "attn_output",
            "gate_proj" => "ffn_gate",
            "up_proj" => "ffn_up",
            _ => "ffn_down",
        };
        let rows: Vec<&[f32]> = matrices.b.chunks(RANK).collect();
        // (heads, 2, half) to (heads, half, 2), as its `permute` does
        let shuffled = (0..rows.len()).flat_map(|row| {
            let (first, row) = (row / head * head, row % head);
            rows[first + row % 2 * (head / 2) + row / 2].to_vec()
        });
        let b = if matches!(name, "attn_q" | "attn_k") {
            shuffled.collect()
        } else {
            matrices.b.clone()
        };
        tensors.push((
            format!("blk.{layer}.{name}.weight.lora_a"),
            matrices.inputs,
            matrices.a.clone(),
        ));
        tensors.push((format!("blk.{layer}.{name}.weight.lora_b"), RANK, b));
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend(4u64.to_le_bytes());
    for (key, value) in [
        ("general.type", "adapter"),
        ("general.architecture", "llama"),
        ("adapter.type", "lora"),
    ] {
        out.extend([text(key), 8u32.to_le_bytes().to_vec(), text(value)].concat());
    }
    out.extend(
        [
            text("adapter.lora.alpha"),
            6u32.to_le_bytes().to_vec(),
            ALPHA.to_le_bytes().to_vec(),
        ]
        .concat(),
    );
    let mut data = Vec::new();
    for (name, columns, numbers) in &tensors {
        out.extend(text(name));
        out.extend(2u32.to_le_bytes());
        out.extend((*columns as u64).to_le_bytes());
        out.extend(((numbers.len() / columns) as u64).to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        data.extend(bytes(numbers));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    put(file, &out);
}

/// Where a graph's weights lie, read by the specification.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Model {
        #[prost(message, optional, tag = "7")]
        pub(super) graph: Option<Graph>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Graph {
        #[prost(message, repeated, tag = "5")]
        pub(super) initializer: Vec<Weight>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Weight {
        #[prost(string, tag = "8")]
        pub(super) name: String,
        #[prost(message, repeated, tag = "13")]
        pub(super) external: Vec<Entry>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Entry {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
}

/// Adds B A to the weights of an `fp32` model in its own file.
pub(crate) fn merge(artifact: &Artifact, slots: &[Slot], random: &Random) {
    let graph = proto::Model::decode(std::fs::read(&artifact.graph).unwrap().as_slice())
        .unwrap()
        .graph
        .unwrap();
    let file = artifact.weight_files().remove(0);
    let mut data = std::fs::read(&file).unwrap();
    for slot in slots {
        let name = format!("{}.weight", slot.key);
        let weight = graph
            .initializer
            .iter()
            .find(|weight| weight.name == name)
            .unwrap();
        let offset = weight
            .external
            .iter()
            .find(|entry| entry.key == "offset")
            .unwrap();
        let mut at: usize = offset.value.parse().unwrap();
        for part in &slot.parts {
            let Matrices { a, b, .. } = &random[&(slot.layer, part.module)];
            for row in b.chunks(RANK) {
                for input in 0..slot.inputs {
                    let sum: f32 = (0..RANK).map(|r| row[r] * a[r * slot.inputs + input]).sum();
                    let place = &mut data[at..at + 4];
                    let old = f32::from_le_bytes(place.try_into().unwrap());
                    place.copy_from_slice(&(old + sum * ALPHA / RANK as f32).to_le_bytes());
                    at += 4;
                }
            }
        }
    }
    put(&file, &data);
}
