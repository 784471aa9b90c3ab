// window.inkling as Rust calls it: JSON in, JSON out, never a throw.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { EditorEvent, Inkling } from "../seam.ts";
import { accessKey, relayUrl, takeKey, withoutKey } from "../transport-ws.ts";
import { fill, p, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";
import "../index.ts";

const { inkling } = window as unknown as { inkling: Inkling };
let relay: FakeRelay;
let element: HTMLElement;

beforeEach(() => {
  relay = new FakeRelay();
  vi.stubGlobal("WebSocket", relay.socketClass());
  element = document.createElement("div");
  document.body.append(element);
});
afterEach(() => {
  inkling.close();
  vi.unstubAllGlobals();
  sessionStorage.clear();
  document.body.replaceChildren();
});

function open(doc: string, events: EditorEvent[], more: object = {}): void {
  inkling.open(element, JSON.stringify({ doc, user: { id: "u1", name: "Ada" }, theme: "dark", ...more }), (json) => events.push(JSON.parse(json) as EditorEvent));
}
const types = (events: EditorEvent[]): Set<string> => new Set(events.map(({ type }) => type));

test("opening tells everything once, and again only what changed", async () => {
  fill(relay.doc("d"), [p("text")]);
  relay.doc("d").getMap("meta").set("title", "A title");
  const events: EditorEvent[] = [];
  open("d", events, { key: "K" });
  await until(() => types(events).size >= 7);
  await settle();
  expect([...types(events)].sort()).toEqual(["cards", "people", "ready", "selection", "status", "title", "toolbar"]);
  expect(events).toContainEqual({ type: "title", title: "A title" });
  expect(element.className).toBe("ink-surface");
  expect(element.dataset).toMatchObject({ theme: "dark", role: "editor" });
  expect(relay.tokens[0]).toMatchObject({ key: "K" });
  const { length } = events;
  window.dispatchEvent(new Event("resize"));
  document.dispatchEvent(new Event("scroll"));
  await settle();
  expect(events).toHaveLength(length);
  inkling.setTitle("Another");
  await until(() => events.some((event) => event.type === "title" && event.title === "Another"));
  expect(relay.doc("d").getMap("meta").get("title")).toBe("Another");
});

test("another document takes the place of the one before, which says nothing any more", async () => {
  const first: EditorEvent[] = [];
  const second: EditorEvent[] = [];
  open("one", first);
  await until(() => types(first).has("ready"));
  open("two", second);
  const { length } = first;
  await until(() => types(second).has("ready"));
  expect(element.querySelectorAll(".ProseMirror")).toHaveLength(1);
  expect(relay.sockets.size).toBe(1);
  inkling.close();
  await settle();
  expect(first).toHaveLength(length);
  expect(relay.sockets.size).toBe(0);
  expect(element.className).toBe("");
  expect(element.childElementCount).toBe(0);
});

test("the shortcut for asking is passed on, and not to the browser", async () => {
  const events: EditorEvent[] = [];
  open("d", events);
  await until(() => types(events).has("toolbar"));
  const key = new KeyboardEvent("keydown", { key: "j", ctrlKey: true, bubbles: true, cancelable: true });
  element.querySelector(".ProseMirror")?.dispatchEvent(key);
  expect(types(events).has("askShortcut")).toBe(true);
  expect(key.defaultPrevented).toBe(true);
});

test("calls without a document, and with nonsense, answer and do not throw", async () => {
  expect(inkling.platform()).toBe("web");
  expect(inkling.ask('{"kind":"ask"}')).toBe("");
  expect(JSON.parse(await inkling.decide('{"proposal":"P","action":"accept"}'))).toMatchObject({ ok: false, code: "offline" });
  expect(JSON.parse(await inkling.preview("P"))).toMatchObject({ ok: false, code: "offline" });
  const events: EditorEvent[] = [];
  inkling.open(element, "no json", (json) => events.push(JSON.parse(json) as EditorEvent));
  expect(events).toMatchObject([{ type: "notice", level: "error" }]);
  open("d", events);
  await until(() => types(events).has("toolbar"));
  for (const nonsense of ["", "null", "[]", "{", '{"kind":"dance"}', '{"href":5}', "7"]) {
    inkling.command("setLink", nonsense);
    inkling.command("insertTable", nonsense);
    inkling.command("__proto__", nonsense);
    expect(inkling.ask(nonsense)).toBe("");
    inkling.setUser(nonsense);
    inkling.cancel(nonsense);
    inkling.reveal(nonsense);
    expect(JSON.parse(await inkling.decide(nonsense))).toMatchObject({ ok: false });
  }
});

test("the API: key, JSON, and words when nothing answers", async () => {
  sessionStorage.setItem("inkling.key", "K");
  const fetched = vi.fn(async () => new Response('{"id":"d"}', { status: 201 }));
  vi.stubGlobal("fetch", fetched);
  expect(JSON.parse(await inkling.api("POST", "/documents", '{"title":"T"}'))).toEqual({ status: 201, body: '{"id":"d"}' });
  expect(fetched).toHaveBeenCalledWith("/api/v1/documents", expect.objectContaining({ method: "POST", body: '{"title":"T"}', headers: { authorization: "Bearer K", "content-type": "application/json" } }));
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("connection refused")));
  const failed = JSON.parse(await inkling.api("GET", "/documents", null)) as { status: number; body: string };
  expect(failed.status).toBe(0);
  expect((JSON.parse(failed.body) as { message: string }).message).toContain("connection refused");
});

test("in the desktop window the API goes over IPC", async () => {
  const invoke = vi.fn(async () => ({ status: 200, body: "[]" }));
  vi.stubGlobal("__TAURI_INTERNALS__", { invoke });
  Object.assign(window, { __TAURI_INTERNALS__: { invoke } });
  try {
    expect(inkling.platform()).toBe("desktop");
    expect(JSON.parse(await inkling.api("GET", "/documents", null))).toEqual({ status: 200, body: "[]" });
    expect(invoke).toHaveBeenCalledWith("api_request", { method: "GET", path: "/api/v1/documents", body: null }, undefined);
    invoke.mockRejectedValueOnce({ code: "x", message: "the relay has stopped" } as never);
    expect(await inkling.api("GET", "/documents", null)).toContain("the relay has stopped");
  } finally {
    delete (window as { __TAURI_INTERNALS__?: unknown }).__TAURI_INTERNALS__;
  }
});

test("the key of the address is taken out of it and kept for the tab, wherever in it it stands", () => {
  for (const [given, address, key] of [
    ["https://example.org/#/d/1?key=a%2Fb", "https://example.org/#/d/1", "a/b"],
    ["https://example.org/?key=a%2Fb#/d/1", "https://example.org/#/d/1", "a/b"],
    ["https://example.org/x?y=1#/d/a%20b?key=k&z=2", "https://example.org/x?y=1#/d/a%20b?z=2", "k"],
    ["https://example.org/#/?key=k", "https://example.org/#/", "k"],
    ["https://example.org/?key=", "https://example.org/", ""],
  ] as const) {
    expect(withoutKey(given), given).toEqual({ address, key });
  }
  expect(withoutKey("https://example.org/#/d/2")).toBeNull();
  expect(accessKey()).toBe("");
  window.history.replaceState(null, "", "/#/d/1?key=secret");
  expect(takeKey()).toBe(true);
  expect(window.location.hash).toBe("#/d/1");
  expect(accessKey()).toBe("secret");
  expect(takeKey()).toBe(false);
  window.history.replaceState(null, "", "/#/d/2?key=secret");
  expect(takeKey(), "the same key is no news").toBe(false);
  expect(window.location.hash).toBe("#/d/2");
});

test("the relay is where the page came from", () => {
  const at = (href: string): Location => new URL(href) as unknown as Location;
  expect(relayUrl(at("https://example.org/?key=x"))).toBe("wss://example.org/hocuspocus");
  expect(relayUrl(at("http://127.0.0.1:8080/"))).toBe("ws://127.0.0.1:8080/hocuspocus");
});
