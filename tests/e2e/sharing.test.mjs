// Links with a role: made, used, changed and revoked while somebody is there.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { People, saved, see, text } from './people.mjs';
import { eventually } from './processes.mjs';
import { Server } from './server.mjs';

const KEY = 'owner';
let server;
let browser;
let people;
let doc;
let ann;
let gus;

before(async () => {
  server = await Server.start({ key: KEY, args: ['--no-ai'] });
  browser = await launch();
  people = new People(browser);
  doc = await server.api('POST', '/documents/import', { title: 'Harbour', markdown: 'Boats come in at night.' });
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

/** Makes a link in Ann's panel, which is open, and answers its address. */
async function make({ label, role, days }) {
  const field = ann.getByTestId('share-new');
  const before = (await field.count()) === 0 ? '' : await field.inputValue();
  await ann.getByTestId('share-label').fill(label);
  await ann.getByTestId('share-role').selectOption(role);
  await ann.getByTestId('share-days').selectOption(days);
  await ann.getByTestId('share-make').click();
  await ann.getByTestId('share-row').filter({ hasText: label }).waitFor();
  return eventually('the new link is shown', async () => {
    const shown = await field.inputValue();
    return shown === before ? undefined : shown;
  });
}

test('a link with a role, for somebody and for a time', async () => {
  ann = await people.at(`${server.url}/#/d/${doc.id}?key=${KEY}`, 'Ann');
  await ann.locator('.ProseMirror[contenteditable=true]').waitFor();
  await ann.getByTestId('share').click();
  await ann.getByTestId('share-links').getByText(/None yet/).waitFor();
  const url = await make({ label: 'The printer', role: 'editor', days: '7' });
  assert.match(url, /#\/d\/.+\?key=share\./);
  const row = ann.locator('[data-testid=share-row]');
  assert.match(await row.innerText(), /The printer\s+Can edit, for 7 more days/);
  await picture(ann, 'share-made');
  gus = await people.at(url, 'Gus');
  await gus.locator('.ProseMirror[contenteditable=true]').click();
  await gus.keyboard.press('End');
  await gus.keyboard.type(' Gus was here.');
  await see(ann, 'Gus was here.');
  await saved(gus);
});

test('who came by a link is told that only the owner makes links', async () => {
  await gus.getByTestId('share').click();
  await gus.getByTestId('share-obstacle').getByText(/Only whoever owns/).waitFor();
  await picture(gus, 'share-guest');
  await gus.keyboard.press('Escape');
});

test('a viewer by link sees why he cannot write', async () => {
  const url = await make({ label: 'Readers', role: 'viewer', days: '' });
  const vic = await people.at(url, 'Vic', { width: 420, height: 780, colorScheme: 'dark' });
  await see(vic, 'Boats come in');
  assert.equal(await vic.getByTestId('role').innerText(), 'Can read');
  await vic.locator('.ProseMirror').click();
  await vic.keyboard.type('not for me');
  assert.ok(!(await text(vic)).includes('not for me'));
  await picture(vic, 'share-viewer-narrow');
});

test('a revoked link ends the open connection at once: nothing can be typed any more, and what is there can be saved', async () => {
  const row = ann.locator('[data-testid=share-row]', { hasText: 'The printer' });
  await row.getByTestId('share-revoke').click();
  await ann.waitForFunction(() => document.activeElement?.dataset.testid === 'share-revoke-sure');
  await ann.keyboard.press('Enter');
  await row.waitFor({ state: 'detached' });
  await gus.getByTestId('parted-banner').getByText(/expired or was revoked/i).waitFor();
  await gus.locator('.ProseMirror[contenteditable=false]').waitFor();
  const before = await text(gus);
  await gus.locator('.ProseMirror').click();
  await gus.keyboard.type('still me');
  assert.equal(await text(gus), before);
  await picture(gus, 'share-revoked');
  const download = gus.waitForEvent('download');
  await gus.getByTestId('parted-download').click();
  assert.equal((await download).suggestedFilename(), 'Harbour.md');
  // The link itself opens nothing any more.
  await gus.reload();
  await gus.getByTestId('document-missing').waitFor();
  // The other link does as before.
  assert.equal(await ann.locator('[data-testid=share-row]', { hasText: 'Readers' }).count(), 1);
});

test('the panel stays on the screen when the window becomes narrow', async () => {
  await ann.setViewportSize({ width: 420, height: 780 });
  const panel = ann.getByTestId('share-open');
  await ann.waitForFunction(() => {
    const box = document.querySelector('[data-testid=share-open]')?.getBoundingClientRect();
    return box !== undefined && box.left >= 0 && box.right <= window.innerWidth;
  });
  await panel.waitFor();
  await picture(ann, 'share-narrow');
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
