#!/usr/bin/env python3
"""Writes the fixtures of model/tests/suite/gguf.rs with other implementations than ours.

  The `gguf` package: small files with random weights in every handled architecture, and blocks of every format.
  llama.cpp (through llama-cpp-cffi's library): the scores that those files give, at every position.
  numpy: the same for Qwen 3, which that llama.cpp does not know; the code is held against llama.cpp on Qwen 2 first.

  pip install gguf==0.19.0 numpy==2.4.6 && pip install --no-deps llama-cpp-cffi==0.4.42      # Python 3.11, gcc 13's C++ library
  python scripts/model/families.py
"""
from __future__ import annotations

import json
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from llama._llama_cpp_cpu import ffi, lib

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "model", "tests")
WIDTH, INNER, HEADS, KV_HEADS, DIM, CONTEXT = 64, 96, 4, 2, 16, 64
TOKENS = 40
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
LAYERS = {"llama": 2, "qwen2": 2, "qwen3": 2, "gemma3": 6}
# the formats of the weights: every one that the package can write
FORMATS = {
    "llama": {"ffn_down": Q.Q4_1, "attn_v": Q.Q5_1, "": Q.Q8_0},
    "qwen2": {"ffn_down": Q.Q5_0, "": Q.Q4_0},
    "qwen3": {"ffn_down": Q.F16, "attn_q": Q.Q4_1, "": Q.Q8_0},
    "gemma3": {"attn_output": Q.Q5_0, "": Q.Q8_0},
}
BLOCKS = [Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q4_K, Q.Q5_K, Q.Q6_K]


def byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    for count, byte in enumerate(byte for byte in range(256) if byte not in letters):
        letters[byte] = chr(256 + count)
    return [letters[byte] for byte in range(256)]


def add_tokenizer(writer: gguf.GGUFWriter, arch: str) -> int:
    if arch == "gemma3":
        special = ["<pad>", "<eos>", "<bos>", "<unk>"]
        pieces = ["\u2581", "a", "b", "c", "\u2581a", "ab", "\u2581ab", "abc"]
        tokens = special + [f"<0x{byte:02X}>" for byte in range(256)] + pieces
        types = [3, 3, 3, 2] + [6] * 256 + [1] * len(pieces)
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([-1000.0] * 260 + [-10.0, -11.0, -12.0, -13.0, -1.0, -2.0, -3.0, -4.0])
        writer.add_token_types(types)
        writer.add_bos_token_id(2), writer.add_eos_token_id(1), writer.add_unk_token_id(3), writer.add_pad_token_id(0)
        writer.add_add_space_prefix(False)
    else:
        tokens = byte_letters() + ["\u0120t", "he", "\u0120the", "<|im_start|>", "<|im_end|>"]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre({"llama": "llama-bpe"}.get(arch, "qwen2"))
        writer.add_token_list(tokens)
        writer.add_token_types([1] * 259 + [3, 3])
        writer.add_token_merges(["\u0120 t", "h e", "\u0120t he"])
        writer.add_bos_token_id(259), writer.add_eos_token_id(260)
    writer.add_chat_template(TEMPLATE)
    return len(tokens)


def write_model(arch: str, path: str) -> int:
    chance = np.random.default_rng(sum(map(ord, arch)))
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(f"Small {arch}"), writer.add_license("mit")
    writer.add_context_length(CONTEXT), writer.add_embedding_length(WIDTH), writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS[arch]), writer.add_head_count(HEADS), writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(DIM), writer.add_value_length(DIM), writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base({"gemma3": 1_000_000.0}.get(arch, 10_000.0))
    if arch == "llama":
        writer.add_rope_dimension_count(DIM)
    if arch == "gemma3":
        writer.add_sliding_window(16)
    vocabulary = add_tokenizer(writer, arch)

    def add(name: str, shape: tuple[int, ...], spread: float) -> None:
        values = (chance.standard_normal(shape) * spread).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values + np.float32(1.0 if "norm" in name else 0.0))
            return
        kinds = FORMATS[arch]
        kind = next(kinds[key] for key in kinds if key in name)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", (vocabulary, WIDTH), 1.0)
    if arch in ("llama", "qwen2"):
        add("output.weight", (vocabulary, WIDTH), 0.3)
    add("output_norm.weight", (WIDTH,), 0.1)
    for layer in range(LAYERS[arch]):
        block = f"blk.{layer}."
        add(f"{block}attn_norm.weight", (WIDTH,), 0.1), add(f"{block}ffn_norm.weight", (WIDTH,), 0.1)
        for part, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            add(f"{block}attn_{part}.weight", (heads * DIM, WIDTH), 0.15)
            if arch == "qwen2":
                add(f"{block}attn_{part}.bias", (heads * DIM,), 0.3)
        add(f"{block}attn_output.weight", (WIDTH, HEADS * DIM), 0.15)
        add(f"{block}ffn_gate.weight", (INNER, WIDTH), 0.15), add(f"{block}ffn_up.weight", (INNER, WIDTH), 0.15)
        add(f"{block}ffn_down.weight", (WIDTH, INNER), 0.15)
        if arch in ("qwen3", "gemma3"):
            add(f"{block}attn_q_norm.weight", (DIM,), 0.2), add(f"{block}attn_k_norm.weight", (DIM,), 0.2)
        if arch == "gemma3":
            add(f"{block}post_attention_norm.weight", (WIDTH,), 0.1), add(f"{block}post_ffw_norm.weight", (WIDTH,), 0.1)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file()
    writer.close()
    return vocabulary


def scores(path: str, tokens: list[int], vocabulary: int) -> list[list[float]]:
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_threads, params.flash_attn = CONTEXT, 1, False
    params.type_k = params.type_v = lib.GGML_TYPE_F32
    context = lib.llama_init_from_model(model, params)
    batch, rows = lib.llama_batch_init(1, 0, 1), []
    for position, token in enumerate(tokens):
        batch.n_tokens, batch.token[0], batch.pos[0], batch.n_seq_id[0] = 1, token, position, 1
        batch.seq_id[0][0], batch.logits[0] = 0, 1
        if lib.llama_decode(context, batch) != 0:
            raise RuntimeError(f"llama.cpp cannot run {path}")
        row = ffi.unpack(lib.llama_get_logits_ith(context, -1), vocabulary)
        rows.append([round(float(score), 4) for score in row])
    lib.llama_free(context), lib.llama_model_free(model)
    return rows


def numpy_scores(path: str, arch: str, tokens: list[int]) -> list[list[float]]:
    tensors = {}
    for tensor in gguf.GGUFReader(path).tensors:
        shape = tuple(int(side) for side in reversed(tensor.shape))
        tensors[tensor.name] = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float64)

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * tensors[name]

    angles = np.arange(len(tokens))[:, None] * 10_000.0 ** (-np.arange(0, DIM, 2) / DIM)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def turned(x):
        a, b = x[..., : DIM // 2], x[..., DIM // 2 :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = tensors["token_embd.weight"][tokens]
    hidden = np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
    for layer in range(LAYERS[arch]):
        block = f"blk.{layer}."
        normal, parts = norm(x, f"{block}attn_norm.weight"), []
        for part, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            y = normal @ tensors[f"{block}attn_{part}.weight"].T + tensors.get(f"{block}attn_{part}.bias", 0.0)
            y = y.reshape(len(tokens), heads, DIM)
            if f"{block}attn_{part}_norm.weight" in tensors:
                y = norm(y, f"{block}attn_{part}_norm.weight")
            y = y if part == "v" else turned(y)
            parts.append(y if part == "q" else np.repeat(y, HEADS // KV_HEADS, 1))
        q, k, v = parts
        weights = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(DIM) + hidden
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        y = np.einsum("hij,jhd->ihd", weights, v).reshape(len(tokens), -1)
        x = x + y @ tensors[f"{block}attn_output.weight"].T
        normal = norm(x, f"{block}ffn_norm.weight")
        gate = normal @ tensors[f"{block}ffn_gate.weight"].T
        active = gate / (1 + np.exp(-gate)) * (normal @ tensors[f"{block}ffn_up.weight"].T)
        x = x + active @ tensors[f"{block}ffn_down.weight"].T
    output = tensors.get("output.weight", tensors["token_embd.weight"])
    return (norm(x, "output_norm.weight") @ output.T).round(4).tolist()


def main() -> None:
    os.makedirs(os.path.join(TESTS, "gguf"), exist_ok=True)
    families = {}
    for arch in LAYERS:
        path = os.path.join(TESTS, "gguf", f"{arch}.gguf")
        vocabulary = write_model(arch, path)
        tokens = np.random.default_rng(1).integers(4, vocabulary, TOKENS).tolist()
        found = numpy_scores(path, arch, tokens) if arch == "qwen3" else scores(path, tokens, vocabulary)
        if arch == "qwen2":
            apart = np.abs(np.array(found) - np.array(numpy_scores(path, arch, tokens))).max()
            print(f"numpy and llama.cpp differ by {apart:.3f} at most, of scores up to {np.abs(found).max():.1f}")
            assert apart < 0.3  # llama.cpp rounds activations to 8 bits
        families[arch] = {"tokens": tokens, "scores": found}
    chance = np.random.default_rng(2)
    blocks = []
    for kind in BLOCKS:
        numbers, size = gguf.constants.GGML_QUANT_SIZES[kind]
        raw = chance.integers(0, 256, max(size, 16 // numbers * size), dtype=np.uint8)
        if kind in (Q.F32, Q.F16, Q.BF16):
            values = (chance.standard_normal(16) * 3).astype(np.float32)
            raw = gguf.quants.quantize(values, kind).view(np.uint8)
        # scales must be finite: their high bytes get the exponents of small numbers
        halves = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
        for at in halves.get(kind, []):
            raw[at + 1] = (raw[at + 1] & 0x83) | 0x28
        floats = gguf.quants.dequantize(raw, kind).astype(np.float32).reshape(-1)
        blocks.append({"type": int(kind), "name": kind.name, "bytes": raw.tolist(), "floats": [float(f) for f in floats]})
    for name, value in (("families.json", families), ("blocks.json", blocks)):
        with open(os.path.join(TESTS, "golden", name), "w", encoding="utf-8", newline="\n") as file:
            json.dump(value, file, separators=(",", ":"))
            file.write("\n")


if __name__ == "__main__":
    main()
