// Builds the page into ui/dist: the shell (Rust to WebAssembly), the editing surface (TypeScript), HTML, CSS and icons.
// Does again only what is not fresh. `--fast` leaves out what only makes the result smaller; `--lint` only lints the shell.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fail, output, root, run, say, stamp, target, wasmToolchain } from './lib.mjs';

const fast = process.argv.includes('--fast');
const lint = process.argv.includes('--lint');
const ui = join(root, 'ui');
const dist = join(ui, 'dist');
// Its own target folder: cargo would build everything anew whenever somebody builds for WebAssembly with other flags.
const built = join(target, 'page');

/** What Rust's wasm32 uses, and every browser of the last years knows. All that wasm-opt knows would be more than browsers do. */
const FEATURES = ['bulk-memory', 'mutable-globals', 'multivalue', 'nontrapping-float-to-int', 'reference-types', 'sign-ext'].map((name) => `--enable-${name}`);

/** All files below a folder or the file itself, sorted. */
function files(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).sort().flatMap((name) => (['node_modules', 'dist'].includes(name) ? [] : files(join(path, name))));
}

/** One value for the content of files: the same value, nothing to do. */
function digest(paths, ...extra) {
  const hash = createHash('sha256').update(extra.join('\0'));
  for (const path of paths.flatMap(files)) hash.update(relative(root, path)).update(readFileSync(path));
  return hash.digest('hex');
}

/** Does a step unless its inputs are those of last time and its outputs are there. */
async function step(name, inputs, outputs, work) {
  const marker = stamp(`ui-${name}`, inputs);
  if (marker.fresh && outputs.every((path) => existsSync(path))) return;
  await work();
  marker.done();
}

/** Flags and toolchain for rustc: no paths of the build machine in panic messages, and so in the page; and Leptos' way to a small page. */
function rustFlags() {
  const toolchain = wasmToolchain();
  const names = [
    [process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'cargo'],
    [output('rustc', ['--print', 'sysroot'], { env: toolchain }), 'rust'],
  ];
  const flags = names.filter(([from]) => from).map(([from, to]) => `--remap-path-prefix=${from}=/${to}`);
  flags.push('--cfg=erase_components');
  // With a separator that cannot occur in a path, so that spaces in one do no harm.
  return { CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f'), ...toolchain };
}

/** wasm-opt of the npm package binaryen; nothing when it is not installed. */
function optimiser() {
  try {
    const manifest = createRequire(join(root, 'package.json')).resolve('binaryen/package.json');
    return join(manifest, '..', 'bin', 'wasm-opt');
  } catch {
    return undefined;
  }
}

async function shell() {
  const wasm = join(built, 'wasm32-unknown-unknown', 'wasm', 'ui.wasm');
  // Cargo knows best what is fresh.
  const common = ['build', '-q', '--profile', 'wasm', '--target-dir', built];
  await run('cargo', [...common, '-p', 'ui', '--lib', '--target', 'wasm32-unknown-unknown'], { env: rustFlags() });
  const bundler = join(built, 'wasm', process.platform === 'win32' ? 'ui-bundle.exe' : 'ui-bundle');
  await run('cargo', [...common, '-p', 'ui-bundle']);
  const wasmOpt = fast ? undefined : optimiser();
  if (!fast && !wasmOpt) say('binaryen is not installed (npm ci): the page will work, but be larger');
  const made = ['shell.js', 'shell_bg.wasm'].map((name) => join(dist, name));
  await step('shell', digest([wasm, bundler], String(wasmOpt), ...FEATURES), made, async () => {
    const work = join(built, 'ui');
    rmSync(work, { recursive: true, force: true });
    await run(bundler, [wasm, work]);
    if (wasmOpt) {
      say('Making the WebAssembly smaller');
      const [from, to] = [join(work, 'shell_bg.wasm'), join(work, 'small.wasm')];
      await run(process.execPath, [wasmOpt, '-Oz', ...FEATURES, from, '-o', to]);
      renameSync(to, from);
    }
    for (const name of ['shell.js', 'shell_bg.wasm']) cpSync(join(work, name), join(dist, name));
  });
}

async function surface() {
  const folder = join(ui, 'editor');
  const lock = join(root, 'package-lock.json');
  await step('editor', digest([folder, lock], String(fast)), [join(dist, 'editor.js')], () =>
    run('npm', ['run', '--silent', fast ? 'dev' : 'build', '-w', 'ui/editor']));
}

/** The two typefaces, from their packages: what their style sheets name, the sheets as one, and the licences. */
async function fonts() {
  const resolve = createRequire(join(root, 'package.json')).resolve;
  const packages = ['literata', 'inter'].map((name) => [name, join(resolve(`@fontsource-variable/${name}/package.json`), '..')]);
  const sheets = [['literata', 'wght.css'], ['literata', 'wght-italic.css'], ['inter', 'wght.css']];
  const folder = join(dist, 'fonts');
  await step('fonts', digest(packages.map(([, path]) => join(path, 'package.json')), JSON.stringify(sheets)), [join(folder, 'fonts.css')], () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const places = Object.fromEntries(packages);
    const rules = sheets.map(([name, sheet]) => {
      const text = readFileSync(join(places[name], sheet), 'utf8');
      return text.replace(/url\(\.\/files\/([^)]+)\)/g, (_, file) => {
        cpSync(join(places[name], 'files', file), join(folder, file));
        return `url(${file})`;
      });
    });
    writeFileSync(join(folder, 'fonts.css'), rules.join('\n'));
    for (const [name, path] of packages) cpSync(join(path, 'LICENSE'), join(folder, `${name}-OFL.txt`));
  });
}

async function still() {
  const parts = ['index.html', 'boot.js', 'problem.html', 'problem.js', 'style', 'assets'];
  await step('still', digest(parts.map((part) => join(ui, part))), parts.map((part) => join(dist, part)), () => {
    for (const part of parts) {
      rmSync(join(dist, part), { recursive: true, force: true });
      cpSync(join(ui, part), join(dist, part), { recursive: true });
    }
  });
}

/** Lints the shell as it is built: with the page's profile, flags and folder, so that what its crates need is not built again. */
async function lints() {
  const toolchain = wasmToolchain();
  // A toolchain that is only there for its WebAssembly library has no clippy.
  const linter = Object.keys(toolchain).length === 0 ? 'clippy' : 'check';
  const strict = linter === 'clippy' ? ['--', '-D', 'warnings'] : [];
  const common = [linter, '-q', '--profile', 'wasm', '--target-dir', built];
  await run('cargo', [...common, '-p', 'ui', '--lib', '--target', 'wasm32-unknown-unknown', ...strict], { env: rustFlags() });
  await run('cargo', [...common, '-p', 'ui-bundle', ...strict]);
}

function sizes() {
  const size = (bytes) => `${(bytes / 1024).toFixed(0)} KB`;
  for (const name of ['shell_bg.wasm', 'shell.js', 'editor.js']) {
    const content = readFileSync(join(dist, name));
    console.log(`  ${name.padEnd(14)} ${size(content.length).padStart(8)}   gzip ${size(gzipSync(content).length)}`);
  }
}

try {
  if (lint) {
    await lints();
    process.exit(0);
  }
  const begin = Date.now();
  say(`Building the page${fast ? ' (fast)' : ''}`);
  mkdirSync(dist, { recursive: true });
  await still();
  await fonts();
  await surface();
  await shell();
  sizes();
  say(`The page is in ui/dist (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
} catch (error) {
  fail(`The page could not be built: ${error.message}`);
}
