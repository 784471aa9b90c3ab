// What a role may do is decided by the relay, not by the client.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ulid } from 'ulid';
import * as Y from 'yjs';
import { Server } from '../e2e/server.mjs';
import { hocuspocus, plain, until, yWebsocket } from './clients.mjs';
import { refusals } from './watching.mjs';

let server;
const open = [];
before(async () => { server = await Server.start({ args: ['--no-ai'] }); });
after(async () => {
  for (const client of open) client.close();
  await server.kill();
});
const keep = (client) => (open.push(client), client);

async function documentWith(name, text) {
  const owner = keep(hocuspocus(server, name));
  await until('synced', owner.synced);
  owner.text().insert(0, text);
  await until('saved', owner.saved);
  return owner;
}

for (const role of ['viewer', 'suggester']) {
  test(`a ${role} reads the document and cannot change it, over either protocol`, async () => {
    const name = `roles-${role}`;
    const owner = await documentWith(name, 'untouched');
    const before = Y.snapshot(owner.doc);
    const token = JSON.stringify({ role });
    const intruders = [keep(hocuspocus(server, name, { token })), keep(yWebsocket(server, name, { role }))];
    for (const intruder of intruders) {
      await until('it reads', () => plain(intruder.doc) === 'untouched');
      const refused = refusals(intruder);
      intruder.text().delete(0, 2);
      await until('deleting is refused', () => refused.count === 1);
      intruder.text().insert(0, 'INTRUDED ');
      await until('writing is refused', () => refused.count === 2);
    }
    const fresh = keep(yWebsocket(server, name));
    await until('synced', fresh.synced);
    assert.equal(plain(fresh.doc), 'untouched');
    assert.ok(Y.equalSnapshots(Y.snapshot(fresh.doc), before), 'state vector and delete set are as they were');
    assert.ok(Y.equalSnapshots(Y.snapshot(owner.doc), before), 'and the owner was told nothing');
    // The room works on.
    owner.text().insert(owner.text().length, '!');
    await until('the owner\'s words arrive', () => plain(fresh.doc) === 'untouched!');
  });
}

test('a suggester writes the margin', async () => {
  await documentWith('margin-write', 'text');
  const suggester = keep(hocuspocus(server, 'margin-write~margin', { token: JSON.stringify({ role: 'suggester' }) }));
  await until('synced', suggester.synced);
  suggester.doc.getMap('requests').set('x', 1);
  await until('saved', suggester.saved);
  const reader = keep(yWebsocket(server, 'margin-write~margin'));
  await until('the other has it', () => reader.doc.getMap('requests').get('x') === 1);
});

/** A proposal in the margin as an AI peer would write it. */
function propose(margin, body, { from, to, payload, kind = 'replace' }) {
  const id = ulid();
  const text = body.getXmlFragment('default').get(0).get(0);
  const proposal = new Y.Map();
  margin.transact(() => {
    margin.getMap('proposals').set(id, proposal);
    const at = (index, assoc) => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index, assoc));
    const fields = {
      id, request: '', kind, author: { kind: 'ai', id: 'ai', name: 'Test', model: 'none' }, requester: { id: 'u', name: 'U' },
      anchor: { start: at(from, from === to ? -1 : 0), end: at(to, -1), quote: text.toString().slice(from, to), prefix: '', suffix: '' },
      base: { stateVector: Buffer.from(Y.encodeStateVector(body)).toString('base64') },
      payload: new Y.Text(payload), state: 'pending', at: Date.now(),
    };
    for (const [key, value] of Object.entries(fields)) proposal.set(key, value);
  });
  return id;
}

/** Asks the room for a decision, as the page does, and returns its answer. */
async function decide(client, message) {
  const seq = Math.floor(Math.random() * 1e9);
  let answer;
  const listen = ({ payload }) => {
    const said = JSON.parse(payload);
    if (said.seq === seq) answer = said;
  };
  client.provider.on('stateless', listen);
  try {
    client.provider.sendStateless(JSON.stringify({ type: 'decide', seq, ...message }));
    await until(`an answer to ${message.action}`, () => answer !== undefined);
    return answer;
  } finally {
    client.provider.off('stateless', listen);
  }
}

test('accept, undo and reject go through the room; a suggester may not decide', async () => {
  const owner = await documentWith('decide', 'The quick brown fox');
  const watcher = keep(yWebsocket(server, 'decide'));
  const margin = keep(hocuspocus(server, 'decide~margin', { token: JSON.stringify({ role: 'suggester' }) }));
  await until('synced', () => watcher.synced() && margin.synced());
  const proposal = propose(margin.doc, owner.doc, { from: 4, to: 9, payload: 'slow' });
  await until('saved', margin.saved);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(plain(watcher.doc), 'The quick brown fox', 'a proposal changes nothing');

  const suggester = keep(hocuspocus(server, 'decide', { token: JSON.stringify({ role: 'suggester' }) }));
  await until('synced', suggester.synced);
  const refused = await decide(suggester, { proposal, action: 'accept' });
  assert.equal(refused.ok, false);
  assert.equal(refused.code, 'forbidden');

  const accepted = await decide(owner, { proposal, action: 'accept' });
  assert.equal(accepted.ok, true, JSON.stringify(accepted));
  await until('the text is accepted for all', () => plain(watcher.doc) === 'The slow brown fox' && plain(owner.doc) === 'The slow brown fox');
  const twice = await decide(owner, { proposal, action: 'accept' });
  assert.equal(twice.code, 'already');

  const undone = await decide(owner, { proposal, action: 'undo' });
  assert.equal(undone.ok, true, JSON.stringify(undone));
  await until('the text is back', () => plain(watcher.doc) === 'The quick brown fox');
  const rejected = await decide(owner, { proposal, action: 'reject' });
  assert.equal(rejected.ok, true, JSON.stringify(rejected));
  assert.equal(plain(owner.doc), 'The quick brown fox');
  const unknown = await decide(owner, { proposal: ulid(), action: 'accept' });
  assert.equal(unknown.code, 'unknown');
});

test('a stale proposal is shown before it is accepted', async () => {
  const owner = await documentWith('stale', 'one two three');
  const margin = keep(hocuspocus(server, 'stale~margin'));
  await until('synced', margin.synced);
  const proposal = propose(margin.doc, owner.doc, { from: 4, to: 7, payload: 'TWO' });
  await until('saved', margin.saved);
  owner.text().insert(5, 'human');
  const stale = await decide(owner, { proposal, action: 'accept' });
  assert.equal(stale.code, 'stale');
  assert.equal(typeof stale.preview.result, 'string');
  const forced = await decide(owner, { proposal, action: 'accept', force: true });
  assert.equal(forced.ok, true, JSON.stringify(forced));
  await until('the result is there', () => plain(owner.doc).includes('TWO'));
  assert.ok(plain(owner.doc).includes('human'), 'a person\'s later letters survive');
});
