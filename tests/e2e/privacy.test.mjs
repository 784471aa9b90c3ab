// What may leave the machine, in a real browser: the document's setting, the look before the first request, what is sent,
// and the list of what has left.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { Engine } from './engine.mjs';
import { People } from './people.mjs';
import { eventually } from './processes.mjs';
import { Server } from './server.mjs';

let engine;
let server;
let browser;
let people;
let doc;

before(async () => {
  engine = await Engine.start('Please write to [EMAIL_1], says [NAME_1].');
  server = await Server.start({
    args: ['--engine-url', engine.url, '--engine-name', 'Big', '--engine-place', 'internet', '--model-dir', '/nowhere/at/all'],
  });
  browser = await launch();
  people = new People(browser);
  doc = await server.api('POST', '/documents/import', {
    title: 'Harbour', markdown: 'Boats come in at night, Ann says. Ask ada@example.org, or call +49 30 901820-11.',
  });
});
after(async () => {
  await browser?.close();
  await server?.kill();
  engine?.stop();
});

test('nothing leaves until the owner says so, and what leaves is shown, masked and listed', async () => {
  const page = await people.open(server, doc.id, 'Ann');
  await eventually('the engine is reached', async () => (await server.api('GET', '/status')).models[0]?.devices[0]?.running);
  engine.sent.length = 0; // its first words, without a document

  // the setting, by the keyboard
  const settings = async () => {
    await page.getByTestId('more').press('Enter');
    await page.getByTestId('privacy-settings').press('Enter');
    await page.getByTestId('leave-nothing').waitFor();
  };
  await settings();
  assert.ok(await page.getByTestId('leave-nothing').isChecked());
  await page.getByTestId('leave-nothing').focus();
  await page.keyboard.press('ArrowDown');
  assert.ok(await page.getByTestId('leave-masked').isChecked());
  await page.getByTestId('mask-preview').getByText('[EMAIL_1]').waitFor();
  await page.getByTestId('mask-preview').getByText('[PHONE_1]').waitFor();
  await page.getByTestId('mask-preview').getByText('[NAME_1]').waitFor();
  await page.getByText('on the internet').waitFor();
  await page.getByTestId('leave-engine').press('Space');
  await picture(page, 'privacy');
  await page.getByTestId('privacy-save').press('Enter');
  await page.getByTestId('leave-nothing').waitFor({ state: 'detached' });

  // the engine is among the people, and the status bar says where it runs
  await page.getByTestId('ai-device').getByText('on the internet').waitFor();
  await page.locator('.ai-chip', { hasText: 'Big' }).waitFor();

  await page.getByTestId('ai-details').press('Enter');
  await page.getByTestId('self-test').press('Enter');
  await page.getByTestId('self-test-report').getByText('tokens a second').waitFor();
  await picture(page, 'privacy-self-test');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  engine.sent.length = 0; // no document was in it
  await page.getByTestId('people').press('Enter');
  await page.getByTestId('person-list').getByText('AI, may only suggest · big-1').waitFor();
  await picture(page, 'privacy-people');
  await page.keyboard.press('Escape');

  // the first request waits for a look
  await page.locator('.ProseMirror').click();
  await page.keyboard.press('Control+j');
  await page.getByTestId('leaves').getByText('May be sent to Big').waitFor();
  await page.getByTestId('ask-input').fill('Who is to be asked?');
  await page.keyboard.press('Enter');
  const look = page.getByTestId('leaves-first');
  await look.getByText('[EMAIL_1]').waitFor();
  assert.equal(engine.sent.length, 0);
  await picture(page, 'privacy-first');
  await eventually('the focus is on the answer', () => page.getByTestId('leaves-agree').evaluate((button) => button === document.activeElement));
  await page.keyboard.press('Enter');

  const card = page.locator('.card').filter({ hasText: 'Please write to ada@example.org, says Ann.' });
  await card.getByText('Written by Big on the internet; personal data was masked before the text left.').waitFor();
  await picture(page, 'privacy-card');
  const sent = engine.sent.join('\n');
  assert.match(sent, /Boats come in at night/);
  assert.match(sent, /\[EMAIL_1\]/);
  for (const personal of ['ada@example', '901820', 'Ann ']) assert.ok(!sent.includes(personal), `${personal} in ${sent}`);

  // the second one goes at once
  await page.locator('.ProseMirror').click();
  await page.keyboard.press('Control+j');
  await page.getByTestId('ask-brainstorm').click();
  await eventually('it is asked again', () => engine.sent.length > 1);

  await settings();
  await page.getByTestId('departures').getByText('What has left (2)').click();
  await page.getByTestId('departures').getByText(/asked by Ann; masked: .*e-mail address/).first().waitFor();
  await picture(page, 'privacy-list');
  assert.deepEqual(people.faults(), []);
});
