#!/usr/bin/env python3
"""Makes model/tests/tiny: a decoder of a few kilobytes with random weights, for tests without the real model.

Two variants of the same weights: `model.onnx` with fused attention (cache in place) and `model_plain.onnx` with
ONNX's own operators (growing cache). Its words mean nothing; its numbers are checked against the forward pass in
numpy below, which knows nothing of ONNX and is written to model/tests/golden/tiny.json.

  PYTHONPATH=<the converter's packages> python scripts/model/tiny.py
"""
from __future__ import annotations

import json
import os

import numpy as np
import onnx

from convert.decoder import Decoder

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "..", "..", "model", "tests")
WIDTH, INNER, HEADS, KV_HEADS, DIM, LAYERS, CONTEXT = 16, 24, 2, 1, 16, 2, 256
START, END = 256, 257
VOCABULARY = 258
SEED = 23  # one whose 40 greedy tokens have no near-tie
EPSILON, THETA = 1e-5, 10000.0


class Weights:
    """Random tensors behind the same face as a GGUF file's."""

    arch = "qwen2"  # llama's rows would be stored interleaved
    metadata = {"qwen2.attention.key_length": DIM}

    def __init__(self):
        random = np.random.default_rng(SEED)

        def matrix(rows, columns, scale=1.0):
            return (random.standard_normal((rows, columns)) * scale / np.sqrt(columns)).astype(np.float32)

        self.tensors = {"token_embd.weight": matrix(VOCABULARY, WIDTH, 4.0), "output_norm.weight": np.ones(WIDTH, np.float32)}
        # it writes printable characters only, and never ends its turn
        self.tensors["output.weight"] = matrix(VOCABULARY, WIDTH, 4.0)
        self.tensors["output.weight"][:0x20] = 0
        self.tensors["output.weight"][0x7F:] = 0
        for layer in range(LAYERS):
            p = f"blk.{layer}."
            self.tensors |= {
                p + "attn_norm.weight": np.ones(WIDTH, np.float32), p + "ffn_norm.weight": np.ones(WIDTH, np.float32),
                p + "attn_q.weight": matrix(HEADS * DIM, WIDTH), p + "attn_k.weight": matrix(KV_HEADS * DIM, WIDTH),
                p + "attn_v.weight": matrix(KV_HEADS * DIM, WIDTH), p + "attn_output.weight": matrix(WIDTH, HEADS * DIM),
                p + "ffn_gate.weight": matrix(INNER, WIDTH), p + "ffn_up.weight": matrix(INNER, WIDTH),
                p + "ffn_down.weight": matrix(WIDTH, INNER),
            }

    def parameter(self, key, default=None):
        return {
            "block_count": LAYERS, "embedding_length": WIDTH, "feed_forward_length": INNER, "attention.head_count": HEADS,
            "attention.head_count_kv": KV_HEADS, "attention.layer_norm_rms_epsilon": EPSILON, "rope.freq_base": THETA,
            "context_length": CONTEXT,
        }.get(key, default)

    def shape(self, name):
        return self.tensors[name].shape

    def floats(self, name):
        return self.tensors[name]

    def row_order(self, name):
        return None

    def stacked_floats(self, names):
        return np.concatenate([self.tensors[name] for name in names], 0)


def forward(weights: Weights, tokens: list[int]) -> np.ndarray:
    """Scores after every token, in float64."""
    w = {name: tensor.astype(np.float64) for name, tensor in weights.tensors.items()}
    dim, count = DIM, len(tokens)

    def norm(x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON)

    def rotate(x):  # [tokens, heads, dim]
        angle = np.outer(np.arange(count), THETA ** (-np.arange(0, dim, 2) / dim))[:, None, :]
        a, b = x[..., : dim // 2], x[..., dim // 2 :]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    x = w["token_embd.weight"][tokens]
    for layer in range(LAYERS):
        p = f"blk.{layer}."
        n = norm(x)
        q = rotate((n @ w[p + "attn_q.weight"].T).reshape(count, HEADS, dim))
        k = rotate((n @ w[p + "attn_k.weight"].T).reshape(count, KV_HEADS, dim)).repeat(HEADS // KV_HEADS, 1)
        v = (n @ w[p + "attn_v.weight"].T).reshape(count, KV_HEADS, dim).repeat(HEADS // KV_HEADS, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim)
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(-1, keepdims=True), v)
        x = x + mixed.reshape(count, HEADS * dim) @ w[p + "attn_output.weight"].T
        n = norm(x)
        gate = n @ w[p + "ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (n @ w[p + "ffn_up.weight"].T)) @ w[p + "ffn_down.weight"].T
    return norm(x) @ w["output.weight"].T


def alphabet() -> list[str]:
    """GPT-2's characters for the 256 bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


def write(path: str, value) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, indent=1) + "\n")


def main() -> None:
    folder = os.path.join(TESTS, "tiny")
    os.makedirs(os.path.join(folder, "onnx"), exist_ok=True)
    weights = Weights()
    for variant in ("fp32", "fp32-plain"):
        decoder = Decoder(weights, variant)
        onnx.save_model(decoder.build(), os.path.join(folder, "onnx", f"model{decoder.suffix}.onnx"))
    special = [
        {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, text in ((START, "<|im_start|>"), (END, "<|im_end|>"))
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "vocab": {text: i for i, text in enumerate(alphabet())}, "merges": [],
    }
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
                 "pre_tokenizer": level, "post_processor": None, "decoder": level, "model": model}
    ids = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}
    write(os.path.join(folder, "config.json"), decoder.config(ids))
    write(os.path.join(folder, "generation_config.json"), ids)
    write(os.path.join(folder, "tokenizer.json"), json.dumps(tokenizer) + "\n")
    write(os.path.join(folder, "tokenizer_config.json"), {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})
    write(os.path.join(folder, "chat_template.jinja"),
          "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}\n")
    write(os.path.join(folder, "README.md"), "---\nlicense: mit\nmodel_name: Tiny\n---\nRandom weights, made by scripts/model/tiny.py for tests.\n")

    prompt = [START, *b"user\nTell me.", END, 10, START, *b"assistant\n"]
    tokens = list(prompt)
    margins = []
    for _ in range(40):
        scores = forward(weights, tokens)[-1]
        second, top = np.partition(scores, -2)[-2:]
        margins.append(round(float(top - second), 4))
        tokens.append(int(scores.argmax()))
    scores = forward(weights, prompt)[-1]
    write(os.path.join(TESTS, "golden", "tiny.json"),
          {"made_with": "numpy, float64", "prompt": prompt, "tokens": tokens[len(prompt):], "margins": margins,
           "scores": [round(float(score), 5) for score in scores]})
    print("smallest margin", min(margins), "different tokens", len(set(tokens[len(prompt):])))


if __name__ == "__main__":
    main()
