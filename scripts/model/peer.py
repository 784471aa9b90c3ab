#!/usr/bin/env python3
"""llama.cpp as the peer of `npm run bench -- model`: reads and writes tokens when it is told to, and says how long it took.

  python peer.py MODEL.gguf THREADS

One JSON object a line on standard input, {"prompt": [ids], "tokens": n}: it empties its cache, reads the prompt, writes n
tokens greedily (the end token too, like any other) and answers {"prefill_ms": x, "decode_ms": y}; decode_ms is that of the
last n - 1 tokens.
"""
import json
import sys
import time

import cyllama.llama.llama_cpp as llama


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    model = llama.LlamaModel(path, llama.LlamaModelParams(), verbose=False)
    settings = llama.LlamaContextParams()
    settings.n_ctx = 2048
    settings.n_batch = 2048
    settings.n_threads = threads
    settings.n_threads_batch = threads
    context = llama.LlamaContext(model, settings, verbose=False)
    sampler = llama.LlamaSampler(llama.LlamaSamplerChainParams())
    sampler.add_greedy()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        context.kv_cache_clear()
        start = time.perf_counter()
        context.decode(llama.llama_batch_get_one(asked["prompt"]))
        token = sampler.sample(context, -1)
        read = time.perf_counter()
        for position in range(asked["tokens"] - 1):
            context.decode(llama.llama_batch_get_one([token], len(asked["prompt"]) + position))
            token = sampler.sample(context, -1)
        end = time.perf_counter()
        print(json.dumps({"prefill_ms": 1000 * (read - start), "decode_ms": 1000 * (end - read)}), flush=True)


if __name__ == "__main__":
    main()
