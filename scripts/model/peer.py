#!/usr/bin/env python3
"""llama.cpp as the peer of `npm run bench -- model`: reads and writes tokens when it is told to, and says how long it took.

  python peer.py MODEL.gguf THREADS

First it tells {"load_ms": x}. Then, for each JSON object a line on standard input, {"prompt": [ids], "tokens": n, "keep": k}:
it keeps the first k tokens of what it has read (0: nothing), reads the rest of the prompt, writes n tokens greedily (the end
token too, like any other) and answers {"prefill_ms": x, "decode_ms": y, "prefill_cpu_ms": x, "decode_cpu_ms": y}; those of
decoding are for the last n - 1 tokens, and cpu is the time of all its threads.
"""
import json
import sys
import time

import cyllama.llama.llama_cpp as llama


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    start = time.perf_counter()
    model = llama.LlamaModel(path, llama.LlamaModelParams(), verbose=False)
    settings = llama.LlamaContextParams()
    settings.n_ctx = 2560
    settings.n_batch = 2048
    settings.n_threads = threads
    settings.n_threads_batch = threads
    context = llama.LlamaContext(model, settings, verbose=False)
    sampler = llama.LlamaSampler(llama.LlamaSamplerChainParams())
    sampler.add_greedy()
    print(json.dumps({"load_ms": 1000 * (time.perf_counter() - start)}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        keep = asked["keep"]
        if keep:
            context.memory_seq_rm(0, keep, -1)
        else:
            context.kv_cache_clear()
        start, start_cpu = time.perf_counter(), time.process_time()
        context.decode(llama.llama_batch_get_one(asked["prompt"][keep:], keep))
        token = sampler.sample(context, -1)
        read, read_cpu = time.perf_counter(), time.process_time()
        for position in range(asked["tokens"] - 1):
            context.decode(llama.llama_batch_get_one([token], len(asked["prompt"]) + position))
            token = sampler.sample(context, -1)
        end, end_cpu = time.perf_counter(), time.process_time()
        took = {
            "prefill_ms": read - start,
            "decode_ms": end - read,
            "prefill_cpu_ms": read_cpu - start_cpu,
            "decode_cpu_ms": end_cpu - read_cpu,
        }
        print(json.dumps({name: 1000 * seconds for name, seconds in took.items()}), flush=True)


if __name__ == "__main__":
    main()
