// Versions as a person uses them: keeping one with a name and a reason, seeing what has changed, going back and taking that back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { People, saved, settles } from './people.mjs';
import { Server } from './server.mjs';

const KEY = 'owner';
let server;
let browser;
let people;
let doc;
let ann;
let bob;

before(async () => {
  server = await Server.start({ key: KEY, args: ['--role-key', 'viewer=view', '--no-ai'] });
  browser = await launch();
  people = new People(browser);
  const markdown = '# Harbour\n\nBoats come in at night.\n\n- ropes\n- nets\n\nThe end.';
  doc = await server.api('POST', '/documents/import', { title: 'Harbour', markdown });
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

const link = (key) => `${server.url}/#/d/${doc.id}?key=${key}`;
const THEN = 'Harbour Boats come in at night. ropes nets The end.';
const LATER = 'Harbour Boats come in at night. A storm rose. Nobody slept. ropes nets';

async function openVersions(page) {
  await page.getByTestId('more').click();
  await page.getByTestId('versions').click();
  await page.getByTestId('versions-dialog').locator('h2').waitFor();
}

test('a version is kept with a name and a reason, and the list says who and why', async () => {
  ann = await people.at(link(KEY), 'Ann');
  await ann.locator('.ProseMirror[contenteditable=true]').waitFor();
  await openVersions(ann);
  await ann.getByTestId('version-name').fill('Before the storm');
  await ann.getByTestId('version-why').fill('sent to the printer');
  await ann.getByTestId('version-why').press('Enter');
  const row = ann.getByTestId('version').first();
  await row.waitFor();
  const words = await row.innerText();
  for (const part of ['Before the storm', 'Version 1', 'Ann', 'Sent to the printer']) assert.ok(words.includes(part), words);
  await row.click();
  await ann.getByTestId('version-diff').getByText('The text is the same as then.').waitFor();
  await ann.keyboard.press('Escape');
  await ann.getByTestId('versions-dialog').locator('h2').waitFor({ state: 'detached' });
});

test('what has changed since is shown as text and as blocks', async () => {
  bob = await people.at(link(KEY), 'Bob', { colorScheme: 'dark' });
  await bob.locator('.ProseMirror[contenteditable=true] p', { hasText: 'Boats' }).click();
  await bob.keyboard.press('End');
  await bob.keyboard.type(' A storm rose.');
  await bob.keyboard.press('Enter');
  await bob.keyboard.type('Nobody slept.');
  await bob.locator('.ProseMirror p', { hasText: 'The end.' }).click({ clickCount: 3 });
  await bob.keyboard.press('Delete');
  await bob.keyboard.press('Backspace');
  await settles([ann, bob], LATER);
  await saved(bob);
  await openVersions(bob);
  await bob.getByTestId('version').first().click();
  const diff = bob.getByTestId('version-diff');
  await diff.locator('ins', { hasText: 'A storm rose.' }).waitFor();
  await diff.locator('del', { hasText: 'The end.' }).waitFor();
  await picture(bob, 'versions-text');
  await bob.getByTestId('diff-blocks').click();
  for (const [change, words] of [['changed', 'A storm rose.'], ['added', 'Nobody slept.'], ['removed', 'The end.']]) {
    await diff.locator(`[data-change=${change}]`, { hasText: words }).waitFor();
  }
  await picture(bob, 'versions-blocks');
  await bob.setViewportSize({ width: 420, height: 780 });
  await picture(bob, 'versions-narrow');
  await bob.setViewportSize({ width: 1280, height: 860 });
});

test('going back is an edit by whoever does it, for all, and can be taken back', async () => {
  await bob.getByTestId('version-restore').click();
  await settles([ann, bob], THEN);
  await picture(bob, 'versions-restored');
  const runs = await server.api('GET', `/documents/${doc.id}/versions`);
  assert.deepEqual(runs.slice(0, 2).map(({ kind, by }) => `${kind} ${by.name}`), ['restored Bob', 'beforeRestore Bob']);
  await bob.getByTestId('notice-action').click();
  await settles([ann, bob], LATER);
  await openVersions(bob);
  await bob.waitForFunction(() => document.querySelectorAll('[data-testid=version]').length === 5);
  await picture(bob, 'versions-list');
  await bob.keyboard.press('Escape');
});

test('by the keyboard alone: a version is found, compared and gone back to', async () => {
  const inside = (css) => ann.waitForFunction((selector) => document.activeElement?.closest(selector) !== null, css);
  await ann.getByTestId('more').focus();
  await ann.keyboard.press('Enter');
  await inside('[data-testid=more-open]');
  await ann.keyboard.press('Enter'); // the first command
  await inside('[data-testid=versions-dialog]');
  await ann.getByTestId('version').nth(4).waitFor();
  for (let press = 0; press < 9 && !(await ann.evaluate(() => document.activeElement?.closest('.version-list'))); press += 1) {
    await ann.keyboard.press('Tab');
  }
  await inside('.version-list');
  await ann.keyboard.press('End');
  assert.equal(await ann.evaluate(() => document.activeElement.dataset.number), '1');
  await ann.keyboard.press('Enter');
  await ann.getByTestId('version-diff').locator('del, ins').first().waitFor();
  for (let press = 0; press < 9 && !(await ann.evaluate(() => document.activeElement?.dataset.testid === 'version-restore')); press += 1) {
    await ann.keyboard.press('Tab');
  }
  await ann.keyboard.press('Enter');
  await settles([ann, bob], THEN);
  // The focus is back where the dialog was opened.
  await inside('[data-testid=more]');
});

test('a viewer is told why there is nothing to see', async () => {
  const vera = await people.at(link('view'), 'Vera');
  await vera.locator('.ProseMirror').waitFor();
  await vera.getByTestId('role').waitFor();
  await openVersions(vera);
  await vera.getByTestId('versions-obstacle').getByText(/only those who may edit/).waitFor();
  assert.equal(await vera.getByTestId('version-keep').count(), 0);
  await picture(vera, 'versions-viewer');
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
