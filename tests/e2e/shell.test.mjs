// The shell around the text, in a real browser and without a model: keys and roles, the list, tables and links, themes, the
// keyboard alone.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { People, saved, see, text } from './people.mjs';
import { Server } from './server.mjs';

const KEY = 'owner key/with&signs';
let server;
let browser;
let people;
let doc;

before(async () => {
  server = await Server.start({
    key: KEY, args: ['--role-key', 'viewer=view', '--role-key', 'suggester=suggest', '--model-dir', '/nowhere/at/all'],
  });
  browser = await launch();
  people = new People(browser);
  doc = await server.api('POST', '/documents/import', { title: 'Harbour', markdown: '# Harbour\n\nBoats come in at night.' });
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

const link = (key) => `${server.url}/#/d/${doc.id}?key=${encodeURIComponent(key)}`;

test('the link that the server prints opens it, and the key does not stay in the address', async () => {
  const [printed] = /http:\S+/.exec(server.log);
  assert.match(printed, /#\/d\/[^?]+\?key=/);
  const page = await people.at(printed, 'Ann');
  await page.locator('.ProseMirror[contenteditable=true]').waitFor();
  assert.ok(!page.url().includes('key'), page.url());
  await page.reload();
  await page.locator('.ProseMirror[contenteditable=true]').waitFor();
  await page.getByTestId('share').click();
  assert.ok((await page.getByTestId('share-link').inputValue()).endsWith(`?key=${encodeURIComponent(KEY)}`));
});

test('a wrong key is said in words, and the right link in the same tab opens the document', async () => {
  const page = await people.at(link('wrong'), 'Ben');
  await page.getByTestId('document-missing').waitFor();
  await page.evaluate((hash) => (location.hash = hash), new URL(link(KEY)).hash);
  await page.locator('.ProseMirror[contenteditable=true]').waitFor();
  await see(page, 'Boats come in');
});

test('a viewer reads, and is told what is not possible', async () => {
  const page = await people.at(link('view'), 'Vera');
  await see(page, 'Boats come in');
  assert.equal(await page.getByTestId('role').innerText(), 'Can read');
  await page.locator('.ProseMirror').click();
  await page.keyboard.type('not for me');
  assert.ok(!(await text(page)).includes('not for me'));
  assert.equal(await page.getByTestId('tool-toggleBold').getAttribute('aria-disabled'), 'true');
  assert.ok(await page.getByTestId('title').evaluate((title) => title.readOnly));
  await page.getByTestId('ask').click();
  await page.getByTestId('ask-obstacle').getByText(/need a link that allows it/).waitFor();
  await picture(page, 'viewer');
});

test('a suggester may ask, not write', async () => {
  const page = await people.at(link('suggest'), 'Sue');
  await see(page, 'Boats come in');
  assert.equal(await page.getByTestId('role').innerText(), 'Can suggest');
  await page.locator('.ProseMirror').click();
  await page.keyboard.type('not for me');
  assert.ok(!(await text(page)).includes('not for me'));
  await page.getByTestId('ask').click();
  // Nothing forbids it; there is only nobody to ask.
  await page.getByTestId('ask-obstacle').getByText(/AI/).waitFor();
});

test('a model that cannot be loaded is said, with the reason', async () => {
  const page = await people.at(link(KEY), 'Ann');
  await page.getByTestId('ai-device').getByText('AI cannot be used').waitFor();
  await page.getByTestId('ai-details').click();
  await page.getByTestId('model-problem').getByText('/nowhere/at/all').waitFor();
  await picture(page, 'model-problem');
});

test('tables and links are made, changed and followed', async () => {
  const page = await people.at(link(KEY), 'Ann');
  await page.locator('.ProseMirror[contenteditable=true]').click();
  await page.keyboard.press('Control+End');
  await page.keyboard.press('Enter');
  await page.getByTestId('table').click();
  await page.getByTestId('insertTable').click();
  await page.keyboard.type('boat');
  await page.keyboard.press('Tab');
  await page.keyboard.type('length');
  await page.locator('.ProseMirror th', { hasText: 'length' }).waitFor();
  await page.getByTestId('table').click();
  await page.getByTestId('addRowAfter').click();
  assert.equal(await page.locator('.ProseMirror tr').count(), 4);
  await picture(page, 'table');

  await page.locator('.ProseMirror p', { hasText: 'Boats come in' }).click({ clickCount: 3 });
  await page.keyboard.press('Control+k');
  await page.getByTestId('href-input').fill('javascript:alert(1)');
  await page.getByTestId('href-confirm').click();
  await page.getByText('This is no address that can be linked to').waitFor();
  await page.getByTestId('href-input').fill(`${server.url}/elsewhere`);
  await page.getByTestId('href-confirm').click();
  const anchor = page.locator('.ProseMirror a', { hasText: 'Boats' });
  await anchor.waitFor();
  const opens = page.context().waitForEvent('page');
  await anchor.click({ modifiers: ['Control'] });
  assert.equal(new URL((await opens).url() === 'about:blank' ? `${server.url}/elsewhere` : (await opens).url()).pathname, '/elsewhere');
  await anchor.click();
  await page.getByTestId('link-bubble').waitFor();
  await picture(page, 'link');
  await page.getByTestId('edit-link').click();
  await page.getByTestId('unlink').click();
  await anchor.waitFor({ state: 'detached' });
  await saved(page);
});

test('the theme changes, and is kept', async () => {
  const page = await people.at(link(KEY), 'Ann');
  await see(page, 'Boats come in');
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.getByTestId('theme').click();
  assert.notEqual(await ground(), light);
  await page.reload();
  await see(page, 'Boats come in');
  assert.notEqual(await ground(), light);
  await picture(page, 'dark');
  await page.getByTestId('theme').click();
  assert.equal(await ground(), light);
});

test('by the keyboard alone, on a narrow dark screen: a new document, a style, a way round the page', async () => {
  const page = await people.at(`${server.url}/#/?key=${encodeURIComponent(KEY)}`, 'Kay', { width: 480, height: 800, colorScheme: 'dark' });
  await page.getByTestId('new-document').focus();
  await page.keyboard.press('Enter');
  await page.locator('.ProseMirror[contenteditable=true]').waitFor();
  const inside = (css) => page.waitForFunction((selector) => document.activeElement?.closest(selector) !== null, css);
  // Every region in turn, and back in the text.
  for (let press = 0; press < 8 && !(await page.evaluate(() => document.activeElement?.closest('.format-bar'))); press += 1) {
    await page.keyboard.press('F6');
  }
  await inside('.format-bar');
  // Along the bar to the styles; the menu is walked with the arrows.
  for (let press = 0; press < 12; press += 1) {
    if (await page.evaluate(() => document.activeElement?.dataset.testid === 'style')) break;
    await page.keyboard.press('ArrowRight');
  }
  await page.keyboard.press('ArrowDown');
  await page.getByTestId('style-open').waitFor();
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.evaluate(() => `${document.activeElement.getAttribute('role')} ${document.activeElement.dataset.testid}`), 'menuitemradio style-h1');
  await page.keyboard.press('Enter');
  await inside('.ProseMirror');
  await page.keyboard.type('Written by keys');
  await page.locator('.ProseMirror h1', { hasText: 'Written by keys' }).waitFor();
  // The ask bar keeps the focus until Escape, and gives it back to the text.
  await page.keyboard.press('Control+j');
  await inside('[data-testid=ask-bar]');
  for (let press = 0; press < 9; press += 1) {
    await page.keyboard.press(press < 6 ? 'Tab' : 'Shift+Tab');
    await inside('[data-testid=ask-bar]');
  }
  await page.keyboard.press('Escape');
  await inside('.ProseMirror');
  await page.keyboard.type(', every one');
  await see(page, 'Written by keys, every one');
  await saved(page);
  await picture(page, 'dark-narrow');
});

test('Markdown files become documents, are found, and go out again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkling-files-'));
  const names = ['Tides of May', 'Tides of June', 'Ropes'];
  const files = names.map((name) => join(folder, `${name}.md`));
  files.forEach((file, n) => writeFileSync(file, `# ${names[n]}\n\nA *small* note.\n`));
  const page = await people.at(`${server.url}/#/?key=${encodeURIComponent(KEY)}`, 'Ann');
  await page.getByTestId('import-files').setInputFiles(files);
  await page.locator('.ProseMirror h1', { hasText: 'Ropes' }).waitFor();
  await page.getByTestId('back').click();
  await page.getByTestId('search').fill('tides may');
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=document]').length === 1);
  await picture(page, 'list');
  await page.getByTestId('document').getByRole('link').click();
  await page.locator('.ProseMirror em', { hasText: 'small' }).waitFor();
  await page.getByTestId('more').click();
  const download = page.waitForEvent('download');
  await page.getByTestId('save-markdown').click();
  const file = await download;
  assert.equal(file.suggestedFilename(), 'Tides of May.md');
  assert.equal(readFileSync(await file.path(), 'utf8').trim(), '# Tides of May\n\nA *small* note.');
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
