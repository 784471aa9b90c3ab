// The real window under a virtual display, driven through WebDriver.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Builder, Capabilities } from 'selenium-webdriver';
import { eventually, freePort, PATIENCE, Program } from './processes.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.INKLING_APP ?? 'target/debug/inkling';

/** Fails with `what` when a promise takes too long. */
function within(what, promise, limit = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${limit / 1000} s`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A virtual display of its own for this file of tests: a real one may be anybody's, or gone. */
export async function display() {
  // Xvfb picks a free number itself and writes it to the descriptor we name.
  const xvfb = new Program('Xvfb', ['-displayfd', '3', '-screen', '0', '1360x900x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'], missing: 'Install it (Debian: xvfb).',
  });
  let number = '';
  xvfb.child.stdio[3]?.on('data', (data) => (number += data));
  try {
    await eventually('Xvfb names its display', () => {
      if (xvfb.fault) throw new Error(`there is no virtual display: ${xvfb.fault}\n${xvfb.log}`);
      return number.endsWith('\n');
    });
  } catch (error) {
    await xvfb.end('SIGKILL');
    throw error;
  }
  process.env.DISPLAY = `:${number.trim()}`;
  delete process.env.WAYLAND_DISPLAY;
  return { stop: () => xvfb.end() };
}

/** WebKit's WebDriver and the windows it opens. */
export class Desktop {
  /** `env` is for the driver, and so for the windows that it opens. */
  static async start(env = {}) {
    const desktop = new Desktop();
    desktop.port = await freePort();
    desktop.program = new Program('WebKitWebDriver', [`--port=${desktop.port}`], {
      env: { TAURI_WEBVIEW_AUTOMATION: 'true', ...env }, missing: 'Install it (Debian: webkit2gtk-driver).',
    });
    try {
      await eventually('WebKitWebDriver answers', async () => {
        if (desktop.program.fault) throw new Error(`there is no WebDriver: ${desktop.program.fault}\n${desktop.program.log}`);
        return fetch(`http://127.0.0.1:${desktop.port}/status`, { signal: AbortSignal.timeout(5000) }).catch(() => undefined);
      });
    } catch (error) {
      await desktop.stop();
      throw error;
    }
    return desktop;
  }

  /** Opens the application's window on a data folder. */
  async open(data, args = []) {
    const capabilities = new Capabilities({
      browserName: 'wry', // as WebKit's automation names every Tauri window
      'webkitgtk:browserOptions': { binary: program, args: ['--data', data, ...args] },
    });
    const builder = new Builder().usingServer(`http://127.0.0.1:${this.port}`).withCapabilities(capabilities);
    const driver = await within('opening the window', builder.build()).catch((error) => {
      throw new Error(`${error.message}\n${this.program.log}`);
    });
    await driver.manage().setTimeouts({ script: PATIENCE, pageLoad: PATIENCE });
    return driver;
  }

  /** Closes a window as WebDriver does; a window that is gone already, or will not go, is no reason to wait. */
  async quit(driver) {
    await within('closing the window', driver.quit(), 20_000).catch(() => {});
  }

  stop() {
    return this.program.end('SIGTERM', 5000);
  }
}

/** Kills the window's process, as the system would when memory runs out; the number of processes that were killed. */
export function killWindow(data) {
  const folders = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const ours = folders.filter((pid) => {
    try {
      const [command, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return command.endsWith('inkling') && args.includes(data);
    } catch {
      return false; // it has just ended
    }
  });
  for (const pid of ours) process.kill(Number(pid), 'SIGKILL');
  return ours.length;
}

/** Keeps a picture of the window. */
export async function picture(driver, name) {
  const folder = join(here, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.png`), Buffer.from(await driver.takeScreenshot(), 'base64'));
}
