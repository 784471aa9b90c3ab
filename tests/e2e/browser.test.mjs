// The whole story in a real browser: two people and a real model write one document together.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { Server } from './server.mjs';

const SLOW = 120_000; // two cores, a debug build and a real model: how long to wait before giving up, not a measure

let server;
let browser;
let doc;
const pages = [];

before(async () => {
  server = await Server.start();
  browser = await launch();
  await server.modelReady();
  doc = await server.api('POST', '/documents', { title: 'A walk by the sea' });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens the document as somebody; fails the test on any error of the page. */
async function open(name, { width = 1280, height = 860, colorScheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  await context.addInitScript((who) => {
    localStorage.setItem('inkling.user', JSON.stringify({ id: `test-${who}`, name: who }));
  }, name);
  const page = await context.newPage();
  page.setDefaultTimeout(SLOW);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.problems.push(message.text()));
  await page.goto(`${server.url}/#/d/${doc.id}`);
  await page.locator('.ProseMirror[contenteditable=true]').waitFor();
  pages.push(page);
  return page;
}

const text = (page) => page.locator('.ProseMirror').evaluate((surface) => {
  // Without the decorations: what the document itself says.
  const copy = surface.cloneNode(true);
  for (const extra of copy.querySelectorAll('.ink-ghost, .ink-caret, .ink-ai-caret, .ProseMirror-widget')) extra.remove();
  return copy.innerText.trim();
});
const see = (page, words) => page.waitForFunction(
  (expected) => document.querySelector('.ProseMirror').innerText.includes(expected), words, { timeout: SLOW });
const cards = (page) => page.getByTestId('card');
const saved = (page) => page.locator('[data-testid=saved][data-look=saved]');

test('two people type in one document and see each other', async () => {
  const ann = await open('Ann');
  const bob = await open('Bob');
  await ann.locator('.ProseMirror').click();
  await ann.keyboard.type('The morning was bright and the sea was calm.');
  await see(bob, 'the sea was calm.');
  await bob.locator('.ProseMirror').click();
  await bob.keyboard.press('Control+End');
  await bob.keyboard.press('Enter');
  // Both at once, letter by letter.
  await Promise.all([
    bob.keyboard.type('We walked along the shore and talked about the old lighthouse.', { delay: 5 }),
    (async () => {
      await ann.keyboard.press('Control+Home');
      await ann.keyboard.type('Yes! ', { delay: 20 });
    })(),
  ]);
  for (const page of [ann, bob]) {
    await see(page, 'Yes! The morning was bright and the sea was calm.');
    await see(page, 'We walked along the shore and talked about the old lighthouse.');
  }
  await ann.locator('.ink-caret-label', { hasText: 'Bob' }).waitFor({ state: 'attached' });
  await bob.locator('.ink-caret-label', { hasText: 'Ann' }).waitFor({ state: 'attached' });
  await saved(ann).waitFor();
  await picture(ann, 'two-people');
});

test('marks, headings and lists reach the other page', async () => {
  const [ann, bob] = pages;
  await ann.locator('.ProseMirror').click();
  await ann.keyboard.press('Control+End');
  await ann.keyboard.press('Enter');
  await ann.keyboard.type('## Plans');
  await ann.keyboard.press('Enter');
  await ann.keyboard.press('Control+b');
  await ann.keyboard.type('bold words');
  await ann.keyboard.press('Control+b');
  await bob.locator('.ProseMirror strong', { hasText: 'bold words' }).waitFor();
  await ann.getByRole('button', { name: /bullet/i }).click();
  await bob.locator('.ProseMirror ul li', { hasText: 'bold words' }).waitFor();
  await ann.keyboard.press('Control+z');
  await bob.locator('.ProseMirror ul').waitFor({ state: 'detached' });
});

/** Opens the ask bar at the caret and asks. */
async function ask(page, kind, instruction) {
  await page.keyboard.press('Control+j');
  await page.getByTestId('ask-bar').waitFor();
  if (instruction) {
    await page.getByTestId('ask-input').fill(instruction);
    await page.getByTestId('ask-input').press('Enter');
  } else {
    await page.getByTestId(`ask-${kind}`).click();
  }
}

test('the model is a person in the list; its proposal grows for all and enters the text only when accepted', async () => {
  const [ann, bob] = pages;
  await ann.getByTestId('people').click();
  await ann.getByTestId('person-list').getByText(/SmolLM2/i).first().waitFor();
  await picture(ann, 'people');
  await ann.keyboard.press('Escape');
  await ann.locator('.ProseMirror p', { hasText: 'old lighthouse.' }).click();
  await ann.keyboard.press('End');
  const before = await text(bob);
  await ask(ann, 'continue');
  await bob.locator('.ink-ghost').first().waitFor();
  for (const page of [ann, bob]) await cards(page).first().waitFor();
  await picture(ann, 'streaming');
  await bob.locator('[data-testid=card][data-state=pending]').first().waitFor();
  assert.equal(await text(bob), before, 'a proposal does not change the document');
  const proposed = (await bob.locator('.ink-ghost-body').first().innerText()).trim();
  assert.ok(proposed.length > 10, `the proposal says something: ${proposed}`);
  await picture(bob, 'pending');

  await bob.getByTestId('accept').first().click();
  for (const page of [ann, bob]) {
    await page.locator('.ink-ghost').waitFor({ state: 'detached' });
    await page.waitForFunction(
      (words) => document.querySelector('.ProseMirror').innerText.replace(/\s+/g, ' ').includes(words),
      proposed.replace(/\s+/g, ' ').slice(0, 30), { timeout: SLOW });
  }
  await picture(ann, 'accepted');

  await ann.getByTestId('undo-accept').first().click();
  for (const page of [ann, bob]) await page.locator('[data-testid=card][data-state=pending]').first().waitFor();
  await bob.waitForFunction((words) => !document.querySelector('.ProseMirror > p:nth-child(2)').innerText.includes(words), '\u0000', { timeout: SLOW });
  assert.equal(await text(bob), before, 'taking the accept back restores the text');

  await ann.getByTestId('reject').first().click();
  await bob.locator('.ink-ghost').waitFor({ state: 'detached' });
  assert.equal(await text(ann), before, 'a rejected proposal leaves no trace');
});

test('a request can be cancelled while it streams, and typing stays smooth meanwhile', async (t) => {
  const [ann] = pages;
  await ann.evaluate(() => {
    window.delays = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        if (entry.name === 'keydown' || entry.name === 'beforeinput') window.delays.push(entry.processingEnd - entry.startTime);
      }
    }).observe({ type: 'event', durationThreshold: 16, buffered: false });
  });
  await ann.locator('.ProseMirror p', { hasText: 'old lighthouse.' }).click();
  await ann.keyboard.press('End');
  await ask(ann, 'ask', 'Write a long story about the lighthouse keeper.');
  await ann.locator('[data-testid=card][data-state=streaming]').first().waitFor();
  await ann.locator('.ProseMirror p').first().click();
  await ann.keyboard.press('End');
  const typed = ' Typing goes on while the model writes, letter by letter.';
  await ann.keyboard.type(typed, { delay: 30 });
  await see(ann, typed.trim());
  const slow = await ann.evaluate(() => window.delays);
  // The observer reports only events of 16 ms or more; all others were quicker.
  const all = [...slow, ...Array(Math.max(0, typed.length * 2 - slow.length)).fill(0)].sort((a, b) => a - b);
  t.diagnostic(`input events handled while streaming: p95 ${all[Math.floor(all.length * 0.95)].toFixed(0)} ms, worst ${all.at(-1).toFixed(0)} ms of ${all.length}`);
  const streaming = ann.locator('[data-testid=card][data-state=streaming]');
  if (await streaming.count()) {
    await streaming.first().getByTestId('cancel').click();
    await streaming.first().waitFor({ state: 'detached' });
  }
});

test('rewriting a selection proposes a replacement; other people\'s later letters survive', async () => {
  const [ann, bob] = pages;
  const paragraph = ann.locator('.ProseMirror p', { hasText: 'old lighthouse.' });
  await paragraph.click({ clickCount: 3 });
  await ask(ann, 'rewrite');
  const pending = ann.locator('[data-testid=card][data-state=pending]');
  await pending.first().waitFor();
  await bob.locator('.ProseMirror p', { hasText: 'old lighthouse.' }).click();
  await bob.keyboard.press('Home');
  await bob.keyboard.press('ArrowRight');
  await bob.keyboard.press('ArrowRight');
  await bob.keyboard.type('ZZZ');
  await see(ann, 'ZZZ');
  await pending.first().getByTestId('accept').click();
  await ann.getByTestId('preview').waitFor();
  await picture(ann, 'stale');
  await ann.getByTestId('accept-anyway').click();
  await ann.locator('.ink-ghost').waitFor({ state: 'detached' });
  await see(bob, 'ZZZ');
});

test('it is all still there after a reload and after a restart of the server', async () => {
  const [ann, bob] = pages;
  await saved(ann).waitFor();
  const before = await text(ann);
  await ann.reload();
  await ann.locator('.ProseMirror[contenteditable=true]').waitFor();
  await see(ann, 'ZZZ');
  assert.equal(await text(ann), before);
  await server.kill();
  await bob.locator('.ProseMirror').click();
  await bob.keyboard.press('Control+Home');
  await bob.keyboard.type('Written without a server. ');
  await bob.locator('[data-testid=saved][data-look=offline]').waitFor();
  server = await Server.start({ data: server.data, port: server.port });
  await see(ann, 'Written without a server.');
  await saved(bob).waitFor();
  assert.equal(await text(ann), await text(bob));
  assert.ok((await text(ann)).includes('ZZZ'));
});

test('dark, narrow and by keyboard', async () => {
  const page = await open('Cleo', { width: 480, height: 800, colorScheme: 'dark' });
  await see(page, 'ZZZ');
  await picture(page, 'dark-narrow');
  const wide = await open('Dora', { colorScheme: 'dark' });
  await see(wide, 'ZZZ');
  await picture(wide, 'dark');
});

test('a document that does not exist is said in words', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/#/d/no-such-document`);
  await page.getByTestId('document-missing').waitFor({ timeout: SLOW });
});

test('no page reported an error', () => {
  // What the browser says while the server was killed on purpose is no fault of the page.
  const faults = pages.flatMap((page) => page.problems).filter((text) => !/WebSocket|ERR_CONNECTION|Failed to load resource/i.test(text));
  assert.deepEqual(faults, []);
});
