// The panels of the AI in the real desktop window: Settings, Models with its adapters, what may leave this machine with the look
// before the first request, and the document's adapter.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { By, Key, until } from 'selenium-webdriver';
import { ownCache, writeAdapter } from './adapter.mjs';
import { Desktop, display, picture } from './desktop.mjs';
import { Engine } from './engine.mjs';
import { PATIENCE } from './processes.mjs';
import { dataFolder } from './server.mjs';

const data = dataFolder();
let screen;
let engine;
let desktop;
let driver;

before(async () => {
  engine = await Engine.start('Please write to [EMAIL_1].');
  writeFileSync(join(data, 'engines.json'), JSON.stringify({ engines: [{ name: 'Big', url: engine.url, place: 'internet' }] }));
  screen = await display();
  desktop = await Desktop.start({ INKLING_CACHE: ownCache() });
  driver = await desktop.open(data);
});
after(async () => {
  if (driver) await desktop.quit(driver);
  await desktop?.stop();
  await screen?.stop();
  engine?.stop();
});

const failed = async (error) => {
  await picture(driver, 'panels-window-failed');
  throw error;
};
const id = (name) => `[data-testid=${name}]`;
const find = (css) => driver.wait(until.elementLocated(By.css(css)), PATIENCE, `no ${css}`).catch(failed);
const gone = (css) => driver.wait(async () => (await driver.findElements(By.css(css))).length === 0, PATIENCE, `${css} stays`).catch(failed);
const says = (css, words) => driver.wait(
  () => driver.executeScript('return document.querySelector(arguments[0])?.textContent.includes(arguments[1]) ?? false', css, words),
  PATIENCE, `${css} never says: ${words}`).catch(failed);
/** WebKit's driver does not scroll to what it is to type into. */
const show = (css) => driver.executeScript(`document.querySelector(arguments[0])?.scrollIntoView({ block: 'center' })`, css);
const goTo = (hash) => driver.executeScript('location.hash = arguments[0]', hash);

/** Presses a key on something, as a keyboard does; what is drawn again meanwhile is found again. */
async function press(css, key = Key.ENTER) {
  await driver.wait(async () => {
    const [element] = await driver.findElements(By.css(css));
    if (!element || !(await element.isDisplayed().catch(() => false))) return false;
    await show(css);
    return element.sendKeys(key).then(() => true, () => false);
  }, PATIENCE, `${css} takes no key`).catch(failed);
}

/** What is out of sight for whoever looks at the picture: wider than the window, or cut off in it. */
const overflow = () => driver.executeScript(`
  const wide = [...document.querySelectorAll('dialog[open] *, main *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1);
  return wide.map((element) => element.outerHTML.slice(0, 120));`);

test('Settings, Models: what is there, an adapter from a folder, words for what is none', async () => {
  await find('.ProseMirror, [data-testid=new-document]');
  await goTo('#/');
  await press(id('models-link'));
  await find(id('model'));
  await says(id('model'), 'Running');
  assert.deepEqual(await overflow(), []);
  await picture(driver, 'panels-window-models');
  const add = async (from) => {
    const input = await find(id('adapter-from'));
    await show(id('adapter-from'));
    await input.clear();
    await input.sendKeys(from, Key.ENTER);
  };
  await add('/nowhere/at/all');
  await says(id('adapter-trouble'), 'no folder or file');
  await add(writeAdapter(join(dataFolder(), 'law')));
  await says(`${id('adapter')}[data-id=law]`, 'fits the model that runs');
  await show(id('adapters'));
  await picture(driver, 'panels-window-adapters');
  // the menu of a model, by the keyboard
  await press(id('model-menu'));
  await press(id('model-verify'));
  await says(id('notice'), 'are as they were');
});

test('What may leave: chosen, shown before the first request, listed', async () => {
  await goTo('#/');
  await press(id('new-document'));
  const paper = await find('.ProseMirror[contenteditable=true]');
  await paper.click();
  await paper.sendKeys('Boats come in at night. Ask ada@example.org, or call +49 30 901820-11.');
  await press(id('more'));
  await press(id('privacy-settings'));
  await find(id('leave-nothing'));
  await press(id('leave-masked'), Key.SPACE);
  await says(id('mask-preview'), '[EMAIL_1]');
  await says(id('mask-preview'), '[PHONE_1]');
  await press(id('leave-engine'), Key.SPACE);
  assert.deepEqual(await overflow(), []);
  await picture(driver, 'panels-window-privacy');
  await press(id('privacy-save'));
  await gone(id('leave-nothing'));
  await says('.ai-bar, .people, body', 'Big');
  engine.sent.length = 0;

  await paper.click();
  await driver.actions().keyDown(Key.CONTROL).sendKeys('j').keyUp(Key.CONTROL).perform();
  await says(id('leaves'), 'May be sent to Big');
  await (await find(id('ask-input'))).sendKeys('Who is to be asked?', Key.ENTER);
  await says(id('leaves-first'), '[EMAIL_1]');
  assert.equal(engine.sent.length, 0, 'nothing is sent before the answer');
  await picture(driver, 'panels-window-first');
  await press(id('leaves-agree'));
  await says('.card', 'Please write to ada@example.org.');
  assert.ok(engine.sent.length > 0 && !engine.sent.join('').includes('ada@'), 'it was masked');
  await press(id('more'));
  await press(id('privacy-settings'));
  await says(id('departures'), 'What has left (1)');
  await driver.actions().sendKeys(Key.ESCAPE).perform();
  await gone(id('departures'));
});

test('the document’s adapter is chosen, and named on the card', async () => {
  await press(id('more'));
  await press(id('adapter-settings'));
  const usual = await find(id('adapter-usual'));
  assert.equal(await usual.getAttribute('value'), 'bare');
  await usual.sendKeys('law');
  await driver.wait(async () => (await usual.getAttribute('value')) === '=law', PATIENCE, 'it is not chosen by its first letters').catch(failed);
  await press(id('adapter-commands'));
  assert.deepEqual(await overflow(), []);
  await picture(driver, 'panels-window-adapter');
  const dark = (on) => driver.executeScript(`document.documentElement.dataset.theme = arguments[0]`, on ? 'dark' : 'light');
  await dark(true);
  await picture(driver, 'panels-window-adapter-dark');
  await dark(false);
  await press(id('adapters-save'));
  await gone(id('adapters-save'));
  await (await find('.ProseMirror[contenteditable=true]')).click();
  await driver.actions().keyDown(Key.CONTROL).sendKeys(Key.END).keyUp(Key.CONTROL).perform();
  await driver.actions().keyDown(Key.CONTROL).sendKeys('j').keyUp(Key.CONTROL).perform();
  await find(id('ask-bar'));
  // while somebody types the model here writes
  await press(id('ask-continue'));
  await gone(id('ask-bar'));
  await driver.wait(() => driver.executeScript(`
    return [...document.querySelectorAll('.card[data-state=pending]')].some((card) => card.textContent.includes('with the adapter law'))`), PATIENCE, 'no card names the adapter').catch(failed);
  await picture(driver, 'panels-window-card');
});
