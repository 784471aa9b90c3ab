// `npm run bench [-- NAME…]`: builds the release programs, fetches the editing trace, measures. Results are printed, not kept.

import { fail, program, run, say } from './lib.mjs';
import { editingTrace } from './bench/trace.mjs';
import { setUp } from './setup.mjs';

try {
  await setUp(['server']);
  say('Building the release programs');
  await run('cargo', ['build', '--release', '-p', 'sync-server', '-p', 'tests']);
  const trace = await editingTrace();
  await run(program('inkling-bench', 'release'), process.argv.slice(2), {
    env: { INKLING_SERVER: program('inkling-server', 'release'), INKLING_TRACE: trace },
  });
} catch (error) {
  fail(error.message);
}
