// Nobody is cut off for being quiet: stock clients notice a silent server after 30 seconds and connect anew.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Server } from '../e2e/server.mjs';
import { hocuspocus, until, yWebsocket } from './clients.mjs';

// y-websocket closes its connection when nothing came for 30 s, and looks every 3 s; Hocuspocus' provider likewise.
const LONGER_THAN_THEIR_PATIENCE = 40_000;

let server;
const open = [];
after(async () => {
  for (const client of open) client.close();
  await server?.kill();
});

test('a client that is alone and writes nothing stays connected, of either protocol', async () => {
  server = await Server.start({ args: ['--no-ai'] });
  const clients = { 'y-websocket': yWebsocket(server, 'idle-y'), hocuspocus: hocuspocus(server, 'idle-h') };
  open.push(...Object.values(clients));
  for (const [name, client] of Object.entries(clients)) await until(`${name} is synced`, client.synced);
  const lost = [];
  clients['y-websocket'].provider.on('connection-close', () => lost.push('y-websocket'));
  clients.hocuspocus.provider.on('disconnect', () => lost.push('hocuspocus'));
  // Not a wait for something to happen, but for the clients' own limit to pass without anything happening.
  await new Promise((resolve) => setTimeout(resolve, LONGER_THAN_THEIR_PATIENCE));
  assert.deepEqual(lost, [], 'whoever was cut off');
  for (const [name, client] of Object.entries(clients)) assert.ok(client.synced(), `${name} is still there`);
});
