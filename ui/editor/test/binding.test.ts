// The surface never edits on its own, never deletes what it does not know, and undoes only its own person's edits.

import { afterEach, expect, test } from "vitest";
import * as Y from "yjs";
import { closeAll, editorOf, fill, open, p, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(closeAll);

const table = {
  type: "table",
  content: [
    { type: "tableRow", content: [{ type: "tableHeader", content: [p("a")] }, { type: "tableHeader", content: [p("b")] }] },
    { type: "tableRow", content: [{ type: "tableCell", content: [p("c")] }, { type: "tableCell", content: [p("d")] }] },
  ],
};
const rich = [
  { type: "heading", attrs: { level: 2 }, content: [{ type: "text", text: "Title" }] },
  {
    type: "paragraph",
    content: [
      { type: "text", text: "bold code", marks: [{ type: "bold" }, { type: "code" }] },
      { type: "hardBreak" },
      { type: "text", text: "link", marks: [{ type: "link", attrs: { href: "https://example.org" } }] },
    ],
  },
  { type: "orderedList", attrs: { start: 3 }, content: [{ type: "listItem", content: [{ type: "codeBlock", content: [{ type: "text", text: "x" }] }] }] },
  { type: "taskList", content: [{ type: "taskItem", attrs: { checked: true }, content: [p("done")] }] },
  { type: "blockquote", content: [p("quoted")] },
  table,
  { type: "image", attrs: { src: "/a.png", alt: "A" } },
  { type: "horizontalRule" },
  p(""),
];

/** Opens, looks around as a reader does, loses the connection, comes back, closes; answers what was sent. */
async function visit(relay: FakeRelay): Promise<number> {
  const before = Y.encodeStateAsUpdate(relay.doc("d"));
  const { last, element, session } = open(relay);
  await until(() => last("status")?.saved === "saved" && last("toolbar") !== undefined);
  const editor = editorOf(element);
  editor.commands.focus("end");
  editor.commands.selectAll();
  editor.commands.setTextSelection(1);
  await settle();
  const { length } = relay.tokens;
  relay.drop();
  await until(() => relay.tokens.length === length + 2 && last("status")?.saved === "saved");
  await settle();
  session.close();
  await settle();
  expect(Y.encodeStateAsUpdate(relay.doc("d"))).toEqual(before);
  return relay.updates.length;
}

test("an empty document stays empty", async () => {
  const relay = new FakeRelay();
  expect(await visit(relay)).toBe(0);
  expect(relay.doc("d").store.clients.size).toBe(0);
});

test("a document with every node is not touched", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), rich);
  expect(await visit(relay)).toBe(0);
});

test("attributes that other clients leave out are not filled in", async () => {
  const relay = new FakeRelay();
  const list = new Y.XmlElement("orderedList");
  const item = new Y.XmlElement("listItem");
  const paragraph = new Y.XmlElement("paragraph");
  paragraph.insert(0, [new Y.XmlText("no start attribute")]);
  item.insert(0, [paragraph]);
  list.insert(0, [item]);
  relay.doc("d").getXmlFragment("default").insert(0, [list, new Y.XmlElement("paragraph")]);
  expect(await visit(relay)).toBe(0);
});

test("an uneven table from elsewhere is left alone by windows that only look", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("x")]);
  const { last, element } = open(relay);
  await until(() => last("toolbar") !== undefined);
  relay.edit("d", (doc) => {
    const other = new Y.Doc();
    fill(other, [table]);
    const made = other.getXmlFragment("default").get(0) as Y.XmlElement;
    const copy = made.clone() as Y.XmlElement;
    doc.getXmlFragment("default").push([copy]);
    (copy.get(1) as Y.XmlElement).delete(1, 1);
  });
  await until(() => element.querySelectorAll("td").length === 1);
  await settle();
  expect(relay.updates).toEqual([]);
});

test("typing reaches the relay, and what others type reaches the window", async () => {
  const { relay, last, element } = open();
  await until(() => last("toolbar") !== undefined);
  editorOf(element).commands.insertContent("Hello");
  await until(() => relay.doc("d").getXmlFragment("default").toString() === "<paragraph>Hello</paragraph>");
  relay.edit("d", (doc) => ((doc.getXmlFragment("default").get(0) as Y.XmlElement).get(0) as Y.XmlText).insert(5, " world"));
  await until(() => element.textContent?.includes("Hello world") === true);
});

test("an unknown node makes the document read-only and survives", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("before")]);
  const drawing = new Y.XmlElement("drawing");
  drawing.insert(0, [new Y.XmlText("ink")]);
  relay.doc("d").getXmlFragment("default").push([drawing]);
  const { last, element } = open(relay);
  await until(() => last("notice") !== undefined && last("toolbar") !== undefined);
  expect(last("notice")?.message).toContain("drawing");
  expect(last("toolbar")?.editable).toBe(false);
  expect(element.querySelector(".ink-unknown")?.textContent).toContain("ink");
  await settle();
  expect(relay.updates).toEqual([]);
  expect(relay.doc("d").getXmlFragment("default").toString()).toContain("<drawing>ink</drawing>");
});

test("an unknown node that arrives later is not deleted either", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("before")]);
  const { last, element } = open(relay);
  await until(() => last("toolbar")?.editable === true);
  relay.edit("d", (doc) => doc.getXmlFragment("default").push([new Y.XmlElement("drawing")]));
  await until(() => last("notice")?.message.includes("drawing") === true);
  await until(() => last("toolbar")?.editable === false);
  await settle();
  expect(relay.updates).toEqual([]);
  expect(relay.doc("d").getXmlFragment("default").toString()).toContain("drawing");
  expect(element.textContent).toContain("before");
  relay.edit("d", (doc) => doc.getXmlFragment("default").delete(1, 1));
  await until(() => last("toolbar")?.editable === true);
});

test("unknown marks, there before or arriving later, are carried through edits", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("glowing text")]);
  const text = (relay.doc("d").getXmlFragment("default").get(0) as Y.XmlElement).get(0) as Y.XmlText;
  text.format(0, 7, { glow: { tint: "red" }, "comment--0gqPOsAb": { id: 7 } });
  const { last, element } = open(relay);
  await until(() => last("toolbar")?.editable === true);
  editorOf(element).commands.insertContentAt(9, "my ");
  await until(() => text.toString().includes("my "));
  relay.edit("d", () => text.format(12, 2, { spark: {} }));
  await settle();
  editorOf(element).commands.insertContentAt(1, "Oh ");
  await until(() => text.toString().includes("Oh "));
  expect(last("notice")).toBeUndefined();
  const marks = (text.toDelta() as { insert: string; attributes?: object }[]).map(({ insert, attributes }) => [insert, attributes]);
  expect(marks).toEqual([
    ["Oh ", undefined],
    ["glowing", { glow: { tint: "red" }, "comment--0gqPOsAb": { id: 7 } }],
    [" my t", undefined],
    ["ex", { spark: {} }],
    ["t", undefined],
  ]);
});

test("a misplaced node with text is shown read-only instead of being deleted", async () => {
  const relay = new FakeRelay();
  const stray = new Y.XmlElement("tableCell");
  const inner = new Y.XmlElement("paragraph");
  inner.insert(0, [new Y.XmlText("stray")]);
  stray.insert(0, [inner]);
  const list = new Y.XmlElement("bulletList");
  list.insert(0, [stray]);
  relay.doc("d").getXmlFragment("default").insert(0, [list]);
  const { last, element } = open(relay);
  await until(() => last("notice") !== undefined);
  expect(element.textContent).toContain("stray");
  await settle();
  expect(relay.updates).toEqual([]);
});

test("attributes of other clients are carried through edits", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("text")]);
  const paragraph = relay.doc("d").getXmlFragment("default").get(0) as Y.XmlElement;
  paragraph.setAttribute("textAlign", "right");
  const { last, element } = open(relay);
  await until(() => last("toolbar")?.editable === true);
  editorOf(element).commands.insertContentAt(1, "more ");
  await until(() => paragraph.toString().includes("more text"));
  expect(paragraph.getAttribute("textAlign")).toBe("right");
  relay.edit("d", () => paragraph.setAttribute("lineHeight", "2"));
  await settle();
  editorOf(element).commands.insertContentAt(1, "even ");
  await until(() => paragraph.toString().includes("even more text"));
  expect(paragraph.getAttribute("lineHeight")).toBe("2");
});

test("undo takes back one's own edits and nobody else's", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("theirs")]);
  const { last, element, session } = open(relay);
  await until(() => last("toolbar") !== undefined);
  expect(last("toolbar")?.can).toEqual({ undo: false, redo: false });
  editorOf(element).commands.insertContentAt(7, " mine");
  await until(() => last("toolbar")?.can.undo === true);
  relay.edit("d", (doc) => ((doc.getXmlFragment("default").get(0) as Y.XmlElement).get(0) as Y.XmlText).insert(0, "still "));
  await until(() => element.textContent?.includes("still theirs mine") === true);
  session.command("undo", null);
  await until(() => element.querySelector(".ProseMirror")?.textContent === "still theirs");
  await until(() => last("toolbar")?.can.redo === true);
  session.command("undo", null);
  await settle();
  expect(element.querySelector(".ProseMirror")?.textContent).toBe("still theirs");
  session.command("redo", null);
  await until(() => element.querySelector(".ProseMirror")?.textContent === "still theirs mine");
});

test("a viewer cannot type", async () => {
  const relay = new FakeRelay();
  relay.role = "viewer";
  fill(relay.doc("d"), [p("text")]);
  const { last, session, editorDom } = open(relay);
  await until(() => last("status")?.role === "viewer" && last("toolbar")?.editable === false);
  expect(editorDom().getAttribute("contenteditable")).toBe("false");
  session.command("toggleBold", null);
  session.setTitle("New");
  expect(session.ask({ kind: "ask", instruction: "?" })).toBe("");
  await settle();
  expect(relay.updates).toEqual([]);
  expect(last("status")?.saved).toBe("saved");
});

test("commands do what they say, and unknown ones nothing", async () => {
  const { relay, last, session, element } = open();
  await until(() => last("toolbar") !== undefined);
  const body = (): string => relay.doc("d").getXmlFragment("default").toString();
  editorOf(element).commands.insertContent("word");
  editorOf(element).commands.selectAll();
  session.command("toggleBold", null);
  session.command("toggleHeading", { level: 2 });
  session.command("setLink", { href: "example.org" });
  session.command("constructor", null);
  session.command("setLink", { href: "javascript:alert(1)" });
  await until(() => last("toolbar")?.active.heading === 2);
  expect(last("toolbar")?.active).toMatchObject({ bold: true, link: { href: "https://example.org" } });
  await until(() => body().includes("https://example.org") && body().includes("level=\"2\""));
  expect(body()).not.toContain("javascript");
});
