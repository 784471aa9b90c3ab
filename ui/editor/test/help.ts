// What several tests need: a session on a fake relay, waiting for conditions, documents from ProseMirror JSON.

import type { JSONContent } from "@tiptap/core";
import { getSchema } from "@tiptap/core";
import { Node as PmNode } from "@tiptap/pm/model";
import { prosemirrorToYXmlFragment } from "@tiptap/y-tiptap";
import type * as Y from "yjs";
import { contentExtensions } from "../schema.ts";
import type { EditorEvent } from "../seam.ts";
import { Session } from "../session.ts";
import { FakeRelay } from "./relay.ts";

/** Waits until `condition` holds; fails with what it says after 20 s: a busy machine is no failure. */
export async function until(condition: () => boolean, what = condition.toString()): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; ) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never became true: ${what}`);
}

/** Long enough for every frame and message that is under way. */
export const settle = (ms = 60): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const schema = getSchema(contentExtensions());

/** Writes content into a document as an editor would. */
export function fill(doc: Y.Doc, content: JSONContent[]): void {
  prosemirrorToYXmlFragment(PmNode.fromJSON(schema, { type: "doc", content }), doc.getXmlFragment("default"));
}

export const p = (text: string): JSONContent => (text === "" ? { type: "paragraph" } : { type: "paragraph", content: [{ type: "text", text }] });

export interface Opened {
  session: Session;
  relay: FakeRelay;
  element: HTMLElement;
  events: EditorEvent[];
  last<T extends EditorEvent["type"]>(type: T): Extract<EditorEvent, { type: T }> | undefined;
  editorDom(): HTMLElement;
}

const opened: Session[] = [];

/** Opens the document `d` on a relay. */
export function open(relay = new FakeRelay(), user = { id: "u1", name: "Ada" }): Opened {
  const element = document.createElement("div");
  document.body.append(element);
  const events: EditorEvent[] = [];
  const session = new Session(element, { doc: "d", user }, { url: "ws://relay", key: "k", socket: relay.socketClass(), retry: 10 }, (event) => events.push(event));
  opened.push(session);
  return {
    session,
    relay,
    element,
    events,
    last: (type) => events.findLast((event) => event.type === type) as never,
    editorDom: () => element.querySelector<HTMLElement>(".ProseMirror")!,
  };
}

/** Closes what a test opened. */
export function closeAll(): void {
  for (const session of opened.splice(0)) session.close();
  document.body.replaceChildren();
}

/** The Tiptap editor behind an opened element. */
export const editorOf = (element: HTMLElement): import("@tiptap/core").Editor =>
  (element.querySelector(".ProseMirror") as unknown as { editor: import("@tiptap/core").Editor }).editor;
