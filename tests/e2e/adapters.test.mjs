// Adapters in a real browser, with the real model: added in Settings, chosen for a document, named on the card and by who wrote
// what; and what happens when one is missing.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ownCache, writeAdapter } from './adapter.mjs';
import { launch, picture } from './browser.mjs';
import { cards, People, text } from './people.mjs';
import { eventually } from './processes.mjs';
import { Server, dataFolder } from './server.mjs';

const KEY = 'owner';
const WRONG = 'the children was playing on a raft that they has made out of old doors';
let server;
let browser;
let people;
let ann;
let doc;
let folder;

before(async () => {
  folder = writeAdapter(join(dataFolder(), 'Old Sailor'));
  server = await Server.start({ key: KEY, args: ['--role-key', 'editor=edit'], env: { INKLING_CACHE: ownCache() } });
  browser = await launch();
  people = new People(browser);
  doc = await server.api('POST', '/documents/import', { title: 'The flood', markdown: `The river rose.\n\n${WRONG}\n\nOn Friday it was over.` });
  await server.modelReady();
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

const row = (id) => ann.locator(`[data-testid=adapter][data-id="${id}"]`);

/** Opens the document's dialog by the keyboard. */
async function settings(page) {
  await page.getByTestId('more').press('Enter');
  await page.getByTestId('adapter-settings').press('Enter');
  await page.getByTestId('adapter-usual').waitFor();
}

/** Selects the paragraph with these words and asks for a rewrite; the newest card. */
async function rewrite(page) {
  await page.locator('.ProseMirror p', { hasText: 'raft' }).click({ clickCount: 3 });
  await page.keyboard.press('Control+j');
  await page.getByTestId('ask-rewrite').click();
  await page.getByTestId('ask-bar').waitFor({ state: 'detached' });
}

test('the owner adds an adapter from a folder, by the keyboard', async () => {
  ann = await people.at(`${server.url}/#/settings/models?key=${KEY}`, 'Ann');
  await ann.getByTestId('adapters-empty').waitFor();
  await ann.getByTestId('adapter-from').fill('/nowhere/at/all');
  await ann.keyboard.press('Enter');
  await ann.getByTestId('adapter-trouble').getByText(/PEFT folder/).waitFor();
  await ann.getByTestId('adapter-trouble').scrollIntoViewIfNeeded();
  await picture(ann, 'adapters-refused');
  await ann.getByTestId('adapter-from').fill(folder);
  await ann.keyboard.press('Enter');
  await row('old-sailor').getByText('fits the model that runs').waitFor();
  await row('old-sailor').getByText(/rank 4, changes 30 matrices/).waitFor();
  await ann.getByTestId('model-job').filter({ hasText: 'The adapter old-sailor was added' }).waitFor();
  await row('old-sailor').scrollIntoViewIfNeeded();
  await picture(ann, 'adapters-list');
});

test('a document names it, and another choice for one command', async () => {
  await ann.goto(`${server.url}/#/d/${doc.id}`);
  await ann.locator('.ProseMirror').waitFor();
  await settings(ann);
  await ann.getByLabel('Adapter', { exact: true }).selectOption('old-sailor');
  await ann.getByTestId('adapter-commands').press('Enter');
  await ann.getByLabel('Continue', { exact: true }).selectOption({ label: 'None: the model as it is' });
  await picture(ann, 'adapters-dialog');
  await ann.emulateMedia({ colorScheme: 'dark' });
  await picture(ann, 'adapters-dialog-dark');
  await ann.emulateMedia({ colorScheme: 'light' });
  await ann.getByTestId('adapters-save').press('Enter');
  await ann.getByTestId('adapters-save').waitFor({ state: 'detached' });
  const kept = await server.api('GET', `/documents/${doc.id}/adapters`);
  assert.deepEqual([kept.usual, kept.commands], ['old-sailor', { continue: null }]);
  await settings(ann);
  assert.equal(await ann.getByTestId('adapter-usual').inputValue(), '=old-sailor');
  assert.equal(await ann.getByTestId('adapter-continue').inputValue(), 'bare');
  assert.equal(await ann.getByTestId('adapter-rewrite').inputValue(), '');
  await ann.keyboard.press('Escape');
});

test('the card and who wrote what name the adapter that wrote', async () => {
  await rewrite(ann);
  const card = cards(ann, 'pending').first();
  await card.waitFor();
  await card.getByText(/with the adapter old-sailor/).waitFor();
  await picture(ann, 'adapters-card');
  await card.getByTestId('accept').click();
  await cards(ann, 'accepted').first().waitFor();
  await ann.getByTestId('more').press('Enter');
  await ann.getByTestId('authors').press('Enter');
  await ann.getByText(/with the adapter old-sailor/).first().waitFor();
  await picture(ann, 'adapters-authors');
  await ann.getByTestId('more').press('Enter');
  await ann.getByRole('menuitem', { name: 'Hide who wrote what' }).press('Enter');
  await cards(ann, 'accepted').first().getByTestId('undo-accept').click();
  await cards(ann, 'pending').first().getByTestId('reject').click();
  await eventually('the text is as it was', async () => (await text(ann)).includes(WRONG));
});

test('whoever does not own the document sees the choice and cannot change it', async () => {
  const ed = await people.at(`${server.url}/#/d/${doc.id}?key=edit`, 'Ed', { colorScheme: 'dark' });
  await ed.locator('.ProseMirror').waitFor();
  await settings(ed);
  await ed.getByText('Only the document’s owner can change this.').waitFor();
  assert.ok(await ed.getByTestId('adapter-usual').isDisabled());
  assert.equal(await ed.getByTestId('adapters-save').count(), 0);
  await picture(ed, 'adapters-fixed');
});

test('a missing adapter is said in words, and nothing is lost', async () => {
  await ann.goto(`${server.url}/#/settings/models`);
  await row('old-sailor').getByRole('button', { name: 'Remove old-sailor…' }).press('Enter');
  await ann.getByText('One document uses it').waitFor();
  await picture(ann, 'adapters-remove');
  await ann.getByTestId('remove-adapter-confirm').press('Enter');
  await row('old-sailor').waitFor({ state: 'detached' });
  await ann.goto(`${server.url}/#/d/${doc.id}`);
  await ann.locator('.ProseMirror').waitFor();
  await eventually('the text is there', async () => (await text(ann)).includes(WRONG));
  await rewrite(ann);
  const failed = cards(ann, 'failed').first();
  await failed.getByText(/“old-sailor” is not on this machine/).waitFor();
  assert.ok((await text(ann)).includes(WRONG));
  await picture(ann, 'adapters-missing');
  await settings(ann);
  await ann.getByTestId('adapters-remark').getByText(/names old-sailor/).waitFor();
  await picture(ann, 'adapters-missing-dialog');
  await ann.getByLabel('Adapter', { exact: true }).selectOption({ label: 'None: the model as it is' });
  await ann.getByTestId('adapters-save').press('Enter');
  await ann.getByTestId('adapters-save').waitFor({ state: 'detached' });
  await failed.getByTestId('ask-again').click();
  await cards(ann, 'pending').first().waitFor();
  assert.equal(await cards(ann, 'pending').first().getByText(/with the adapter/).count(), 0);
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
