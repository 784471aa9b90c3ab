//! Attention: projections, norms of heads, and the operator that keeps the cache.
use super::super::GgufError;
use super::super::Variant;
use super::super::blocks::Layout;
use super::super::family::Kind;
use super::super::onnx::{Element, Node};
use super::{Decoder, rms_norm};

/// Keys and values lie in memory in 16 bits, as llama.cpp keeps them too: half the memory, attention as fast, and scores
/// that differ by no more than those of runs of other lengths do. Eight bits would be less memory and a faster attention of
/// one token, but ONNX Runtime 1.32 reads a prompt of 2,048 tokens at half the speed with them, and a scale must be known for each
/// channel before anything is read.
pub(super) const fn cache_element(variant: Variant) -> Element {
    match variant {
        Variant::Fp32 => Element::Float,
        Variant::Exact | Variant::Q8 => Element::Float16,
    }
}

impl Decoder<'_> {
    /// Queries, keys and values of a layer; all of them in the first where one matrix gives them.
    fn projections(&mut self, layer: usize, x: &str) -> Result<[String; 3], GgufError> {
        let (family, key) = (self.family, format!("layers.{layer}.attn"));
        let name = |part: &str| format!("blk.{layer}.attn_{part}");
        let names = ["q", "k", "v"].map(|part| name(&format!("{part}.weight")));
        let widths = [family.heads, family.kv_heads, family.kv_heads].map(|heads| heads * family.dim);
        let mut biases = Vec::new();
        for (part, width) in ["q.bias", "k.bias", "v.bias"].iter().zip(widths) {
            if self.matrices.has(&name(part)) {
                if family.kind == Kind::Llama {
                    return Err(GgufError::not_handled(
                        "a llama with biases on its attention",
                        "take another model",
                    ));
                }
                biases.push(self.matrices.floats(&name(part), width)?);
            }
        }
        let head_norms = matches!(family.kind, Kind::Qwen3 | Kind::Gemma3);
        let common = if self.variant == Variant::Fp32 {
            Some(Layout::ROUNDED)
        } else {
            self.matrices.layout(&names)?
        };
        let (query, keys, values) = match common {
            Some(layout) if !head_norms => {
                let bias = biases.concat();
                let bias = (!bias.is_empty()).then_some(bias.as_slice());
                let all = self.linear(x, &names, &format!("{key}.qkv"), layout, bias)?;
                (all, String::new(), String::new())
            }
            _ => {
                let mut parts = Vec::new();
                for (index, part) in ["q", "k", "v"].iter().enumerate() {
                    let own = names.get(index..=index).unwrap_or_default();
                    let layout = self.matrices.layout(own)?.unwrap_or(Layout::ROUNDED);
                    let bias = biases.get(index).map(Vec::as_slice);
                    parts.push(self.linear(x, own, &format!("{key}.{part}"), layout, bias)?);
                }
                let [query, keys, values] = <[String; 3]>::try_from(parts).unwrap_or_default();
                (query, keys, values)
            }
        };
        let (query, keys) = if head_norms {
            (
                self.head_norm(
                    &query,
                    family.heads,
                    &format!("{key}.q_norm"),
                    &name("q_norm.weight"),
                )?,
                self.head_norm(
                    &keys,
                    family.kv_heads,
                    &format!("{key}.k_norm"),
                    &name("k_norm.weight"),
                )?,
            )
        } else {
            (query, keys)
        };
        Ok([query, keys, values])
    }

    pub(super) fn attention(&mut self, layer: usize, x: &str) -> Result<String, GgufError> {
        let (family, key) = (self.family, format!("layers.{layer}.attn"));
        let [query, keys, values] = self.projections(layer, x)?;
        let local = family.local_of(layer);
        let tables = if local.is_some() {
            ["local_cos_cache", "local_sin_cache"]
        } else {
            ["cos_cache", "sin_cache"]
        };
        let past = ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"));
        let present = ["key", "value"].map(|part| format!("present.{layer}.{part}"));
        let out = format!("{key}/out");
        let in_halves = cache_element(self.variant) == Element::Float16;
        let [query, keys, values] = [query, keys, values].map(|x| {
            if in_halves && !x.is_empty() {
                self.cast(&x, Element::Float16)
            } else {
                x
            }
        });
        let attended = if in_halves {
            format!("{out}_halves")
        } else {
            out.clone()
        };
        let [past_key, past_value] = &past;
        let [present_key, present_value] = &present;
        let [cos, sin] = tables;
        let node = Node::ms(
            "GroupQueryAttention",
            &[
                &query,
                &keys,
                &values,
                past_key,
                past_value,
                "seqlens_k",
                "total_len",
                cos,
                sin,
                "position_ids",
            ],
        )
        .int("num_heads", family.heads as i64)
        .int("kv_num_heads", family.kv_heads as i64)
        .int("do_rotary", 1)
        .int("rotary_interleaved", 0)
        .float("scale", family.attention_scale)
        .gives(&[&attended, present_key, present_value])
        .named(format!("{key}/GroupQueryAttention"));
        self.graph.node(match local {
            Some(local) => node.int("local_window_size", local.window as i64),
            None => node,
        });
        if in_halves {
            let cast = Node::new("Cast", &[&attended]).int("to", Element::Float as i64);
            self.graph
                .node(cast.gives(&[&out]).named(format!("{key}/floats")));
        }
        self.alone(
            &out,
            &format!("blk.{layer}.attn_output.weight"),
            &format!("{key}.o"),
        )
    }

    fn cast(&mut self, x: &str, element: Element) -> String {
        let node = Node::new("Cast", &[x]).int("to", element as i64);
        self.graph.node(node.named(format!("{x}/cast")))
    }

    /// A norm of each head by itself.
    fn head_norm(&mut self, x: &str, heads: usize, key: &str, tensor: &str) -> Result<String, GgufError> {
        let dim = self.family.dim;
        let gamma = self.gamma(key, tensor, dim)?;
        let g = &mut self.graph;
        let (apart, together) = (
            g.list(&[0, 0, heads as i64, dim as i64]),
            g.list(&[0, 0, (heads * dim) as i64]),
        );
        let x = g.node(Node::new("Reshape", &[x, &apart]));
        let x = g.node(rms_norm(&x, &gamma, self.family.epsilon).named(key));
        Ok(g.node(Node::new("Reshape", &[&x, &together])))
    }
}
