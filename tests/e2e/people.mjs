// People at browsers: opening a document as somebody, and what tests look at in a page.

import { PATIENCE } from './processes.mjs';

/** Opens pages of a server; keeps them, with the errors they report. */
export class People {
  pages = [];

  constructor(browser) {
    this.browser = browser;
  }

  /** A page of somebody's, at an address; not waited for. */
  async at(url, name, { width = 1280, height = 860, colorScheme = 'light', ...options } = {}) {
    const context = await this.browser.newContext({ viewport: { width, height }, colorScheme, ...options });
    await context.addInitScript((who) => {
      localStorage.setItem('inkling.user', JSON.stringify({ id: `test-${who}`, name: who }));
    }, name);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.problems = [];
    page.on('pageerror', (error) => page.problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && page.problems.push(message.text()));
    await page.goto(url);
    this.pages.push(page);
    return page;
  }

  /** A page of somebody's with a document in it. */
  async open(server, doc, name, options) {
    const page = await this.at(`${server.url}/#/d/${doc}`, name, options);
    await page.locator('.ProseMirror').waitFor();
    return page;
  }

  /** What the pages reported as errors, except for what the browser says while a server was stopped or refused on purpose. */
  faults() {
    const expected = /WebSocket|ERR_CONNECTION|Failed to load resource/i;
    return this.pages.flatMap((page) => page.problems).filter((text) => !expected.test(text));
  }
}

/** Without the decorations: what the document itself says. */
export const text = (page) => page.locator('.ProseMirror').evaluate((surface) => {
  const copy = surface.cloneNode(true);
  for (const extra of copy.querySelectorAll('.ink-ghost, .ink-caret, .ink-ai-caret, .ProseMirror-widget')) extra.remove();
  return copy.innerText.trim();
});

/** Waits until the document itself says exactly this, in all pages. */
export async function settles(pages, expected) {
  for (const page of pages) {
    await page.waitForFunction((words) => {
      const copy = document.querySelector('.ProseMirror').cloneNode(true);
      for (const extra of copy.querySelectorAll('.ink-ghost, .ink-caret, .ink-ai-caret, .ProseMirror-widget')) extra.remove();
      // A copy that is not laid out has no line breaks of its own: compare without space.
      return copy.textContent.replace(/\s+/g, '') === words;
    }, expected.replace(/\s+/g, ''), { timeout: PATIENCE });
  }
}

/** Waits until some words are on the paper, in the text or proposed. */
export const see = (page, words) => page.waitForFunction(
  (expected) => document.querySelector('.ProseMirror')?.innerText.includes(expected), words, { timeout: PATIENCE });

export const cards = (page, state) => page.locator(state ? `[data-testid=card][data-state=${state}]` : '[data-testid=card]');
export const saved = (page) => page.locator('[data-testid=saved][data-look=saved]').waitFor();

/** Opens the ask bar at the caret and asks. */
export async function ask(page, kind, instruction) {
  await page.keyboard.press('Control+j');
  await page.getByTestId('ask-bar').waitFor();
  if (instruction) {
    await page.getByTestId('ask-input').fill(instruction);
    await page.getByTestId('ask-input').press('Enter');
  } else {
    await page.getByTestId(`ask-${kind}`).click();
  }
  await page.getByTestId('ask-bar').waitFor({ state: 'detached' });
}
