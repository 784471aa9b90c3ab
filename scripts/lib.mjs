// What the scripts share: running commands with progress, telling the platform, finding the cache.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
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

/** Runs a command, shows its output, and rejects with its name when it fails. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32' && ['npm', 'npx'].includes(command),
      ...options,
      env: { ...process.env, ...options.env },
    });
    child.on('error', (error) => reject(new Error(`${command} cannot be started: ${error.message}`)));
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args.join(' ')}: ${signal ?? `exit code ${code}`}`)));
  });
}

/** Runs a command and returns what it prints, trimmed; an empty string when it fails. */
export function output(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  return result.status === 0 ? result.stdout.trim() : '';
}

/** Can a window be shown here? */
export function hasDisplay() {
  if (process.platform !== 'linux') return true;
  return Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY);
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
