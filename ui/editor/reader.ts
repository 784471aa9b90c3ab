// Shows a document that must not be bound (it holds parts this version does not know): read-only, nothing written.

import { Editor, Node } from "@tiptap/core";
import type { JSONContent } from "@tiptap/core";
import { getSchema } from "@tiptap/core";
import * as Y from "yjs";
import { Frames } from "./frames.ts";
import { MARKS, NODES, contentExtensions } from "./schema.ts";
import type { YChild } from "./survey.ts";
import { elementName, markName } from "./survey.ts";

/** Stands for an element that this version does not know, with the text it holds. */
const Unknown = Node.create({
  name: "inkUnknown",
  group: "block",
  atom: true,
  addAttributes: () => ({ text: { default: "", rendered: false } }),
  renderHTML: ({ node }) => ["div", { class: "ink-unknown" }, String(node.attrs["text"])],
});

/** Mounts the view in `element` and keeps it up to date; returns how to take it away. */
export function mountReader(element: HTMLElement, fragment: Y.XmlFragment): () => void {
  const extensions = [...contentExtensions(), Unknown];
  const schema = getSchema(extensions);
  const read = (): JSONContent => {
    const content = fragment.toArray().map((child) => {
      const json = toJson(child as YChild)[0] ?? unknown(child as YChild);
      try {
        schema.nodeFromJSON(json).check();
        return json;
      } catch {
        return unknown(child as YChild);
      }
    });
    return { type: "doc", content: content.length > 0 ? content : [{ type: "paragraph" }] };
  };
  const editor = new Editor({ element, extensions, editable: false, content: read() });
  const frames = new Frames(() => void editor.commands.setContent(read(), { emitUpdate: false }));
  const changed = (): void => frames.request();
  fragment.observeDeep(changed);
  return () => {
    frames.stop();
    fragment.unobserveDeep(changed);
    editor.destroy();
  };
}

const unknown = (child: YChild): JSONContent => ({
  type: "inkUnknown",
  attrs: { text: `${child instanceof Y.XmlElement ? elementName(child) : "text"}: ${textOf(child)}`.slice(0, 2000) },
});

function toJson(child: YChild): JSONContent[] {
  if (child instanceof Y.XmlText) {
    return (child.toDelta() as { insert: unknown; attributes?: Record<string, object> }[])
      .filter(({ insert }) => typeof insert === "string" && insert !== "")
      .map(({ insert, attributes }) => ({
        type: "text",
        text: insert as string,
        marks: Object.entries(attributes ?? {})
          .filter(([name]) => Object.hasOwn(MARKS, markName(name)))
          .map(([name, attrs]) => ({ type: markName(name), attrs: { ...attrs } })),
      }));
  }
  if (!(child instanceof Y.XmlElement) || !Object.hasOwn(NODES, elementName(child))) return [unknown(child)];
  const content = (child.toArray() as YChild[]).flatMap(toJson);
  return [{ type: elementName(child), attrs: child.getAttributes(), ...(content.length > 0 ? { content } : {}) }];
}

function textOf(child: YChild): string {
  if (child instanceof Y.XmlText) return (child.toDelta() as { insert: unknown }[]).map(({ insert }) => String(insert)).join("");
  return child instanceof Y.XmlElement ? (child.toArray() as YChild[]).map(textOf).join(" ") : "";
}
