// Cards: requests and proposals of the margin with what has been decided, as the shell gets them.

import { afterEach, describe, expect, test } from "vitest";
import * as Y from "yjs";
import type { Anchor } from "../anchor.ts";
import { effective } from "../margin.ts";
import type { Decision } from "../margin.ts";
import type { Card } from "../seam.ts";
import { closeAll, editorOf, fill, open, p, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(closeAll);

/** Opens a document with two lines and selects a word of the first. */
async function opened(relay = new FakeRelay()) {
  fill(relay.doc("d"), [p("The harbour was quiet."), p("Nobody came.")]);
  const it = open(relay);
  await until(() => it.last("toolbar")?.editable === true);
  const editor = editorOf(it.element);
  editor.commands.focus();
  editor.commands.setTextSelection({ from: 17, to: 22 });
  return { ...it, editor, cards: (): Card[] => it.last("cards")?.cards ?? [], card: (): Card | undefined => it.last("cards")?.cards[0] };
}

/** Answers a request as an AI peer does. */
function answer(relay: FakeRelay, request: string, id: string, fields: Record<string, unknown> = {}): void {
  relay.edit("d~margin", (margin) => {
    const asked = margin.getMap("requests").get(request) as Y.Map<unknown>;
    asked.set("state", "claimed");
    const entry = new Y.Map<unknown>();
    margin.getMap("proposals").set(id, entry);
    const author = { kind: "ai", id: "ai", name: "Model", model: "m-135", adapter: "law" };
    const all = { id, request, author, requester: asked.get("by"), kind: "replace", anchor: asked.get("anchor"), state: "streaming", at: 1, ...fields };
    for (const [key, value] of Object.entries(all)) entry.set(key, value);
    entry.set("payload", new Y.Text());
  });
}

const proposal = (doc: Y.Doc, id: string): Y.Map<unknown> => doc.getMap("proposals").get(id) as Y.Map<unknown>;

test("asking writes a request as SCHEMA.md has it", async () => {
  const { session, relay } = await opened();
  const id = session.ask({ kind: "rewrite", instruction: "shorter", to: "ai" });
  await until(() => relay.doc("d~margin").getMap("requests").has(id));
  const request = (relay.doc("d~margin").getMap("requests").get(id) as Y.Map<unknown>).toJSON();
  expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  expect(request).toMatchObject({ id, kind: "rewrite", by: { id: "u1", name: "Ada" }, instruction: "shorter", to: "ai", state: "open" });
  expect(Object.keys(request).sort()).toEqual(["anchor", "at", "by", "id", "instruction", "kind", "state", "to"]);
  const anchor = request["anchor"] as Anchor;
  expect(anchor).toMatchObject({ quote: "quiet", prefix: "The harbour was ", suffix: ".\nNobody came." });
  expect(anchor.start.assoc).toBe(0);
  expect(anchor.end.assoc).toBe(-1);
  expect(relay.updates.every(({ name }) => name === "d~margin")).toBe(true);
});

test("a card goes from queued over streaming and pending to decided, and the text is never touched", async () => {
  const { session, relay, cards, card, element } = await opened();
  const id = session.ask({ kind: "rewrite" });
  await until(() => cards().length === 1);
  expect(card()).toMatchObject({ id, request: id, kind: null, requestKind: "rewrite", state: "queued", author: null, mine: true, quote: "quiet", detached: false });
  answer(relay, id, "P1");
  for (const word of ["*still*", " and", " grey"]) relay.edit("d~margin", (margin) => (proposal(margin, "P1").get("payload") as Y.Text).insert((proposal(margin, "P1").get("payload") as Y.Text).length, word));
  await until(() => card()?.payload === "*still* and grey");
  expect(card()).toMatchObject({ id: "P1", request: id, kind: "replace", state: "streaming", payloadHtml: "<p><em>still</em> and grey</p>\n" });
  expect(card()?.author).toMatchObject({ kind: "ai", name: "Model", model: "m-135", adapter: "law" });
  expect(element.querySelector(".ink-ghost")?.textContent).toContain("still and grey");
  relay.edit("d~margin", (margin) => proposal(margin, "P1").set("state", "pending"));
  await until(() => card()?.state === "pending");
  expect(element.querySelector(".ink-ai-caret")).toBeNull();
  relay.edit("d", (body) => body.getMap("decisions").set("D1", { id: "D1", proposal: "P1", action: "accept", by: { id: "u2", name: "Bob" }, at: 2 }));
  await until(() => card()?.state === "accepted");
  expect(card()?.decidedBy).toEqual({ id: "u2", name: "Bob" });
  await until(() => element.querySelector(".ink-ghost") === null);
  relay.edit("d", (body) => body.getMap("decisions").set("D2", { id: "D2", proposal: "P1", action: "undo", undoes: "D1", by: { id: "u2", name: "Bob" }, at: 3 }));
  await until(() => card()?.state === "pending");
  expect(relay.updates.filter(({ name }) => name === "d")).toEqual([]);
});

test("cancelling withdraws an open or streaming request, by its id or its card's", async () => {
  const { session, relay, cards, card } = await opened();
  const state = (id: string): unknown => (relay.doc("d~margin").getMap("requests").get(id) as Y.Map<unknown> | undefined)?.get("state");
  const first = session.ask({ kind: "continue" });
  await until(() => cards().length === 1);
  session.cancel(first);
  await until(() => state(first) === "cancelled" && cards().length === 0);
  const second = session.ask({ kind: "continue" });
  await until(() => state(second) === "open");
  answer(relay, second, "P2");
  await until(() => card()?.id === "P2");
  session.cancel("P2");
  await until(() => state(second) === "cancelled" && card()?.state === "cancelled");
  relay.edit("d~margin", (margin) => (margin.getMap("requests").get(second) as Y.Map<unknown>).set("state", "done"));
  await settle();
  session.cancel("P2");
  session.cancel("no such request");
  await settle();
  expect(state(second)).toBe("done");
});

test("a changed text makes a replacement stale, a deleted one detaches it, and an insertion is neither while its place is there", async () => {
  const { session, relay, editor, cards } = await opened();
  const replace = session.ask({ kind: "rewrite" });
  editor.commands.setTextSelection(23);
  const insert = session.ask({ kind: "continue" });
  await until(() => relay.doc("d~margin").getMap("requests").size === 2);
  answer(relay, replace, "P1", { state: "pending" });
  answer(relay, insert, "P2", { state: "pending", kind: "insert" });
  const by = (id: string): Card | undefined => cards().find((card) => card.id === id);
  await until(() => by("P1")?.state === "pending" && by("P2")?.state === "pending");
  expect(by("P1")).toMatchObject({ stale: false, detached: false });
  editor.commands.insertContentAt(19, "XX");
  await until(() => by("P1")?.stale === true);
  expect(by("P1")?.detached).toBe(false);
  expect(by("P2")).toMatchObject({ stale: false, detached: false });
  editor.commands.deleteRange({ from: 1, to: 26 });
  await until(() => by("P1")?.detached === true);
  expect(by("P1")).toMatchObject({ stale: false, top: null });
  expect(cards().at(-1)?.id).toBe("P1");
  editor.commands.undo();
  await until(() => by("P1")?.detached === false);
});

test("an entry that does not read as SCHEMA.md says is left out, and hostile words are only words", async () => {
  const { relay, cards, element } = await opened();
  relay.edit("d~margin", (margin) => {
    margin.getMap("requests").set("R1", "not a map");
    margin.getMap("requests").set("R2", new Y.Map([["state", "dancing"]]));
    margin.getMap("proposals").set("P1", new Y.Map([["state", "pending"]]));
    const bad = new Y.Map<unknown>();
    margin.getMap("proposals").set("P2", bad);
    const anchor = { start: { item: { client: "x" } }, end: { type: 7 }, quote: "quiet" };
    const fields = { kind: "insert", state: "pending", anchor, author: 5, requester: null, stats: "fast", at: Number.NaN };
    for (const [key, value] of Object.entries(fields)) bad.set(key, value);
    bad.set("payload", new Y.Text("<img src=x onerror=alert(1)><script>alert(1)</script> ![p](https://evil.example/p.png) [l](javascript:alert(1))"));
  });
  await until(() => cards().length === 1);
  const [card] = cards();
  expect(card).toMatchObject({ id: "P2", author: { kind: "ai", name: "" }, stats: null });
  for (const html of [card!.payloadHtml, element.innerHTML]) expect(html).not.toMatch(/<img[^>]*(onerror|evil)|<script|href="javascript/);
  expect(element.querySelector(".ink-ghost")).not.toBeNull(); // its anchor was found by its quote
});

test("asking again takes the card's place, wherever it is now", async () => {
  const { session, relay, editor, cards, last } = await opened();
  const first = session.ask({ kind: "rewrite" });
  await until(() => cards().length === 1);
  editor.commands.insertContentAt(1, "Once more: ");
  editor.commands.setTextSelection(1);
  await until(() => relay.doc("d").getXmlFragment("default").toString().includes("Once more"));
  const second = session.ask({ kind: "rewrite", again: first });
  await until(() => relay.doc("d~margin").getMap("requests").has(second));
  expect((relay.doc("d~margin").getMap("requests").get(second) as Y.Map<unknown>).get("anchor")).toMatchObject({ quote: "quiet", prefix: "Once more: The harbour was " });
  editor.commands.deleteRange({ from: 1, to: 36 });
  await until(() => cards().every(({ detached }) => detached));
  expect(session.ask({ kind: "rewrite", again: first })).toBe("");
  expect(last("notice")?.message).toContain("gone");
});

test("the half-written answer of a peer that vanished gives way to the one of its successor", async () => {
  const { session, relay, cards } = await opened();
  const id = session.ask({ kind: "continue" });
  await until(() => relay.doc("d~margin").getMap("requests").has(id));
  answer(relay, id, "P1", { kind: "insert" });
  await until(() => cards()[0]?.id === "P1");
  answer(relay, id, "P2", { kind: "insert" });
  await until(() => cards().length === 1 && cards()[0]?.id === "P2");
});

test("of what is settled only the newest cards are kept", async () => {
  const { relay, cards } = await opened();
  relay.edit("d~margin", (margin) => {
    for (let i = 0; i < 40; i++) {
      const entry = new Y.Map<unknown>();
      margin.getMap("proposals").set(`P${i}`, entry);
      for (const [key, value] of Object.entries({ kind: "comment", state: "cancelled", at: i })) entry.set(key, value);
    }
  });
  await until(() => cards().length === 30);
  expect(Math.min(...cards().map(({ at }) => at))).toBe(10);
});

describe("the state that decisions give", () => {
  const made = (id: string, action: Decision["action"], more: Partial<Decision> = {}): Decision => ({ id, action, undoes: "", seen: [], whole: false, repaired: false, by: { id, name: id }, ...more });
  test.each<[string, Decision[], string | undefined, string?]>([
    ["nothing", [], undefined],
    ["accept", [made("1", "accept")], "accepted", "1"],
    ["reject", [made("1", "reject")], "rejected", "1"],
    ["accept, undo", [made("1", "accept"), made("2", "undo", { undoes: "1" })], "pending"],
    ["accept, undo, accept", [made("1", "accept"), made("2", "undo", { undoes: "1" }), made("3", "accept")], "accepted", "3"],
    ["two accepts apart: the smaller id stands", [made("2", "accept"), made("1", "accept")], "accepted", "1"],
    ["two accepts apart: one that kept no words goes first", [made("1", "accept"), made("2", "accept", { whole: true })], "accepted", "2"],
    ["a repaired accept does not count", [made("1", "accept", { repaired: true }), made("2", "reject")], "rejected", "2"],
    ["an accept and a rejection apart: the text is in", [made("1", "accept"), made("2", "reject")], "accepted", "1"],
    ["reject, undo that knew of it", [made("1", "reject"), made("2", "undo", { seen: ["1"] })], "pending"],
    ["reject, undo of something else", [made("3", "reject"), made("1", "accept"), made("2", "undo", { undoes: "1", seen: ["1"] })], "rejected", "3"],
  ])("%s", (_, decisions, state, by) => {
    expect(effective(decisions)?.state).toBe(state);
    if (by !== undefined) expect(effective(decisions)?.by.id).toBe(by);
  });
});
