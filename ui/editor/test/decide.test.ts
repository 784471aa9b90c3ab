// Decisions and previews: every question gets exactly one answer, in words where it is no.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Decisions } from "../decide.ts";

let sent: Record<string, unknown>[];
let connected: boolean;
let decisions: Decisions;

beforeEach(() => {
  vi.useFakeTimers();
  [sent, connected] = [[], true];
  decisions = new Decisions((payload) => (connected && sent.push(JSON.parse(payload) as Record<string, unknown>), connected));
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const answer = (message: Record<string, unknown>): boolean => decisions.receive(JSON.stringify(message));

test("answers find their questions by number, in any order", async () => {
  const first = decisions.decide({ proposal: "P1", action: "accept" });
  const second = decisions.decide({ proposal: "P2", action: "reject" });
  const third = decisions.preview("P1");
  expect(sent).toEqual([
    { type: "decide", proposal: "P1", action: "accept", seq: 1 },
    { type: "decide", proposal: "P2", action: "reject", seq: 2 },
    { type: "preview", proposal: "P1", seq: 3 },
  ]);
  const preview = { base: "a", current: "b", result: "c" };
  expect(answer({ type: "previewed", seq: 3, ok: true, stale: true, preview })).toBe(true);
  expect(answer({ type: "decided", seq: 2, ok: false, code: "already", message: "Bob has rejected it." })).toBe(true);
  expect(answer({ type: "decided", seq: 1, ok: true, decision: "D1" })).toBe(true);
  expect(await first).toEqual({ ok: true, decision: "D1" });
  expect(await second).toEqual({ ok: false, code: "already", message: "Bob has rejected it." });
  expect(await third).toEqual({ ok: true, stale: true, preview });
});

test("a stale accept brings the preview, and force is sent only when meant", async () => {
  const asked = decisions.decide({ proposal: "P", action: "accept", force: false });
  expect(sent[0]).not.toHaveProperty("force");
  answer({ type: "decided", seq: 1, ok: false, code: "stale", preview: { base: "a", current: "b", result: "c" } });
  const got = await asked;
  expect(got).toMatchObject({ ok: false, code: "stale", preview: { base: "a", current: "b", result: "c" } });
  expect(got.message).toContain("changed");
  const forced = decisions.decide({ proposal: "P", action: "accept", force: true });
  expect(sent[1]).toMatchObject({ force: true });
  answer({ type: "decided", seq: 2, ok: false, code: "a code of tomorrow" });
  expect(await forced).toMatchObject({ ok: false, code: "failed" });
});

test("without a connection, without an answer and with a lost connection there are words too", async () => {
  connected = false;
  expect(await decisions.decide({ proposal: "P", action: "accept" })).toMatchObject({ ok: false, code: "offline" });
  connected = true;
  const late = decisions.preview("P");
  await vi.advanceTimersByTimeAsync(15_000);
  expect(await late).toMatchObject({ ok: false, code: "timeout" });
  const cut = decisions.decide({ proposal: "P", action: "undo" });
  decisions.lost();
  expect(await cut).toMatchObject({ ok: false, code: "offline" });
  expect(answer({ type: "decided", seq: 3, ok: true })).toBe(true); // too late; nobody waits
});

test("other messages are left to others", () => {
  expect(answer({ type: "welcome" })).toBe(false);
  expect(decisions.receive("no json")).toBe(false);
  expect(decisions.receive("[]")).toBe(false);
});
