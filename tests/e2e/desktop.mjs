// The real window under a virtual display, driven through WebDriver.

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Builder, Capabilities } from 'selenium-webdriver';
import { freePort } from './server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.INKLING_APP ?? 'target/debug/inkling';

/** A virtual display, where there is no real one. */
export async function display() {
  if (process.env.DISPLAY) return { stop() {} };
  // Xvfb picks a free number itself and writes it to the descriptor we name.
  const child = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1360x900x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const number = await new Promise((resolve, reject) => {
    child.once('error', () => reject(new Error('Xvfb is missing. Install it (Debian: xvfb).')));
    child.stdio[3].once('data', (data) => resolve(String(data).trim()));
  });
  process.env.DISPLAY = `:${number}`;
  return { stop: () => child.kill() };
}

/** WebKit's WebDriver and the windows it opens. */
export class Desktop {
  static async start() {
    const desktop = new Desktop();
    desktop.port = await freePort();
    desktop.child = spawn('WebKitWebDriver', [`--port=${desktop.port}`], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, TAURI_WEBVIEW_AUTOMATION: 'true' },
    });
    await new Promise((resolve, reject) => {
      desktop.child.once('error', () => reject(new Error('WebKitWebDriver is missing. Install it (Debian: webkit2gtk-driver).')));
      desktop.child.once('spawn', resolve);
    });
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${desktop.port}/status`).catch(() => undefined);
      if (answer) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return desktop;
  }

  /** Opens the application's window on a data folder. */
  open(data) {
    const capabilities = new Capabilities({
      browserName: 'inkling',
      'webkitgtk:browserOptions': { binary: program, args: ['--data', data] },
    });
    return new Builder().usingServer(`http://127.0.0.1:${this.port}`).withCapabilities(capabilities).build();
  }

  stop() {
    this.child.kill();
  }
}

/** Keeps a picture of the window. */
export async function picture(driver, name) {
  const folder = join(here, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.png`), Buffer.from(await driver.takeScreenshot(), 'base64'));
}
