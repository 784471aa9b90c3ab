// Settings, Models: the owner adds, measures, verifies and removes real small models; others see nothing of it.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch, picture } from './browser.mjs';
import { People } from './people.mjs';
import { dataFolder, Server } from './server.mjs';

const samples = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'model', 'tests');
const KEY = 'owner';
let server;
let browser;
let people;
let ann;
let models;
let hub;

/** Where this machine's set-up has put the runtime library. */
const cache = process.env.INKLING_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'inkling');

before(async () => {
  // A folder of models of its own, with the machine's runtime library.
  const own = dataFolder();
  models = join(own, 'models');
  mkdirSync(models);
  symlinkSync(join(cache, 'onnxruntime'), join(own, 'onnxruntime'), 'dir');
  server = await Server.start({ key: KEY, args: ['--role-key', 'editor=edit', '--no-ai'], env: { INKLING_CACHE: own } });
  browser = await launch();
  people = new People(browser);
});
after(async () => {
  hub?.close();
  hub?.closeAllConnections();
  await browser?.close();
  await server?.kill();
});

const row = (id) => ann.locator(`[data-testid=model][data-id="${id}"]`);
const job = (words) => ann.getByTestId('model-job').filter({ hasText: words });

async function add(from, more = {}) {
  await ann.getByTestId('model-from').fill(from);
  if (Object.keys(more).length > 0 && !(await ann.getByTestId('model-name').isVisible())) await ann.getByTestId('model-more').click();
  for (const [field, text] of Object.entries(more)) await ann.getByTestId(`model-${field}`).fill(text);
  await ann.getByTestId('model-add').click();
}

async function choose(id, command) {
  await row(id).getByTestId('model-menu').click();
  await ann.getByTestId(command).click();
}

test('the owner finds the models from the list of documents', async () => {
  ann = await people.at(`${server.url}/#/?key=${KEY}`, 'Ann');
  await ann.getByTestId('models-link').click();
  await ann.getByTestId('models-empty').waitFor();
  await picture(ann, 'models-empty');
});

test('a folder and a GGUF file are added, with what is known about them', async () => {
  await add(join(samples, 'tiny'), { name: 'small' });
  await row('small').waitFor();
  await add(join(samples, 'gguf', 'llama.gguf'), { name: '' });
  await row('llama').waitFor();
  const words = await row('llama').innerText();
  for (const part of [/Licence/, /Size\s+\d+ KB/, /Context\s+\d+ tokens/, /Weights/, /Fits: takes about/, /the file llama\.gguf/]) assert.match(words, part);
  await job('llama was added').waitFor();
  await picture(ann, 'models');
});

test('what is no model is refused in words', async () => {
  await add('/nowhere/at/all');
  await ann.getByTestId('model-trouble').getByText(/no folder or file/).waitFor();
  await picture(ann, 'models-refused');
});

test('the speed is measured on this machine', async () => {
  await choose('small', 'model-measure');
  await job('small was measured').waitFor();
  await row('small').getByText(/tokens\/s written/).waitFor();
});

test('files that have changed are found', async () => {
  await choose('llama', 'model-verify');
  await ann.getByTestId('notice').getByText(/all \d+ files are as they were/).waitFor();
  writeFileSync(join(models, 'llama', 'README.md'), 'other words');
  await choose('llama', 'model-verify');
  await ann.getByTestId('notice').getByText(/changed or missing: README\.md/).waitFor();
  await picture(ann, 'models-changed');
});

test('a download is watched, stopped, and goes on where it was', async () => {
  const files = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'onnx/model.onnx'];
  const content = (name) => readFileSync(join(samples, 'tiny', name));
  const asked = [];
  let generous = false;
  hub = createServer((request, answer) => {
    const name = decodeURIComponent(request.url).replace(/^\/me\/tiny\/resolve\/[^/]+\//, '');
    if (request.url.startsWith('/api/models/me/tiny/')) {
      answer.setHeader('content-type', 'application/json');
      return answer.end(JSON.stringify({ sha: 'abc', siblings: files.map((rfilename) => ({ rfilename, size: content(rfilename).length })) }));
    }
    if (!files.includes(name)) return answer.writeHead(404).end();
    const whole = content(name);
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const part = whole.subarray(from);
    if (name.endsWith('.onnx')) asked.push(from);
    const range = request.headers.range === undefined ? {} : { 'content-range': `bytes ${from}-${whole.length - 1}/${whole.length}` };
    answer.writeHead(request.headers.range === undefined ? 200 : 206, { 'content-length': part.length, etag: '"one"', ...range });
    // Half of the graph at first, and then nothing more.
    if (name.endsWith('.onnx') && !generous) return answer.write(part.subarray(0, part.length / 2));
    answer.end(part);
  });
  await new Promise((resolve) => hub.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${hub.address().port}`;
  await add('me/tiny', { hub: address });
  const adding = job('Adding me/tiny');
  await adding.getByText(/model\.onnx: \d+ KB of \d+ KB/).waitFor();
  await ann.waitForFunction(() => document.querySelector('[data-testid=model-job] progress')?.value > 0.4);
  await picture(ann, 'models-downloading');
  await adding.getByTestId('model-job-end').click();
  await adding.getByText('Stopped.').waitFor();
  generous = true;
  await add('me/tiny', { hub: address });
  await row('me-tiny').waitFor();
  assert.ok(asked.at(-1) > 0, `the graph was asked for from ${asked}`);
  await job('me-tiny was added').first().getByTestId('model-job-end').click();
  await job('me-tiny was added').waitFor({ state: 'detached' });
});

test('a model is removed, after a question', async () => {
  await choose('llama', 'model-remove');
  await ann.getByTestId('remove-model-confirm').click();
  await row('llama').waitFor({ state: 'detached' });
  assert.equal(await row('small').count(), 1);
});

test('in the dark, and on a narrow window', async () => {
  await ann.getByTestId('theme').click();
  await picture(ann, 'models-dark');
  await ann.setViewportSize({ width: 420, height: 860 });
  await picture(ann, 'models-narrow');
});

test('whoever does not own the server is not shown the way, and refused in words', async () => {
  const ed = await people.at(`${server.url}/#/settings/models?key=edit`, 'Ed');
  await ed.getByTestId('models-trouble').getByText(/it takes the role of owner/).waitFor();
  await ed.getByTestId('back').click();
  await ed.getByTestId('new-document').waitFor();
  assert.equal(await ed.getByTestId('models-link').count(), 0);
  await picture(ed, 'models-refused-editor');
});

test('no page reported an error', () => {
  assert.deepEqual(people.faults(), []);
});
