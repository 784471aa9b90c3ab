// Keeps the surface from editing on its own: a window that merely shows a document must never change it.

import { Extension } from "@tiptap/core";
import { Plugin } from "@tiptap/pm/state";
import { fixTablesKey } from "@tiptap/pm/tables";
import type { ProsemirrorBinding } from "@tiptap/y-tiptap";
import { ySyncPluginKey } from "@tiptap/y-tiptap";
import * as Y from "yjs";
import { record } from "./json.ts";
import { TEXTBLOCKS } from "./schema.ts";

/**
 * prosemirror-tables mends uneven tables after any change. After a change from elsewhere every open window would mend
 * the same table, each adding its own cells; so only the window in which a person edits may.
 */
export const NoEditsOfItsOwn = Extension.create({
  name: "inkNoEditsOfItsOwn",
  addProseMirrorPlugins: () => {
    let followsRemote = true;
    return [
      new Plugin({
        filterTransaction: (tr) => {
          if (tr.getMeta(fixTablesKey) !== undefined) return !followsRemote;
          if (tr.docChanged) followsRemote = record(tr.getMeta(ySyncPluginKey))["isChangeOrigin"] === true;
          return true;
        },
      }),
    ];
  },
});

/**
 * Gives every empty textblock that this window makes an empty text of its own, in the same transaction. Without it the
 * first two people who type there at once would each bring a text, y-prosemirror would join the two in both windows,
 * and a letter would be doubled or lost.
 */
export function seedTextblocks(binding: ProsemirrorBinding): void {
  const write = binding._prosemirrorChanged.bind(binding);
  binding._prosemirrorChanged = (shown) => {
    const { doc } = binding;
    doc.transact((transaction) => {
      write(shown);
      const mine = doc.store.clients.get(doc.clientID) ?? [];
      const from = transaction.beforeState.get(doc.clientID) ?? 0;
      const made: Y.Item[] = [];
      for (let at = mine.length - 1; at >= 0; at--) {
        const struct = mine[at];
        if (struct === undefined || struct.id.clock + struct.length <= from) break;
        if (struct instanceof Y.Item && !struct.deleted) made.push(struct);
      }
      for (const { content } of made) {
        const type: unknown = content instanceof Y.ContentType ? content.type : null;
        if (type instanceof Y.XmlElement && TEXTBLOCKS.has(type.nodeName) && type.length === 0) type.insert(0, [new Y.XmlText()]);
      }
    }, ySyncPluginKey);
  };
}

/**
 * y-tiptap forgets, on every change from elsewhere, which ProseMirror node shows which Yjs type, and makes the whole
 * document's nodes anew: 100 ms for 140,000 characters. What changed has been taken out of the mapping at that point
 * anyhow (that is all y-prosemirror does), and positions are ours (points.ts), so the rest is kept.
 */
export function keepMapping(binding: ProsemirrorBinding): void {
  binding.mapping.clear = () => undefined;
}
