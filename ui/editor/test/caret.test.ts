// One's own caret stays beside the same words, whatever others do.

import { TextSelection } from "@tiptap/pm/state";
import { afterEach, expect, test } from "vitest";
import type * as Y from "yjs";
import { closeAll, editorOf, fill, open, p, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(closeAll);

/** Ada's caret in a document; Bob does something; answers the text of Ada's line with her caret as `|`. */
async function caretAfter(lines: string[], line: number, offset: number, bobs: (bob: import("@tiptap/core").Editor) => void, before?: (ada: import("@tiptap/core").Editor) => void): Promise<string> {
  const relay = new FakeRelay();
  fill(relay.doc("d"), lines.map(p));
  const windows = [open(relay, { id: "a", name: "Ada" }), open(relay, { id: "b", name: "Bob" })];
  for (const { last } of windows) await until(() => last("toolbar")?.editable === true);
  const [ada, bob] = windows.map(({ element }) => editorOf(element)) as [import("@tiptap/core").Editor, import("@tiptap/core").Editor];
  const start = lines.slice(0, line).reduce((sum, text) => sum + text.length + 2, 1);
  ada.commands.setTextSelection(start + offset);
  before?.(ada);
  await until(() => bob.state.doc.toString() === ada.state.doc.toString());
  bobs(bob);
  await until(() => bob.state.doc.toString() === ada.state.doc.toString());
  const { $head } = ada.state.selection;
  const text = $head.parent.textContent;
  return `${$head.index(0)}: ${text.slice(0, $head.parentOffset)}|${text.slice($head.parentOffset)}`;
}

test.each<[string, string[], number, number, (bob: import("@tiptap/core").Editor) => void, string]>([
  ["text comes before it", ["one two"], 0, 4, (bob) => bob.commands.insertContentAt(1, "zero "), "0: zero one |two"],
  ["text comes right there", ["one two"], 0, 4, (bob) => bob.commands.insertContentAt(5, "and "), "0: one |and two"],
  ["the word before it goes", ["one two ape"], 0, 8, (bob) => bob.commands.deleteRange({ from: 5, to: 9 }), "0: one |ape"],
  ["all around it goes", ["one two three"], 0, 6, (bob) => bob.commands.deleteRange({ from: 3, to: 11 }), "0: on|ree"],
  ["its empty line is typed into, and there are others", ["", "", ""], 0, 0, (bob) => bob.commands.insertContentAt(1, "x"), "0: |x"],
  ["its line is changed, and another is just alike", ["same", "same"], 0, 2, (bob) => bob.commands.insertContentAt(5, "!"), "0: sa|me!"],
  ["its line is split before it", ["one two three"], 0, 10, (bob) => void bob.chain().setTextSelection(4).splitBlock().run(), "1:  two th|ree"],
  ["its line is joined to the one before", ["one", "two three"], 1, 5, (bob) => void bob.chain().setTextSelection(6).joinBackward().run(), "0: onetwo t|hree"],
  ["its line becomes a heading", ["one", "two three"], 1, 5, (bob) => void bob.chain().setTextSelection(7).setHeading({ level: 2 }).run(), "1: two t|hree"],
  ["lines above it go", ["one", "two", "three"], 2, 2, (bob) => bob.commands.deleteRange({ from: 0, to: 10 }), "0: th|ree"],
  ["it is at the very beginning", ["one"], 0, 0, (bob) => bob.commands.insertContentAt(4, "!"), "0: |one!"],
  ["everything is replaced", ["one", "two"], 1, 3, (bob) => bob.commands.setContent("<p>new</p>"), "0: new|"],
])("%s", async (_, lines, line, offset, bobs, expected) => {
  expect(await caretAfter(lines, line, offset, bobs)).toBe(expected);
});

test("after an undo, a change from elsewhere does not bring an old caret back", async () => {
  const result = await caretAfter(["one", "two", "three"], 0, 3, (bob) => bob.commands.insertContentAt(1, "> "), (ada) => {
    ada.commands.insertContent(" typed");
    ada.commands.undo();
    ada.commands.setTextSelection(13);
  });
  expect(result).toBe("2: th|ree");
});

/** A window whose caret the browser has moved from 3 to 16 without having reported it, and the relay behind it. */
async function movedUnheard() {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("The harbour was quiet.")]);
  const { last, element } = open(relay);
  await until(() => last("toolbar")?.editable === true);
  const { view, state } = editorOf(element);
  view.focus();
  view.dispatch(state.tr.setSelection(TextSelection.create(state.doc, 3)));
  const observer = (view as unknown as { domObserver: { onSelectionChange(): void } }).domObserver;
  document.removeEventListener("selectionchange", observer.onSelectionChange); // the report that comes too late
  document.getSelection()?.collapse(view.domAtPos(16).node, view.domAtPos(16).offset);
  expect(view.state.selection.head).toBe(3);
  return { relay, view };
}

test("a caret that the browser has moved but not reported yet is not moved back by a change from elsewhere", async () => {
  const { relay, view } = await movedUnheard();
  relay.edit("d", (doc) => ((doc.getXmlFragment("default").get(0) as Y.XmlElement).get(0) as Y.XmlText).insert(0, "> "));
  await until(() => view.state.doc.textContent.startsWith("> "));
  expect(view.state.selection.head).toBe(18);
});

test("a key that follows a click at once is for where the click was", async () => {
  const { view } = await movedUnheard();
  view.dom.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 13, bubbles: true, cancelable: true }));
  expect(view.state.doc.firstChild?.textContent).toBe("The harbour was");
});
