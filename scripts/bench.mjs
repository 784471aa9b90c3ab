// `npm run bench [-- NAME…] [--quick] [--strict] […]`: builds the release programs, fetches the editing trace, installs the
// servers to measure beside, measures. Results are printed, not kept. `-- --help` lists the benches and their options;
// `--with-y-sweet` builds y-sweet, too, once.

import { fail, program, run, say } from './lib.mjs';
import { benchPeers } from './bench/peers.mjs';
import { editingTrace } from './bench/trace.mjs';
import { setUp } from './setup.mjs';

const NAMES = ['relay', 'model', 'first-word'];

try {
  const args = process.argv.slice(2).filter((arg) => arg !== '--with-y-sweet');
  const ySweet = process.argv.includes('--with-y-sweet');
  await setUp(['server']);
  say('Building the release programs');
  await run('cargo', ['build', '--release', '-p', 'sync-server', '-p', 'tests']);
  const env = { INKLING_SERVER: program('inkling-server', 'release'), INKLING_TRACE: await editingTrace() };
  const relay = args.includes('relay') || !args.some((arg) => NAMES.includes(arg));
  if (relay) env.INKLING_BENCH_PEERS = await benchPeers({ ySweet });
  await run(program('inkling-bench', 'release'), args, { env });
} catch (error) {
  fail(error.message);
}
