// `npm run build`: the page, the server, the window and the AI peer as they are released.

import { fail, run, say } from './lib.mjs';
import { buildPage, setUp } from './setup.mjs';

try {
  await setUp(['server', 'window']);
  await buildPage();
  await run('cargo', ['build', '--release', '-p', 'sync-server', '-p', 'ai-peer', '-p', 'inkling-app']);
  say('Built: target/release/inkling-server, target/release/inkling-peer, target/release/inkling');
} catch (error) {
  fail(error.message);
}
