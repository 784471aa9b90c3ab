// Sets up what is missing on this machine. Safe to repeat: what is there already is left alone.
//
//   node scripts/setup.mjs [server] [window] [tests] [--gpu]        (default: server)
//
//     --gpu   ONNX Runtime for an NVIDIA card (CUDA 13), and NVIDIA's libraries where the system has none

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cache, fail, have, keepWasmToolchain, output, root, run, say, stamp, wasmToolchain } from './lib.mjs';
import { nvidiaCard } from './model/card.mjs';

/** Debian's names of what a build of the server needs (SQLite is C). */
const SERVER = ['build-essential'];
/** …of what the window needs to be built and run. */
const WINDOW = ['libwebkit2gtk-4.1-dev', 'pkg-config'];
/** …and of what the end-to-end tests drive: a real browser, a real window on a virtual display. */
const TESTS = ['chromium', 'webkit2gtk-driver', 'xvfb', 'fonts-dejavu-core', 'fonts-noto-cjk'];

const OTHER_SYSTEMS = {
  dnf: 'sudo dnf install webkit2gtk4.1-devel gcc gcc-c++ make (tests: chromium xorg-x11-server-Xvfb webkit2gtk-driver)',
  pacman: 'sudo pacman -S --needed webkit2gtk-4.1 base-devel (tests: chromium xorg-server-xvfb)',
  zypper: 'sudo zypper install webkit2gtk3-devel gcc-c++ make (tests: chromium xvfb-run)',
};

/** Sets up what the named uses need: `server`, `window`, `tests`. */
export async function setUp(uses) {
  requireTools();
  await systemPackages(uses);
  await npmPackages();
  await wasmTarget();
  await modelAndRuntime(uses);
}

function requireTools() {
  if (!have('cargo')) fail('Rust is missing. Install it from https://rustup.rs and run this again.');
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) fail(`Node ${process.versions.node} is too old: 20 or later is needed.`);
}

async function systemPackages(uses) {
  if (process.platform !== 'linux') return;
  const wanted = [...SERVER, ...(uses.includes('window') ? WINDOW : []), ...(uses.includes('tests') ? TESTS : [])];
  if (!have('apt-get')) {
    const manager = Object.keys(OTHER_SYSTEMS).find(have);
    if (manager && !existsSync(join(root, 'target'))) say(`If the build misses libraries: ${OTHER_SYSTEMS[manager]}`);
    return;
  }
  const missing = wanted.filter((name) => !installed(name));
  if (missing.length === 0) return;
  say(`Installing system packages: ${missing.join(' ')}`);
  const asRoot = process.getuid() === 0 ? [] : ['sudo'];
  if (asRoot.length > 0 && !have('sudo')) fail(`As root, run: apt-get install ${missing.join(' ')}`);
  const apt = (args) => {
    const [command, ...rest] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args];
    return run(command, rest);
  };
  await apt(['update', '-q']).catch(() => say('The package lists could not be refreshed; trying with those that are there.'));
  await apt(['install', '-y', '-q', '--no-install-recommends', ...missing]);
}

function installed(name) {
  return output('dpkg-query', ['-W', '-f=${db:Status-Status}', name]) === 'installed';
}

async function npmPackages() {
  const hash = createHash('sha256');
  // A workspace's package.json may change without the lock file: then npm ci has words for it, and it must be run.
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const manifests = ['.', ...workspaces].map((folder) => join(folder, 'package.json'));
  for (const file of ['package-lock.json', ...manifests]) hash.update(readFileSync(join(root, file))).update('\0');
  const marker = stamp('npm', hash.digest('hex'));
  if (marker.fresh && existsSync(join(root, 'node_modules'))) return;
  say('Installing npm packages');
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  marker.done();
}

async function wasmTarget() {
  const marker = stamp('wasm-target', output('rustc', ['-vV']));
  const sysroot = output('rustc', ['--print', 'sysroot'], { env: wasmToolchain() });
  if (marker.fresh && existsSync(join(sysroot, 'lib/rustlib/wasm32-unknown-unknown/lib'))) return;
  say('Looking for the WebAssembly target of Rust');
  if (process.platform === 'win32') {
    await run('rustup', ['target', 'add', 'wasm32-unknown-unknown']);
    keepWasmToolchain('');
  } else {
    // Its standard output is one line for shells to evaluate; progress goes to standard error.
    const { status, stdout } = spawnSync('bash', ['scripts/ensure-wasm-target.sh'], {
      cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (status !== 0) throw new Error('Rust cannot build for WebAssembly here; the lines above say what was tried.');
    keepWasmToolchain(/^export RUSTUP_TOOLCHAIN=(\S+)$/m.exec(stdout)?.[1] ?? '');
  }
  marker.done();
}

async function modelAndRuntime(uses) {
  const tests = uses.includes('tests') ? ['--debug', '--engine', '--providers'] : [];
  const gpu = uses.includes('--gpu') ? ['--gpu'] : [];
  await run(process.execPath, ['scripts/model/fetch.mjs', ...tests, ...gpu]);
  if (gpu.length === 0) offerCard();
}

/** A card that is here and not used is said: fetching what it needs takes gigabytes, so it is not done unasked. */
function offerCard() {
  const runtime = join(cache, 'onnxruntime', 'installed.json');
  if (process.env.INKLING_ORT || !existsSync(runtime) || readFileSync(runtime, 'utf8').includes('onnxruntime-gpu')) return;
  const card = process.arch === 'x64' && process.platform !== 'darwin' ? nvidiaCard() : undefined;
  if (!card) return;
  const now = process.platform === 'win32' ? 'DirectML' : 'the processor';
  say(`There is a card: ${card.name}. Models run on ${now}; for CUDA: npm run setup -- --gpu (up to 1.6 GB are fetched once)` +
    `${card.trouble ? `. But ${card.trouble}` : ''}`);
}

/** Builds the page; `fast` leaves out what only makes it smaller. */
export async function buildPage({ fast = false } = {}) {
  await run(process.execPath, ['scripts/build-ui.mjs', ...(fast ? ['--fast'] : [])]);
}

/** Lints the part of the shell that only WebAssembly has, and the program that bundles it. */
export async function lintShell() {
  await run(process.execPath, ['scripts/build-ui.mjs', '--lint']);
}

/**
 * Every crate that runs natively, the shell's logic included. Builds, tests and lints name the same crates: cargo then
 * chooses the same features for what they depend on, and builds it once. `ui-bundle` belongs to the page's own folder.
 */
export const EVERYTHING = ['--workspace', '--exclude', 'ui-bundle'];

/** Is cargo-nextest here? Tests run under it when it is, under `cargo test` otherwise. */
export function hasNextest() {
  return spawnSync('cargo', ['nextest', '--version'], { stdio: 'ignore' }).status === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const uses = process.argv.slice(2);
  await setUp(uses.some((use) => !use.startsWith('--')) ? uses : ['server', ...uses]).catch((error) => fail(error.message));
  say('Everything that is needed is here.');
}
