// A backup is put back under an open page: its copy is kept apart, and whoever sits there decides what becomes of it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { People, saved, see, settles } from './people.mjs';
import { Program } from './processes.mjs';
import { Server, serverProgram } from './server.mjs';

const backup = join(mkdtempSync(join(tmpdir(), 'inkling-backup-')), 'backup.sqlite');
let server;
let browser;
let people;
let doc;
let ann;
let bob;
let cas;

/** Runs one of the server's commands. */
async function command(...args) {
  const program = new Program(serverProgram, args);
  const end = await program.closed;
  assert.equal(end.code, 0, `${args.join(' ')}: ${program.log}`);
}

before(async () => {
  server = await Server.start({ args: ['--no-ai'] });
  browser = await launch();
  people = new People(browser);
  doc = await server.api('POST', '/documents/import', { title: 'Harbour', markdown: '# Harbour\n\nBoats come in.' });
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

const WRITTEN = 'Harbour Boats come in. Written after the backup.';

test('a restored backup is not mixed with what is in open pages: each page is asked', async () => {
  ann = await people.open(server, doc.id, 'Ann');
  bob = await people.open(server, doc.id, 'Bob', { colorScheme: 'dark', width: 420, height: 800 });
  cas = await people.open(server, doc.id, 'Cas', { colorScheme: 'dark' });
  await command('backup', backup, '--data', server.data);
  await ann.locator('.ProseMirror p').click();
  await ann.keyboard.press('End');
  await ann.keyboard.type(' Written after the backup.');
  await settles([ann, bob, cas], WRITTEN);
  await saved(ann);
  await command('restore', backup, '--data', server.data);
  for (const page of [ann, bob, cas]) await page.getByTestId('parted').locator('h2', { hasText: 'replaced on the server' }).waitFor();
  await settles([ann, bob, cas], WRITTEN);
  assert.equal(await server.api('GET', `/documents/${doc.id}/markdown`).then((text) => text.includes('after the backup')), false);
  await picture(ann, 'parted');
  await picture(cas, 'parted-dark');
  await picture(bob, 'parted-narrow');
});

test('decided later: the page says so as long as it is so, and lets nobody type', async () => {
  await ann.keyboard.press('Escape');
  await ann.getByTestId('parted-banner').waitFor();
  await ann.locator('.ProseMirror[contenteditable=false]').waitFor();
  await ann.locator('[data-testid=saved][data-look=offline]').waitFor();
  await picture(ann, 'parted-later');
  await ann.getByTestId('parted-decide').click();
  await ann.getByTestId('parted-keep').waitFor();
});

test('the copy is downloaded as Markdown', async () => {
  const download = ann.waitForEvent('download');
  await ann.getByTestId('parted-markdown').click();
  const file = await download;
  assert.equal(file.suggestedFilename(), 'Harbour.md');
  assert.equal(readFileSync(await file.path(), 'utf8').trim(), '# Harbour\n\nBoats come in. Written after the backup.');
});

test('the copy is kept as a new document, with all that was written', async () => {
  await ann.getByTestId('parted-keep').click();
  await ann.waitForFunction((id) => location.hash.startsWith('#/d/') && !location.hash.includes(id), doc.id);
  await ann.locator('.ProseMirror[contenteditable=true]').waitFor();
  await settles([ann], WRITTEN);
  assert.equal(await ann.getByTestId('title').inputValue(), 'Harbour (my copy)');
  await ann.locator('.ProseMirror p').click();
  await ann.keyboard.press('End');
  await ann.keyboard.type(' It goes on.');
  await saved(ann);
  const [, id] = /#\/d\/([^?]+)/.exec(ann.url());
  assert.equal((await server.api('GET', `/documents/${id}/markdown`)).trim(), '# Harbour\n\nBoats come in. Written after the backup. It goes on.');
  await picture(ann, 'parted-kept');
});

test("the server's copy is taken, but only when the person is sure", async () => {
  await bob.getByTestId('parted-take').click();
  await bob.getByTestId('parted-take').getByText(/Press again/).waitFor();
  await settles([bob], WRITTEN);
  await picture(bob, 'parted-sure');
  await bob.getByTestId('parted-take').click();
  await bob.locator('.ProseMirror[contenteditable=true]').waitFor();
  await settles([bob], 'Harbour Boats come in.');
  await bob.locator('.ProseMirror p').click();
  await bob.keyboard.press('End');
  await bob.keyboard.type(' On we go.');
  await saved(bob);
});

test('a deleted document leaves the open copy too', async () => {
  const other = await server.api('POST', '/documents/import', { title: 'Ropes', markdown: 'Of hemp.' });
  const eve = await people.open(server, other.id, 'Eve');
  await see(eve, 'Of hemp.');
  await server.api('DELETE', `/documents/${other.id}`);
  await eve.getByTestId('parted').locator('h2', { hasText: 'not on the server any more' }).waitFor();
  assert.equal(await eve.getByTestId('parted-take').count(), 0);
  await eve.getByTestId('parted-keep').click();
  await eve.locator('.ProseMirror[contenteditable=true]').waitFor();
  await settles([eve], 'Of hemp.');
  assert.equal(await eve.getByTestId('title').inputValue(), 'Ropes (my copy)');
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
