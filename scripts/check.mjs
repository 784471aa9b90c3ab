// `npm run check`: what a change should pass before it is committed, without the slow tests.

import { fail, run } from './lib.mjs';
import { EVERYTHING, lintShell } from './setup.mjs';

try {
  await run('cargo', ['fmt', '--all', '--check']);
  await run('cargo', ['clippy', ...EVERYTHING, '--all-targets', '--', '-D', 'warnings']);
  await lintShell();
  await run('npm', ['run', 'check', '-w', 'ui/editor']);
} catch (error) {
  fail(error.message);
}
