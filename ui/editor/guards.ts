// Keeps the surface from editing on its own: a window that merely shows a document must never change it.

import { Extension } from "@tiptap/core";
import { Plugin } from "@tiptap/pm/state";
import { fixTablesKey } from "@tiptap/pm/tables";
import { ySyncPluginKey } from "@tiptap/y-tiptap";
import { record } from "./json.ts";

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
