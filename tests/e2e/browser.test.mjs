// The whole story in a real browser: two people and a real model write one document together.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { ask, cards, People, saved, see, settles, text } from './people.mjs';
import { forCards, Server } from './server.mjs';

let server;
let browser;
let people;
let doc;
let ann;
let bob;

before(async () => {
  server = await Server.start({ env: forCards() });
  browser = await launch();
  people = new People(browser);
  await server.modelReady();
  doc = await server.api('POST', '/documents', { title: 'A walk by the sea' });
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

const shore = (page) => page.locator('.ProseMirror p', { hasText: 'old lighthouse.' });

test('two people type in one document and see each other', async () => {
  ann = await people.open(server, doc.id, 'Ann');
  bob = await people.open(server, doc.id, 'Bob');
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
  await settles([ann, bob], 'Yes! The morning was bright and the sea was calm. We walked along the shore and talked about the old lighthouse.');
  await ann.locator('.ink-caret-label', { hasText: 'Bob' }).waitFor({ state: 'attached' });
  await bob.locator('.ink-caret-label', { hasText: 'Ann' }).waitFor({ state: 'attached' });
  await saved(ann);
  await picture(ann, 'two-people');
});

test('marks, headings and lists reach the other page', async () => {
  await ann.locator('.ProseMirror').click();
  await ann.keyboard.press('Control+End');
  await ann.keyboard.press('Enter');
  await ann.keyboard.type('## Plans');
  await ann.keyboard.press('Enter');
  await ann.keyboard.press('Control+b');
  await ann.keyboard.type('bold words');
  await ann.keyboard.press('Control+b');
  await bob.locator('.ProseMirror h2', { hasText: 'Plans' }).waitFor();
  await bob.locator('.ProseMirror strong', { hasText: 'bold words' }).waitFor();
  assert.match(await text(bob), /old lighthouse\.\s*Plans\s*bold words$/, 'what follows a click at once is where the click was');
  await ann.getByRole('button', { name: /bullet/i }).click();
  await bob.locator('.ProseMirror ul li', { hasText: 'bold words' }).waitFor();
  await ann.keyboard.press('Control+z');
  await bob.locator('.ProseMirror ul').waitFor({ state: 'detached' });
});

test('the model is a person in the list; its proposal grows for all and enters the text only when accepted', async () => {
  await ann.getByTestId('people').click();
  await ann.getByTestId('person-list').getByText(/SmolLM2/i).first().waitFor();
  await picture(ann, 'people');
  await ann.keyboard.press('Escape');
  // The status bar says what runs it and, of what was asked for first, why it does not.
  const [model] = (await server.api('GET', '/status')).models;
  const refused = model.devices.find((device) => !device.running);
  if (refused?.provider === 'CUDA' && 'INKLING_ORT' in forCards()) assert.match(refused.reason, /libcu|driver|device/, 'in its loader’s words');
  const said = refused ? `${model.device}, not ${refused.provider}: ${refused.reason}` : model.device;
  await ann.getByTestId('ai-device').getByText(said).waitFor();
  const usual = ann.viewportSize();
  await ann.setViewportSize({ width: 700, height: 600 });
  const { x, width } = await ann.getByTestId('ai-details').boundingBox();
  assert.ok(x >= 0 && x + width <= 700, `a long reason is cut inside the window: ${x} + ${width}`);
  await picture(ann, 'device');
  await ann.setViewportSize(usual);
  await shore(ann).click();
  await ann.keyboard.press('End');
  const before = await text(bob);
  await ask(ann, 'continue');
  await bob.locator('.ink-ghost').first().waitFor();
  for (const page of [ann, bob]) await cards(page).first().waitFor();
  await picture(ann, 'streaming');
  await cards(bob, 'pending').first().waitFor();
  assert.equal(await text(bob), before, 'a proposal does not change the document');
  const proposed = (await bob.locator('.ink-ghost-body').first().innerText()).trim();
  assert.ok(proposed.length > 10, `the proposal says something: ${proposed}`);
  await picture(bob, 'pending');

  await bob.getByTestId('accept').first().click();
  for (const page of [ann, bob]) {
    await page.locator('.ink-ghost').waitFor({ state: 'detached' });
    await page.waitForFunction(
      (words) => document.querySelector('.ProseMirror').innerText.replace(/\s+/g, ' ').includes(words),
      proposed.replace(/\s+/g, ' ').slice(0, 30));
  }
  await picture(ann, 'accepted');

  await ann.getByTestId('undo-accept').first().click();
  for (const page of [ann, bob]) await cards(page, 'pending').first().waitFor();
  await settles([ann, bob], before);

  await ann.getByTestId('reject').first().click();
  await bob.locator('.ink-ghost').waitFor({ state: 'detached' });
  await settles([ann, bob], before);
});

test('asking again replaces a proposal by another one', async () => {
  await shore(ann).click();
  await ann.keyboard.press('End');
  const before = await text(ann);
  await ask(ann, 'continue');
  await cards(ann, 'pending').first().waitFor();
  const first = await cards(ann, 'pending').first().getAttribute('data-id');
  await cards(ann, 'pending').first().getByTestId('ask-again').click();
  await ann.locator(`[data-testid=card][data-id="${first}"]`).waitFor({ state: 'detached' });
  await cards(bob, 'pending').first().waitFor();
  assert.notEqual(await cards(bob, 'pending').first().getAttribute('data-id'), first);
  // By the keys that the card shows while it has the focus.
  await cards(ann, 'pending').first().focus();
  await ann.keyboard.press('Control+Backspace');
  await cards(bob, 'pending').first().waitFor({ state: 'detached' });
  await settles([ann, bob], before);
});

test('summarise and brainstorm propose too', async () => {
  await ann.locator('.ProseMirror p').first().click({ clickCount: 3 });
  await ask(ann, 'summarise');
  await cards(ann, 'pending').first().waitFor();
  await ann.locator('.ProseMirror > h2', { hasText: 'Plans' }).click();
  await ask(ann, 'brainstorm');
  await ann.waitForFunction(() => document.querySelectorAll('[data-testid=card][data-state=pending]').length === 2);
  await picture(ann, 'two-proposals');
  for (const words of await ann.getByTestId('payload').allInnerTexts()) assert.ok(words.trim().length > 0, 'a proposal says something');
  while (await cards(ann, 'pending').count()) {
    const id = await cards(ann, 'pending').first().getAttribute('data-id');
    const card = ann.locator(`[data-testid=card][data-id="${id}"]`);
    await card.getByTestId('reject').click();
    await card.waitFor({ state: 'detached' });
  }
});

test('typing stays smooth while the model streams', async (t) => {
  // How long after its own time each key has been dealt with: a message posted by its first listener comes after all others.
  await ann.evaluate(() => {
    window.delays = [];
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => window.delays.push(performance.now() - data);
    window.addEventListener('keydown', (event) => port2.postMessage(event.timeStamp), { capture: true });
  });
  // Bob asks; Ann's caret waits elsewhere and goes on as soon as the first word is there.
  await ann.locator('.ProseMirror p').first().click();
  await ann.keyboard.press('End');
  await shore(bob).click();
  await bob.keyboard.press('End');
  await ann.evaluate(() => (window.delays.length = 0));
  const typed = ' Typing goes on while the model writes, letter by letter.';
  await ask(bob, 'ask', 'Write a long story about the lighthouse keeper.');
  await cards(ann, 'streaming').first().waitFor();
  await ann.keyboard.type(typed, { delay: 20 });
  await see(ann, typed.trim());
  const delays = (await ann.evaluate(() => window.delays)).sort((a, b) => a - b);
  assert.ok(delays.length >= typed.length, `every key was measured: ${delays.length} of ${typed.length}`);
  const at = (part) => delays[Math.min(delays.length - 1, Math.floor(delays.length * part))].toFixed(1);
  t.diagnostic(`keys handled while streaming: median ${at(0.5)} ms, p95 ${at(0.95)} ms, worst ${at(1)} ms of ${delays.length}`);
  await cards(ann, 'pending').first().waitFor();
  while (await cards(ann, 'pending').count()) {
    const id = await cards(ann, 'pending').first().getAttribute('data-id');
    const card = ann.locator(`[data-testid=card][data-id="${id}"]`);
    await card.getByTestId('reject').click();
    await card.waitFor({ state: 'detached' });
  }
  await settles([ann, bob], await text(ann));
});

test('two people are answered at the same time', async () => {
  const before = await text(ann);
  const both = (page) => page.waitForFunction(
    () => document.querySelectorAll('[data-testid=card][data-state=streaming]').length > 1, null, { timeout: 20_000 });
  let together = false;
  // A short answer may be complete before the other one begins: then both are asked for again.
  for (let times = 0; times < 4 && !together; times += 1) {
    await ann.locator('.ProseMirror p').first().click();
    await ann.keyboard.press('End');
    await shore(bob).click();
    await bob.keyboard.press('End');
    const seen = Promise.all([both(ann), both(bob)]).then(() => true, () => false);
    await ask(ann, 'ask', 'Write a long story about a fisherman and all his boats.');
    await ask(bob, 'ask', 'Write a long story about the lighthouse keeper and all his cats.');
    together = await seen;
    if (together) await picture(ann, 'two-answers');
    await ann.waitForFunction(() => !document.querySelector('[data-testid=card]:is([data-state=queued], [data-state=streaming])'));
    while (await cards(ann, 'pending').count()) {
      const id = await cards(ann, 'pending').first().getAttribute('data-id');
      await ann.locator(`[data-testid=card][data-id="${id}"]`).getByTestId('reject').click();
      await ann.locator(`[data-testid=card][data-id="${id}"]`).waitFor({ state: 'detached' });
    }
  }
  assert.ok(together, 'the second answer waited for the end of the first');
  await settles([ann, bob], before);
});

test('a request is cancelled while it streams, and leaves nothing behind', async () => {
  const before = await text(ann);
  const waiting = ann.locator('[data-testid=card]:is([data-state=queued], [data-state=streaming])');
  await shore(ann).click();
  await ann.keyboard.press('End');
  let cancelled = false;
  // A short answer may be complete before the button is pressed: then another one is asked for.
  for (let times = 0; times < 4 && !cancelled; times += 1) {
    await ask(ann, 'ask', 'Write a long story about the lighthouse keeper and all his cats.');
    await waiting.first().waitFor();
    cancelled = await waiting.first().getByTestId('cancel').click({ timeout: 5000 }).then(() => true, () => false);
    await waiting.first().waitFor({ state: 'detached' });
    for (; await cards(ann, 'pending').count(); cancelled = false) {
      const id = await cards(ann, 'pending').first().getAttribute('data-id');
      await ann.locator(`[data-testid=card][data-id="${id}"]`).getByTestId('reject').click();
      await ann.locator(`[data-testid=card][data-id="${id}"]`).waitFor({ state: 'detached' });
    }
  }
  assert.ok(cancelled, 'no answer was cancelled before it was complete');
  await ann.locator('.ink-ghost').waitFor({ state: 'detached' });
  await settles([ann, bob], before);
});

test('a rewritten passage that somebody edits meanwhile is shown before it is accepted; the later letters survive', async () => {
  const shown = (place, ms) => place.waitFor({ timeout: ms }).then(() => true, () => false);
  let stale = false;
  // A small model may have nothing to rewrite, and says so on its card: then it is asked again.
  for (let times = 0; times < 3 && !stale; times += 1) {
    await shore(bob).click();
    await bob.keyboard.press('Home');
    await bob.keyboard.press('ArrowRight');
    await bob.keyboard.press('ArrowRight');
    await shore(ann).click({ clickCount: 3 });
    await ask(ann, 'rewrite');
    // While it is being written, or just after: the edit comes under the proposal either way.
    const begun = bob.locator('[data-testid=card]:is([data-state=streaming], [data-state=pending])').first();
    if (!await shown(begun, 30_000)) continue;
    await bob.keyboard.type('ZZZ');
    await see(ann, 'ZZZ');
    if (!await shown(cards(ann, 'pending').first(), 30_000)) continue;
    await cards(ann, 'pending').first().getByTestId('accept').click();
    stale = await shown(ann.getByTestId('preview'), 30_000);
  }
  assert.ok(stale, 'what accepting would do to the later letters was shown');
  await picture(ann, 'stale');
  await ann.getByTestId('accept-anyway').click();
  await ann.locator('.ink-ghost').waitFor({ state: 'detached' });
  await see(bob, 'ZZZ');
});

test('it is all still there after a reload and after a restart of the server; leaving warns meanwhile', async () => {
  await saved(ann);
  const before = await text(ann);
  await ann.reload();
  await ann.locator('.ProseMirror[contenteditable=true]').waitFor();
  await settles([ann], before);
  await server.kill();
  await bob.locator('.ProseMirror').click();
  await bob.keyboard.press('Control+Home');
  await bob.keyboard.type('Written without a server. ');
  await bob.locator('[data-testid=saved][data-look=offline]').waitFor();
  const warned = new Promise((resolve) => bob.once('dialog', async (dialog) => {
    await dialog.dismiss();
    resolve(dialog.type());
  }));
  await bob.close({ runBeforeUnload: true });
  assert.equal(await warned, 'beforeunload');
  server = await Server.start({ data: server.data, port: server.port });
  await see(ann, 'Written without a server.');
  await saved(bob);
  assert.equal(await text(ann), await text(bob));
  assert.ok((await text(ann)).includes('ZZZ'));
});

test('a document that does not exist is said in words', async () => {
  const page = await people.at(`${server.url}/#/d/no-such-document`, 'Eve');
  await page.getByTestId('document-missing').waitFor();
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
