// `npm start`: sets up what is missing, builds, and runs the product.
//
//   npm start                                   the desktop window (or, without a display, the server)
//   npm start -- --server [server's options]    the self-hosted server with its web page

import { fail, noDisplay, program, run, say } from './lib.mjs';
import { buildPage, setUp } from './setup.mjs';

const HELP = `npm start                 open the desktop window
npm start -- --server     run the self-hosted server and its web page on http://127.0.0.1:4444
npm start -- --server --help     the server's own options`;

const args = process.argv.slice(2);
if (args[0] === '--help') {
  console.log(HELP);
  process.exit(0);
}
let server = args.includes('--server');
const obstacle = server ? undefined : await noDisplay();
if (obstacle) {
  say(`No window can be opened here (${obstacle}): starting the server instead.`);
  server = true;
}
const rest = args.filter((arg) => arg !== '--server');

try {
  await setUp(server ? ['server'] : ['server', 'window']);
  say('Building the page');
  await buildPage();
  say(`Building the ${server ? 'server' : 'window'} (the first time takes some minutes)`);
  await run('cargo', server
    ? ['build', '--release', '-p', 'sync-server', '--bin', 'inkling-server']
    : ['build', '--release', '-p', 'inkling-app']);
} catch (error) {
  fail(error.message);
}
say(`Starting ${server ? 'the server; stop it with Ctrl+C' : 'Inkling'}`);
// The program says itself what went wrong; only its failure is ours to pass on.
await run(program(server ? 'inkling-server' : 'inkling', 'release'), rest, { forward: true }).catch(() => process.exit(1));
