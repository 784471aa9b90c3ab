// Starts the real server on a free port with a data folder of its own, and stops or kills it.

import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cache } from '../../scripts/lib.mjs';
import { eventually, freePort, Program } from './processes.mjs';

/** The path of the server's program. */
export const serverProgram = process.env.INKLING_SERVER ?? 'target/debug/inkling-server';

/**
 * The environment in which a server has the build of ONNX Runtime for NVIDIA's cards, where the set-up fetches it (Linux on
 * x64); elsewhere it has the ordinary one, which refuses cards, too.
 */
export function forCards() {
  if (`${process.platform}-${process.arch}` !== 'linux-x64') return {};
  const library = join(cache, 'onnxruntime-gpu', 'libonnxruntime.so');
  if (!existsSync(library)) throw new Error(`${library} is missing: run node scripts/model/fetch.mjs --providers`);
  return { INKLING_ORT: library };
}

/** A new empty folder for a test's data. */
export function dataFolder() {
  return mkdtempSync(join(tmpdir(), 'inkling-e2e-'));
}

/** One run of the server. */
export class Server {
  static async start({ data = dataFolder(), port, args = [], key, env } = {}) {
    const server = new Server();
    server.data = data;
    server.port = port ?? (await freePort());
    server.url = `http://127.0.0.1:${server.port}`;
    server.key = key;
    const keyed = key ? ['--key', key] : [];
    server.program = new Program(serverProgram, ['--listen', `127.0.0.1:${server.port}`, '--data', data, ...keyed, ...args], {
      env, missing: 'Build it with: npm test -- programs',
    });
    try {
      await server.ready();
    } catch (error) {
      await server.kill();
      throw error;
    }
    return server;
  }

  /** What it has printed. */
  get log() {
    return this.program.log;
  }

  /** Waits until this very process serves: another one on the same port, which ours then cannot have, does not count. */
  async ready() {
    // Its greeting comes after it got the port and the documents; before that, whoever answers is somebody else.
    await eventually('the server serves', async () => {
      this.alive();
      if (!this.log.includes(`at ${this.url}/`)) return false;
      const answer = await fetch(`${this.url}/api/v1/status`, { headers: this.headers(), signal: AbortSignal.timeout(5000) }).catch(() => undefined);
      if (answer && !answer.ok && answer.status !== 503) {
        throw new Error(`the server answers ${answer.status} to its own test: ${await answer.text()}`);
      }
      this.alive();
      return answer?.ok;
    });
  }

  /** Waits until an AI peer's model is loaded. */
  modelReady() {
    return eventually('a model is ready', async () => {
      this.alive();
      const { models, modelProblem } = await this.api('GET', '/status');
      if (modelProblem) throw new Error(`there will be no model: ${modelProblem}`);
      return models[0];
    }, { every: 100 });
  }

  alive() {
    if (this.program.fault) throw new Error(`the server is not there: ${this.program.fault}\n${this.log}`);
  }

  headers() {
    return this.key ? { authorization: `Bearer ${this.key}` } : {};
  }

  async api(method, path, body) {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { ...this.headers(), ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body ? JSON.stringify(body) : undefined,
      signal: AbortSignal.timeout(30_000),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    const type = answer.headers.get('content-type') ?? '';
    return type.includes('json') ? answer.json() : answer.text();
  }

  /** As a crash would: no time to write anything. */
  kill() {
    return this.program.end('SIGKILL');
  }

  /** As an operator would. */
  stop() {
    return this.program.end('SIGTERM');
  }
}
