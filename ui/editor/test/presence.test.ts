// People and carets: who is here, where they are, and that nothing they send can break the text.

import { Awareness, encodeAwarenessUpdate } from "y-protocols/awareness";
import { afterEach, expect, test, vi } from "vitest";
import * as Y from "yjs";
import { PALETTE, colorOf } from "../colors.ts";
import { colorBeside, peopleOf } from "../presence.ts";
import { closeAll, editorOf, fill, open, p, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(closeAll);

async function two() {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("The harbour was quiet."), p("Nobody came.")]);
  const ada = open(relay, { id: "u1", name: "Ada" });
  const bob = open(relay, { id: "u2", name: "Bob" });
  await until(() => ada.last("people")?.people.length === 2 && bob.last("people")?.people.length === 2);
  return { relay, ada, bob };
}

test("everybody is listed: oneself first, then people, then AI peers", () => {
  const awareness = new Awareness(new Y.Doc());
  awareness.setLocalStateField("user", { id: "u1", name: "Ada", color: "#123456", kind: "human" });
  const states = awareness.getStates();
  const ai = { id: "ai", name: "Aardvark", kind: "ai", model: "m-135", device: "CPU", quantisation: "q8", licence: "Apache-2.0" };
  states.set(1, { user: ai, ai: { state: "writing", request: "R", tokensPerSecond: 31.5 } });
  states.set(2, { user: { id: "u2", name: "Bob", color: "red; background: url(x)" } });
  states.set(3, {});
  states.set(4, { user: "nobody" } as never);
  const people = peopleOf(awareness);
  expect(people.map(({ name, kind, self }) => [name, kind, self])).toEqual([["Ada", "human", true], ["Bob", "human", false], ["Aardvark", "ai", false]]);
  expect(people[1]?.color).toBe(colorOf("u2"));
  expect(people[2]).toMatchObject({ model: "m-135", device: "CPU", quantisation: "q8", licence: "Apache-2.0", ai: { state: "writing", request: "R", tokensPerSecond: 31.5 } });
});

test("of two people with one colour one takes another, and not both", () => {
  const first = new Awareness(new Y.Doc());
  first.setLocalStateField("user", { id: "u1", name: "Ada" });
  const mine = colorOf("u1");
  const other = (clientId: number, user: object): void => void first.getStates().set(clientId, { user: { kind: "human", ...user } });
  other(first.clientID + 1, { id: "u2", name: "Bob", color: mine });
  expect(colorBeside(first, "u1", mine)).toBe(mine);
  other(first.clientID - 1, { id: "u3", name: "Cem", color: mine });
  other(first.clientID - 2, { id: "u4", name: "Dan", color: PALETTE[0] === mine ? PALETTE[1] : PALETTE[0] });
  const free = colorBeside(first, "u1", mine);
  expect(PALETTE).toContain(free);
  expect(peopleOf(first).filter((person) => !person.self).map((person) => person.color)).not.toContain(free);
  other(first.clientID - 1, { id: "u1", name: "Ada", color: mine });
  expect(colorBeside(first, "u1", mine)).toBe(mine);
});

test("people who come with one colour are told apart", async () => {
  const relay = new FakeRelay();
  fill(relay.doc("d"), [p("The harbour was quiet.")]);
  const same = Array.from({ length: 100 }, (_, index) => `v${index}`).filter((id) => colorOf(id) === colorOf("v0"));
  const ada = open(relay, { id: same[0] ?? "", name: "Ada" });
  const bob = open(relay, { id: same[1] ?? "", name: "Bob" });
  const colors = (window: typeof ada): string => (window.last("people")?.people ?? []).map(({ name, color }) => `${name} ${color}`).sort().join();
  await until(() => ada.last("people")?.people.length === 2 && new Set(ada.last("people")?.people.map(({ color }) => color)).size === 2);
  await until(() => colors(ada) === colors(bob));
});

test("a caret and a selection are shown to the others, with name and colour", async () => {
  const { ada, bob } = await two();
  const editor = editorOf(ada.element);
  editor.view.dom.focus();
  editor.commands.setTextSelection({ from: 17, to: 22 });
  const caret = (): HTMLElement | null => bob.element.querySelector(".ink-caret");
  await until(() => caret() !== null);
  expect(caret()?.querySelector(".ink-caret-label")?.textContent).toBe("Ada");
  expect(caret()?.style.getPropertyValue("--ink-color")).toBe(colorOf("u1"));
  expect(bob.element.querySelector(".ink-selection")?.textContent).toBe("quiet");
  expect(ada.element.querySelector(".ink-caret")).toBeNull();
  const element = caret();
  editorOf(bob.element).commands.insertContentAt(1, "Once: ");
  await until(() => bob.element.querySelector(".ink-selection")?.textContent === "quiet");
  expect(caret()).toBe(element);
  ada.session.setUser({ id: "u1", name: "Ada L.", color: "#0f766e" });
  await until(() => caret()?.textContent === "Ada L.");
  ada.session.close();
  await until(() => caret() === null && bob.last("people")?.people.length === 1);
});

test("a caret at the very beginning of the document is shown", async () => {
  const { ada, bob } = await two();
  editorOf(ada.element).view.dom.focus();
  editorOf(ada.element).commands.setTextSelection(1);
  await until(() => bob.element.querySelector("p .ink-caret") !== null);
  expect(bob.element.querySelector(".ink-caret")?.previousSibling).toBeNull();
});

test("whatever others put into their awareness, typing goes on", async () => {
  const { relay, ada, bob } = await two();
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const hostile = new Awareness(new Y.Doc());
  const cursors: unknown[] = [null, "here", { anchor: { item: { client: -1, clock: "x" } }, head: 5 }, { anchor: { tname: "meta" }, head: { tname: "nowhere" } }, { anchor: { tname: "default", assoc: 0 }, head: { tname: "default" } }];
  for (const cursor of cursors) {
    hostile.setLocalState({ user: { id: {}, name: ["x"], color: 7, kind: "ai" }, cursor, ai: "yes" });
    awarenessFrom(relay, hostile);
    hostile.setLocalState({ user: { id: "evil", name: "<b>Evil</b>", color: "#zzzzzz" }, cursor });
    awarenessFrom(relay, hostile);
    await settle(20);
  }
  editorOf(ada.element).commands.insertContentAt(1, "Still here. ");
  await until(() => bob.element.textContent?.includes("Still here.") === true);
  expect(bob.element.querySelector(".ink-caret-label b")).toBeNull();
  warn.mockRestore();
});

test("a caret layer that breaks costs the carets and not the text", async () => {
  const { relay, ada, bob } = await two();
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const create = vi.spyOn(document, "createElement");
  create.mockImplementation(() => {
    throw new Error("no elements today");
  });
  editorOf(ada.element).view.dom.focus();
  editorOf(ada.element).commands.setTextSelection(5);
  await until(() => warn.mock.calls.some(([message]) => String(message).includes("carets")));
  create.mockRestore();
  warn.mockRestore();
  editorOf(ada.element).commands.insertContentAt(1, "Still here. ");
  await until(() => bob.element.textContent?.includes("Still here.") === true);
  await until(() => relay.doc("d").getXmlFragment("default").toString().includes("Still here."));
});

test("one's own selection stays visible while the focus is elsewhere", async () => {
  const { ada } = await two();
  const editor = editorOf(ada.element);
  editor.view.dom.focus();
  editor.commands.setTextSelection({ from: 17, to: 22 });
  const bar = document.createElement("input");
  document.body.append(bar);
  bar.focus();
  await until(() => ada.element.querySelector(".ink-own-selection")?.textContent === "quiet");
  editor.view.dom.focus();
  await until(() => ada.element.querySelector(".ink-own-selection") === null);
});

test("every colour of the palette carries white words and stands out on light and dark pages", () => {
  const luminance = (hex: string): number => {
    const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const contrast = (a: string, b: string): number => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high! + 0.05) / (low! + 0.05);
  };
  for (const color of PALETTE) {
    expect(contrast(color, "#ffffff"), color).toBeGreaterThanOrEqual(4.5);
    expect(contrast(color, "#17171a"), color).toBeGreaterThanOrEqual(3);
  }
  expect(new Set(Array.from({ length: 200 }, (_, i) => colorOf(`user ${i}`))).size).toBe(PALETTE.length);
});

/** Sends somebody's awareness to everybody. */
function awarenessFrom(relay: FakeRelay, awareness: Awareness): void {
  relay.awareness("d", encodeAwarenessUpdate(awareness, [awareness.clientID]));
}
