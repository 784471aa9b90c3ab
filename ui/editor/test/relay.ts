// A small relay in memory that speaks Hocuspocus 4's framing, and a WebSocket class that reaches it.

import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import * as awareness from "y-protocols/awareness";
import * as sync from "y-protocols/sync";
import * as Y from "yjs";

const SYNC = 0;
const AWARENESS = 1;
const AUTH = 2;
const STATELESS = 5;
const CLOSE = 7;
const SYNC_STATUS = 8;

/** What the relay has heard, and how it answers. */
export class FakeRelay {
  readonly docs = new Map<string, Y.Doc>();
  readonly sockets = new Set<FakeSocket>();
  /** Frames of updates (not handshakes) that clients sent, by document. */
  readonly updates: { name: string; update: Uint8Array }[] = [];
  readonly tokens: unknown[] = [];
  role = "editor";
  /** Told to whoever joins; "" for none. */
  epoch = "";
  scope: "read-write" | "readonly" = "read-write";
  /** Refuses authentication with these words. */
  deny: string | null = null;
  /** Accepts no connection. */
  down = false;
  /** Holds acknowledgements back until release(). */
  holdAcks = false;
  /** Answers SyncStatus(false) and drops updates. */
  refuseWrites = false;
  onStateless: (message: Record<string, unknown>, answer: (reply: unknown) => void) => void = () => undefined;
  private held: (() => void)[] = [];

  doc(name: string): Y.Doc {
    const known = this.docs.get(name) ?? new Y.Doc();
    this.docs.set(name, known);
    return known;
  }

  /** The class to give to a Link. */
  socketClass(): new (url: string) => FakeSocket {
    const relay = this;
    return class extends FakeSocket {
      constructor(url: string) {
        super(url, relay);
      }
    };
  }

  release(): void {
    this.holdAcks = false;
    for (const ack of this.held.splice(0)) ack();
  }

  /** Cuts all connections. */
  drop(reason = ""): void {
    for (const socket of [...this.sockets]) socket.end(1001, reason);
  }

  /** Closes one document on all connections and keeps the sockets. */
  closePart(name: string, reason: string): void {
    for (const socket of this.sockets) socket.deliver(frame(name, CLOSE, (e) => encoding.writeVarString(e, reason)));
  }

  broadcast(name: string, update: Uint8Array, except?: FakeSocket): void {
    const message = frame(name, SYNC, (e) => sync.writeUpdate(e, update));
    for (const socket of this.sockets) if (socket !== except) socket.deliver(message);
  }

  stateless(name: string, payload: unknown): void {
    for (const socket of this.sockets) socket.deliver(frame(name, STATELESS, (e) => encoding.writeVarString(e, JSON.stringify(payload))));
  }

  /** Sends an awareness update to everybody, and remembers it for who comes later. */
  awareness(name: string, update: Uint8Array, from?: FakeSocket): void {
    const states = this.states(name);
    const known = (changes: { added: number[] }): void => changes.added.forEach((client) => from?.clients.add(client));
    states.on("change", known);
    awareness.applyAwarenessUpdate(states, update, from);
    states.off("change", known);
    const message = frame(name, AWARENESS, (e) => encoding.writeVarUint8Array(e, update));
    for (const socket of this.sockets) if (socket !== from) socket.deliver(message);
  }

  /** A connection is gone: its people are too. */
  left(socket: FakeSocket): void {
    for (const [name, states] of this.present) {
      const gone = [...socket.clients].filter((client) => states.states.has(client));
      if (gone.length === 0) continue;
      awareness.removeAwarenessStates(states, gone, "left");
      this.awareness(name, awareness.encodeAwarenessUpdate(states, gone));
    }
  }

  private readonly present = new Map<string, awareness.Awareness>();

  private states(name: string): awareness.Awareness {
    let states = this.present.get(name);
    if (states === undefined) {
      states = new awareness.Awareness(new Y.Doc());
      clearInterval(states._checkInterval as ReturnType<typeof setInterval>);
      states.setLocalState(null);
      this.present.set(name, states);
    }
    return states;
  }

  /** Changes a document as another client would. */
  edit(name: string, work: (doc: Y.Doc) => void): void {
    const doc = this.doc(name);
    const before = Y.encodeStateVector(doc);
    doc.transact(() => work(doc));
    this.broadcast(name, Y.encodeStateAsUpdate(doc, before));
  }

  receive(socket: FakeSocket, bytes: Uint8Array): void {
    const decoder = decoding.createDecoder(bytes);
    const name = decoding.readVarString(decoder);
    const type = decoding.readVarUint(decoder);
    if (type === AUTH) this.authenticate(socket, name, decoder);
    else if (type === SYNC) this.sync(socket, name, decoder);
    else if (type === AWARENESS) this.awareness(name, decoding.readVarUint8Array(decoder), socket);
    if (type === STATELESS) {
      const message = JSON.parse(decoding.readVarString(decoder)) as Record<string, unknown>;
      this.onStateless(message, (reply) => socket.deliver(frame(name, STATELESS, (e) => encoding.writeVarString(e, JSON.stringify(reply)))));
    }
  }

  private authenticate(socket: FakeSocket, name: string, decoder: decoding.Decoder): void {
    decoding.readVarUint(decoder);
    this.tokens.push(JSON.parse(decoding.readVarString(decoder)));
    const denied = this.deny;
    socket.deliver(
      frame(name, AUTH, (e) => {
        encoding.writeVarUint(e, denied === null ? 2 : 1);
        encoding.writeVarString(e, denied ?? this.scope);
      }),
    );
    if (denied === null && !name.endsWith("~margin")) {
      const states = this.states(name);
      const everybody = awareness.encodeAwarenessUpdate(states, [...states.getStates().keys()]);
      socket.deliver(frame(name, AWARENESS, (e) => encoding.writeVarUint8Array(e, everybody)));
      socket.deliver(frame(name, STATELESS, (e) => encoding.writeVarString(e, JSON.stringify({ type: "welcome", role: this.role, peer: "p", ...(this.epoch === "" ? {} : { epoch: this.epoch }) }))));
    }
  }

  private sync(socket: FakeSocket, name: string, decoder: decoding.Decoder): void {
    if (this.deny !== null) return;
    const doc = this.doc(name);
    const kind = decoding.readVarUint(decoder);
    if (kind === sync.messageYjsSyncStep1) {
      const vector = decoding.readVarUint8Array(decoder);
      socket.deliver(frame(name, SYNC, (e) => sync.writeSyncStep2(e, doc, vector)));
      socket.deliver(frame(name, SYNC, (e) => sync.writeSyncStep1(e, doc)));
      return;
    }
    const update = decoding.readVarUint8Array(decoder);
    if (kind === sync.messageYjsUpdate) this.updates.push({ name, update });
    const status = (ok: boolean): void => socket.deliver(frame(name, SYNC_STATUS, (e) => encoding.writeVarInt(e, ok ? 1 : 0)));
    if (this.refuseWrites && kind === sync.messageYjsUpdate) return status(false);
    Y.applyUpdate(doc, update, socket);
    this.broadcast(name, update, socket);
    if (this.holdAcks) this.held.push(() => status(true));
    else status(true);
  }
}

function frame(name: string, type: number, write: (encoder: encoding.Encoder) => void): Uint8Array {
  const encoder = encoding.createEncoder();
  encoding.writeVarString(encoder, name);
  encoding.writeVarUint(encoder, type);
  write(encoder);
  return encoding.toUint8Array(encoder);
}

/** As much of a WebSocket as the provider uses. */
export class FakeSocket extends EventTarget {
  binaryType = "arraybuffer";
  readyState = 0;
  /** Awareness clients that came over it. */
  readonly clients = new Set<number>();

  constructor(
    readonly url: string,
    private readonly relay: FakeRelay,
  ) {
    super();
    setTimeout(() => {
      if (this.readyState !== 0) return;
      if (relay.down) return this.end(1006, "");
      this.readyState = 1;
      relay.sockets.add(this);
      this.dispatchEvent(new Event("open"));
    });
  }

  send(bytes: Uint8Array): void {
    const copy = bytes.slice();
    queueMicrotask(() => {
      if (this.readyState === 1) this.relay.receive(this, copy);
    });
  }

  deliver(bytes: Uint8Array): void {
    const data = bytes.slice().buffer;
    setTimeout(() => {
      if (this.readyState === 1) this.dispatchEvent(Object.assign(new Event("message"), { data }));
    });
  }

  close(): void {
    this.end(1000, "");
  }

  end(code: number, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.relay.sockets.delete(this);
    this.relay.left(this);
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }
}
