// A cache folder of its own with this machine's runtime and default model, and a LoRA adapter for that model.

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { dataFolder } from './server.mjs';

/** Where this machine's set-up has put runtime and models. */
const cache = process.env.INKLING_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'inkling');
const MODEL = 'smollm2-135m-instruct';
const RANK = 4;

/** A folder for INKLING_CACHE in which adapters may come and go; what is large is linked. */
export function ownCache() {
  const own = dataFolder();
  mkdirSync(join(own, 'models'));
  symlinkSync(join(cache, 'onnxruntime'), join(own, 'onnxruntime'), 'dir');
  symlinkSync(join(cache, 'models', MODEL), join(own, 'models', MODEL), 'dir');
  return own;
}

/** Writes a PEFT folder with arbitrary numbers for the projection behind each attention. */
export function writeAdapter(folder, seed = 5) {
  const settings = JSON.parse(readFileSync(join(cache, 'models', MODEL, 'config.json'), 'utf8'));
  const { hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers } = settings;
  const inputs = heads * (settings.head_dim ?? hidden / heads);
  const numbers = (count, width) => Float32Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed / 2 ** 31 - 1) * width;
  });
  const header = {};
  const parts = [];
  let from = 0;
  const add = (name, shape, data) => {
    header[name] = { dtype: 'F32', shape, data_offsets: [from, from + data.byteLength] };
    from += data.byteLength;
    parts.push(Buffer.from(data.buffer));
  };
  for (let layer = 0; layer < layers; layer += 1) {
    const name = (half) => `base_model.model.model.layers.${layer}.self_attn.o_proj.lora_${half}.weight`;
    add(name('A'), [RANK, inputs], numbers(RANK * inputs, inputs ** -0.5));
    add(name('B'), [hidden, RANK], numbers(hidden * RANK, 0.3));
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'adapter_model.safetensors'), Buffer.concat([length, json, ...parts]));
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: RANK, lora_alpha: 8, bias: 'none' }));
  return folder;
}
