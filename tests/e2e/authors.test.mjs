// Who wrote what, in colours: two people and an accepted proposal of a real model.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { ask, cards, People, saved, see, settles, text } from './people.mjs';
import { Server } from './server.mjs';

let server;
let browser;
let people;
let doc;
let ann;
let bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  people = new People(browser);
  await server.modelReady();
  doc = await server.api('POST', '/documents', { title: 'Harbour' });
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

/** What every author's runs say, as the page shows them. */
const marked = (page) => page.locator('.ProseMirror').evaluate((surface) => {
  const said = {};
  for (const run of surface.querySelectorAll('.ink-author')) said[run.title] = (said[run.title] ?? '') + run.textContent;
  return said;
});

/** Waits until an author's runs hold some words; `whole` says that they are all of them. */
const markedAs = (page, title, words) => page.waitForFunction(([who, what]) => {
  const runs = [...document.querySelectorAll('.ProseMirror .ink-author')].filter((run) => run.title === who);
  return runs.map((run) => run.textContent).join('').includes(what);
}, [title, words]);

const legend = (page) => page.getByTestId('author').allInnerTexts().then((all) => all.map((words) => words.replace(/\s+/g, ' ').trim()));

async function show(page) {
  await page.getByTestId('more').click();
  await page.getByTestId('more-open').getByTestId('authors').click();
  await page.locator('section[data-testid=authors]').waitFor();
}

test('every character has the colour of whoever typed it, and the legend its share', async () => {
  ann = await people.open(server, doc.id, 'Ann');
  bob = await people.open(server, doc.id, 'Bob', { colorScheme: 'dark' });
  await ann.locator('.ProseMirror').click();
  await ann.keyboard.type('The morning was bright and the sea was calm.');
  await see(bob, 'the sea was calm.');
  await bob.locator('.ProseMirror').click();
  await bob.keyboard.press('Control+End');
  await bob.keyboard.press('Enter');
  await bob.keyboard.type('We walked along the shore and talked about the old lighthouse.');
  await see(ann, 'old lighthouse.');
  await saved(bob);
  await show(ann);
  await markedAs(ann, 'Written by Ann', 'The morning was bright and the sea was calm.');
  await markedAs(ann, 'Written by Bob', 'We walked along the shore and talked about the old lighthouse.');
  await ann.waitForFunction(() => document.querySelectorAll('[data-testid=author]').length === 2);
  // 44 and 62 characters.
  await ann.waitForFunction(() => document.querySelector('[data-testid=author]')?.innerText.includes('58 %'));
  assert.deepEqual(await legend(ann), ['Bob 58 %', 'Ann 42 %']);
  const colours = await ann.locator('.ProseMirror .ink-author').evaluateAll((runs) => [...new Set(runs.map((run) => run.style.getPropertyValue('--ink-color')))]);
  assert.equal(colours.length, 2, `two people, two colours: ${colours}`);
});

test('it keeps up with what is typed, also in the middle of what others wrote', async () => {
  await bob.locator('.ProseMirror p').first().click();
  await bob.keyboard.press('Home');
  for (let step = 0; step < 4; step += 1) await bob.keyboard.press('ArrowRight');
  await bob.keyboard.type('early ');
  await markedAs(ann, 'Written by Bob', 'early ');
  const said = await marked(ann);
  assert.equal(said['Written by Ann'], 'The morning was bright and the sea was calm.');
  await ann.locator('.ProseMirror p').first().click();
  await ann.keyboard.press('End');
  await ann.keyboard.type(' Yes!');
  await markedAs(ann, 'Written by Ann', 'calm. Yes!');
  await ann.getByTestId('authors-here').getByText('At the caret: Ann').waitFor();
  await ann.keyboard.press('Home');
  for (let step = 0; step < 6; step += 1) await ann.keyboard.press('ArrowRight');
  await ann.getByTestId('authors-here').getByText('At the caret: Bob').waitFor();
});

test("what a model wrote carries its name and who accepted it", async () => {
  const before = await ann.locator('.ProseMirror p').count();
  await ann.locator('.ProseMirror p', { hasText: 'old lighthouse.' }).click();
  await ann.keyboard.press('End');
  await ask(ann, 'continue');
  await cards(ann, 'pending').first().waitFor();
  const proposed = (await ann.locator('.ink-ghost-body').first().innerText()).trim();
  await cards(bob, 'pending').first().waitFor();
  await bob.getByTestId('accept').first().click();
  await ann.locator('.ink-ghost').waitFor({ state: 'detached' });
  assert.ok((await ann.locator('.ProseMirror p').count()) >= before);
  const run = ann.locator('.ProseMirror .ink-author[data-kind=ai]').first();
  await run.waitFor();
  const said = await run.getAttribute('title');
  assert.match(said, /^Written by .*SmolLM2.* \(AI\), accepted by Bob$/);
  assert.equal(await run.getAttribute('aria-description'), said);
  await markedAs(ann, said, proposed.split(/\s+/).slice(0, 3).join(' '));
  await ann.locator('[data-testid=author][data-kind=ai]', { hasText: 'accepted by Bob' }).waitFor();
  await picture(ann, 'authors');
  await show(bob);
  await bob.locator('.ProseMirror .ink-author[data-kind=ai]').first().waitFor();
  await bob.locator('[data-testid=author][data-kind=ai]').waitFor();
  await picture(bob, 'authors-dark');
  await bob.setViewportSize({ width: 420, height: 780 });
  await picture(bob, 'authors-narrow');
  await bob.setViewportSize({ width: 1280, height: 860 });
});

test('one author alone is marked, by the keyboard too', async () => {
  await ann.locator('[data-testid=author][data-kind=ai]').focus();
  await ann.keyboard.press('Enter');
  await ann.waitForFunction(() => {
    const kinds = [...document.querySelectorAll('.ProseMirror .ink-author')].map((run) => run.dataset.kind);
    return kinds.length > 0 && kinds.every((kind) => kind === 'ai');
  });
  await picture(ann, 'authors-only');
  await ann.keyboard.press('Enter');
  await markedAs(ann, 'Written by Bob', 'early ');
});

test('of a long document only what is near the screen is drawn, and scrolling brings the rest', async () => {
  const lines = Array.from({ length: 400 }, (_, line) => `Line ${line} of a long text that fills many screens.`);
  const book = await server.api('POST', '/documents/import?user=test-Eve&name=Eve', { title: 'Book', markdown: lines.join('\n\n') });
  const eve = await people.open(server, book.id, 'Eve');
  await see(eve, 'Line 399');
  await show(eve);
  await markedAs(eve, 'Written by Eve', 'Line 0 of');
  const drawn = await eve.locator('.ProseMirror .ink-author').count();
  assert.ok(drawn > 5 && drawn < 200, `${drawn} of 400 lines are marked`);
  await eve.locator('.ProseMirror p', { hasText: 'Line 399' }).scrollIntoViewIfNeeded();
  await markedAs(eve, 'Written by Eve', 'Line 399');
  assert.deepEqual(await legend(eve), ['Eve 100 %']);
});

test('hidden again, nothing of it is left, and it never was in the document', async () => {
  await ann.getByTestId('authors-close').click();
  await ann.locator('section[data-testid=authors]').waitFor({ state: 'detached' });
  await ann.waitForFunction(() => document.querySelector('.ProseMirror .ink-author') === null);
  await ann.waitForFunction(() => document.activeElement?.closest('.ProseMirror') !== null);
  const markdown = await server.api('GET', `/documents/${doc.id}/markdown`);
  assert.ok(!markdown.includes('Written by'), markdown);
  await settles([bob], await text(ann));
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
