// What the scripts share: running commands with progress, telling the platform, finding the cache.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { connect } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where cargo puts what it builds. */
export const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');

/** What is fetched or converted once per machine: ONNX Runtime and the models. */
export const cache =
  process.env.INKLING_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'inkling');

const colour = process.stdout.isTTY ? (code, text) => `\x1b[${code}m${text}\x1b[0m` : (_, text) => text;

/** Says what happens next. */
export function say(text) {
  console.log(`${colour('36', '▸')} ${text}`);
}

/** Stops with words that say what to do. */
export function fail(text) {
  console.error(`${colour('31', '✗')} ${text}`);
  process.exit(1);
}

/** The path of a built program. */
export function program(name, profile = 'debug') {
  return join(target, profile, process.platform === 'win32' ? `${name}.exe` : name);
}

/** Is a command on the path? */
export function have(command) {
  const probe = process.platform === 'win32' ? ['where', [command]] : ['sh', ['-c', `command -v ${command}`]];
  return spawnSync(...probe, { stdio: 'ignore' }).status === 0;
}

/**
 * Runs a command, shows its output, and rejects with its name when it fails. With `forward` the signals that would end this
 * process go to the command instead, and its end is ours.
 */
export function run(command, args, { forward = false, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32' && ['npm', 'npx'].includes(command),
      ...options,
      env: { ...process.env, ...options.env },
    });
    // Ctrl+C reaches the command by itself, through the terminal: here it must only not end us before it.
    const passOn = { SIGTERM: () => child.kill('SIGTERM'), SIGHUP: () => child.kill('SIGHUP'), SIGINT: () => {} };
    const signals = Object.entries(forward ? passOn : {});
    for (const [signal, handler] of signals) process.on(signal, handler);
    const over = (settle) => {
      for (const [signal, handler] of signals) process.off(signal, handler);
      settle();
    };
    child.on('error', (error) => over(() => reject(new Error(`${command} cannot be started: ${error.message}`))));
    child.on('exit', (code, signal) =>
      over(() => (code === 0 ? resolve() : reject(new Error(`${command} ${args.join(' ')}: ${signal ?? `exit code ${code}`}`)))));
  });
}

/** Runs a command and returns what it prints, trimmed; an empty string when it fails. */
export function output(command, args, { env = {} } = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, env: { ...process.env, ...env } });
  return result.status === 0 ? result.stdout.trim() : '';
}

/** Why no window can be shown here, in words; nothing when one can. */
export async function noDisplay() {
  if (process.platform !== 'linux') return undefined;
  const { DISPLAY: x, WAYLAND_DISPLAY: wayland, XDG_RUNTIME_DIR: runtime } = process.env;
  if (wayland && (await answers({ path: isAbsolute(wayland) ? wayland : join(runtime ?? '/run', wayland) }))) return undefined;
  if (x) {
    // host:number.screen; without a host a socket of this machine, which X servers also offer without a file.
    const [, host, number] = /^(.*):(\d+)(?:\.\d+)?$/.exec(x) ?? [];
    const local = [{ path: `/tmp/.X11-unix/X${number}` }, { path: `\0/tmp/.X11-unix/X${number}` }];
    for (const address of host && host !== 'unix' ? [{ host, port: 6000 + Number(number) }] : local) {
      if (number !== undefined && (await answers(address))) return undefined;
    }
  }
  if (!x && !wayland) return 'DISPLAY and WAYLAND_DISPLAY are empty';
  return `nothing answers at ${[wayland && `WAYLAND_DISPLAY=${wayland}`, x && `DISPLAY=${x}`].filter(Boolean).join(' and ')}`;
}

function answers(address) {
  return new Promise((resolve) => {
    const socket = connect({ ...address, timeout: 3000 });
    const end = (yes) => (socket.destroy(), resolve(yes));
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

/** Remembers in the target folder that a step was done for some input; `fresh` tells whether it was done already. */
export function stamp(name, value) {
  const file = join(target, 'stamps', name);
  const before = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  return {
    fresh: before === value,
    done() {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, value);
    },
  };
}

/** The toolchain that builds for WebAssembly, where the ordinary one cannot: see ensure-wasm-target.sh, way 3. */
export function wasmToolchain() {
  const file = join(target, 'stamps', 'wasm-toolchain');
  const name = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  return name === '' ? {} : { RUSTUP_TOOLCHAIN: name };
}

/** Keeps which toolchain that is; "" for the ordinary one. */
export function keepWasmToolchain(name) {
  mkdirSync(join(target, 'stamps'), { recursive: true });
  writeFileSync(join(target, 'stamps', 'wasm-toolchain'), name);
}
