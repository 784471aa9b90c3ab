// `npm run check`: what a change should pass before it is committed, without the slow tests.

import { fail, run } from './lib.mjs';

try {
  await run('cargo', ['fmt', '--all', '--check']);
  await run('cargo', ['clippy', '--all-targets', '--', '-D', 'warnings']);
  await run('npm', ['run', 'check', '-w', 'ui/editor']);
} catch (error) {
  fail(error.message);
}
