// `npm test`: sets up what is missing and passes all tests. `npm test -- NAME…` runs only the named steps.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fail, program, root, run, say, wasmToolchain } from './lib.mjs';
import { buildPage, EVERYTHING, hasNextest, lintShell, setUp } from './setup.mjs';

const programs = { INKLING_SERVER: program('inkling-server'), INKLING_PEER: program('inkling-peer'), INKLING_APP: program('inkling') };

/** Ends a file of tests that hangs, in ms. Node applies it to a whole file; what waits in a test has shorter limits of its own. */
const FILE_LIMIT = 900_000;

/** Runs a folder's tests, so many files at once: with a real model one file is all that two cores can bear. */
function node(folder, atOnce) {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.test.mjs')).sort();
  if (files.length === 0) throw new Error(`${folder} holds no tests`);
  const args = [
    '--test', `--test-concurrency=${atOnce}`, '--test-reporter=spec', `--test-timeout=${FILE_LIMIT}`, '--test-force-exit',
    ...files.map((name) => join(folder, name)),
  ];
  return run(process.execPath, args, { env: programs });
}

/** Each step: what it shows, what it does, and the steps without whose success it would only fail or hang. */
const steps = {
  format: { title: 'Formatting', work: () => run('cargo', ['fmt', '--all', '--check']) },
  types: { title: 'Types of the editor', work: () => run('npm', ['run', '--silent', 'check', '-w', 'ui/editor']) },
  editor: { title: 'Unit tests of the editor', work: () => run('npm', ['test', '-w', 'ui/editor']) },
  page: { title: 'The page: WebAssembly shell and editor', work: () => buildPage() }, // as it is shipped
  wasm: {
    title: 'The core builds for WebAssembly',
    work: () => run('cargo', ['check', '-p', 'crdt', '--target', 'wasm32-unknown-unknown'], { env: wasmToolchain() }),
  },
  programs: {
    title: 'The programs (server, AI peer, window) and the tests in Rust',
    work: () => run('cargo', ['build', ...EVERYTHING, '--bins', '--tests']),
    needs: ['page'], // the window has it inside
  },
  rust: {
    title: 'Unit, property and integration tests in Rust',
    work: () => run('cargo', [...(hasNextest() ? ['nextest', 'run'] : ['test']), ...EVERYTHING]),
  },
  interop: { title: 'Stock clients in Node against the real server', work: () => node('tests/interop', 3), needs: ['programs'] },
  e2e: { title: 'The real browser and the real window', work: () => node('tests/e2e', 1), needs: ['programs', 'page'] },
  lints: {
    title: 'Lints',
    async work() {
      await run('cargo', ['clippy', ...EVERYTHING, '--all-targets', '--', '-D', 'warnings']);
      // every execution provider that can be built in
      await run('cargo', ['clippy', '-p', 'model', '--all-features', '--', '-D', 'warnings']);
      await lintShell();
    },
  },
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in steps));
if (unknown.length > 0) fail(`There is no step ${unknown.join(', ')}. The steps are: ${Object.keys(steps).join(', ')}.`);

const failed = [];
const times = [];
let running = { name: 'set-up', begin: Date.now() };
const seconds = () => `${((Date.now() - running.begin) / 1000).toFixed(0)} s`;
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.on(signal, () => {
    if (times.length > 0) say(`Steps: ${times.join(', ')}`);
    fail(`Stopped by ${signal} while ${running.name} had been running for ${seconds()}.${failed.length > 0 ? ` Failed before: ${failed.join(', ')}.` : ''}`);
  });
}

try {
  await setUp(['server', 'window', 'tests']);
} catch (error) {
  fail(`The set-up failed: ${error.message}`);
}
const chosen = Object.entries(steps).filter(([name]) => wanted.length === 0 || wanted.includes(name));
for (const [name, { title, work, needs = [] }] of chosen) {
  say(`${title} (${name})`);
  running = { name, begin: Date.now() };
  const lacking = needs.filter((need) => failed.includes(need));
  try {
    if (lacking.length > 0) throw new Error(`it was not run, because it needs ${lacking.join(' and ')}`);
    await work();
  } catch (error) {
    failed.push(name);
    console.error(`  ${name} failed: ${error.message}`);
  }
  times.push(`${name} ${seconds()}`);
}
say(`Steps: ${times.join(', ')}`);
console.log(`steps: ${chosen.length - failed.length} passed, ${failed.length} failed`);
if (failed.length > 0) fail(`Failed: ${failed.join(', ')}. One step alone: npm test -- ${failed[0]}`);
