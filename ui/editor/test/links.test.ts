// Following links, pictures that lie elsewhere, and leaving a page with something unsaved in it.

import { afterEach, expect, test, vi } from "vitest";
import { wayOf } from "../follow.ts";
import { elsewhere } from "../pictures.ts";
import { closeAll, editorOf, fill, open, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(() => {
  closeAll();
  vi.restoreAllMocks();
});

const linked = (href: string) => ({
  type: "paragraph",
  content: [{ type: "text", text: "words", marks: [{ type: "link", attrs: { href } }] }],
});

async function opened(href: string) {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [linked(href)]);
  const made = open(relay);
  await until(() => made.last("toolbar") !== undefined && made.last("status")?.saved === "saved");
  const click = (options: MouseEventInit = {}): boolean =>
    made.element.querySelector("a")!.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ...options }));
  return { ...made, click };
}

test("only what runs nothing is followed", () => {
  for (const href of ["https://a.example", "HTTP://a.example", "mailto:ann@a.example", "tel:+1"]) expect(wayOf(href), href).toBe("outside");
  expect(wayOf("#/d/1")).toBe("page");
  for (const href of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/api", "", " java\nscript:x"]) {
    expect(wayOf(href), href).toBe("refused");
  }
});

test("a click with Ctrl follows a link, a plain one puts the caret there; the browser follows none by itself", async () => {
  const open_ = vi.spyOn(window, "open").mockReturnValue(null);
  const { click } = await opened("https://a.example/x");
  expect(click(), "the browser may not follow it").toBe(false);
  expect(open_).not.toHaveBeenCalled();
  expect(click({ ctrlKey: true })).toBe(false);
  expect(open_).toHaveBeenCalledWith("https://a.example/x", "_blank", "noopener,noreferrer");
});

test("Alt+Enter follows the link that the caret is in", async () => {
  const open_ = vi.spyOn(window, "open").mockReturnValue(null);
  const { element } = await opened("https://a.example/x");
  const editor = editorOf(element);
  editor.commands.setTextSelection(3);
  editor.view.dom.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", altKey: true, bubbles: true, cancelable: true }));
  expect(open_).toHaveBeenCalledWith("https://a.example/x", "_blank", "noopener,noreferrer");
});

test("a link that could run something is refused in words", async () => {
  const open_ = vi.spyOn(window, "open").mockReturnValue(null);
  const { session, events } = await opened("https://a.example/x");
  await session.follow("javascript:alert(1)");
  expect(open_).not.toHaveBeenCalled();
  expect(events).toContainEqual({ type: "notice", level: "warning", message: "This link leads nowhere that Inkling can open." });
});

test("pictures on other servers are not fetched until somebody asks", async () => {
  const page = "https://here.example/app/";
  expect(elsewhere("data:image/png;base64,AA", page)).toBeNull();
  expect(elsewhere("/a.png", page)).toBeNull();
  expect(elsewhere("https://there.example/a.png", page)).toBe("there.example");
  const relay = new FakeRelay();
  fill(relay.doc("d"), [{ type: "image", attrs: { src: "https://there.example/a.png", alt: "A boat" } }]);
  const { element, last } = open(relay);
  await until(() => last("toolbar") !== undefined);
  expect(element.querySelector("img[src]:not(.ProseMirror-separator)")).toBeNull();
  expect(element.querySelector(".ink-picture-away")!.textContent).toContain("A boat (a picture on there.example)");
  element.querySelector<HTMLButtonElement>(".ink-picture-away button")!.click();
  expect(element.querySelector<HTMLImageElement>("img[alt='A boat']")!.src).toBe("https://there.example/a.png");
});

test("leaving warns exactly while something is unsaved", async () => {
  const { element, relay, last } = await opened("https://a.example/x");
  const leaves = (): boolean => window.dispatchEvent(new Event("beforeunload", { cancelable: true }));
  expect(leaves()).toBe(true);
  relay.holdAcks = true;
  editorOf(element).commands.insertContentAt(1, "new ");
  await until(() => last("status")?.saved === "saving");
  expect(leaves()).toBe(false);
  relay.release();
  await until(() => last("status")?.saved === "saved");
  expect(leaves()).toBe(true);
});

test("a new name reaches the relay at once", async () => {
  const { session, relay } = await opened("https://a.example/x");
  const before = relay.tokens.length;
  session.setUser({ id: "u1", name: "Ada Lovelace" });
  await until(() => relay.tokens.length === before + 2);
  expect(relay.tokens.slice(before)).toMatchObject([{ user: { name: "Ada Lovelace" } }, { user: { name: "Ada Lovelace" } }]);
});
