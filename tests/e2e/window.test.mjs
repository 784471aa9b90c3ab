// The whole story in the real desktop window: type, ask, accept, a kill of the process, and it is all still there;
// then the same document in a browser, through a link.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { By, Key, until } from 'selenium-webdriver';
import { launch } from './browser.mjs';
import { Desktop, display, picture } from './desktop.mjs';
import { Server, dataFolder } from './server.mjs';

const SLOW = 120_000;
let screen;
let desktop;
let driver;
const data = dataFolder();

before(async () => {
  screen = await display();
  desktop = await Desktop.start();
});
after(async () => {
  await driver?.quit().catch(() => {});
  desktop?.stop();
  screen?.stop();
});

const find = (css) => driver.wait(until.elementLocated(By.css(css)), SLOW, `no ${css}`);
const surface = () => find('.ProseMirror[contenteditable=true]');
const text = () => driver.executeScript(`
  const copy = document.querySelector('.ProseMirror').cloneNode(true);
  for (const extra of copy.querySelectorAll('.ink-ghost, .ink-caret, .ink-ai-caret, .ProseMirror-widget')) extra.remove();
  return copy.innerText.trim();`);
const holds = (words) => driver.wait(async () => (await text()).includes(words), SLOW, `the text never says: ${words}`);

/** Clicks as soon as it can be clicked. */
async function click(css) {
  const element = await find(css);
  await driver.wait(until.elementIsVisible(element), SLOW);
  await element.click();
}

test('type, ask, accept', async () => {
  driver = await desktop.open(data);
  const paper = await surface();
  await paper.click();
  await paper.sendKeys(Key.chord(Key.CONTROL, Key.END), Key.ENTER, 'The old harbour was quiet in the evening. Ünïcödé und 日本語 too.');
  await holds('日本語 too.');
  await click('[data-testid=people]');
  await driver.wait(async () => /SmolLM2/i.test(await (await find('[data-testid=person-list]')).getText()), SLOW, 'no AI peer came');
  await driver.actions().sendKeys(Key.ESCAPE).perform();
  await paper.click();
  await paper.sendKeys(Key.chord(Key.CONTROL, Key.END));
  await paper.sendKeys(Key.ENTER, 'The fishermen came home and');
  await holds('came home and');
  const before = await text();
  await paper.sendKeys(Key.chord(Key.CONTROL, 'j'));
  await click('[data-testid=ask-continue]');
  await find('.ink-ghost');
  await picture(driver, 'window-streaming');
  await find('[data-testid=card][data-state=pending]');
  assert.equal(await text(), before, 'a proposal does not change the document');
  await picture(driver, 'window-pending');
  await click('[data-testid=card][data-state=pending] [data-testid=accept]');
  await find('[data-testid=card][data-state=accepted]');
  await driver.wait(async () => (await text()).length > before.length, SLOW, 'the accepted text never came');
  await find('[data-testid=saved][data-look=saved]');
  await picture(driver, 'window-accepted');
});

test('a kill of the process loses nothing', async () => {
  const before = await text();
  const pattern = `inkling.*--data ${data}`;
  assert.equal(spawnSync('pkill', ['-9', '-f', pattern]).status, 0, 'the process was there to be killed');
  await driver.quit().catch(() => {});
  driver = await desktop.open(data);
  await surface();
  await holds('日本語 too.');
  assert.equal(await text(), before);
});

test('a document of a server is opened by its link, and both sides write it', async () => {
  const server = await Server.start({ args: ['--no-ai'] });
  const browser = await launch();
  try {
    const doc = await server.api('POST', '/documents/import', { title: 'Shared', markdown: 'From the server.' });
    await driver.executeScript(`window.inkling.api('POST', '/links', JSON.stringify({ url: ${JSON.stringify(`${server.url}/#/d/${doc.id}`)} })).then((answer) => { window.linked = answer; });`);
    await driver.wait(() => driver.executeScript('return window.linked !== undefined'), SLOW);
    const linked = JSON.parse(await driver.executeScript('return window.linked'));
    assert.equal(linked.status, 201, linked.body);
    await driver.executeScript(`location.hash = '#/d/${JSON.parse(linked.body).id}'`);
    await holds('From the server.');
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${server.url}/#/d/${doc.id}`);
    await page.locator('.ProseMirror[contenteditable=true]').click();
    await page.keyboard.press('Control+End');
    await page.keyboard.type(' From the browser.');
    await holds('From the browser.');
    const { port, data: folder } = server;
    await server.kill();
    const paper = await surface();
    await paper.click();
    await paper.sendKeys(Key.chord(Key.CONTROL, Key.END), ' Written offline.');
    await holds('Written offline.');
    const again = await Server.start({ data: folder, port, args: ['--no-ai'] });
    try {
      await page.waitForFunction(() => document.querySelector('.ProseMirror').innerText.includes('Written offline.'), undefined, { timeout: SLOW });
      await holds('Written offline.');
    } finally {
      await again.kill();
    }
  } finally {
    await browser.close();
    await server.kill();
  }
});
