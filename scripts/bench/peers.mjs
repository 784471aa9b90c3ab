// Installs the servers that the relay is measured beside, in a folder of their own: nothing else in the project needs them.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, say, stamp } from '../lib.mjs';

const folder = join(root, 'tests', 'bench-peers');

/** y-sweet is a Rust program; from npm it is fetched from a place that not every network reaches. */
const Y_SWEET = '0.9.1';

/** The folder with the installed peers. A peer that cannot be installed is left out, and the bench says so. */
export async function benchPeers({ ySweet }) {
  const lock = createHash('sha256').update(readFileSync(join(folder, 'package-lock.json'))).digest('hex');
  const packages = stamp('bench-peers', lock);
  if (!packages.fresh || !existsSync(join(folder, 'node_modules'))) {
    say('Installing the servers to measure beside (better-sqlite3 is compiled where no build of it can be fetched)');
    await attempt('The Node servers', async () => {
      await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder });
      packages.done();
    });
  }
  if (ySweet && !existsSync(join(folder, 'bin', 'y-sweet'))) {
    say(`Building y-sweet ${Y_SWEET}; this takes minutes`);
    await attempt('y-sweet', () =>
      run('cargo', ['install', 'y-sweet', '--version', `=${Y_SWEET}`, '--locked', '--root', folder]));
  }
  return folder;
}

async function attempt(what, work) {
  try {
    await work();
  } catch (error) {
    say(`${what} could not be installed and will be missing from the table: ${error.message}`);
  }
}
