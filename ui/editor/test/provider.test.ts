// The connection: what is saved, who may what, reconnecting, and words when something lasts.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import * as Y from "yjs";
import type { LinkListener } from "../provider.ts";
import { Link } from "../provider.ts";
import { settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

let relay: FakeRelay;
let links: Link[];
let notices: string[];
let stateless: string[];
let lost = 0;

beforeEach(() => {
  [relay, links, notices, stateless, lost] = [new FakeRelay(), [], [], [], 0];
});
afterEach(() => {
  vi.useRealTimers();
  for (const link of links.splice(0)) link.close();
});

function connect(): Link {
  const listener: LinkListener = {
    changed: () => undefined,
    synced: () => undefined,
    incoming: () => undefined,
    stateless: (payload) => stateless.push(payload),
    lost: () => void (lost += 1),
    notice: (_, message) => notices.push(message),
  };
  const user = { id: "u1", name: "Ada", color: "#112233" };
  const link = new Link({ doc: "d", url: "ws://relay", key: "secret", user, socket: relay.socketClass(), retry: 10 }, listener);
  links.push(link);
  return link;
}

const write = (link: Link, words: string): void => {
  const fragment = link.body.getXmlFragment("default");
  if (fragment.length === 0) fragment.insert(0, [new Y.XmlText()]);
  (fragment.get(0) as Y.XmlText).insert((fragment.get(0) as Y.XmlText).length, words);
};
const stored = (): string => relay.doc("d").getXmlFragment("default").toString();
const ready = (link: Link): Promise<void> => until(() => link.connection === "connected" && link.saved === "saved" && link.role !== null);

test("one socket carries body and margin, each introduced with key and person", async () => {
  const link = connect();
  expect(link.connection).toBe("connecting");
  await ready(link);
  expect(relay.sockets.size).toBe(1);
  expect([...relay.docs.keys()].sort()).toEqual(["d", "d~margin"]);
  const token = { key: "secret", user: { id: "u1", name: "Ada", color: "#112233" } };
  expect(relay.tokens).toEqual([token, token]);
});

test("saved is what the relay has confirmed", async () => {
  const link = connect();
  await ready(link);
  relay.holdAcks = true;
  write(link, "a");
  write(link, "b");
  expect(link.saved).toBe("saving");
  await until(() => stored() === "ab");
  expect(link.saved).toBe("saving");
  relay.release();
  await until(() => link.saved === "saved");
});

test("changes made without a connection are unsaved, and reach the relay once when it is back", async () => {
  const link = connect();
  await ready(link);
  relay.down = true;
  relay.drop();
  await until(() => link.connection === "offline");
  expect(link.saved).toBe("saved");
  write(link, "off");
  write(link, "line");
  expect(link.saved).toBe("unsaved");
  expect(lost).toBeGreaterThan(0);
  relay.holdAcks = true;
  relay.down = false;
  await until(() => stored() === "offline");
  expect(link.saved).toBe("saving");
  // What had queued up while offline was not sent a second time.
  expect(relay.updates.filter(({ name }) => name === "d")).toEqual([]);
  relay.release();
  await until(() => link.saved === "saved" && link.connection === "connected");
});

test("a document that the relay closes by itself is joined again and synced", async () => {
  const link = connect();
  await ready(link);
  relay.closePart("d", "too slow");
  await until(() => link.connection !== "connected");
  relay.edit("d", (doc) => doc.getXmlFragment("default").insert(0, [new Y.XmlText("while away")]));
  await until(() => link.body.getXmlFragment("default").toString() === "while away");
  expect(relay.sockets.size).toBe(1);
  write(link, "!");
  await until(() => stored() === "while away!");
  expect(notices).toEqual([]);
});

test("a connection that stays away is worth a word, with the relay's reason; one that comes back is not", async () => {
  const link = connect();
  await ready(link);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  relay.down = true;
  relay.drop("the server restarts");
  await vi.advanceTimersByTimeAsync(7900);
  expect(notices).toEqual([]);
  await vi.advanceTimersByTimeAsync(200);
  expect(notices).toHaveLength(1);
  expect(notices[0]).toContain("No connection to the server (the server restarts)");
  relay.down = false;
  await vi.advanceTimersByTimeAsync(2000);
  expect(link.connection).toBe("connected");
  relay.drop();
  await vi.advanceTimersByTimeAsync(9000);
  expect(notices).toHaveLength(1);
});

test("whom the relay does not let in is told so, and it is not asked again", async () => {
  relay.deny = "this key has expired";
  const link = connect();
  await until(() => notices.length > 0);
  expect(notices[0]).toContain("this key has expired");
  expect(link.connection).toBe("offline");
  const { length } = relay.tokens;
  await settle(150);
  expect(relay.tokens).toHaveLength(length);
  expect(notices).toHaveLength(1);
});

test("a document that was replaced is left as it is: the copy stays here, counts as unsaved, and nobody types in it", async () => {
  relay.epoch = "first";
  const link = connect();
  await ready(link);
  await until(() => link.saved === "saved");
  relay.deny = "epoch: this document was replaced on the server";
  relay.drop();
  await until(() => link.ended !== null);
  expect(relay.tokens.at(-1)).toMatchObject({ epoch: "first" });
  expect(link.ended).toEqual({ why: "replaced", message: "this document was replaced on the server" });
  expect([link.connection, link.saved, link.mayWrite, link.mayAsk]).toEqual(["offline", "unsaved", false, false]);
  expect(notices).toEqual([]);
});

test("whose right is taken away keeps what is there and is told why; what was saved stays saved", async () => {
  const link = connect();
  await ready(link);
  await until(() => link.saved === "saved");
  relay.deny = "this link has expired or was revoked";
  relay.drop();
  await until(() => link.ended !== null);
  expect(link.ended).toEqual({ why: "refused", message: "this link has expired or was revoked" });
  expect([link.saved, link.mayWrite]).toEqual(["saved", false]);
});

test("the relay's role decides who may what; without one its scope does", async () => {
  const link = connect();
  await ready(link);
  expect([link.mayWrite, link.mayAsk]).toEqual([true, true]);
  relay.stateless("d", { type: "welcome", role: "suggester" });
  await until(() => !link.mayWrite);
  expect(link.mayAsk).toBe(true);
  relay.stateless("d", { type: "welcome", role: "viewer" });
  await until(() => !link.mayAsk);
  relay.scope = "readonly";
  relay.role = "none of ours";
  const other = connect();
  await until(() => other.connection === "connected");
  expect(other.mayWrite).toBe(false);
});

test("a store that refuses makes everything unsaved until it can write again", async () => {
  const link = connect();
  await ready(link);
  relay.stateless("d", { type: "storage", ok: false, message: "The disk is full." });
  await until(() => link.storage === "The disk is full.");
  expect(link.saved).toBe("unsaved");
  relay.stateless("d", { type: "storage", ok: true });
  await until(() => link.saved === "saved");
});

test("a refused change is said, once", async () => {
  const link = connect();
  await ready(link);
  relay.refuseWrites = true;
  write(link, "x");
  write(link, "y");
  await until(() => notices.length > 0);
  await settle();
  expect(notices).toHaveLength(1);
  expect(link.saved).toBe("unsaved");
});

test("questions go behind the edits made before, and nowhere without a connection", async () => {
  const link = connect();
  expect(link.send("{}")).toBe(false);
  await ready(link);
  let before = "";
  relay.onStateless = (message, answer) => {
    before = stored();
    answer({ ...message, type: "decided" });
  };
  write(link, "typed first");
  expect(link.send(JSON.stringify({ type: "decide", seq: 1 }))).toBe(true);
  await until(() => stateless.length === 1);
  expect(before).toBe("typed first");
});

test("closing leaves no socket, no awareness and no timer behind", async () => {
  const link = connect();
  await ready(link);
  link.awareness.setLocalStateField("user", { id: "u1" });
  link.close();
  links = [];
  await settle();
  expect(relay.sockets.size).toBe(0);
  expect(link.awareness.getLocalState()).toBeNull();
  const { length } = relay.tokens;
  await settle(150);
  expect(relay.tokens).toHaveLength(length);
});
