// Proposals in the text: what an answer would put in as a ghost at its place, what it would take away struck softly,
// and the AI's caret where it writes. Decorations only; nothing of this is ever written to the document.

import { Extension } from "@tiptap/core";
import type { Node as PmNode } from "@tiptap/pm/model";
import type { EditorState } from "@tiptap/pm/state";
import { Plugin, PluginKey } from "@tiptap/pm/state";
import type { EditorView } from "@tiptap/pm/view";
import { Decoration, DecorationSet } from "@tiptap/pm/view";
import { ySyncPluginKey } from "@tiptap/y-tiptap";
import { GhostView } from "./ghost-view.ts";
import { record } from "./json.ts";
import type { Card } from "./seam.ts";

/** A proposal (or a request that is being worked on) that has a place in the text. */
export interface Ghost {
  /** Card id. */
  id: string;
  kind: Card["kind"];
  state: "queued" | "streaming" | "pending" | "failed";
  stale: boolean;
  /** ProseMirror positions; equal for a caret. */
  from: number;
  to: number;
  /** Markdown. */
  payload: string;
  /** Who writes it; null while nobody does. */
  writer: { id: string; name: string; color: string } | null;
}

/** The ghosts as they are now, with positions in the document as the shared text has it. */
export type GhostSource = () => Ghost[];

const key = new PluginKey<DecorationSet>("ink-suggestions");

/** How long a revealed place stays marked. */
const REVEAL_MS = 1600;

/** Draws the ghosts of one editor. */
export class Suggestions {
  private readonly views = new Map<string, GhostView>();
  private ghosts: Ghost[] = [];
  private shape = "";
  private revealed = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly source: GhostSource) {}

  /** The editor's extension. */
  extension(): Extension {
    return Extension.create({ name: "inkSuggestions", addProseMirrorPlugins: () => [this.plugin()] });
  }

  /** Call once per frame after anything changed: streamed words go straight into the ghost, without a transaction. */
  refresh(view: EditorView): void {
    this.read();
    const shape = JSON.stringify(this.ghosts.map((ghost) => [{ ...ghost, payload: undefined }, this.views.get(ghost.id)?.parts]));
    if (shape === this.shape) return;
    this.shape = shape;
    view.dispatch(view.state.tr.setMeta(key, true).setMeta("addToHistory", false));
  }

  /** Ids of peers whose caret a ghost shows. */
  writers(): ReadonlySet<string> {
    return new Set(this.ghosts.flatMap(({ writer, state }) => (writer !== null && state !== "pending" ? [writer.id] : [])));
  }

  /** Brings a ghost's place into view and marks it for a moment; false when it has none. */
  reveal(view: EditorView, id: string): boolean {
    const ghost = this.ghosts.find((candidate) => candidate.id === id);
    if (ghost === undefined) return false;
    this.revealed = id;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.revealed = "";
      if (!view.isDestroyed) this.redraw(view);
    }, REVEAL_MS);
    this.redraw(view);
    const { node } = view.domAtPos(Math.min(ghost.from, view.state.doc.content.size));
    const element = node instanceof Element ? node : node.parentElement;
    element?.scrollIntoView({ block: "center", behavior: "smooth" });
    return true;
  }

  /** No timers any more. */
  stop(): void {
    clearTimeout(this.timer);
  }

  private redraw(view: EditorView): void {
    this.shape = "";
    this.refresh(view);
  }

  private read(): void {
    this.ghosts = this.source();
    const live = new Set(this.ghosts.map(({ id }) => id));
    for (const id of this.views.keys()) if (!live.has(id)) this.views.delete(id);
    for (const ghost of this.ghosts) {
      const view = this.views.get(ghost.id) ?? new GhostView();
      this.views.set(ghost.id, view);
      view.show(ghost, ghost.id === this.revealed);
    }
  }

  private plugin(): Plugin<DecorationSet> {
    const draw = (state: EditorState): DecorationSet => {
      try {
        return DecorationSet.create(state.doc, this.ghosts.flatMap((ghost) => this.decorations(state.doc, ghost)));
      } catch (error) {
        console.warn("the proposals could not be drawn", error);
        return DecorationSet.empty;
      }
    };
    return new Plugin<DecorationSet>({
      key,
      state: {
        init: () => DecorationSet.empty,
        apply: (tr, old, _before, state) => {
          const isRemote = record(tr.getMeta(ySyncPluginKey))["isChangeOrigin"] === true;
          if (isRemote) {
            // The whole ProseMirror document was replaced: mapped decorations would blink out for a frame.
            if (this.ghosts.length === 0) return DecorationSet.empty;
            this.read();
          }
          if (isRemote || tr.getMeta(key) !== undefined) return draw(state);
          return tr.docChanged ? old.map(tr.mapping, tr.doc) : old;
        },
      },
      props: { decorations: (state) => key.getState(state) },
    });
  }

  private decorations(doc: PmNode, ghost: Ghost): Decoration[] {
    const size = doc.content.size;
    const from = Math.min(ghost.from, size);
    const to = Math.min(ghost.to, size);
    const found: Decoration[] = [];
    if (from < to) found.push(Decoration.inline(from, to, rangeAttributes(ghost, ghost.id === this.revealed)));
    const view = this.views.get(ghost.id);
    if (view === undefined) return found;
    const spec = { marks: [], ignoreSelection: true };
    if (view.parts.inline) {
      found.push(Decoration.widget(to, view.inline, { ...spec, key: `ghost-${ghost.id}`, side: 20 }));
    }
    if (view.parts.block) {
      const $to = doc.resolve(to);
      // Below the line that it belongs to; at the same place when that is between blocks already.
      const below = $to.depth > 0 && $to.parent.isTextblock ? $to.after() : to;
      found.push(Decoration.widget(below, view.block, { ...spec, key: `ghost-${ghost.id}-below`, side: -1 }));
    }
    return found;
  }
}

function rangeAttributes({ id, kind, state, stale }: Ghost, revealed: boolean): Record<string, string> {
  const takesAway = (kind === "replace" || kind === "delete") && (state === "streaming" || state === "pending");
  return {
    class: ["ink-anchor", takesAway ? "ink-ghost-replaced" : "", revealed ? "ink-reveal" : ""].filter(Boolean).join(" "),
    "data-proposal": id,
    "data-state": state,
    ...(kind === null ? {} : { "data-kind": kind }),
    ...(stale ? { "data-stale": "" } : {}),
  };
}
