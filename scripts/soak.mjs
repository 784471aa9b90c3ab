// `npm run soak [-- NAME…]`: the random tests of `npm test` with a thousand times the luck: hours, not minutes.
// A failure prints the line that repeats it.

import { fail, run, say } from './lib.mjs';
import { setUp } from './setup.mjs';

/** One test with more of everything. */
const nextest = (title, args, env) => [title, () => run('cargo', ['nextest', 'run', '--no-capture', ...args], { env })];

const soaks = {
  crashes: nextest('1,000 crashes of the server', ['-p', 'sync-server', '--test', 'integration', 'crashes::'], { CRASHES: '1000' }),
  memory: nextest('10,000 documents opened and closed', ['-p', 'sync-server', '--test', 'integration', 'memory::'], { DOCUMENTS: '10000' }),
  hostile: nextest('10^6 frames from a viewer, from a person who may suggest, and from a model', ['-p', 'crdt', '--test', 'hostile', 'readers::'], { FRAMES: '1000000' }),
  wire: nextest('100,000 hostile frames over sockets', ['-p', 'sync-server', '--test', 'integration', 'intruders::'], { FRAMES: '100000' }),
  model: nextest('10,000 short requests to the default model', ['-p', 'model', '--test', 'suite', 'ten_thousand'], { REQUESTS: '10000' }),
  simulation: nextest('20,000 simulated documents', ['-p', 'crdt', '--test', 'simulation', 'whatever'], { SEED: '100000', SEEDS: '20000' }),
  invariants: nextest('20,000 plans of proposals and decisions', ['-p', 'crdt', '--test', 'invariants', 'whatever'], { SEED: '100000', SEEDS: '20000' }),
  differential: nextest('50,000 documents in yjs and yrs', ['-p', 'crdt', '--test', 'differential'], { SEED: '100000', SEEDS: '50000' }),
  fuzz: nextest('10^7 inputs for each decoder', ['-p', 'crdt', '--test', 'fuzz'], { INPUTS: '10000000', SEED: '2' }),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in soaks));
if (unknown.length > 0) fail(`There is no soak ${unknown.join(', ')}. There are: ${Object.keys(soaks).join(', ')}.`);

try {
  await setUp(['server', 'tests']);
} catch (error) {
  fail(`The set-up failed: ${error.message}`);
}
const failed = [];
for (const [name, [title, soak]] of Object.entries(soaks).filter(([name]) => wanted.length === 0 || wanted.includes(name))) {
  say(`${title} (${name})`);
  try {
    await soak();
  } catch (error) {
    failed.push(name);
    console.error(`  ${name} failed: ${error.message}`);
  }
}
if (failed.length > 0) fail(`Failed: ${failed.join(', ')}. One alone: npm run soak -- ${failed[0]}`);
