// Fetches the editing trace of the automerge paper (Martin Kleppmann, https://github.com/automerge/automerge-perf): every
// keystroke of a 17-page paper. It is taken from the benches of the crate loro-internal on crates.io.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cache, output, run, say } from '../lib.mjs';

const CRATE = { name: 'loro-internal', version: '1.17.1', file: 'benches/automerge-paper.json.gz' };
const SHA256 = '42c0ff1720c0cad77077e190e36135c9cab9f7bbc266351c0a7fe4981c6a1546';

/** The trace as a JSON file in the cache. */
export async function editingTrace() {
  const file = join(cache, 'traces', 'automerge-paper.json');
  if (existsSync(file)) return file;
  say('Fetching the editing trace of the automerge paper');
  const project = join(cache, 'traces', 'fetch');
  mkdirSync(join(project, 'src'), { recursive: true });
  writeFileSync(join(project, 'Cargo.toml'),
    `[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n${CRATE.name} = "=${CRATE.version}"\n[workspace]\n`);
  writeFileSync(join(project, 'src', 'lib.rs'), '');
  await run('cargo', ['fetch', '--quiet', '--manifest-path', join(project, 'Cargo.toml')]);
  const { packages } = JSON.parse(output('cargo', ['metadata', '--format-version', '1', '--offline', '--manifest-path', join(project, 'Cargo.toml')]));
  const found = packages.find(({ name }) => name === CRATE.name);
  const bytes = readFileSync(join(found.manifest_path, '..', CRATE.file));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== SHA256) throw new Error(`the editing trace has the hash ${sha256}, not ${SHA256}`);
  writeFileSync(`${file}.part`, gunzipSync(bytes));
  renameSync(`${file}.part`, file);
  return file;
}
