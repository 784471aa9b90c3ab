// Starts the real server on a free port with a data folder of its own, and stops or kills it.

import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:net';

const program = process.env.INKLING_SERVER ?? 'target/debug/inkling-server';

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

/** A new empty folder for a test's data. */
export function dataFolder() {
  return mkdtempSync(join(tmpdir(), 'inkling-e2e-'));
}

/** One run of the server. */
export class Server {
  static async start({ data = dataFolder(), port, args = [] } = {}) {
    const server = new Server();
    server.data = data;
    server.port = port ?? (await freePort());
    server.url = `http://127.0.0.1:${server.port}`;
    server.log = '';
    server.child = spawn(program, ['--listen', `127.0.0.1:${server.port}`, '--data', data, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    server.exited = new Promise((resolve) => server.child.once('exit', (code, signal) => resolve({ code, signal })));
    for (const stream of [server.child.stdout, server.child.stderr]) {
      stream.on('data', (chunk) => (server.log += chunk));
    }
    await server.ready();
    return server;
  }

  async ready() {
    for (;;) {
      if (this.child.exitCode !== null) throw new Error(`the server ended at its start:\n${this.log}`);
      const answer = await fetch(`${this.url}/api/v1/status`).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Waits until an AI peer's model is loaded. */
  async modelReady() {
    for (;;) {
      const status = await this.api('GET', '/status');
      if (status.models.length > 0) return status.models[0];
      if (this.child.exitCode !== null) throw new Error(`the server ended:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async api(method, path, body) {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: body ? { 'content-type': 'application/json' } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    const type = answer.headers.get('content-type') ?? '';
    return type.includes('json') ? answer.json() : answer.text();
  }

  /** As a crash would: no time to write anything. */
  async kill() {
    this.child.kill('SIGKILL');
    return this.exited;
  }

  /** As an operator would. */
  async stop() {
    this.child.kill('SIGTERM');
    return this.exited;
  }
}
