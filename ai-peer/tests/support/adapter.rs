//! Makes a LoRA adapter for a model: arbitrary numbers on the projection behind each attention, as PEFT writes them.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

const RANK: usize = 4;

/// Numbers between -1 and 1, always the same for a seed.
fn numbers(seed: &mut u64, count: usize, width: f32) -> Vec<u8> {
    let mut next = || {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * width
    };
    (0..count).flat_map(|_| next().to_le_bytes()).collect()
}

fn put(path: &Path, parts: &[&[u8]]) {
    let mut file = fs::File::create(path).unwrap();
    for part in parts {
        file.write_all(part).unwrap();
    }
}

/// Writes a PEFT folder that fits the model in `model` and changes what it writes.
pub fn write_peft(model: &Path, folder: &Path, mut seed: u64) {
    let settings: Value = serde_json::from_slice(&fs::read(model.join("config.json")).unwrap()).unwrap();
    let side = |name: &str| settings[name].as_u64().map(|side| usize::try_from(side).unwrap());
    let (hidden, heads) = (side("hidden_size").unwrap(), side("num_attention_heads").unwrap());
    let inputs = heads * side("head_dim").unwrap_or(hidden / heads);
    let (mut header, mut bytes) = (Map::new(), Vec::new());
    for layer in 0..side("num_hidden_layers").unwrap() {
        let a = numbers(&mut seed, RANK * inputs, (inputs as f32).sqrt().recip());
        let b = numbers(&mut seed, hidden * RANK, 0.3);
        for (half, shape, part) in [("A", [RANK, inputs], a), ("B", [hidden, RANK], b)] {
            let name = format!("base_model.model.model.layers.{layer}.self_attn.o_proj.lora_{half}.weight");
            let from = bytes.len();
            bytes.extend(part);
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [from, bytes.len()]});
            header.insert(name, entry);
        }
    }
    let header = Value::Object(header).to_string();
    fs::create_dir_all(folder).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    put(
        &folder.join("adapter_model.safetensors"),
        &[&length, header.as_bytes(), &bytes],
    );
    let config = format!(r#"{{"peft_type": "LORA", "r": {RANK}, "lora_alpha": 8, "bias": "none"}}"#);
    put(&folder.join("adapter_config.json"), &[config.as_bytes()]);
}
