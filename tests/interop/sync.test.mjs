// Stock y-websocket and Hocuspocus clients in one room: they converge, across restarts and crashes of the relay.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Server, dataFolder } from '../e2e/server.mjs';
import { hocuspocus, hocuspocusSocket, plain, until, yWebsocket } from './clients.mjs';

const open = [];
after(async () => {
  for (const client of open) client.close?.();
  for (const server of servers) await server.kill();
});
const servers = [];
async function serve(options) {
  const server = await Server.start({ args: ['--no-ai'], ...options });
  servers.push(server);
  return server;
}
function keep(client) {
  open.push(client);
  return client;
}

test('clients of both protocols type at once and converge, across a restart in the middle', async () => {
  let server = await serve();
  const name = 'a name / with ünïcode & "signs"';
  const first = keep(hocuspocus(server, name));
  await until('the first client is synced', first.synced);
  first.text().insert(0, '|');
  await until('the first edit is saved', first.saved);
  const clients = [first, keep(hocuspocus(server, name)), keep(yWebsocket(server, name)), keep(yWebsocket(server, name))];
  for (const client of clients) await until('everybody is synced', client.synced);
  await until('everybody has the paragraph', () => clients.every((client) => plain(client.doc) === '|'));

  const type = async (from, to) => {
    for (let i = from; i < to; i += 1) {
      clients.forEach((client, n) => client.text().insert(client.text().length, `${'abcd'[n]}${i} `));
      if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await type(0, 30);
  await server.stop();
  await type(30, 60); // written while there is no relay
  server = await serve({ port: server.port, data: server.data });
  await type(60, 80);

  const whole = () => clients.every((client) => client.text().length === clients[0].text().length
    && plain(client.doc) === plain(clients[0].doc));
  const expected = 4 * 80;
  await until('all words at all clients', () => whole() && plain(first.doc).trim().split(/[\s|]+/).filter(Boolean).length === expected);
  for (let n = 0; n < 4; n += 1) {
    for (let i = 0; i < 80; i += 1) {
      const word = `${'abcd'[n]}${i} `;
      assert.equal(plain(first.doc).split(word).length - 1, 1, `${word} is there exactly once`);
    }
  }
  assert.equal(server.log.includes('panicked'), false, server.log);
});

test('what a client was told is saved survives kill -9', async () => {
  let server = await serve();
  const writer = keep(hocuspocus(server, 'crash'));
  await until('synced', writer.synced);
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 20; i += 1) writer.text().insert(writer.text().length, `${round}.${i} `);
    await until('saved', writer.saved);
    const saved = plain(writer.doc);
    await server.kill();
    const { port, data } = server;
    writer.provider.configuration.websocketProvider.disconnect();
    server = await serve({ port, data });
    const fresh = keep(hocuspocus(server, 'crash'));
    await until('a fresh client has it', () => plain(fresh.doc) === saved);
    fresh.close();
    // Tried again until it succeeds; what it is for is waited for below.
    void writer.provider.configuration.websocketProvider.connect();
    await until('the writer is back', writer.saved);
    assert.equal(plain(writer.doc), saved, 'nothing was doubled');
  }
});

test('several documents on one socket do not mix', async () => {
  const server = await serve();
  const socket = hocuspocusSocket(server);
  keep({ close: () => socket.destroy() });
  const names = ['one', 'two', 'one~margin', 'one%7Emargin', '../one', 'one\\'];
  const clients = names.map((name) => keep(hocuspocus(server, name, { socket })));
  for (const client of clients) await until('synced', client.synced);
  clients.forEach((client, n) => client.doc.getMap('proof').set('name', names[n]));
  for (const client of clients) await until('saved', client.saved);
  for (const name of names) {
    const fresh = keep(yWebsocket(server, name));
    await until('synced', fresh.synced);
    assert.deepEqual(fresh.doc.getMap('proof').toJSON(), { name });
  }
});

test('carets and names reach clients of the other protocol, and leave with their client', async () => {
  const server = await serve();
  const ann = keep(hocuspocus(server, 'people'));
  const bob = keep(yWebsocket(server, 'people'));
  await until('both are synced', () => ann.synced() && bob.synced());
  ann.provider.setAwarenessField('user', { name: 'Ann', color: '#123456' });
  bob.provider.awareness.setLocalStateField('user', { name: 'Bob' });
  const names = (awareness) => [...awareness.getStates().values()].map((state) => state.user?.name).filter(Boolean).sort();
  await until('each sees both', () => `${names(bob.provider.awareness)}` === 'Ann,Bob' && `${names(ann.provider.awareness)}` === 'Ann,Bob');
  ann.close();
  await until('who left is gone', () => `${names(bob.provider.awareness)}` === 'Bob');
});

test('a data folder that is used by a running server is refused in words', async () => {
  const data = dataFolder();
  const server = await serve({ data });
  await assert.rejects(serve({ data }), /already|in use|locked/i);
  await assert.rejects(serve({ port: server.port }), /in use/i);
});
