// The elements of one ghost: a part that continues the line, a part below it, and the writer's caret in the last one.

import { toParts } from "./markdown.ts";
import type { Ghost } from "./suggestions.ts";

/** Kept while the ghost lives, so that streaming changes words and not elements. */
export class GhostView {
  /** Continues the line. */
  readonly inline = element("span", "inline");
  /** Stands below it. */
  readonly block = element("div", "block");
  /** Which of the two are to be shown. */
  parts = { inline: false, block: false };
  private readonly caret = document.createElement("span");
  private readonly label = document.createElement("span");
  private shown: string | null = null;

  constructor() {
    this.caret.className = "ink-ai-caret";
    this.caret.setAttribute("aria-hidden", "true");
    this.label.className = "ink-caret-label";
    this.caret.append(this.label);
  }

  /** Brings the elements up to date. */
  show(ghost: Ghost, revealed: boolean): void {
    // An answer that is only a card shows no words in the text, a deletion has none.
    const payload = ghost.kind === "insert" || ghost.kind === "replace" ? ghost.payload : "";
    const isLive = ghost.state === "streaming" || ghost.state === "queued";
    const caret = isLive && ghost.writer !== null;
    const content = `${payload}\u0000${caret}`;
    if (content !== this.shown) {
      this.shown = content;
      this.fill(payload, caret);
    }
    if (ghost.writer !== null) {
      this.caret.style.setProperty("--ink-color", ghost.writer.color);
      if (this.label.textContent !== ghost.writer.name) this.label.textContent = ghost.writer.name;
    }
    toggle(this.caret, "working", payload === "");
    for (const part of [this.inline, this.block]) describe(part, ghost, revealed);
  }

  private fill(payload: string, caret: boolean): void {
    const { inline, blocks } = payload.trim() === "" ? { inline: "", blocks: "" } : toParts(payload);
    const inlineBody = body("span", inline);
    const blockBody = body("div", blocks);
    this.parts = { inline: inline !== "" || (caret && blocks === ""), block: blocks !== "" };
    if (caret) (blocks === "" ? inlineBody : lastLine(blockBody)).append(this.caret);
    this.inline.replaceChildren(inlineBody);
    this.block.replaceChildren(blockBody);
  }
}

function element(tag: "span" | "div", part: "inline" | "block"): HTMLElement {
  const made = document.createElement(tag);
  made.className = "ink-ghost";
  made.dataset[part] = "";
  made.setAttribute("role", "group");
  return made;
}

function body(tag: "span" | "div", html: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = "ink-ghost-body";
  made.innerHTML = html; // from our own Markdown renderer, which lets no HTML through
  return made;
}

/** The innermost block at the end: where the next word will come. */
function lastLine(from: HTMLElement): HTMLElement {
  let at = from;
  for (;;) {
    const last = at.lastElementChild;
    if (!(last instanceof HTMLElement) || !/^(P|LI|UL|OL|BLOCKQUOTE|PRE|CODE|H[1-6]|TABLE|TBODY|TR|TD)$/.test(last.tagName)) return at;
    // `code` counts inside `pre` only; in a paragraph it is a word.
    if (last.tagName === "CODE" && at.tagName !== "PRE") return at;
    at = last;
  }
}

function describe(part: HTMLElement, { id, kind, state, stale, writer }: Ghost, revealed: boolean): void {
  part.dataset["proposal"] = id;
  part.dataset["state"] = state;
  if (kind !== null) part.dataset["kind"] = kind;
  toggle(part, "stale", stale);
  part.classList.toggle("ink-reveal", revealed);
  const verb = state === "streaming" || state === "queued" ? "is writing" : "proposes";
  part.setAttribute("aria-label", `${writer?.name ?? "Somebody"} ${verb}; not part of the document`);
}

function toggle(part: HTMLElement, name: string, on: boolean): void {
  if (on) part.dataset[name] = "";
  else delete part.dataset[name];
}
