// The WebSocket-shaped link over Tauri's IPC, against a fake of what Tauri puts into the page.

import { HocuspocusProviderWebsocket } from "@hocuspocus/provider";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Link } from "../provider.ts";
import { TauriSocket, isDesktop } from "../transport-tauri.ts";
import { settle, until } from "./help.ts";
import { FakeRelay, FakeSocket } from "./relay.ts";

/** One link as the Rust side keeps it. */
interface Side {
  id: number;
  deliver(message: unknown): void;
  received: Uint8Array[];
  closed: boolean;
}

class FakeIpc {
  readonly sides: Side[] = [];
  readonly calls: { command: string; headers: unknown }[] = [];
  /** Milliseconds that the n-th send takes. */
  delay: (n: number) => number = () => 0;
  failOpen: unknown = null;
  failSend: unknown = null;
  private readonly callbacks = new Map<number, (message: unknown) => void>();
  private next = 1;
  private sends = 0;

  install(): void {
    Object.assign(window, {
      __TAURI_INTERNALS__: {
        transformCallback: (callback: (message: unknown) => void) => {
          const id = this.next++;
          this.callbacks.set(id, callback);
          return id;
        },
        unregisterCallback: (id: number) => this.callbacks.delete(id),
        invoke: (command: string, payload: unknown, options?: { headers?: Record<string, string> }) => this.invoke(command, payload, options?.headers),
      },
    });
  }

  private async invoke(command: string, payload: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    this.calls.push({ command, headers });
    if (command === "link_open") {
      await settle(1);
      if (this.failOpen !== null) throw this.failOpen;
      const channel = Number(/^__CHANNEL__:(\d+)$/.exec(JSON.parse(JSON.stringify(payload)).channel)?.[1]);
      let index = 0;
      const side: Side = {
        id: this.next++,
        received: [],
        closed: false,
        deliver: (message) => this.callbacks.get(channel)?.({ index: index++, message }),
      };
      this.sides.push(side);
      return side.id;
    }
    if (command === "link_send") {
      const bytes = payload as Uint8Array;
      await settle(this.delay(this.sends++));
      if (this.failSend !== null) throw this.failSend;
      const side = this.sides.find(({ id }) => String(id) === headers["link"]);
      if (!(bytes instanceof Uint8Array) || side === undefined) throw { code: "bad_request", message: "no such link" };
      side.received.push(bytes.slice());
      return null;
    }
    if (command === "link_close") {
      const side = this.sides.find(({ id }) => id === (payload as { link: number }).link);
      if (side) side.closed = true;
      return null;
    }
    throw new Error(`no command ${command}`);
  }
}

let ipc: FakeIpc;
beforeEach(() => {
  ipc = new FakeIpc();
  ipc.install();
});
afterEach(() => {
  delete (window as { __TAURI_INTERNALS__?: unknown }).__TAURI_INTERNALS__;
});

async function opened(): Promise<{ socket: TauriSocket; side: Side; events: Event[] }> {
  const socket = new TauriSocket("ipc://relay");
  const events: Event[] = [];
  for (const type of ["open", "message", "close", "error"]) socket.addEventListener(type, (event) => events.push(event));
  await until(() => socket.readyState === TauriSocket.OPEN);
  return { socket, side: ipc.sides[0]!, events };
}
const types = (events: Event[]): string[] => events.map(({ type }) => type);

test("the desktop is told by what Tauri puts into the page", () => {
  expect(isDesktop()).toBe(true);
});

test("frames go out as raw bytes, in order, however long each takes", async () => {
  const { socket, side } = await opened();
  ipc.delay = (n) => (n % 2 === 0 ? 20 : 1);
  const large = new Uint8Array(8);
  for (let i = 0; i < 6; i++) {
    large[3] = i;
    socket.send(large.subarray(3, 5));
  }
  expect(socket.bufferedAmount).toBe(12);
  await until(() => side.received.length === 6);
  expect(side.received.map((frame) => [...frame])).toEqual([0, 1, 2, 3, 4, 5].map((i) => [i, 0]));
  await until(() => socket.bufferedAmount === 0);
  expect(ipc.calls.filter(({ command }) => command === "link_send").every(({ headers }) => (headers as { link: string }).link === String(side.id))).toBe(true);
});

test("frames come in as array buffers, also over IPC's slow path", async () => {
  const { side, events } = await opened();
  side.deliver(new Uint8Array([1, 2]).buffer);
  side.deliver([3, 4]);
  side.deliver(new Uint8Array([9, 5, 6, 9]).subarray(1, 3));
  const bytes = events.filter(({ type }) => type === "message").map((event) => [...new Uint8Array((event as MessageEvent).data as ArrayBuffer)]);
  expect(bytes).toEqual([[1, 2], [3, 4], [5, 6]]);
});

test("closing hands over what is queued first", async () => {
  const { socket, side, events } = await opened();
  ipc.delay = () => 5;
  socket.send(new Uint8Array([1]));
  socket.send(new Uint8Array([2]));
  socket.close();
  expect(socket.readyState).toBe(TauriSocket.CLOSING);
  socket.send(new Uint8Array([3]));
  await until(() => socket.readyState === TauriSocket.CLOSED);
  expect(side.received.map(([byte]) => byte)).toEqual([1, 2]);
  expect(side.closed).toBe(true);
  expect(types(events)).toEqual(["open", "close"]);
});

test("closing before it is open leaves no link behind", async () => {
  const socket = new TauriSocket("ipc://relay");
  socket.close();
  await until(() => ipc.sides[0]?.closed === true);
  expect(socket.readyState).toBe(TauriSocket.CLOSED);
});

describe("what ends a link", () => {
  test("the relay, with its reason", async () => {
    const { socket, side, events } = await opened();
    side.deliver({ closed: "too slow" });
    expect(socket.readyState).toBe(TauriSocket.CLOSED);
    expect(events.at(-1)).toMatchObject({ type: "close", code: 1006, reason: "too slow" });
    side.deliver(new Uint8Array([1]).buffer);
    expect(types(events)).toEqual(["open", "close"]);
  });

  test("a frame that could not be handed over: the next one would leave a gap", async () => {
    const { socket, side, events } = await opened();
    ipc.failSend = { code: "no_such_link", message: "the connection 7 to the local relay is closed" };
    socket.send(new Uint8Array([1]));
    socket.send(new Uint8Array([2]));
    await until(() => socket.readyState === TauriSocket.CLOSED);
    await settle(20);
    expect(side.received).toEqual([]);
    expect(side.closed).toBe(true);
    expect(types(events)).toEqual(["open", "error", "close"]);
    expect(events.at(-1)).toMatchObject({ reason: "the connection 7 to the local relay is closed" });
  });

  test("a relay that cannot be reached", async () => {
    ipc.failOpen = "the relay has stopped";
    const socket = new TauriSocket("ipc://relay");
    const events: Event[] = [];
    for (const type of ["error", "close"]) socket.addEventListener(type, (event) => events.push(event));
    await until(() => socket.readyState === TauriSocket.CLOSED);
    expect(types(events)).toEqual(["error", "close"]);
  });
});

test("the provider works over it: handshake, edits both ways, a lost link", async () => {
  const relay = new FakeRelay();
  const bridge = async (): Promise<void> => {
    // Joins each new link of the page to the relay.
    for (let seen = 0; !done; await settle(1)) {
      const side = ipc.sides[seen];
      if (side === undefined) continue;
      seen += 1;
      const socket = new (relay.socketClass())("ws://relay") as FakeSocket;
      socket.addEventListener("message", (event) => side.deliver((event as MessageEvent).data));
      socket.addEventListener("close", () => side.deliver({ closed: "gone" }));
      await until(() => socket.readyState === 1);
      side.received.push = (...frames: Uint8Array[]) => (frames.forEach((frame) => socket.send(frame)), 0);
      for (const frame of side.received.splice(0)) socket.send(frame);
    }
  };
  let done = false;
  const bridged = bridge();
  const listener = { changed: () => undefined, synced: () => undefined, incoming: () => undefined, stateless: () => undefined, lost: () => undefined, notice: () => undefined };
  const link = new Link({ doc: "d", url: "ipc://relay", key: "", user: { id: "u", name: "U", color: "#000000" }, socket: TauriSocket, retry: 10 }, listener);
  await until(() => link.connection === "connected" && link.saved === "saved");
  link.body.getMap("meta").set("title", "From the window");
  await until(() => relay.doc("d").getMap("meta").get("title") === "From the window");
  relay.drop();
  await until(() => link.connection !== "connected");
  await until(() => link.connection === "connected" && link.saved === "saved");
  relay.edit("d", (doc) => doc.getMap("meta").set("title", "From elsewhere"));
  await until(() => link.body.getMap("meta").get("title") === "From elsewhere");
  link.close();
  done = true;
  await bridged;
});

test("HocuspocusProviderWebsocket still asks nothing more of a socket than this class has", () => {
  const source = Function.prototype.toString.call(HocuspocusProviderWebsocket);
  const used = new Set([...source.matchAll(/(?:this\.webSocket\??|\bws)\.(\w+)/g)].map(([, name]) => name));
  used.delete("identifier"); // set by the provider itself
  for (const name of used) expect(name! in TauriSocket.prototype || ["binaryType", "readyState"].includes(name!), name).toBe(true);
  expect(used.size).toBeGreaterThan(3);
});
