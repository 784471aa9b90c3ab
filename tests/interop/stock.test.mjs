// Stock clients in the situations that their users get into: unknown, deleted and damaged documents, wrong keys, frames that
// are too large, read-only tokens, client ids of all sizes, documents that Rust wrote, edits made offline.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { Server } from '../e2e/server.mjs';
import { hocuspocus, hocuspocusSocket, plain, until, yWebsocket } from './clients.mjs';
import { same } from './watching.mjs';

let server;
const open = [];
const servers = [];
const keep = (client) => (open.push(client), client);
async function serve(options = {}) {
  const started = await Server.start({ ...options, args: ['--no-ai', ...(options.args ?? [])] });
  servers.push(started);
  return started;
}
before(async () => { server = await serve(); });
after(async () => {
  for (const client of open) end(client);
  for (const one of servers) await one.kill();
});

/** Ends a client and its document, whose awareness would keep the process awake. */
function end(client) {
  client.close?.();
  client.doc?.destroy();
}

/** A client together with the reasons for which it was not let in. */
function asking(name, options = {}, at = server) {
  const reasons = [];
  const client = keep(hocuspocus(at, name, { ...options, onAuthenticationFailed: ({ reason }) => reasons.push(reason) }));
  return { ...client, reasons };
}

/** A server with a key: its status is for those who have it, so any answer says that it is up. */
async function guardedServer(key) {
  const { ready } = Server.prototype;
  Server.prototype.ready = async function answers() {
    await until('the server answers', () => fetch(`${this.url}/api/v1/status`).then(() => true, () => false));
  };
  try {
    return await serve({ args: ['--key', key] });
  } finally {
    Server.prototype.ready = ready;
  }
}

/** The code with which a y-websocket connection is closed. */
function closedWith(at, path) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${at.port}/y/${path}`);
    socket.on('close', (code, reason) => resolve({ code, reason: `${reason}` }));
    socket.on('error', (error) => resolve({ code: 0, reason: `${error.message}` }));
  });
}

async function written(name, words, at = server) {
  const client = keep(hocuspocus(at, name));
  await until('synced', client.synced);
  client.text().insert(0, words);
  await until('saved', client.saved);
  return client;
}

test('a reader is told that a document is not there, in words', async () => {
  const reader = asking('never-made', { token: JSON.stringify({ role: 'viewer' }) });
  await until('the refusal', () => reader.reasons.length > 0);
  assert.match(reader.reasons[0], /no document never-made/);
  const { code, reason } = await closedWith(server, 'never-made?role=viewer');
  assert.equal(code, 4404);
  assert.match(reason, /no document never-made/);
});

test('a deleted document closes for those who have it open, and stays deleted for readers', async () => {
  const owner = await written('to-delete', 'gone soon');
  const watcher = keep(yWebsocket(server, 'to-delete', { role: 'viewer' }));
  await until('the watcher reads', () => plain(watcher.doc) === 'gone soon');
  let closed;
  watcher.provider.on('connection-close', (event) => { closed ??= event.code; });
  await server.api('DELETE', '/documents/to-delete').catch((error) => assert.match(error.message, /JSON|204/));
  await until('the watcher is closed', () => closed !== undefined);
  owner.close();
  const { code, reason } = await closedWith(server, 'to-delete?role=viewer');
  assert.ok(code >= 4400 && code < 4500, `${code} ${reason}`);
  assert.notEqual(reason, '');
});

test('a damaged document is named to whoever opens it, and the others are not touched', async () => {
  const first = await serve();
  await written('whole', 'all is well', first);
  const owner = await written('damaged', 'MARKED-FOR-DAMAGE', first);
  for (const client of open.splice(0)) end(client);
  assert.equal(plain(owner.doc), 'MARKED-FOR-DAMAGE');
  await first.stop();
  let flipped = 0;
  for (const file of readdirSync(first.data).map((name) => join(first.data, name))) {
    const bytes = readFileSync(file);
    for (let at = bytes.indexOf('MARKED-FOR-DAMAGE'); at >= 0; at = bytes.indexOf('MARKED-FOR-DAMAGE', at + 1)) {
      bytes[at] ^= 0x80;
      flipped += 1;
    }
    if (flipped) writeFileSync(file, bytes);
  }
  assert.ok(flipped > 0, 'the text was found on the disk');
  const again = await serve({ port: first.port, data: first.data });
  const reader = asking('damaged', {}, again);
  await until('the refusal', () => reader.reasons.length > 0);
  assert.match(reader.reasons[0], /damaged/);
  const other = keep(yWebsocket(again, 'whole'));
  await until('the other document opens', () => plain(other.doc) === 'all is well');
  assert.equal(again.log.includes('panicked'), false, again.log);
});

test('a wrong key is refused in words over either protocol, and the right one opens', async () => {
  const guarded = await guardedServer('right-key-0123456789');
  const token = (key) => JSON.stringify({ key });
  const stranger = asking('plan', { token: token('wrong') }, guarded);
  await until('the refusal', () => stranger.reasons.length > 0);
  assert.notEqual(stranger.reasons[0], '');
  const { code } = await closedWith(guarded, 'plan?key=wrong');
  assert.notEqual(code, 1000);
  const owner = keep(hocuspocus(guarded, 'plan', { token: token('right-key-0123456789') }));
  await until('the owner is in', owner.synced);
  owner.text().insert(0, 'hello');
  await until('saved', owner.saved);
});

test('the token is asked for anew at each connection, and read-only is said', async () => {
  await written('tokens', 'words');
  let asked = 0;
  const reader = keep(hocuspocus(server, 'tokens', { token: () => { asked += 1; return JSON.stringify({ role: 'viewer' }); } }));
  await until('it reads', () => plain(reader.doc) === 'words');
  assert.equal(reader.provider.authorizedScope, 'readonly');
  const socket = reader.provider.configuration.websocketProvider;
  const before = asked;
  socket.disconnect();
  await until('it is off', () => !reader.synced());
  void socket.connect();
  await until('it is back', reader.synced);
  assert.ok(asked > before, 'the token was fetched again');
});

test('a frame that is too large ends its own connection with a code and words', async () => {
  const owner = await written('large', 'small');
  const closed = new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/y/large`);
    socket.on('open', () => socket.send(Buffer.alloc((32 << 20) + 1)));
    socket.on('close', (code, reason) => resolve({ code, reason: `${reason}` }));
    socket.on('error', () => {}); // what could not be sent any more
  });
  const { code, reason } = await closed;
  assert.ok(code === 1009 || code === 1006, `${code} ${reason}`);
  owner.text().insert(0, 'still ');
  await until('the others go on', owner.saved);
});

test('stateless messages that the relay does not know are no reason to part', async () => {
  const client = await written('stateless', 'words');
  const heard = [];
  client.provider.on('stateless', ({ payload }) => heard.push(JSON.parse(payload)));
  for (const odd of ['', '{', '[]', '{"type":"unheard-of"}', JSON.stringify('x'.repeat(1000))]) client.provider.sendStateless(odd);
  client.provider.sendStateless(JSON.stringify({ type: 'preview', seq: 7, proposal: 'none' }));
  await until('an answer', () => heard.some((message) => message.type === 'previewed' && message.seq === 7));
  client.text().insert(0, 'more ');
  await until('it is still connected', client.saved);
});

test('client ids of all sizes meet, in updates that yjs and yrs made', async () => {
  // The relay writes this one itself, with yrs.
  const { id } = await server.api('POST', '/documents/import', { title: 'Ids', markdown: 'made by yrs' });
  const ids = [1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 + 5, 2 ** 53 - 1];
  const clients = ids.map((clientID, n) => {
    const doc = new Y.Doc();
    doc.clientID = clientID;
    if (n % 2) {
      const provider = new WebsocketProvider(`ws://127.0.0.1:${server.port}/y`, id, doc, { WebSocketPolyfill: WebSocket, disableBc: true });
      keep({ doc, close: () => provider.destroy() });
    } else {
      const client = keep(hocuspocus(server, id, { document: doc }));
      keep({ doc, close: () => client.doc.destroy() });
    }
    return { doc, text: () => doc.getXmlFragment('default').get(0).get(0) };
  });
  for (const client of clients) await until('it reads', () => plain(client.doc).includes('made by yrs'));
  // All at the same place, at once.
  clients.forEach((client, n) => client.text().insert(0, `<${n}>`));
  await until('all have all', () => clients.every((client) => ids.every((_, n) => plain(client.doc).includes(`<${n}>`))));
  await until('all are the same', () => clients.every((client) => same(client.doc, clients[0].doc) && plain(client.doc) === plain(clients[0].doc)));
  const markdown = await server.api('GET', `/documents/${id}/markdown`);
  for (const n of ids.keys()) assert.equal(plain(clients[0].doc).split(`<${n}>`).length, 2, markdown);
});

test('edits made offline on both sides come together when their authors return, with a restart in between', async () => {
  let relay = await serve();
  const ann = await written('offline', '|', relay);
  const bob = keep(yWebsocket(relay, 'offline'));
  await until('bob reads', () => plain(bob.doc) === '|');
  const socket = ann.provider.configuration.websocketProvider;
  socket.disconnect();
  bob.provider.disconnect();
  ann.text().insert(0, 'ann ');
  ann.text().delete(ann.text().length - 1, 1);
  bob.text().insert(bob.text().length, ' bob');
  await relay.stop();
  relay = await serve({ port: relay.port, data: relay.data });
  void socket.connect();
  bob.provider.connect();
  await until('both have both', () => same(ann.doc, bob.doc) && plain(ann.doc) === 'ann  bob');
  const fresh = keep(hocuspocus(relay, 'offline', { socket: keepSocket(relay) }));
  await until('and so has whoever comes now', () => plain(fresh.doc) === 'ann  bob');
});

function keepSocket(at) {
  const socket = hocuspocusSocket(at);
  keep({ close: () => socket.destroy() });
  return socket;
}
