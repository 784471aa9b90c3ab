// Programs that tests start: waited for with a limit, and never left behind.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

/** How long anything is waited for before the test says what it waited for, in ms. Nothing here measures speed. */
export const PATIENCE = 120_000;

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
// The test runner ends a file that takes too long this way; without a handler no `exit` would be told.
process.on('SIGTERM', () => process.exit(143));

/** Waits until `look` answers something; throws when it throws, and in words when it never does. */
export async function eventually(what, look, { within = PATIENCE, every = 50 } = {}) {
  const end = Date.now() + within;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${within / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/**
 * Starts a program. `log` grows with what it prints; `closed` resolves with its end, after all of that has been read;
 * `fault` says how it ended or why it could not be started.
 */
export class Program {
  constructor(command, args, { env, stdio = ['ignore', 'pipe', 'pipe'], missing = '' } = {}) {
    this.log = '';
    this.fault = undefined;
    this.child = spawn(command, args, { stdio, env: { ...process.env, ...env } });
    running.add(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', (chunk) => (this.log += chunk));
    this.closed = new Promise((resolve) => {
      const ended = (fault, end) => {
        running.delete(this.child);
        this.fault ??= fault;
        resolve(end);
      };
      this.child.once('error', (error) => ended(`${command} cannot be started (${error.message}). ${missing}`, { error }));
      this.child.once('exit', (code, signal) => (this.fault ??= `it ended with ${signal ?? `code ${code}`}`));
      this.child.once('close', (code, signal) => ended(`it ended with ${signal ?? `code ${code}`}`, { code, signal }));
    });
  }

  /** Ends it and waits until it is gone; by force when it takes too long. */
  async end(signal = 'SIGTERM', within = 20_000) {
    this.child.kill(signal);
    const force = setTimeout(() => this.child.kill('SIGKILL'), within);
    const end = await this.closed;
    clearTimeout(force);
    return end;
  }
}

/** A port that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
