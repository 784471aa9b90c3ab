//! The settings files of a model's folder: what `artifact` and other programs read beside graph and tokenizer.
use serde_json::{Value as Json, json};

use super::GgufError;
use super::family::{Family, Kind};
use super::reader::{GgufFile, Value};
use super::tokenizer::Tokens;

/// Texts of tokens that end an answer in the models that know them; files often name only one of theirs.
const ENDS: [&str; 7] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
];

/// Every settings file: name and text.
///
/// # Errors
/// [`GgufError::Damaged`] when the tokenizer is missing.
pub fn files(gguf: &GgufFile, family: &Family) -> Result<Vec<(&'static str, String)>, GgufError> {
    let tokens = Tokens::of(gguf)?;
    let template = gguf.text("tokenizer.chat_template");
    let ends = ends(gguf, &tokens);
    let first = ends.first().copied();
    let begin = tokens.role(gguf, "bos").map(|(id, _)| id).or(first);
    let pretty = |value: &Json| {
        let mut sorted = value.clone();
        sorted.sort_all_objects();
        serde_json::to_string_pretty(&sorted).unwrap_or_default()
    };
    let role = |role: &str| tokens.role(gguf, role).map(|(_, text)| text);
    let config = json!({
        "architectures": [architecture(family.kind)],
        "model_type": if family.kind == Kind::Gemma3 { "gemma3_text" } else { family.kind.name() },
        "hidden_size": family.width, "intermediate_size": family.inner, "num_hidden_layers": family.layers,
        "num_attention_heads": family.heads, "num_key_value_heads": family.kv_heads, "head_dim": family.dim,
        "hidden_act": if family.kind == Kind::Gemma3 { "gelu_pytorch_tanh" } else { "silu" },
        "rms_norm_eps": shortest(family.epsilon), "rope_theta": family.rotary.base,
        "max_position_embeddings": family.positions, "vocab_size": family.vocabulary,
        "tie_word_embeddings": family.tied, "bos_token_id": begin, "eos_token_id": first,
        "torch_dtype": "float32", "use_cache": true,
    });
    let generation = json!({
        "bos_token_id": begin, "eos_token_id": ends,
        "pad_token_id": tokens.role(gguf, "padding").map(|(id, _)| id).or(first),
    });
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": role("bos"), "eos_token": role("eos"), "pad_token": role("padding"), "unk_token": role("unknown"),
        "add_bos_token": gguf.value("tokenizer.ggml.add_bos_token") == Some(&Value::Bool(true)),
        "add_prefix_space": false, "model_max_length": family.positions,
        "clean_up_tokenization_spaces": false, "chat_template": template,
    });
    let mut files = vec![
        ("config.json", pretty(&config)),
        ("generation_config.json", pretty(&generation)),
        ("tokenizer_config.json", pretty(&tokenizer)),
        ("README.md", card(gguf)),
    ];
    if let Some(template) = template {
        files.push(("chat_template.jinja", template.to_owned()));
    }
    Ok(files)
}

/// Ids of the tokens that end an answer, the file's own word first.
fn ends(gguf: &GgufFile, tokens: &Tokens<'_>) -> Vec<u64> {
    let told = ["eos", "eot", "eom"]
        .iter()
        .filter_map(|role| tokens.role(gguf, role).map(|(id, _)| id));
    let known = tokens
        .all
        .iter()
        .enumerate()
        // 3: control tokens, which no text contains
        .filter(|(_, (text, kind, _))| *kind == 3 && ENDS.contains(text))
        .map(|(id, _)| id as u64);
    let mut ends: Vec<u64> = Vec::new();
    for id in told.chain(known) {
        if !ends.contains(&id) {
            ends.push(id);
        }
    }
    ends
}

const fn architecture(kind: Kind) -> &'static str {
    match kind {
        Kind::Llama => "LlamaForCausalLM",
        Kind::Qwen2 => "Qwen2ForCausalLM",
        Kind::Qwen3 => "Qwen3ForCausalLM",
        Kind::Gemma3 => "Gemma3ForCausalLM",
    }
}

/// A float as people write it: `1e-5`, not all the digits of the double nearest to it.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

/// A model card with what the file says about itself.
fn card(gguf: &GgufFile) -> String {
    // in quotes: names may hold what means something in YAML
    let quoted = |text: &str| text.replace(['"', '\\', '\n', '\r'], " ");
    let name = gguf.text("general.name").unwrap_or_default();
    let mut card = String::from("---\n");
    if let Some(licence) = gguf.text("general.license") {
        card.push_str(&format!("license: \"{}\"\n", quoted(licence)));
    }
    if !name.is_empty() {
        card.push_str(&format!("model_name: \"{}\"\n", quoted(name)));
    }
    let file = gguf.path().file_name().unwrap_or_default().to_string_lossy();
    card.push_str(&format!(
        "pipeline_tag: text-generation\n---\n\n# {}\n\nMade by Inkling from the GGUF file `{}`.\n",
        if name.is_empty() { &file } else { name },
        quoted(&file)
    ));
    card
}
