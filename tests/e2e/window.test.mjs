// The whole story in the real desktop window: type, ask, accept, undo, reject, a kill of the process, and it is all still
// there; then a server's document through its link, also without a network.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { By, Key, until } from 'selenium-webdriver';
import { launch } from './browser.mjs';
import { Desktop, display, killWindow, picture } from './desktop.mjs';
import { eventually, PATIENCE, Program } from './processes.mjs';
import { Server, dataFolder } from './server.mjs';

const KEY = 'key of the other server';
let screen;
let desktop;
let driver;
const data = dataFolder();

before(async () => {
  screen = await display();
  desktop = await Desktop.start();
});
after(async () => {
  if (driver) await desktop.quit(driver);
  await desktop?.stop();
  await screen?.stop();
});

const find = (css) => driver.wait(until.elementLocated(By.css(css)), PATIENCE, `no ${css}`).catch(async (error) => {
  await picture(driver, 'window-failed');
  throw error;
});
const surface = () => find('.ProseMirror[contenteditable=true]');
const text = () => driver.executeScript(`
  const paper = document.querySelector('.ProseMirror');
  if (!paper) return '';
  const copy = paper.cloneNode(true);
  for (const extra of copy.querySelectorAll('.ink-ghost, .ink-caret, .ink-ai-caret, .ProseMirror-widget')) extra.remove();
  return copy.innerText.trim();`);
const holds = (words) => driver.wait(async () => (await text()).includes(words), PATIENCE, `the text never says: ${words}`);
const becomes = (words) => driver.wait(async () => (await text()) === words, PATIENCE, `the text never is: ${words}`);
const gone = (css) => driver.wait(async () => (await driver.findElements(By.css(css))).length === 0, PATIENCE, `${css} stays`);
const pending = '[data-testid=card][data-state=pending]';

/** Clicks as soon as it can be clicked; what is drawn again meanwhile is found again. */
async function click(css) {
  await driver.wait(async () => {
    const [element] = await driver.findElements(By.css(css));
    if (!element || (await element.getAttribute('aria-disabled').catch(() => 'true')) === 'true') return false;
    // The margin scrolls beside the paper, which WebKit's driver does not do by itself.
    await driver.executeScript(`
      const { top, bottom } = arguments[0].getBoundingClientRect();
      if (top < 60 || bottom > innerHeight - 60) arguments[0].scrollIntoView({ block: 'center' });`, element).catch(() => {});
    return element.click().then(() => true, () => false);
  }, PATIENCE, `${css} cannot be clicked`);
}

/** Presses a key with Ctrl. As three actions: within sent keys WebKit's driver may keep Ctrl down for all that follows. */
const control = (key) => driver.actions().keyDown(Key.CONTROL).sendKeys(key).keyUp(Key.CONTROL).perform();

/** Clicks until it has had its effect: margin and ask bar follow the text, and WebKit's driver clicks where they were. */
async function press(css, done) {
  await driver.wait(async () => {
    if (await done()) return true;
    await click(css);
    return driver.wait(done, 3000).then(() => true, () => false);
  }, PATIENCE, `clicking ${css} has no effect`);
}

const none = (css) => async () => (await driver.findElements(By.css(css))).length === 0;
const some = (css) => async () => (await driver.findElements(By.css(css))).length > 0;

async function askToContinue() {
  await control('j');
  await find('[data-testid=ask-bar]');
  await press('[data-testid=ask-continue]', none('[data-testid=ask-bar]'));
}

/** Puts the caret at the end of the text and types. */
async function type(...keys) {
  const paper = await surface();
  await paper.click();
  await control(Key.END);
  if (keys.length > 0) await paper.sendKeys(...keys);
}

test('type, ask, accept, undo, reject', async () => {
  driver = await desktop.open(data);
  await type(Key.ENTER, 'The old harbour was quiet in the evening. Ünïcödé und 日本語 too.');
  await holds('日本語 too.');
  await click('[data-testid=people]');
  // Not the driver's getText, which leaves out what could be cut off at the end of its line.
  const people = () => driver.executeScript(`return document.querySelector('[data-testid=person-list]')?.textContent ?? ''`);
  await driver.wait(async () => /SmolLM2/i.test(await people()), PATIENCE, 'no AI peer came');
  await driver.actions().sendKeys(Key.ESCAPE).perform();
  await type(Key.ENTER, 'The fishermen came home and');
  await holds('came home and');
  const before = await text();
  await type();
  await askToContinue();
  await find('.ink-ghost');
  await picture(driver, 'window-streaming');
  await find(pending);
  assert.equal(await text(), before, 'a proposal does not change the document');
  await picture(driver, 'window-pending');
  await press(`${pending} [data-testid=accept]`, some('[data-testid=card][data-state=accepted]'));
  await driver.wait(async () => (await text()).length > before.length, PATIENCE, 'the accepted text never came');
  const accepted = await text();
  await picture(driver, 'window-accepted');
  await press('[data-testid=undo-accept]', some(pending));
  await becomes(before);
  await press(`${pending} [data-testid=accept]`, none(pending));
  await becomes(accepted);

  await type();
  await askToContinue();
  await find(pending);
  await press(`${pending} [data-testid=reject]`, none(pending));
  await gone('.ink-ghost');
  await becomes(accepted);
  await find('[data-testid=saved][data-look=saved]');
});

test('a second start says that Inkling is open already', async () => {
  const second = new Program(process.env.INKLING_APP ?? 'target/debug/inkling', ['--data', data]);
  try {
    await eventually('the second one says why it does not start', () => /already|in use|locked/i.test(second.log));
    assert.equal(second.fault, undefined, 'it shows its window until somebody closes it');
  } finally {
    await second.end('SIGKILL');
  }
});

test('a kill of the process loses nothing', async () => {
  const before = await text();
  assert.ok(killWindow(data) > 0, 'the process was there to be killed');
  await desktop.quit(driver);
  driver = await desktop.open(data);
  await holds('日本語 too.');
  await becomes(before);
});

test('a document of a server is opened by its link, and both sides write it, also after a time apart', async () => {
  let server = await Server.start({ args: ['--no-ai'], key: KEY });
  const browser = await launch();
  try {
    const doc = await server.api('POST', '/documents/import', { title: 'Shared', markdown: 'From the server.' });
    const link = (key) => `${server.url}/#/d/${doc.id}?key=${encodeURIComponent(key)}`;
    const tryLink = async (address) => {
      const input = await find('[data-testid=link-input]');
      await input.clear();
      await input.sendKeys(address);
      await click('[data-testid=link-confirm]');
    };
    await click('[data-testid=back]');
    await click('[data-testid=open-link]');
    await tryLink(link('wrong'));
    const trouble = await find('[data-testid=link-trouble]');
    assert.match(await trouble.getText(), /does not let you in/i);
    await tryLink(link(KEY));
    await holds('From the server.');
    await driver.wait(async () => (await driver.getTitle()).startsWith('Shared'), PATIENCE, 'the title follows the document');
    await driver.wait(async () => /in sync/i.test(await (await find('[data-testid=linked]')).getText()), PATIENCE, 'it says that it is in sync');
    await click('[data-testid=share]');
    const shared = await (await find('[data-testid=share-link]')).getAttribute('value');
    assert.equal(shared, link(KEY), 'the link to share has its key');
    await driver.actions().sendKeys(Key.ESCAPE).perform();

    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(link(KEY));
    await page.locator('.ProseMirror[contenteditable=true]').click();
    await page.keyboard.press('Control+End');
    await page.keyboard.type(' From the browser.');
    await holds('From the browser.');

    const { port, data: folder } = server;
    await server.kill();
    await driver.wait(async () => /not reached/i.test(await (await find('[data-testid=linked]')).getText()), PATIENCE, 'it says that the server is away');
    await type(' Written offline.');
    await holds('Written offline.');
    await find('[data-testid=saved][data-look=saved]');
    assert.ok(killWindow(data) > 0);
    await desktop.quit(driver);
    driver = await desktop.open(data);
    await driver.wait(until.elementLocated(By.css('.ProseMirror')), PATIENCE);
    await driver.executeScript(`location.hash = '#/d/${doc.id}'`);
    await holds('Written offline.');
    server = await Server.start({ data: folder, port, args: ['--no-ai'], key: KEY });
    await page.waitForFunction(() => document.querySelector('.ProseMirror').innerText.includes('Written offline.'));
    await holds('From the browser.');
  } finally {
    await browser.close();
    await server.kill();
  }
});
