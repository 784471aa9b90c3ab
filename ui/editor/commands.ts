// The editing commands that the shell may run by name (seam.ts, Commands), and what is switched on at the selection.

import type { Editor } from "@tiptap/core";
import { yUndoPluginKey } from "@tiptap/y-tiptap";
import { record, some, words } from "./json.ts";
import type { Active, Commands } from "./seam.ts";

type Arguments = Record<string, unknown>;
type Run = (editor: Editor, args: Arguments) => unknown;

const level = (value: unknown): 1 | 2 | 3 | 4 | 5 | 6 => Math.min(6, Math.max(1, Math.round(Number(value)) || 1)) as 1 | 2 | 3 | 4 | 5 | 6;
const count = (value: unknown, otherwise: number): number => Math.min(50, Math.max(1, Math.round(Number(value)) || otherwise));

/** All but those that are not about the text: the session has them. */
const COMMANDS: { [name in Exclude<keyof Commands, "showAuthors">]: Run } = {
  toggleBold: (editor) => editor.chain().focus().toggleBold().run(),
  toggleItalic: (editor) => editor.chain().focus().toggleItalic().run(),
  toggleUnderline: (editor) => editor.chain().focus().toggleUnderline().run(),
  toggleStrike: (editor) => editor.chain().focus().toggleStrike().run(),
  toggleCode: (editor) => editor.chain().focus().toggleCode().run(),
  setParagraph: (editor) => editor.chain().focus().setParagraph().run(),
  toggleHeading: (editor, args) => editor.chain().focus().toggleHeading({ level: level(args["level"]) }).run(),
  toggleBulletList: (editor) => editor.chain().focus().toggleBulletList().run(),
  toggleOrderedList: (editor) => editor.chain().focus().toggleOrderedList().run(),
  toggleTaskList: (editor) => editor.chain().focus().toggleTaskList().run(),
  toggleBlockquote: (editor) => editor.chain().focus().toggleBlockquote().run(),
  toggleCodeBlock: (editor, args) => {
    const language = some(args["language"], 40);
    return editor.chain().focus().toggleCodeBlock(language === undefined ? undefined : { language }).run();
  },
  setLink: (editor, args) => setLink(editor, words(args["href"]).trim()),
  unsetLink: (editor) => editor.chain().focus().extendMarkRange("link").unsetLink().run(),
  insertTable: (editor, args) =>
    editor
      .chain()
      .focus()
      .insertTable({ rows: count(args["rows"], 3), cols: count(args["cols"], 3), withHeaderRow: args["withHeaderRow"] !== false })
      .run(),
  addRowBefore: (editor) => editor.chain().focus().addRowBefore().run(),
  addRowAfter: (editor) => editor.chain().focus().addRowAfter().run(),
  deleteRow: (editor) => editor.chain().focus().deleteRow().run(),
  addColumnBefore: (editor) => editor.chain().focus().addColumnBefore().run(),
  addColumnAfter: (editor) => editor.chain().focus().addColumnAfter().run(),
  deleteColumn: (editor) => editor.chain().focus().deleteColumn().run(),
  toggleHeaderRow: (editor) => editor.chain().focus().toggleHeaderRow().run(),
  mergeOrSplit: (editor) => editor.chain().focus().mergeOrSplit().run(),
  deleteTable: (editor) => editor.chain().focus().deleteTable().run(),
  setHorizontalRule: (editor) => editor.chain().focus().setHorizontalRule().run(),
  setHardBreak: (editor) => editor.chain().focus().setHardBreak().run(),
  insertImage: (editor, args) => {
    const src = words(args["src"]).trim();
    if (!/^(https?:\/\/|data:image\/|\/(?!\/))/i.test(src)) return false;
    return editor.chain().focus().setImage({ src, alt: some(args["alt"]), title: some(args["title"]) }).run();
  },
  sinkListItem: (editor) =>
    editor.chain().focus().sinkListItem("listItem").run() || editor.chain().focus().sinkListItem("taskItem").run(),
  liftListItem: (editor) =>
    editor.chain().focus().liftListItem("listItem").run() || editor.chain().focus().liftListItem("taskItem").run(),
  clearFormatting: (editor) => editor.chain().focus().unsetAllMarks().clearNodes().run(),
  selectAll: (editor) => editor.chain().focus().selectAll().run(),
  undo: (editor) => editor.chain().focus().undo().run(),
  redo: (editor) => editor.chain().focus().redo().run(),
  focus: (editor, args) => (args["at"] === "start" || args["at"] === "end" ? editor.commands.focus(args["at"]) : refocus(editor)),
  blur: (editor) => editor.commands.blur(),
};

/** Commands that change nothing, and so are allowed where nothing may be changed. */
const HARMLESS: ReadonlySet<string> = new Set(["focus", "blur", "selectAll"]);

/** Runs a command; false when there is none of that name or it does not apply here. */
export function runCommand(editor: Editor, name: string, args: unknown): boolean {
  if (!Object.hasOwn(COMMANDS, name) || (!editor.isEditable && !HARMLESS.has(name))) return false;
  // A command is a step of its own to undo, however quickly it follows what was typed.
  if (!HARMLESS.has(name) && name !== "undo" && name !== "redo") stepOfItsOwn(editor);
  return COMMANDS[name as keyof typeof COMMANDS](editor, record(args)) !== false;
}

function stepOfItsOwn(editor: Editor): void {
  const state: unknown = yUndoPluginKey.getState(editor.state);
  (state as { undoManager?: { stopCapturing(): void } } | undefined)?.undoManager?.stopCapturing();
}

/**
 * Back to where the caret was. Not by Tiptap's command: in WebKit that first focuses the element alone, which puts the
 * browser's caret to the document's start, and ours would follow it there.
 */
function refocus(editor: Editor): boolean {
  editor.view.focus();
  return true;
}

function setLink(editor: Editor, given: string): boolean {
  if (given === "") return editor.chain().focus().extendMarkRange("link").unsetLink().run();
  const href = /^([a-z][a-z0-9+.-]*:|[/#?])/i.test(given) ? given : `https://${given}`;
  const { empty } = editor.state.selection;
  if (!empty || editor.isActive("link")) return editor.chain().focus().extendMarkRange("link").setLink({ href }).run();
  if (!/^(https?:|mailto:|tel:|[/#?])/i.test(href)) return false;
  return editor.chain().focus().insertContent({ type: "text", text: given, marks: [{ type: "link", attrs: { href } }] }).run();
}

/** What is switched on at the selection. */
export function activeAt(editor: Editor): Active {
  const active: Active = {};
  for (const mark of ["bold", "italic", "underline", "strike", "code"] as const) if (editor.isActive(mark)) active[mark] = true;
  if (editor.isActive("link")) active.link = { href: words(editor.getAttributes("link")["href"]) };
  if (editor.isActive("heading")) active.heading = level(editor.getAttributes("heading")["level"]);
  for (const node of ["paragraph", "bulletList", "orderedList", "taskList", "blockquote", "table", "image"] as const) {
    if (editor.isActive(node)) active[node] = true;
  }
  if (editor.isActive("codeBlock")) active.codeBlock = { language: words(editor.getAttributes("codeBlock")["language"]) };
  return active;
}
