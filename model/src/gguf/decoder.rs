//! Builds the graph of a decoder. Its inputs and outputs have the names that optimum's exports use:
//!
//! ```text
//! inputs   input_ids, attention_mask, position_ids   int64 [batch, new] / [batch, total]
//!          past_key_values.N.key / .value            float16 [batch, kv_heads, past, dim]; float for `fp32`
//!          num_logits_to_keep                        int64 scalar, 0 for all
//! outputs  logits float [batch, kept, vocabulary], present.N.key / .value
//! ```
mod attention;

use std::path::Path;

use super::blocks::Layout;
use super::family::{Family, Kind, Rotary};
use super::matrix::{Matrices, Stored};
use super::onnx::{Element, GraphWriter, Node, Side};
use super::reader::GgufFile;
use super::{GgufError, Report, Variant};
use attention::cache_element;

/// `MatMulNBits` rounds activations to 8 bits: the fastest on a CPU, and what llama.cpp does.
const INT8_ACTIVATIONS: i64 = 4;

/// One variant of one model on its way to the disk.
#[derive(Debug)]
pub struct Decoder<'a> {
    family: &'a Family,
    variant: Variant,
    matrices: Matrices<'a>,
    graph: GraphWriter,
}

/// The embedding's table, which a tied output uses too.
enum Table {
    Floats(String),
    Codes(Stored),
}

impl<'a> Decoder<'a> {
    /// Begins a graph in `folder`.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn new(
        gguf: &'a GgufFile,
        family: &'a Family,
        variant: Variant,
        folder: &Path,
        progress: &'a mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, GgufError> {
        Ok(Self {
            family,
            variant,
            matrices: Matrices::new(gguf, family, variant, progress),
            graph: GraphWriter::create(&folder.join(variant.graph_file()))?,
        })
    }

    /// Writes the whole graph.
    ///
    /// # Errors
    /// See [`super::convert`].
    pub fn build(mut self) -> Result<Report, GgufError> {
        self.ports();
        self.positions()?;
        let (mut x, table) = self.embedding()?;
        let mut part: Option<String> = None;
        for layer in 0..self.family.layers {
            let block = format!("blk.{layer}.");
            let (normal, sum) = self.norm(
                &x,
                part.as_deref(),
                &format!("layers.{layer}.input_norm"),
                &format!("{block}attn_norm.weight"),
            )?;
            let out = self.attention(layer, &normal)?;
            let out = self.after(
                &out,
                &format!("layers.{layer}.after_attention"),
                &format!("{block}post_attention_norm.weight"),
            )?;
            let (normal, sum) = self.norm(
                &sum,
                Some(&out),
                &format!("layers.{layer}.post_norm"),
                &format!("{block}ffn_norm.weight"),
            )?;
            let out = self.feed_forward(layer, &normal)?;
            let out = self.after(
                &out,
                &format!("layers.{layer}.after_mlp"),
                &format!("{block}post_ffw_norm.weight"),
            )?;
            (x, part) = (sum, Some(out));
        }
        let (normal, _) = self.norm(&x, part.as_deref(), "final_norm", "output_norm.weight")?;
        self.output(&normal, &table)?;
        let mut report = self.matrices.report;
        report.bytes = self.graph.finish()?;
        Ok(report)
    }

    fn ports(&mut self) {
        let (family, graph) = (self.family, &mut self.graph);
        let (batch, new, total) = (
            Side::Free("batch_size"),
            Side::Free("sequence_length"),
            Side::Free("total_sequence_length"),
        );
        graph.input("input_ids", Element::Int64, &[batch, new]);
        graph.input("attention_mask", Element::Int64, &[batch, total]);
        graph.input("position_ids", Element::Int64, &[batch, new]);
        graph.input("num_logits_to_keep", Element::Int64, &[]);
        let logits = [batch, Side::Free("num_logits"), Side::Fixed(family.vocabulary)];
        graph.output("logits", Element::Float, &logits);
        let (heads, dim) = (Side::Fixed(family.kv_heads), Side::Fixed(family.dim));
        let element = cache_element(self.variant);
        for layer in 0..family.layers {
            for part in ["key", "value"] {
                let before = [batch, heads, Side::Free("past_sequence_length"), dim];
                let after = [batch, heads, Side::Free("present_sequence_length"), dim];
                graph.input(&format!("past_key_values.{layer}.{part}"), element, &before);
                graph.output(&format!("present.{layer}.{part}"), element, &after);
            }
        }
    }

    fn positions(&mut self) -> Result<(), GgufError> {
        let (family, graph) = (self.family, &mut self.graph);
        let sides = [family.positions, family.dim / 2];
        let local = family.local.as_ref().map(|local| ("local_", &local.rotary));
        for (name, rotary) in [("", &family.rotary)].into_iter().chain(local) {
            let (cos, sin) = rotary_tables(rotary, family.dim, family.positions);
            for (part, numbers) in [("cos", cos), ("sin", sin)] {
                let name = format!("{name}{part}_cache");
                if cache_element(self.variant) == Element::Float16 {
                    graph.halves(&name, &sides, &numbers)?;
                } else {
                    graph.floats(&name, &sides, &numbers)?;
                }
            }
        }
        let one = graph.list(&[1]);
        let length = graph.node(
            Node::new("ReduceSum", &["attention_mask", &one])
                .int("keepdims", 0)
                .named("mask/length"),
        );
        let last = graph.node(Node::new("Sub", &[&length, &one]));
        graph.node(
            Node::new("Cast", &[&last])
                .int("to", Element::Int32 as i64)
                .gives(&["seqlens_k"]),
        );
        let shape = graph.node(Node::new("Shape", &["attention_mask"]));
        let index = graph.number(1);
        let total = graph.node(Node::new("Gather", &[&shape, &index]).int("axis", 0));
        graph.node(
            Node::new("Cast", &[&total])
                .int("to", Element::Int32 as i64)
                .gives(&["total_len"]),
        );
        Ok(())
    }

    // ---- matrices

    /// `x` times a stack of matrices; `layout` as [`Matrices::layout`] says, with a bias if there is one.
    fn linear(
        &mut self,
        x: &str,
        names: &[String],
        key: &str,
        layout: Layout,
        bias: Option<&[f32]>,
    ) -> Result<String, GgufError> {
        let bias = match bias {
            Some(numbers) => {
                let name = format!("{key}.bias");
                self.graph.floats(&name, &[numbers.len()], numbers)?;
                Some(name)
            }
            None => None,
        };
        if self.variant != Variant::Fp32 {
            let stored = self.matrices.store(&mut self.graph, names, key, layout)?;
            return Ok(self.times(x, &stored, key, bias.as_deref(), None));
        }
        let weight = format!("{key}.weight");
        self.matrices.store_floats(&mut self.graph, names, &weight)?;
        let product = self.times_floats(x, &weight, key, None);
        Ok(match bias {
            Some(bias) => self
                .graph
                .node(Node::new("Add", &[&product, &bias]).named(format!("{key}/biased"))),
            None => product,
        })
    }

    fn times_floats(&mut self, x: &str, weight: &str, key: &str, output: Option<&str>) -> String {
        let node = Node::ms("FusedMatMul", &[x, weight])
            .int("transB", 1)
            .named(format!("{key}/MatMul"));
        self.graph.node(match output {
            Some(output) => node.gives(&[output]),
            None => node,
        })
    }

    fn times(
        &mut self,
        x: &str,
        stored: &Stored,
        key: &str,
        bias: Option<&str>,
        output: Option<&str>,
    ) -> String {
        let mut inputs = vec![x, &stored.codes, &stored.scales];
        if let Some(bias) = bias {
            inputs.extend(["", "", bias]);
        }
        let node = Node::ms("MatMulNBits", &inputs)
            .int("K", stored.columns as i64)
            .int("N", stored.rows as i64)
            .int("bits", stored.layout.bits as i64)
            .int("block_size", stored.layout.block as i64)
            .int("accuracy_level", INT8_ACTIVATIONS)
            .named(format!("{key}/MatMulNBits"));
        let last = |node: Node| match output {
            Some(output) => node.gives(&[output]),
            None => node,
        };
        let Some(offsets) = &stored.offsets else {
            return self.graph.node(last(node));
        };
        // a block's weights are scale (code - centre) + offset: the offset times the sum of the block of x
        let product = self.graph.node(node);
        let sums = self.block_sums(x, stored.columns, stored.layout.block);
        let offset = self
            .graph
            .node(Node::new("MatMul", &[&sums, offsets]).named(format!("{key}/offset")));
        self.graph.node(last(
            Node::new("Add", &[&product, &offset]).named(format!("{key}/corrected")),
        ))
    }

    /// The sum of each block of `x`, once for everybody who needs it.
    fn block_sums(&mut self, x: &str, columns: usize, block: usize) -> String {
        let name = format!("{x}/sums_of_{block}");
        if self.graph.claim(&name) {
            let split = self.graph.list(&[0, 0, (columns / block) as i64, block as i64]);
            let parts = self.graph.node(Node::new("Reshape", &[x, &split]));
            let axis = self.graph.list(&[-1]);
            self.graph.node(
                Node::new("ReduceSum", &[&parts, &axis])
                    .int("keepdims", 0)
                    .gives(&[&name]),
            );
        }
        name
    }

    /// (Normalised sum, sum) of the stream and what a part of a layer adds to it.
    fn norm(
        &mut self,
        x: &str,
        part: Option<&str>,
        key: &str,
        tensor: &str,
    ) -> Result<(String, String), GgufError> {
        let gamma = self.gamma(key, tensor, self.family.width)?;
        let epsilon = self.family.epsilon;
        let Some(part) = part else {
            let node = rms_norm(x, &gamma, epsilon).named(key);
            return Ok((self.graph.node(node), x.to_owned()));
        };
        let (normal, sum) = (format!("{key}_out"), format!("{key}_sum"));
        let node = Node::ms("SkipSimplifiedLayerNormalization", &[x, part, &gamma])
            .float("epsilon", epsilon)
            .gives(&[&normal, "", "", &sum])
            .named(key);
        self.graph.node(node);
        Ok((normal, sum))
    }

    fn gamma(&mut self, key: &str, tensor: &str, width: usize) -> Result<String, GgufError> {
        let name = format!("{key}.weight");
        let gamma = self.matrices.floats(tensor, width)?;
        self.graph.floats(&name, &[width], &gamma)?;
        Ok(name)
    }

    /// The norm that some architectures put after a part.
    fn after(&mut self, x: &str, key: &str, tensor: &str) -> Result<String, GgufError> {
        if self.family.kind != Kind::Gemma3 {
            return Ok(x.to_owned());
        }
        let gamma = self.gamma(key, tensor, self.family.width)?;
        Ok(self
            .graph
            .node(rms_norm(x, &gamma, self.family.epsilon).named(key)))
    }

    // ---- the parts of the network

    fn embedding(&mut self) -> Result<(String, Table), GgufError> {
        let names = ["token_embd.weight".to_owned()];
        let width = self.family.width;
        let (x, table) = if self.variant == Variant::Fp32 {
            let name = "embed_tokens.weight";
            self.matrices.store_floats(&mut self.graph, &names, name)?;
            let x = self.graph.node(
                Node::new("Gather", &[name, "input_ids"])
                    .int("axis", 0)
                    .named("embed_tokens"),
            );
            (x, Table::Floats(name.to_owned()))
        } else {
            let layout = self.matrices.layout(&names)?.unwrap_or(Layout::ROUNDED).widened();
            let stored = self
                .matrices
                .store(&mut self.graph, &names, "embed_tokens", layout)?;
            let g = &mut self.graph;
            // operators of ONNX itself keep this on every execution provider
            let codes = g.node(Node::new("Gather", &[&stored.codes, "input_ids"]).int("axis", 0));
            let codes = g.node(Node::new("Cast", &[&codes]).int("to", Element::Float as i64));
            let centre = g.scalar(f32::from(layout.centre()));
            let codes = g.node(Node::new("Sub", &[&codes, &centre]));
            let last = g.list(&[-1]);
            let scales = g.node(Node::new("Gather", &[&stored.scales, "input_ids"]).int("axis", 0));
            let scales = g.node(Node::new("Unsqueeze", &[&scales, &last]));
            let mut values = g.node(Node::new("Mul", &[&codes, &scales]));
            if let Some(offsets) = &stored.offsets {
                // stored a row a block: gathered along the rows, then turned
                let offsets = g.node(Node::new("Gather", &[offsets, "input_ids"]).int("axis", 1));
                let offsets = g.node(turned(&offsets));
                let offsets = g.node(Node::new("Unsqueeze", &[&offsets, &last]));
                values = g.node(Node::new("Add", &[&values, &offsets]));
            }
            let shape = g.list(&[0, 0, width as i64]);
            let x = g.node(Node::new("Reshape", &[&values, &shape]).named("embed_tokens"));
            (x, Table::Codes(stored))
        };
        let Some(scale) = self.family.embedding_scale else {
            return Ok((x, table));
        };
        let scale = self.graph.scalar(scale);
        let x = self
            .graph
            .node(Node::new("Mul", &[&x, &scale]).named("embed_tokens/scaled"));
        Ok((x, table))
    }

    fn output(&mut self, x: &str, table: &Table) -> Result<(), GgufError> {
        let g = &mut self.graph;
        let kept = g.node(Node::new("Neg", &["num_logits_to_keep"]));
        let (first, end, axis) = (g.list(&[0]), g.list(&[i64::MAX]), g.list(&[1]));
        let start = g.node(Node::new("Unsqueeze", &[&kept, &first]));
        let x = g.node(Node::new("Slice", &[x, &start, &end, &axis]).named("lm_head/keep"));
        let names = ["output.weight".to_owned()];
        if !self.family.tied {
            if self.variant == Variant::Fp32 {
                self.matrices
                    .store_floats(&mut self.graph, &names, "lm_head.weight")?;
                self.times_floats(&x, "lm_head.weight", "lm_head", Some("logits"));
            } else {
                let layout = self.matrices.layout(&names)?.unwrap_or(Layout::ROUNDED);
                let stored = self.matrices.store(&mut self.graph, &names, "lm_head", layout)?;
                self.times(&x, &stored, "lm_head", None, Some("logits"));
            }
            return Ok(());
        }
        match table {
            Table::Floats(name) => self.times_floats(&x, name, "lm_head", Some("logits")),
            Table::Codes(stored) => self.times(&x, stored, "lm_head", None, Some("logits")),
        };
        Ok(())
    }

    /// `x` times one matrix.
    fn alone(&mut self, x: &str, name: &str, key: &str) -> Result<String, GgufError> {
        let names = [name.to_owned()];
        let layout = if self.variant == Variant::Fp32 {
            None
        } else {
            self.matrices.layout(&names)?
        };
        self.linear(x, &names, key, layout.unwrap_or(Layout::ROUNDED), None)
    }

    fn feed_forward(&mut self, layer: usize, x: &str) -> Result<String, GgufError> {
        let (key, inner) = (format!("layers.{layer}.mlp"), self.family.inner as i64);
        let names = ["gate", "up"].map(|part| format!("blk.{layer}.ffn_{part}.weight"));
        let common = if self.variant == Variant::Fp32 {
            Some(Layout::ROUNDED)
        } else {
            self.matrices.layout(&names)?
        };
        let (gate, up) = if let Some(layout) = common {
            let both = self.linear(x, &names, &format!("{key}.gate_up"), layout, None)?;
            let sizes = self.graph.list(&[inner, inner]);
            let (gate, up) = (format!("{key}/gate"), format!("{key}/up"));
            self.graph.node(
                Node::new("Split", &[&both, &sizes])
                    .int("axis", -1)
                    .gives(&[&gate, &up])
                    .named(format!("{key}/split")),
            );
            (gate, up)
        } else {
            let [gate, up] = &names;
            (
                self.alone(x, gate, &format!("{key}.gate"))?,
                self.alone(x, up, &format!("{key}.up"))?,
            )
        };
        let active = self.graph.node(match self.family.kind {
            // with alpha 1 it is SiLU, fused
            Kind::Llama | Kind::Qwen2 | Kind::Qwen3 => Node::ms("QuickGelu", &[&gate])
                .float("alpha", 1.0)
                .named(format!("{key}/silu")),
            Kind::Gemma3 => Node::ms("FastGelu", &[&gate]).named(format!("{key}/gelu")),
        });
        let product = self
            .graph
            .node(Node::new("Mul", &[&active, &up]).named(format!("{key}/gated")));
        self.alone(
            &product,
            &format!("blk.{layer}.ffn_down.weight"),
            &format!("{key}.down"),
        )
    }
}

fn rms_norm(x: &str, gamma: &str, epsilon: f32) -> Node {
    Node::new("SimplifiedLayerNormalization", &[x, gamma])
        .int("axis", -1)
        .float("epsilon", epsilon)
        .int("stash_type", 1)
}

/// [blocks, batch, new] to [batch, new, blocks].
fn turned(x: &str) -> Node {
    Node::new("Transpose", &[x]).ints("perm", &[1, 2, 0])
}

/// Cosines and sines of position times frequency, [positions, dim / 2] each.
///
/// Computed by a library of ours on doubles and then rounded: systems' own differ in the last place, and the files'
/// hashes are recorded.
fn rotary_tables(rotary: &Rotary, dim: usize, positions: usize) -> (Vec<f32>, Vec<f32>) {
    let frequencies: Vec<f64> = (0..dim / 2)
        .map(|index| {
            let factor = rotary.factors.get(index).copied().map_or(1.0, f64::from);
            libm::pow(rotary.base, -2.0 * index as f64 / dim as f64) / (factor * rotary.stretch)
        })
        .collect();
    let angles = (0..positions).flat_map(|position| {
        frequencies
            .iter()
            .map(move |frequency| position as f64 * frequency)
    });
    angles
        .map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32))
        .unzip()
}
