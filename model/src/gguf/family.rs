//! What the handled architectures have in common, and what they differ in.
use super::GgufError;
use super::reader::{GgufFile, Value};

/// An architecture, by GGUF's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Llama 2 and 3, Mistral, SmolLM and others of their shape.
    Llama,
    /// Qwen 2 and 2.5: biases on query, key and value.
    Qwen2,
    /// Qwen 3: a norm on each head's query and key.
    Qwen3,
    /// Gemma 3 without images: that norm too, norms after each part, and most layers look back a little way only.
    Gemma3,
}

impl Kind {
    const ALL: [(&'static str, Self); 4] = [
        ("llama", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("gemma3", Self::Gemma3),
    ];

    /// GGUF's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }
}

/// How positions turn queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// The base of the frequencies.
    pub base: f64,
    /// What positions are divided by.
    pub stretch: f64,
    /// What each frequency is divided by besides; empty for 1.
    pub factors: Vec<f32>,
}

/// Layers that look back a little way only.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// How far, in tokens, the last one counted.
    pub window: usize,
    /// One layer of so many looks back all the way: the last of them.
    pub period: usize,
    /// How positions turn queries and keys in these layers.
    pub rotary: Rotary,
}

/// A decoder's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The architecture.
    pub kind: Kind,
    /// Number of layers.
    pub layers: usize,
    /// Numbers that stand for a token between layers.
    pub width: usize,
    /// The same within a layer's feed-forward part.
    pub inner: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// Numbers per head.
    pub dim: usize,
    /// What norms add before they divide.
    pub epsilon: f32,
    /// Number of positions, in tokens.
    pub positions: usize,
    /// Number of tokens that have a score.
    pub vocabulary: usize,
    /// Whether the output uses the embedding's weights.
    pub tied: bool,
    /// How positions turn queries and keys.
    pub rotary: Rotary,
    /// Layers that look back a little way only.
    pub local: Option<Local>,
    /// What the attention's scores are multiplied by.
    pub attention_scale: f32,
    /// What embeddings are multiplied by.
    pub embedding_scale: Option<f32>,
}

/// Gemma 3's own constants, which its GGUF files leave out.
const GEMMA_PERIOD: usize = 6;
const GEMMA_LOCAL_BASE: f64 = 10_000.0;
/// The layers of Gemma 3 27B, the one size whose attention is scaled by its width instead of its heads'.
const GEMMA_27B_LAYERS: usize = 62;

impl Family {
    /// Reads the shape of a file's model.
    ///
    /// # Errors
    /// [`GgufError::NotHandled`] for what would be converted wrongly, [`GgufError::Damaged`] for what is missing.
    pub fn of(gguf: &GgufFile, longest_context: usize) -> Result<Self, GgufError> {
        let name = gguf.architecture();
        let Some((_, kind)) = Kind::ALL.into_iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
            return Err(GgufError::not_handled(
                format!("the architecture `{name}`"),
                format!("{} are", known.join(", ")),
            ));
        };
        refuse_unusual(gguf)?;
        let heads = gguf.size("attention.head_count")?;
        let kv_heads = match gguf.parameter("attention.head_count_kv") {
            Some(_) => gguf.size("attention.head_count_kv")?,
            None => heads,
        };
        let (width, layers) = (gguf.size("embedding_length")?, gguf.size("block_count")?);
        let dim = match gguf.parameter("attention.key_length") {
            Some(_) => gguf.size("attention.key_length")?,
            None => width / heads,
        };
        let told = gguf.parameter("attention.value_length").and_then(Value::as_u64);
        if told.is_some_and(|length| length != dim as u64) {
            return Err(unusual("values that are not as long as keys"));
        }
        let turned = gguf.parameter("rope.dimension_count").and_then(Value::as_u64);
        if turned.is_some_and(|turned| turned != dim as u64) || dim % 2 == 1 || heads % kv_heads != 0 {
            return Err(unusual("heads of which only a part is turned by the position"));
        }
        let epsilon = gguf
            .parameter("attention.layer_norm_rms_epsilon")
            .and_then(Value::as_f64)
            .ok_or_else(|| gguf.damaged("it does not say what its norms add"))?;
        let base = float(gguf, "rope.freq_base").unwrap_or(10_000.0);
        let attention_width = match (kind, layers) {
            (Kind::Gemma3, GEMMA_27B_LAYERS) => width / heads,
            _ => dim,
        };
        Ok(Self {
            kind,
            layers,
            width,
            inner: gguf.size("feed_forward_length")?,
            heads,
            kv_heads,
            dim,
            epsilon: epsilon as f32,
            positions: gguf.size("context_length")?.min(longest_context.max(1)),
            vocabulary: gguf.tensor("token_embd.weight")?.rows,
            tied: gguf.find("output.weight").is_none(),
            rotary: Rotary {
                base,
                stretch: stretch(gguf)?,
                factors: factors(gguf, dim)?,
            },
            local: local(gguf, kind)?,
            attention_scale: (attention_width as f32).sqrt().recip(),
            embedding_scale: (kind == Kind::Gemma3).then(|| (width as f32).sqrt()),
        })
    }

    /// Whether a layer looks back a little way only.
    #[must_use]
    pub fn local_of(&self, layer: usize) -> Option<&Local> {
        self.local
            .as_ref()
            .filter(|local| layer % local.period != local.period - 1)
    }

    /// Rows of a matrix that llama.cpp has shuffled, head by head; `None` for others.
    ///
    /// Within a head it stores the pairs that one frequency turns next to each other, where Hugging Face has the
    /// first of each pair in the head's first half.
    #[must_use]
    pub fn shuffled_rows(&self, tensor: &str) -> Option<usize> {
        let ours = tensor.ends_with("attn_q.weight") || tensor.ends_with("attn_k.weight");
        (self.kind == Kind::Llama && ours).then_some(self.dim)
    }
}

fn float(gguf: &GgufFile, key: &str) -> Option<f64> {
    gguf.parameter(key).and_then(Value::as_f64)
}

fn unusual(what: &str) -> GgufError {
    GgufError::not_handled(
        format!("a model with {what}"),
        "take another model, or an ONNX export of this one",
    )
}

/// What the graph would silently leave out.
fn refuse_unusual(gguf: &GgufFile) -> Result<(), GgufError> {
    if gguf
        .value("split.count")
        .and_then(Value::as_u64)
        .is_some_and(|count| count > 1)
    {
        return Err(GgufError::not_handled(
            "a model in several files",
            "join them with llama.cpp's llama-gguf-split --merge, or take a smaller one",
        ));
    }
    if float(gguf, "expert_count").is_some_and(|count| count > 0.0) {
        return Err(unusual("a mixture of experts"));
    }
    if float(gguf, "final_logit_softcapping").is_some() || float(gguf, "attn_logit_softcapping").is_some() {
        return Err(unusual("bounded scores"));
    }
    let lists = [
        "attention.head_count",
        "attention.head_count_kv",
        "feed_forward_length",
    ];
    if lists
        .iter()
        .any(|key| gguf.parameter(key).is_some_and(|value| value.as_list().is_some()))
    {
        return Err(unusual("layers of different shapes"));
    }
    let known = |name: &str| {
        const OUTER: [&str; 4] = [
            "token_embd.weight",
            "output.weight",
            "output_norm.weight",
            "rope_freqs.weight",
        ];
        const INNER: [&str; 16] = [
            "attn_norm.weight",
            "attn_q.weight",
            "attn_k.weight",
            "attn_v.weight",
            "attn_output.weight",
            "attn_q.bias",
            "attn_k.bias",
            "attn_v.bias",
            "attn_q_norm.weight",
            "attn_k_norm.weight",
            "ffn_norm.weight",
            "ffn_gate.weight",
            "ffn_up.weight",
            "ffn_down.weight",
            "post_attention_norm.weight",
            "post_ffw_norm.weight",
        ];
        let inner = name
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(_, part)| INNER.contains(&part) || part == "attn_rot_embd");
        inner || OUTER.contains(&name)
    };
    match gguf.tensors().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(unusual(&format!("a tensor `{name}`"))),
        None => Ok(()),
    }
}

fn stretch(gguf: &GgufFile) -> Result<f64, GgufError> {
    match gguf.parameter("rope.scaling.type").and_then(Value::as_str) {
        None | Some("none" | "linear") => {}
        Some(other) => return Err(unusual(&format!("positions stretched by `{other}`"))),
    }
    Ok(float(gguf, "rope.scaling.factor")
        .filter(|factor| *factor > 0.0)
        .unwrap_or(1.0))
}

fn factors(gguf: &GgufFile, dim: usize) -> Result<Vec<f32>, GgufError> {
    let Some(tensor) = gguf.find("rope_freqs.weight") else {
        return Ok(Vec::new());
    };
    let (mut bytes, mut factors) = (Vec::new(), Vec::new());
    gguf.read_rows(tensor, 0, tensor.rows, &mut bytes)?;
    tensor.format.floats(&bytes, &mut factors);
    if factors.len() != dim / 2 || factors.iter().any(|factor| !factor.is_normal()) {
        return Err(gguf.damaged("its tensor `rope_freqs.weight` does not fit its heads"));
    }
    Ok(factors)
}

fn local(gguf: &GgufFile, kind: Kind) -> Result<Option<Local>, GgufError> {
    if kind != Kind::Gemma3 {
        return Ok(None);
    }
    Ok(Some(Local {
        window: gguf.size("attention.sliding_window")?,
        period: GEMMA_PERIOD,
        rotary: Rotary {
            base: float(gguf, "rope.freq_base_swa").unwrap_or(GEMMA_LOCAL_BASE),
            stretch: 1.0,
            factors: Vec::new(),
        },
    }))
}
