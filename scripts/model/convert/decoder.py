"""Builds the ONNX graph of a llama- or qwen2-like decoder."""
from __future__ import annotations

import math
import sys
from decimal import Decimal, getcontext

import numpy as np
from onnx import TensorProto, helper

from .graph import Graph
from .weights import BLOCK, Gguf

MS = "com.microsoft"
INT8_ACTIVATIONS = 4  # MatMulNBits accuracy_level: activations rounded to 8 bits, fastest on a CPU

# name: (file suffix, linear weights, embedding and output weights, attention)
VARIANTS = {
    "fp32": ("", "f32", "f32", "fused"),
    "fp32-plain": ("_plain", "f32", "f32", "plain"),  # ONNX's own operators only: a reference for any runtime
    "q8": ("_q8", "q8", "q8", "fused"),
    "q4-exact": ("_q4_exact", "q4", "q8", "fused"),  # the GGUF's 4-bit blocks as they are
}


def round_to_8_bits(weights: np.ndarray):
    """[rows, blocks, 32] to (0..255 around 128, scale), symmetric."""
    scale = np.maximum(np.abs(weights).max(-1) / 127.0, 1e-12).astype(np.float32)
    values = np.clip(np.round(weights / scale[..., None]), -127, 127)
    return (values + 128).astype(np.uint8), scale


def rotary_tables(theta: float, dim: int, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of position x frequency, the same bits on every machine.

    numpy's vectorised pow and cos differ between processors in the last place, and the files' hashes are
    recorded: so frequencies by exact decimals, and cosines by the C library on doubles before rounding to floats.
    """
    getcontext().prec = 40
    frequencies = [float(Decimal(theta) ** (Decimal(-2 * i) / Decimal(dim))) for i in range(dim // 2)]
    angles = [[position * frequency for frequency in frequencies] for position in range(positions)]
    cos = np.array([[math.cos(angle) for angle in row] for row in angles], np.float32)
    sin = np.array([[math.sin(angle) for angle in row] for row in angles], np.float32)
    return cos, sin


class Decoder:
    """One variant of one model."""

    def __init__(self, gguf: Gguf, variant: str):
        self.gguf, self.graph = gguf, Graph()
        self.suffix, self.linear_kind, self.embedding_kind, self.attention_kind = VARIANTS[variant]
        self.layers = gguf.parameter("block_count")
        self.width = gguf.parameter("embedding_length")
        self.inner = gguf.parameter("feed_forward_length")
        self.heads = gguf.parameter("attention.head_count")
        self.kv_heads = gguf.parameter("attention.head_count_kv", self.heads)
        self.dim = gguf.metadata.get(f"{gguf.arch}.attention.key_length", self.width // self.heads)
        self.epsilon = float(gguf.parameter("attention.layer_norm_rms_epsilon"))
        self.theta = float(gguf.parameter("rope.freq_base", 10000.0))
        self.positions = gguf.parameter("context_length")
        self.vocabulary = gguf.shape("token_embd.weight")[0]
        self.tied = "output.weight" not in gguf.tensors

    # ---- matrices

    def linear(self, x: str, names: list[str], key: str, bias=None) -> str:
        g = self.graph
        columns = self.gguf.shape(names[0])[1]
        rows = sum(self.gguf.shape(name)[0] for name in names)
        if self.linear_kind == "f32":
            y = g.op("MatMul", [x, g.weight(f"{key}.weight", self.gguf.stacked_floats(names).T)], name=f"{key}/MatMul")
            return y if bias is None else g.op("Add", [y, g.weight(f"{key}.bias", bias)], name=f"{key}/Add")
        correction = None
        blocks = self.gguf.stacked_four_bit(names) if self.linear_kind == "q4" else None
        if blocks is None:
            bits, (packed, scale) = 8, self.eight_bit(names)
        else:
            bits, (values, scale, minimum) = 4, blocks
            packed = (values[..., 0::2] | (values[..., 1::2] << 4)).astype(np.uint8)
            correction = (minimum + 8.0 * scale).astype(np.float32)
        inputs = [x, g.weight(f"{key}.qweight", packed), g.weight(f"{key}.scales", scale.reshape(rows, -1))]
        if bias is not None:
            inputs += ["", "", g.weight(f"{key}.bias", bias)]
        y = self.matmul_nbits(inputs, f"{key}/MatMulNBits", columns, rows, bits)
        if correction is None:
            return y
        # w = scale (q - 8) + (minimum + 8 scale): the second term times the sum of each block of x
        product = g.op("MatMul", [self.block_sums(x, columns), g.weight(f"{key}.correction", correction.T)])
        return g.op("Add", [y, product], name=f"{key}/corrected")

    def matmul_nbits(self, inputs, name, columns, rows, bits, outputs=None):
        return self.graph.op("MatMulNBits", inputs, domain=MS, name=name, outputs=outputs, K=columns, N=rows,
                             bits=bits, block_size=BLOCK, accuracy_level=INT8_ACTIVATIONS)

    def block_sums(self, x: str, columns: int) -> str:
        key = f"{x}/block_sums"
        if key not in self.graph.names:
            self.graph.names.add(key)
            ones = np.zeros((columns, columns // BLOCK), np.float32)
            ones[np.arange(columns), np.arange(columns) // BLOCK] = 1
            self.graph.op("MatMul", [x, self.graph.weight(f"block_sums.{columns}", ones)], outputs=[key], name=key)
        return key

    def eight_bit(self, names: list[str]):
        if len(names) == 1 and self.gguf.row_order(names[0]) is None and (found := self.gguf.eight_bit(names[0])):
            return (found[0].astype(np.int16) + 128).astype(np.uint8), found[1]
        weights = self.gguf.stacked_floats(names)
        return round_to_8_bits(weights.reshape(weights.shape[0], -1, BLOCK))

    def norm(self, x: str, skip: str | None, key: str, tensor: str) -> tuple[str, str]:
        """(normalised sum, sum) of x and the residual stream."""
        g = self.graph
        gamma = g.weight(f"{key}.weight", self.gguf.floats(tensor))
        if self.attention_kind == "fused":
            if skip is None:
                return g.op("SimplifiedLayerNormalization", [x, gamma], name=key, axis=-1, epsilon=self.epsilon, stash_type=1), x
            outputs = [f"{key}_out", "", "", f"{key}_sum"]
            g.op("SkipSimplifiedLayerNormalization", [x, skip, gamma], domain=MS, name=key, outputs=outputs, epsilon=self.epsilon)
            return outputs[0], outputs[3]
        total = x if skip is None else g.op("Add", [x, skip], name=f"{key}/residual")
        mean = g.op("ReduceMean", [g.op("Mul", [total, total]), g.const([-1])], name=f"{key}/mean", keepdims=1)
        root = g.op("Sqrt", [g.op("Add", [mean, g.const(self.epsilon, np.float32)])], name=f"{key}/root")
        return g.op("Mul", [g.op("Div", [total, root]), gamma], name=f"{key}/scaled"), total

    # ---- the parts of the network

    def embedding(self) -> str:
        g = self.graph
        if self.embedding_kind == "f32":
            table = g.weight("embed_tokens.weight", self.gguf.floats("token_embd.weight"))
            return g.op("Gather", [table, "input_ids"], name="embed_tokens", axis=0)
        packed, scale = self.eight_bit(["token_embd.weight"])
        table = g.weight("embed_tokens.qweight", packed)  # shared with a tied output
        scales = g.weight("embed_tokens.scales", scale.reshape(self.vocabulary, self.width // BLOCK))
        # plain operators keep this portable to every execution provider
        values = g.op("Cast", [g.op("Gather", [table, "input_ids"], axis=0)], to=TensorProto.FLOAT)
        values = g.op("Sub", [values, g.const(128.0, np.float32)])
        factors = g.op("Unsqueeze", [g.op("Gather", [scales, "input_ids"], axis=0), g.const([-1])])
        return g.op("Reshape", [g.op("Mul", [values, factors]), g.const([0, 0, self.width])], name="embed_tokens")

    def output(self, x: str) -> None:
        g = self.graph
        start = g.op("Unsqueeze", [g.op("Neg", ["num_logits_to_keep"]), g.const([0])])
        x = g.op("Slice", [x, start, g.const([2**63 - 1]), g.const([1])], name="lm_head/keep")
        if self.embedding_kind == "f32":
            if self.tied:
                table = g.op("Transpose", ["embed_tokens.weight"], perm=[1, 0], name="lm_head/transposed")
            else:
                table = g.weight("lm_head.weight", self.gguf.floats("output.weight").T)
            g.op("MatMul", [x, table], name="lm_head/MatMul", outputs=["logits"])
            return
        inputs = [x, "embed_tokens.qweight", "embed_tokens.scales"]
        if not self.tied:
            packed, scale = self.eight_bit(["output.weight"])
            inputs = [x, g.weight("lm_head.qweight", packed), g.weight("lm_head.scales", scale.reshape(self.vocabulary, -1))]
        self.matmul_nbits(inputs, "lm_head/MatMulNBits", self.width, self.vocabulary, 8, ["logits"])

    def attention(self, layer: int, x: str) -> str:
        g, key, prefix = self.graph, f"layers.{layer}.attn", f"blk.{layer}.attn_"
        bias = None
        if f"{prefix}q.bias" in self.gguf.tensors:
            if self.gguf.arch == "llama":
                sys.exit("the llama architecture with attention biases is not handled")
            bias = np.concatenate([self.gguf.floats(f"{prefix}{part}.bias") for part in "qkv"])
        qkv = self.linear(x, [f"{prefix}{part}.weight" for part in "qkv"], f"{key}.qkv", bias)
        past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        outputs = [f"{key}/out", f"present.{layer}.key", f"present.{layer}.value"]
        if self.attention_kind == "fused":
            inputs = [qkv, "", "", *past, "seqlens_k", "total_len", "cos_cache", "sin_cache", "position_ids"]
            g.op("GroupQueryAttention", inputs, domain=MS, name=f"{key}/GroupQueryAttention", outputs=outputs,
                 num_heads=self.heads, kv_num_heads=self.kv_heads, do_rotary=1, rotary_interleaved=0,
                 scale=float(self.dim) ** -0.5)
        else:
            self.plain_attention(key, qkv, past, outputs)
        return self.linear(outputs[0], [f"{prefix}output.weight"], f"{key}.o")

    def plain_attention(self, key: str, qkv: str, past: list[str], outputs: list[str]) -> None:
        g, dim, group = self.graph, self.dim, self.heads // self.kv_heads

        def heads(x, count):
            return g.op("Transpose", [g.op("Reshape", [x, g.const([0, 0, count, dim])])], perm=[0, 2, 1, 3])

        def rotate(x):
            first, second = g.op("Split", [x, g.const([dim // 2, dim // 2])], count=2, axis=-1)
            turned = g.op("Concat", [g.op("Neg", [second]), first], axis=-1)
            return g.op("Add", [g.op("Mul", [x, "rope_cos"]), g.op("Mul", [turned, "rope_sin"])])

        def repeat(x):
            if group == 1:
                return x
            x = g.op("Expand", [g.op("Unsqueeze", [x, g.const([2])]), g.const([1, 1, group, 1, 1])])
            return g.op("Reshape", [x, g.const([0, self.heads, -1, dim])])

        sizes = [self.heads * dim, self.kv_heads * dim, self.kv_heads * dim]
        q, k, v = g.op("Split", [qkv, g.const(sizes)], count=3, axis=-1)
        q, k, v = rotate(heads(q, self.heads)), rotate(heads(k, self.kv_heads)), heads(v, self.kv_heads)
        g.op("Concat", [past[0], k], axis=2, outputs=[outputs[1]], name=f"{key}/keys")
        g.op("Concat", [past[1], v], axis=2, outputs=[outputs[2]], name=f"{key}/values")
        transposed = g.op("Transpose", [repeat(outputs[1])], perm=[0, 1, 3, 2])
        scores = g.op("Mul", [g.op("MatMul", [q, transposed]), g.const(float(dim) ** -0.5, np.float32)])
        weights = g.op("Softmax", [g.op("Add", [scores, "causal_bias"])], axis=-1)
        y = g.op("Transpose", [g.op("MatMul", [weights, repeat(outputs[2])])], perm=[0, 2, 1, 3])
        g.op("Reshape", [y, g.const([0, 0, self.heads * dim])], name=outputs[0], outputs=[outputs[0]])

    def mlp(self, layer: int, x: str) -> str:
        g, key, prefix = self.graph, f"layers.{layer}.mlp", f"blk.{layer}.ffn_"
        both = self.linear(x, [f"{prefix}gate.weight", f"{prefix}up.weight"], f"{key}.gate_up")
        gate, up = g.op("Split", [both, g.const([self.inner, self.inner])], count=2, axis=-1, name=f"{key}/split")
        if self.attention_kind == "fused":
            active = g.op("QuickGelu", [gate], domain=MS, name=f"{key}/silu", alpha=1.0)
        else:
            active = g.op("Mul", [gate, g.op("Sigmoid", [gate])], name=f"{key}/silu")
        return self.linear(g.op("Mul", [active, up]), [f"{prefix}down.weight"], f"{key}.down")

    def positions_and_mask(self) -> None:
        g = self.graph
        cos, sin = rotary_tables(self.theta, self.dim, self.positions)
        if self.attention_kind == "fused":
            g.weight("cos_cache", cos), g.weight("sin_cache", sin)
            length = g.op("ReduceSum", ["attention_mask", g.const([1])], keepdims=0, name="mask/length")
            g.op("Cast", [g.op("Sub", [length, g.const([1])])], to=TensorProto.INT32, outputs=["seqlens_k"])
            total = g.op("Gather", [g.op("Shape", ["attention_mask"]), g.const(1)], axis=0)
            g.op("Cast", [total], to=TensorProto.INT32, outputs=["total_len"])
            return
        for name, table in (("cos", cos), ("sin", sin)):
            whole = g.weight(f"{name}_table", np.concatenate([table, table], -1))
            g.op("Unsqueeze", [g.op("Gather", [whole, "position_ids"], axis=0), g.const([1])], outputs=[f"rope_{name}"])
        new = g.op("Gather", [g.op("Shape", ["input_ids"]), g.const(1)], axis=0)
        total = g.op("Gather", [g.op("Shape", ["attention_mask"]), g.const(1)], axis=0)
        keys = g.op("Unsqueeze", [g.op("Range", [g.const(0), total, g.const(1)]), g.const([0])])
        queries = g.op("Unsqueeze", [g.op("Range", [g.op("Sub", [total, new]), total, g.const(1)]), g.const([1])])
        causal = g.op("Unsqueeze", [g.op("LessOrEqual", [keys, queries]), g.const([0, 1])])
        shown = g.op("Cast", [g.op("Unsqueeze", ["attention_mask", g.const([1, 2])])], to=TensorProto.BOOL)
        hidden = g.const(float(np.finfo(np.float32).min), np.float32)
        g.op("Where", [g.op("And", [causal, shown]), g.const(0.0, np.float32), hidden], outputs=["causal_bias"])

    # ---- the whole

    def build(self):
        """The ONNX model."""
        info, g = helper.make_tensor_value_info, self.graph
        inputs = [
            info("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
            info("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
            info("position_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
            info("num_logits_to_keep", TensorProto.INT64, []),
        ]
        outputs = [info("logits", TensorProto.FLOAT, ["batch_size", "num_logits", self.vocabulary])]
        for layer in range(self.layers):
            for part in ("key", "value"):
                before = ["batch_size", self.kv_heads, "past_sequence_length", self.dim]
                after = ["batch_size", self.kv_heads, "present_sequence_length", self.dim]
                inputs.append(info(f"past_key_values.{layer}.{part}", TensorProto.FLOAT, before))
                outputs.append(info(f"present.{layer}.{part}", TensorProto.FLOAT, after))
        self.positions_and_mask()
        x, skip = self.embedding(), None
        for layer in range(self.layers):
            normal, x = self.norm(x, skip, f"layers.{layer}.input_norm", f"blk.{layer}.attn_norm.weight")
            skip = self.attention(layer, normal)
            normal, x = self.norm(x, skip, f"layers.{layer}.post_norm", f"blk.{layer}.ffn_norm.weight")
            skip = self.mlp(layer, normal)
        normal, _ = self.norm(x, skip, "final_norm", "output_norm.weight")
        self.output(normal)
        opsets = [helper.make_opsetid("", 18)]
        if any(node.domain == MS for node in g.nodes):
            opsets.append(helper.make_opsetid(MS, 1))
        graph = helper.make_graph(g.nodes, "decoder", inputs, outputs, g.initialisers)
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="gguf2onnx")

    def config(self, ids: dict) -> dict:
        """The contents of config.json."""
        return {
            "architectures": [{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[self.gguf.arch]],
            "model_type": self.gguf.arch, "hidden_size": self.width, "intermediate_size": self.inner,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.dim, "hidden_act": "silu", "rms_norm_eps": self.epsilon, "rope_theta": self.theta,
            "max_position_embeddings": self.positions, "vocab_size": self.vocabulary, "tie_word_embeddings": self.tied,
            "bos_token_id": ids["bos_token_id"], "eos_token_id": ids["eos_token_id"], "torch_dtype": "float32", "use_cache": True,
        }
