"""Writes the tokenizer and the settings files of a Hugging Face model folder from a GGUF file's metadata."""
from __future__ import annotations

import sys

from .weights import Gguf

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # GGUF's token types
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level(use_regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(digits: str) -> dict:
    pattern = {"Regex": WORDS % digits}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


def pre_tokenizer(kind: str) -> tuple[dict | None, dict, bool]:
    """(normalizer, pre-tokenizer, ignore_merges) of one of llama.cpp's named pre-tokenizers."""
    if kind == "smollm":
        parts = [{"type": "Digits", "individual_digits": True}, byte_level(True)]
        return None, {"type": "Sequence", "pretokenizers": parts}, False
    if kind == "qwen2":
        return {"type": "NFC"}, {"type": "Sequence", "pretokenizers": [split(r"\p{N}"), byte_level(False)]}, False
    if kind == "llama-bpe":
        return None, {"type": "Sequence", "pretokenizers": [split(r"\p{N}{1,3}"), byte_level(False)]}, True
    if kind in ("gpt-2", "default"):
        return None, byte_level(True), False
    return sys.exit(f"pre-tokenizer {kind!r} is not handled")


def tokenizer(gguf: Gguf) -> dict:
    """The contents of tokenizer.json."""
    data = gguf.metadata
    if data["tokenizer.ggml.model"] != "gpt2":
        sys.exit("only byte-level BPE (tokenizer.ggml.model = gpt2) is handled")
    tokens, types = data["tokenizer.ggml.tokens"], data["tokenizer.ggml.token_type"]
    kind = data.get("tokenizer.ggml.pre", "default")
    normalizer, pre, ignore_merges = pre_tokenizer(kind)
    added = [
        {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": role == CONTROL}
        for i, (text, role) in enumerate(zip(tokens, types)) if role in (CONTROL, USER_DEFINED)
    ]
    hidden = {token["id"] for token in added} if kind in ("qwen2", "llama-bpe") else set()
    vocabulary = {
        text: i for i, (text, role) in enumerate(zip(tokens, types))
        if role in (NORMAL, CONTROL, USER_DEFINED) and i not in hidden
    }
    post = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": None if kind == "smollm" else post,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": ignore_merges, "vocab": vocabulary,
            "merges": [merge.split(" ") for merge in data["tokenizer.ggml.merges"]],
        },
    }


def tokenizer_config(gguf: Gguf) -> dict:
    """The contents of tokenizer_config.json."""
    data = gguf.metadata
    tokens = data["tokenizer.ggml.tokens"]

    def text(role: str):
        key = f"tokenizer.ggml.{role}_token_id"
        return tokens[int(data[key])] if key in data else None

    bpe = data.get("tokenizer.ggml.pre", "default") in ("smollm", "gpt-2")
    return {
        "tokenizer_class": "GPT2Tokenizer" if bpe else "PreTrainedTokenizerFast",
        "bos_token": text("bos"), "eos_token": text("eos"), "pad_token": text("padding"), "unk_token": text("unknown"),
        "add_bos_token": bool(data.get("tokenizer.ggml.add_bos_token", False)), "add_prefix_space": False,
        "model_max_length": gguf.parameter("context_length"), "clean_up_tokenization_spaces": False,
        "chat_template": data.get("tokenizer.chat_template"),
    }


def special_ids(gguf: Gguf) -> dict:
    """The contents of generation_config.json."""
    eos = int(gguf.metadata.get("tokenizer.ggml.eos_token_id", 0))
    return {
        "bos_token_id": int(gguf.metadata.get("tokenizer.ggml.bos_token_id", eos)), "eos_token_id": eos,
        "pad_token_id": int(gguf.metadata.get("tokenizer.ggml.padding_token_id", eos)),
    }
