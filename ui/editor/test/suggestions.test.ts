// Ghosts: decorations at the right place, growing without transactions, never part of the document.

import type { Editor } from "@tiptap/core";
import { afterEach, expect, test } from "vitest";
import * as Y from "yjs";
import { anchorAt } from "../anchor.ts";
import type { Opened } from "./help.ts";
import { closeAll, editorOf, fill, open, p, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(closeAll);

interface Stage extends Opened {
  editor: Editor;
  propose(id: string, fields: Record<string, unknown>, from: number, to: number, payload?: string): void;
  stream(id: string, words: string): void;
  ghosts(): HTMLElement[];
}

async function stage(lines = ["The harbour was quiet.", "Nobody came."]): Promise<Stage> {
  const relay = new FakeRelay();
  fill(relay.doc("d"), lines.map(p));
  const it = open(relay);
  await until(() => it.last("toolbar")?.editable === true);
  return {
    ...it,
    editor: editorOf(it.element),
    propose(id, fields, from, to, payload = "") {
      const anchor = anchorAt(relay.doc("d").getXmlFragment("default"), from, to);
      relay.edit("d~margin", (margin) => {
        const entry = new Y.Map<unknown>();
        margin.getMap("proposals").set(id, entry);
        const all = { id, author: { kind: "ai", id: "ai", name: "Model" }, kind: "insert", state: "streaming", at: 1, anchor, ...fields };
        for (const [key, value] of Object.entries(all)) entry.set(key, value);
        entry.set("payload", new Y.Text(payload));
      });
    },
    stream(id, words) {
      relay.edit("d~margin", (margin) => {
        const text = (margin.getMap("proposals").get(id) as Y.Map<unknown>).get("payload") as Y.Text;
        text.insert(text.length, words);
      });
    },
    ghosts: () => [...it.element.querySelectorAll<HTMLElement>(".ink-ghost")],
  };
}

test("an insertion streams into one element at its place, without a transaction for each word", async () => {
  const { propose, stream, ghosts, editor, element } = await stage();
  propose("P1", {}, 23, 23, "And");
  await until(() => ghosts().length === 1);
  const [ghost] = ghosts();
  expect(ghost!.previousSibling?.textContent).toBe("The harbour was quiet.");
  let transactions = 0;
  editor.on("transaction", () => (transactions += 1));
  for (const word of [" then", " *snow*", " fell", "."]) stream("P1", word);
  await until(() => ghost!.textContent === "And then snow fell.Model");
  expect(transactions).toBe(0);
  expect(ghosts()).toEqual([ghost]);
  expect(ghost!.innerHTML).toContain("<em>snow</em>");
  expect(ghost!.dataset).toMatchObject({ state: "streaming", kind: "insert", proposal: "P1" });
  expect(ghost!.getAttribute("aria-label")).toContain("not part of the document");
  expect(ghost!.contentEditable === "false" || ghost!.getAttribute("contenteditable") === "false").toBe(true);
  expect(ghost!.querySelector(".ink-ai-caret .ink-caret-label")?.textContent).toBe("Model");
  expect(editor.getText()).toBe("The harbour was quiet.\n\nNobody came.");
  expect(element.querySelector(".ink-ai-caret")?.hasAttribute("data-working")).toBe(false);
});

test("several blocks continue the line and go on below it", async () => {
  const { propose, ghosts } = await stage();
  propose("P1", { state: "pending" }, 23, 23, "First.\n\n- one\n- two");
  await until(() => ghosts().length === 2);
  const [inline, below] = ghosts();
  expect(inline!.hasAttribute("data-inline")).toBe(true);
  expect(inline!.textContent).toBe("First.");
  expect(below!.hasAttribute("data-block")).toBe(true);
  expect(below!.previousElementSibling?.tagName).toBe("P");
  expect([...below!.querySelectorAll("li")].map(({ textContent }) => textContent)).toEqual(["one", "two"]);
});

test("a replacement marks what it would take away", async () => {
  const { propose, ghosts, element } = await stage();
  propose("P1", { kind: "replace", state: "pending" }, 17, 22, "still");
  await until(() => ghosts().length === 1);
  const replaced = element.querySelector<HTMLElement>(".ink-ghost-replaced");
  expect(replaced?.textContent).toBe("quiet");
  expect(replaced?.dataset).toMatchObject({ proposal: "P1", state: "pending", kind: "replace" });
  expect(replaced?.nextElementSibling).toBe(ghosts()[0]);
});

test("a card that is no change of the text marks its place and shows no words there", async () => {
  const { propose, stream, ghosts, element } = await stage();
  propose("P1", { kind: "comment" }, 17, 22, "");
  stream("P1", "an idea");
  await until(() => element.querySelector(".ink-anchor")?.textContent === "quiet");
  expect(element.querySelector(".ink-ghost-replaced")).toBeNull();
  expect(ghosts().map(({ textContent }) => textContent).join("")).toBe("Model"); // the caret alone
});

test("ghosts keep their place while people type before them, here and elsewhere", async () => {
  const { propose, ghosts, editor, relay, element } = await stage();
  propose("P1", { kind: "replace", state: "pending" }, 17, 22, "still");
  await until(() => ghosts().length === 1);
  editor.commands.insertContentAt(1, "Once: ");
  await settle();
  expect(element.querySelector(".ink-ghost-replaced")?.textContent).toBe("quiet");
  const [ghost] = ghosts();
  relay.edit("d", (doc) => ((doc.getXmlFragment("default").get(0) as Y.XmlElement).get(0) as Y.XmlText).insert(0, "> "));
  await until(() => editor.getText().startsWith("> "));
  // At once, not a frame later: the ghost must not blink.
  expect(element.querySelector(".ink-ghost-replaced")?.textContent).toBe("quiet");
  expect(ghosts()).toEqual([ghost]);
  editor.commands.insertContentAt(editor.getText().indexOf("quiet") + 3, "XX");
  await until(() => ghosts()[0]?.hasAttribute("data-stale") === true);
  expect(element.querySelector(".ink-ghost-replaced")?.textContent).toBe("quXXiet");
});

test("nothing of a ghost gets into copies, the relay or the undo stack", async () => {
  const { propose, ghosts, editor, relay, last } = await stage();
  propose("P1", { state: "pending" }, 23, 23, "Ghostly words");
  await until(() => ghosts().length === 1);
  editor.commands.selectAll();
  const slice = editor.view.serializeForClipboard(editor.state.selection.content());
  expect(slice.text).not.toContain("Ghostly");
  expect(slice.dom.innerHTML).not.toContain("Ghostly");
  await settle();
  expect(relay.updates).toEqual([]);
  expect(last("toolbar")?.can.undo).toBe(false);
});

test("while it is worked on, a request shows who reads", async () => {
  const { session, relay, editor, element } = await stage();
  relay.edit("d", () => undefined);
  editor.commands.setTextSelection({ from: 17, to: 22 });
  const id = session.ask({ kind: "rewrite" });
  await until(() => element.querySelector<HTMLElement>(".ink-anchor")?.dataset["state"] === "queued");
  expect(element.querySelector(".ink-ai-caret")).toBeNull();
  relay.edit("d~margin", (margin) => {
    const request = margin.getMap("requests").get(id) as Y.Map<unknown>;
    request.set("state", "claimed");
    request.set("lease", { peer: "ai", until: 0 });
  });
  await until(() => element.querySelector(".ink-ai-caret")?.hasAttribute("data-working") === true);
});

test("revealing scrolls to the place and marks it for a moment", async () => {
  const { session, propose, ghosts, element } = await stage();
  propose("P1", { kind: "replace", state: "pending" }, 17, 22, "still");
  await until(() => ghosts().length === 1);
  session.reveal("P1");
  expect(element.querySelector(".ink-anchor.ink-reveal")).not.toBeNull();
  expect(ghosts()[0]?.classList.contains("ink-reveal")).toBe(true);
  session.reveal("no such card");
  await until(() => element.querySelector(".ink-reveal") === null);
});

test("during a composition nothing is drawn; after it everything is", async () => {
  const { propose, ghosts, editor } = await stage();
  const { view } = editor;
  Object.defineProperty(view, "composing", { value: true, configurable: true });
  propose("P1", { state: "pending" }, 23, 23, "later");
  await settle(100);
  expect(ghosts()).toEqual([]);
  Object.defineProperty(view, "composing", { value: false, configurable: true });
  view.dom.dispatchEvent(new Event("compositionend", { bubbles: true }));
  await until(() => ghosts().length === 1);
});
