// Shows who wrote what: every character that can be seen in its author's colour, what an AI wrote marked as such. Decorations
// only, and only for the blocks on the screen and a screen's height around it, so that a book costs what a page does.

import { Extension } from "@tiptap/core";
import type { Node as PmNode } from "@tiptap/pm/model";
import type { EditorState } from "@tiptap/pm/state";
import { Plugin, PluginKey } from "@tiptap/pm/state";
import type { EditorView } from "@tiptap/pm/view";
import { Decoration, DecorationSet } from "@tiptap/pm/view";
import { ySyncPluginKey } from "@tiptap/y-tiptap";
import type { Awareness } from "y-protocols/awareness";
import type * as Y from "yjs";
import type { Author, AuthorRun } from "./authors.ts";
import { AuthorBook, authorBefore, runsOf, unitsOf } from "./authors.ts";
import { parse, record, words } from "./json.ts";
import { childrenOf, pointAt, sizeOf } from "./points.ts";
import type { ApiAnswer, EditorEvent, Writer } from "./seam.ts";

/** What the overlay needs. */
export interface OverlayOptions {
  fragment: Y.XmlFragment;
  awareness: Awareness;
  /** Asks the relay who wrote what. */
  ask(): Promise<ApiAnswer>;
  /** Something is to be drawn or told in the next frame. */
  changed(): void;
}

type AuthorsEvent = Extract<EditorEvent, { type: "authors" }>;

const key = new PluginKey<DecorationSet>("ink-authors");
/** Milliseconds from a change by somebody until the relay is asked whose it was; what is shown meanwhile is a good guess. */
const ASK_AFTER = 800;
/** Milliseconds until it is asked again for what it did not know. */
const ASK_AGAIN = 5000;

/** Who wrote what in one document, shown while it is switched on. */
export class AuthorsOverlay {
  on = false;
  private only: string | null = null;
  private readonly book: AuthorBook;
  private writers: Writer[] = [];
  private trouble: string | undefined;
  private runs: AuthorRun[] = [];
  /** What is drawn; null when it is to be drawn in any case. */
  private shape: string | null = null;
  private range: [number, number] = [0, Number.POSITIVE_INFINITY];
  private asking = false;
  private stopped = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private counting: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: OverlayOptions) {
    this.book = new AuthorBook(options.awareness);
  }

  /** The editor's extension. */
  extension(): Extension {
    return Extension.create({ name: "inkAuthors", addProseMirrorPlugins: () => [this.plugin()] });
  }

  /** Switches it on or off; `only` is the key of the one author who is marked. */
  show(on: boolean, only: string | null): void {
    const began = on && !this.on;
    this.on = on;
    this.only = on ? only : null;
    this.shape = null;
    if (began) this.ask(0);
    if (began) this.count(0);
    this.options.changed();
  }

  /** The text has changed, or a decision was made. */
  textChanged(): void {
    if (!this.on) return;
    this.ask(ASK_AFTER);
    this.count(ASK_AFTER / 2);
  }

  /** Call at most once per frame: draws what is on the screen, if that is other than what is drawn. */
  refresh(view: EditorView): void {
    if (this.on) this.range = visibleBlocks(view);
    this.read(view.state.doc);
    const shape = this.on ? JSON.stringify(this.runs.map(({ from, to, author }) => [from, to, author.key, author.name])) : "";
    const state = key.getState(view.state);
    if (shape === this.shape && state === this.drawn) return;
    if (!this.on && (state === undefined || state === DecorationSet.empty)) return;
    this.shape = shape;
    view.dispatch(view.state.tr.setMeta(key, true).setMeta("addToHistory", false));
    this.drawn = key.getState(view.state);
  }

  /** What the shell is told. */
  event(view: EditorView | undefined): AuthorsEvent {
    const { on, only, trouble } = this;
    const authors = on ? this.writers : [];
    const here = on && view !== undefined ? authorBefore(this.book, pointAt(this.options.fragment, view.state.selection.head)) : null;
    return { type: "authors", shown: on, authors, here: here?.key ?? null, only, ...(trouble === undefined ? {} : { trouble }) };
  }

  /** No timers any more. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.counting);
  }

  /** What the last refresh drew: mapped since, it is another one. */
  private drawn: DecorationSet | undefined;

  private ask(after: number): void {
    if (this.stopped || this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.askNow();
    }, after);
  }

  private async askNow(): Promise<void> {
    if (!this.on || this.stopped) return;
    if (this.asking) return this.ask(ASK_AFTER);
    this.asking = true;
    const { status, body } = await this.options.ask();
    this.asking = false;
    if (this.stopped) return;
    const answer = parse(body);
    if (status === 200) {
      this.book.read(answer);
      this.trouble = undefined;
    } else {
      this.trouble = words(record(answer)["message"]) || "The server does not say who wrote what.";
    }
    this.count(0);
    this.options.changed();
  }

  /** Counts the whole text when there is time for it. */
  private count(after: number): void {
    if (this.stopped || this.counting !== undefined) return;
    this.counting = setTimeout(() => {
      this.counting = undefined;
      whenIdle(() => {
        if (this.stopped || !this.on) return;
        this.writers = unitsOf(this.book, this.options.fragment);
        if (this.book.guessed) this.ask(ASK_AGAIN);
        this.options.changed();
      });
    }, after);
  }

  /** The runs of the blocks that are on the screen, where ProseMirror shows what the shared text has. */
  private read(doc: PmNode): void {
    this.runs = [];
    if (!this.on) return;
    let [position, index] = [0, 0];
    for (const child of childrenOf(this.options.fragment)) {
      if (index > this.range[1] || index >= doc.childCount) break;
      const node = doc.child(index);
      if (sizeOf(child) !== node.nodeSize) break; // in the middle of a change: the next frame has it
      if (index >= this.range[0]) this.runs.push(...runsOf(this.book, child, position));
      position += node.nodeSize;
      index += 1;
    }
  }

  private plugin(): Plugin<DecorationSet> {
    const draw = (state: EditorState): DecorationSet => {
      if (!this.on) return DecorationSet.empty;
      const runs = this.runs.filter(({ author, to }) => (this.only === null || author.key === this.only) && to <= state.doc.content.size);
      return DecorationSet.create(state.doc, runs.map(({ from, to, author }) => Decoration.inline(from, to, attributes(author))));
    };
    return new Plugin<DecorationSet>({
      key,
      state: {
        init: () => DecorationSet.empty,
        apply: (tr, old, _before, state) => {
          const isRemote = record(tr.getMeta(ySyncPluginKey))["isChangeOrigin"] === true;
          // The whole ProseMirror document was replaced: mapped decorations would blink out for a frame.
          if (isRemote && this.on) this.read(state.doc);
          if (isRemote || tr.getMeta(key) !== undefined) return draw(state);
          return tr.docChanged ? old.map(tr.mapping, tr.doc) : old;
        },
      },
      props: { decorations: (state) => key.getState(state) },
    });
  }
}

/** What is said of a run, for tooltips and screen readers. */
export function describe({ kind, name, acceptedBy }: Author): string {
  if (kind === "ai") return acceptedBy === undefined ? `Written by ${name} (AI)` : `Written by ${name} (AI), accepted by ${acceptedBy}`;
  if (kind === "link") return `Came from ${name}`;
  return kind === "unknown" ? "Nobody knows who wrote this" : `Written by ${name}`;
}

function attributes(author: Author): Record<string, string> {
  const said = describe(author);
  return {
    class: "ink-author",
    style: `--ink-color: ${author.color}`,
    "data-author": author.key,
    "data-kind": author.kind,
    title: said,
    "aria-description": said,
  };
}

/** The first and last block that can be seen, or will be with the next screen's height of scrolling. */
function visibleBlocks(view: EditorView): [number, number] {
  const { doc } = view.state;
  const tops: number[] = [];
  doc.forEach((_, offset) => void tops.push(offset));
  const rect = (index: number): DOMRect | null => {
    const dom = view.nodeDOM(tops[index] ?? 0);
    return dom instanceof Element ? dom.getBoundingClientRect() : null;
  };
  const screen = window.innerHeight;
  // The first block for which something holds that then holds for all after it.
  const search = (holds: (rect: DOMRect) => boolean): number => {
    let [low, high] = [0, doc.childCount];
    while (low < high) {
      const middle = (low + high) >> 1;
      const box = rect(middle);
      if (box === null || holds(box)) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  return [search(({ bottom }) => bottom >= -screen), search(({ top }) => top > 2 * screen)];
}

function whenIdle(work: () => void): void {
  if (typeof requestIdleCallback === "undefined") setTimeout(work);
  else requestIdleCallback(work, { timeout: 1000 });
}
