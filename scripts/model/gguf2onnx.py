#!/usr/bin/env python3
"""Converts a GGUF file (llama or qwen2 architecture) to ONNX decoders in Hugging Face's layout.

No torch and no network; imports what requirements.txt lists. The graph has the names that optimum's exports use:

  inputs   input_ids, attention_mask, position_ids   int64 [batch, new] / [batch, total]
           past_key_values.N.key / .value            float [batch, kv_heads, past, head_dim]
           num_logits_to_keep                        int64 scalar, 0 for all
  outputs  logits float [batch, kept, vocabulary], present.N.key / .value

  python gguf2onnx.py MODEL.gguf FOLDER --variants q8,fp32-plain
"""
from __future__ import annotations

import argparse
import json
import os

import onnx

from convert.decoder import VARIANTS, Decoder
from convert.tokenizer import special_ids, tokenizer, tokenizer_config
from convert.weights import Gguf


def save(model, folder: str, suffix: str) -> int:
    """Writes model{suffix}.onnx with its weights beside it; returns their size in bytes."""
    path = os.path.join(folder, "onnx", f"model{suffix}.onnx")
    data = f"{path}_data"
    for old in (path, data):
        if os.path.exists(old):
            os.remove(old)  # onnx appends to an external file that is there
    onnx.save_model(model, path, save_as_external_data=True, all_tensors_to_one_file=True,
                    location=os.path.basename(data), size_threshold=1024)
    os.chmod(data, 0o644)  # onnx makes it readable for its owner only
    return os.path.getsize(path) + os.path.getsize(data)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("folder")
    parser.add_argument("--variants", default="q8", help="comma list of " + ", ".join(VARIANTS))
    arguments = parser.parse_args()
    os.makedirs(os.path.join(arguments.folder, "onnx"), exist_ok=True)
    gguf = Gguf(arguments.gguf)
    ids = special_ids(gguf)
    for variant in arguments.variants.split(","):
        decoder = Decoder(gguf, variant)
        size = save(decoder.build(), arguments.folder, decoder.suffix)
        print(f"{variant}: model{decoder.suffix}.onnx, {size / 1e6:.0f} MB", flush=True)
    settings = tokenizer_config(gguf)
    files = {
        "config.json": json.dumps(decoder.config(ids), indent=2),
        "generation_config.json": json.dumps(ids, indent=2),
        "tokenizer.json": json.dumps(tokenizer(gguf), ensure_ascii=False),
        "tokenizer_config.json": json.dumps(settings, ensure_ascii=False, indent=2),
    }
    for name, text in files.items():
        write(os.path.join(arguments.folder, name), text)
    if settings["chat_template"]:
        write(os.path.join(arguments.folder, "chat_template.jinja"), settings["chat_template"])


if __name__ == "__main__":
    main()
