// `npm test`: sets up what is missing and passes all tests. `npm test -- NAME…` runs only the named steps.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fail, program, root, run, say } from './lib.mjs';
import { buildPage, hasNextest, setUp } from './setup.mjs';

const programs = { INKLING_SERVER: program('inkling-server'), INKLING_PEER: program('inkling-peer'), INKLING_APP: program('inkling') };

/** Runs a folder's tests, one file after the other: each starts a real server and a real model on two cores. */
function node(folder) {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.test.mjs')).sort();
  if (files.length === 0) throw new Error(`${folder} holds no tests`);
  const args = ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files.map((name) => join(folder, name))];
  return run(process.execPath, args, { env: programs });
}

const steps = {
  format: ['Formatting', () => run('cargo', ['fmt', '--all', '--check'])],
  page: ['The page: WebAssembly shell and editor', () => buildPage({ fast: true })],
  editor: ['Unit tests of the editor', () => run('npm', ['test', '-w', 'ui/editor'])],
  wasm: ['The core builds for WebAssembly', () => run('cargo', ['build', '-p', 'crdt', '--target', 'wasm32-unknown-unknown', '--profile', 'wasm'])],
  programs: ['The programs: server, AI peer, window', () => run('cargo', ['build', '--bins', '--workspace', '--exclude', 'ui'])],
  rust: ['Unit, property and integration tests in Rust', () => run('cargo', hasNextest() ? ['nextest', 'run'] : ['test'])],
  interop: ['Stock clients in Node against the real server', () => node('tests/interop')],
  e2e: ['The real browser and the real window', () => node('tests/e2e')],
  lints: ['Lints', () => run('cargo', ['clippy', '--all-targets', '--', '-D', 'warnings'])],
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in steps));
if (unknown.length > 0) fail(`There is no step ${unknown.join(', ')}. The steps are: ${Object.keys(steps).join(', ')}.`);

try {
  await setUp(['server', 'window', 'tests']);
} catch (error) {
  fail(`The set-up failed: ${error.message}`);
}
const failed = [];
const times = [];
const chosen = Object.entries(steps).filter(([name]) => wanted.length === 0 || wanted.includes(name));
for (const [name, [title, step]] of chosen) {
  say(`${title} (${name})`);
  const begin = Date.now();
  try {
    await step();
  } catch (error) {
    failed.push(name);
    console.error(`  ${name} failed: ${error.message}`);
  }
  times.push(`${name} ${((Date.now() - begin) / 1000).toFixed(0)} s`);
}
say(`Steps: ${times.join(', ')}`);
console.log(`steps: ${chosen.length - failed.length} passed, ${failed.length} failed`);
if (failed.length > 0) fail(`Failed: ${failed.join(', ')}. One step alone: npm test -- ${failed[0]}`);
