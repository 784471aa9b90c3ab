// People: who has the document open, where they are, and where this window's own caret is. Decorations only, and
// isolated: whatever goes wrong here costs a caret, never the text.

import { Extension } from "@tiptap/core";
import type { EditorState } from "@tiptap/pm/state";
import { Plugin, PluginKey } from "@tiptap/pm/state";
import type { EditorView } from "@tiptap/pm/view";
import { Decoration, DecorationSet } from "@tiptap/pm/view";
import { ySyncPluginKey } from "@tiptap/y-tiptap";
import type { Awareness } from "y-protocols/awareness";
import type * as Y from "yjs";
import { AI_COLOR, PALETTE, colorOf } from "./colors.ts";
import { finite, oneOf, record, some, words } from "./json.ts";
import { fromRelative, pointAt, positionOf, toRelative } from "./points.ts";
import type { Person } from "./seam.ts";

/** How long a label stays after its caret moved. */
const FRESH_MS = 2500;

const key = new PluginKey<DecorationSet>("ink-presence");

/** Everybody in a document, this window first, AI peers last. */
export function peopleOf(awareness: Awareness): Person[] {
  const people: Person[] = [];
  for (const [clientId, state] of awareness.getStates()) {
    const user = record(record(state)["user"]);
    const id = words(user["id"], 200);
    const name = words(user["name"], 80);
    if (id === "" && name === "") continue; // a connection that has not introduced itself
    const kind = user["kind"] === "ai" ? "ai" : "human";
    const color = kind === "ai" && some(user["color"]) === undefined ? AI_COLOR : colorOf(id || name, user["color"]);
    const person: Person = { clientId, id, name: name || "Somebody", color, kind, self: clientId === awareness.clientID };
    if (kind === "ai") Object.assign(person, describeAi(user, record(state)["ai"]));
    people.push(person);
  }
  const rank = (person: Person): number => (person.self ? 0 : person.kind === "human" ? 1 : 2);
  return people.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name) || a.clientId - b.clientId);
}

/** The colour of this window's person, who has `color` now: another one when somebody else has the same. Of the two the one with
 * the larger client id gives way, so that not both do. */
export function colorBeside(awareness: Awareness, id: string, color: string): string {
  const others = peopleOf(awareness).filter((person) => person.kind === "human" && !person.self && person.id !== id);
  if (!others.some((other) => other.color === color && other.clientId < awareness.clientID)) return color;
  return PALETTE.find((free) => others.every((other) => other.color !== free)) ?? color;
}

function describeAi(user: Record<string, unknown>, value: unknown): Partial<Person> {
  const ai = record(value);
  const state = oneOf(ai["state"], ["idle", "thinking", "writing"]);
  return {
    model: some(user["model"]),
    device: some(user["device"]),
    quantisation: some(user["quantisation"]),
    licence: some(user["licence"]),
    ...(state && { ai: { state, request: some(ai["request"]), tokensPerSecond: finite(ai["tokensPerSecond"]) } }),
  };
}

/** What the plugin needs to know. */
export interface PresenceOptions {
  awareness: Awareness;
  fragment: Y.XmlFragment;
  /** Ids of AI peers whose caret the proposals show already. */
  shownElsewhere(): ReadonlySet<string>;
}

/** Draws the others' carets and publishes one's own. */
export const Presence = (options: PresenceOptions) =>
  Extension.create({ name: "inkPresence", addProseMirrorPlugins: () => [presencePlugin(options)] });

/** Has the carets drawn again: call at most once per frame, after awareness changed. */
export function refreshPresence(view: EditorView): void {
  view.dispatch(view.state.tr.setMeta(key, true).setMeta("addToHistory", false));
}

/** Publishes where the caret is, if that changed; nothing before this window had the focus once. */
export function publishCaret(view: EditorView, { awareness, fragment }: PresenceOptions): void {
  try {
    const current = record(record(awareness.getLocalState())["cursor"]);
    const had = Object.keys(current).length > 0;
    if (!view.hasFocus() && !had) return;
    const { anchor, head } = view.state.selection;
    const cursor = { anchor: toRelative(pointAt(fragment, anchor), -1), head: toRelative(pointAt(fragment, head), -1) };
    if (JSON.stringify(cursor) !== JSON.stringify(current)) awareness.setLocalStateField("cursor", cursor);
  } catch (error) {
    console.warn("the caret could not be published", error);
  }
}

function presencePlugin(options: PresenceOptions): Plugin<DecorationSet> {
  const carets = new Map<number, Caret>();
  let view: EditorView | undefined;
  const draw = (state: EditorState): DecorationSet => {
    try {
      return DecorationSet.create(state.doc, decorations(state, options, carets));
    } catch (error) {
      console.warn("the carets could not be drawn", error);
      return DecorationSet.empty;
    }
  };
  return new Plugin<DecorationSet>({
    key,
    state: {
      init: () => DecorationSet.empty,
      apply: (tr, old, _before, state) => {
        // A change from elsewhere replaces the whole ProseMirror document: positions must be worked out anew.
        if (tr.getMeta(key) !== undefined || record(tr.getMeta(ySyncPluginKey))["isChangeOrigin"] === true) return draw(state);
        return tr.docChanged ? old.map(tr.mapping, tr.doc) : old;
      },
    },
    props: {
      decorations(state) {
        const set = key.getState(state) ?? DecorationSet.empty;
        return set.add(state.doc, ownSelection(state, view?.hasFocus() ?? true));
      },
    },
    view: (created) => {
      view = created;
      return { destroy: () => carets.forEach((caret) => caret.stop()) };
    },
  });
}

/** While the ask bar has the focus, the browser shows no selection in the text. */
function ownSelection({ selection }: EditorState, hasFocus: boolean): Decoration[] {
  return hasFocus || selection.empty ? [] : [Decoration.inline(selection.from, selection.to, { class: "ink-own-selection" })];
}

function decorations(state: EditorState, { awareness, fragment, shownElsewhere }: PresenceOptions, carets: Map<number, Caret>): Decoration[] {
  const found: Decoration[] = [];
  const hidden = shownElsewhere();
  const states = awareness.getStates();
  for (const person of peopleOf(awareness)) {
    if (person.self || (person.kind === "ai" && hidden.has(person.id))) continue;
    const cursor = record(record(states.get(person.clientId))["cursor"]);
    const anchor = placeOf(state, fragment, cursor["anchor"]);
    const head = placeOf(state, fragment, cursor["head"]);
    if (anchor === null || head === null) continue;
    const caret = carets.get(person.clientId) ?? new Caret();
    carets.set(person.clientId, caret);
    caret.show(person, JSON.stringify(cursor["head"]));
    const spec = { key: `caret-${person.clientId}`, side: 10, ignoreSelection: true };
    found.push(Decoration.widget(head, caret.element, spec));
    if (anchor !== head) {
      const attributes = { class: "ink-selection", style: `--ink-color: ${person.color}` };
      found.push(Decoration.inline(Math.min(anchor, head), Math.max(anchor, head), attributes));
    }
  }
  for (const [clientId, caret] of carets) {
    if (!states.has(clientId)) {
      caret.stop();
      carets.delete(clientId);
    }
  }
  return found;
}

function placeOf(state: EditorState, fragment: Y.XmlFragment, relative: unknown): number | null {
  const point = fromRelative(fragment, relative);
  const position = point === null ? null : positionOf(fragment, point);
  return position === null ? null : Math.min(position, state.doc.content.size);
}

/** One person's caret; the element is kept, so that it does not blink when the text around it is drawn again. */
class Caret {
  readonly element = document.createElement("span");
  private readonly label = document.createElement("span");
  private at = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.element.className = "ink-caret";
    this.label.className = "ink-caret-label";
    this.element.append(this.label);
    this.element.setAttribute("aria-hidden", "true");
  }

  show(person: Person, at: string): void {
    this.element.dataset["kind"] = person.kind;
    this.element.style.setProperty("--ink-color", person.color);
    if (this.label.textContent !== person.name) this.label.textContent = person.name;
    if (at === this.at) return;
    this.at = at;
    this.element.dataset["fresh"] = "";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => delete this.element.dataset["fresh"], FRESH_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
