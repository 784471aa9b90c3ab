// The connection of an open document: one socket, the body and the margin on it, and what the relay says about them.

import { HocuspocusProvider, HocuspocusProviderWebsocket } from "@hocuspocus/provider";
import { createDecoder, readVarInt, readVarString, readVarUint } from "lib0/decoding";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { callApi } from "./api.ts";
import { oneOf, parse, record, words } from "./json.ts";
import type { Ended, Role, User } from "./seam.ts";

/** What a connection is made with. */
export interface LinkOptions {
  doc: string;
  url: string;
  key: string;
  user: User & { color: string };
  /** A WebSocket class; the browser's own when missing. */
  socket?: unknown;
  /** Milliseconds before the first try to connect again; grows up to 30 times that. */
  retry?: number;
}

/** What a connection reports. Any of these may come at any time, also several times with the same values. */
export interface LinkListener {
  /** The socket, roles, or what is saved changed: look at the fields. */
  changed(): void;
  /** The body has arrived for the first time. */
  synced(): void;
  /** A message is about to be applied. */
  incoming(): void;
  /** A stateless message that is not the connection's own business. */
  stateless(payload: string): void;
  /** The connection was lost: answers to earlier questions will not come. */
  lost(): void;
  /** Words for the person. */
  notice(level: "info" | "warning" | "error", message: string): void;
}

const SYNC_STATUS = 8;
/** A connection that is back sooner was not worth a word. */
const LASTING_MS = 8000;
const ROLES = ["viewer", "suggester", "editor", "owner"] as const;

/** Keeps the two Yjs documents in step with the relay. */
export class Link {
  readonly body = new Y.Doc();
  readonly margin = new Y.Doc();
  readonly awareness: Awareness;
  /** As the relay said; null before it has. */
  role: Role | null = null;
  /** Words while the relay's disk refuses. */
  storage: string | undefined;
  /** The relay refused a change of this window's body. */
  refused = false;
  /** The relay does not go on with this document for this window; no more tries. */
  ended: Ended | null = null;
  /** Names the history of the document that this window has a copy of. */
  private epoch = "";
  private readonly socket: HocuspocusProviderWebsocket;
  private readonly bodyProvider: HocuspocusProvider;
  private readonly marginProvider: HocuspocusProvider;
  private everSynced = false;
  private closeReason = "";
  private lasting: ReturnType<typeof setTimeout> | undefined;
  private readonly rejoining = new Map<HocuspocusProvider, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly options: LinkOptions,
    private readonly listener: LinkListener,
  ) {
    const retry = options.retry ?? 1000;
    this.awareness = new Awareness(this.body);
    this.socket = new HocuspocusProviderWebsocket({
      url: options.url,
      autoConnect: false,
      delay: retry,
      minDelay: Math.min(retry, 500),
      maxDelay: retry * 30,
      ...(options.socket === undefined ? {} : { WebSocketPolyfill: options.socket }),
      // What piled up while there was no connection is in the documents; the handshake sends it, in order and counted.
      onOpen: () => forgetQueue(this.socket),
      onStatus: () => listener.changed(),
      onClose: ({ event }) => this.onClose(words(record(event)["reason"])),
    });
    const shared = { websocketProvider: this.socket, token: () => this.token() };
    this.bodyProvider = new HocuspocusProvider({
      ...shared,
      name: options.doc,
      document: this.body,
      awareness: this.awareness,
      onSynced: () => this.onSynced(),
      onUnsyncedChanges: () => listener.changed(),
      onStateless: ({ payload }) => this.onStateless(payload),
      onMessage: ({ message }) => this.onMessage(message.data),
      onAuthenticated: () => listener.changed(),
      onAuthenticationFailed: ({ reason }) => this.onDenied(reason),
      onClose: ({ event }) => this.onPartClosed(this.bodyProvider, words(record(event)["reason"])),
    });
    this.marginProvider = new HocuspocusProvider({
      ...shared,
      name: `${options.doc}~margin`,
      document: this.margin,
      awareness: null,
      onUnsyncedChanges: () => listener.changed(),
      onClose: ({ event }) => this.onPartClosed(this.marginProvider, words(record(event)["reason"])),
    });
    this.bodyProvider.attach();
    this.marginProvider.attach();
    void this.socket.connect();
  }

  /** As in the status event. */
  get connection(): "connected" | "connecting" | "offline" {
    if (this.ended !== null) return "offline";
    if (this.socket.status === "connected") return this.bodyProvider.isSynced ? "connected" : "connecting";
    return this.everSynced || this.closeReason !== "" ? "offline" : "connecting";
  }

  /** As in the status event. `saved` is what the relay confirmed after its disk had it. */
  get saved(): "saved" | "saving" | "unsaved" {
    if (this.refused || this.storage !== undefined) return "unsaved";
    // The relay's document is another one now, or none: what is here is nowhere else.
    if (this.ended !== null && this.ended.why !== "refused") return "unsaved";
    const open = (this.mayWrite ? this.bodyProvider.unsyncedChanges : 0) + (this.mayAsk ? this.marginProvider.unsyncedChanges : 0);
    if (open === 0) return "saved";
    return this.connection === "offline" ? "unsaved" : "saving";
  }

  /** Whether this person may type. A relay that names no role (any Hocuspocus server) is judged by its scope. */
  get mayWrite(): boolean {
    if (this.ended !== null) return false;
    if (this.role !== null) return this.role === "editor" || this.role === "owner";
    return this.bodyProvider.authorizedScope !== "readonly";
  }

  /** Whether this person may ask and comment. */
  get mayAsk(): boolean {
    return this.ended === null && this.role !== "viewer";
  }

  /** Sends on the body's channel, behind all edits made before; false when there is no connection. */
  send(payload: string): boolean {
    if (this.connection !== "connected") return false;
    this.bodyProvider.sendStateless(payload);
    return true;
  }

  /** Tells the relay who sits here now, where it knows it as somebody else. */
  renew(): void {
    if (this.socket.status !== "connected" || this.ended !== null) return; // the next connection begins with it
    void this.bodyProvider.sendToken();
    void this.marginProvider.sendToken();
  }

  /** Leaves. Awareness is withdrawn first, so that nobody sees a ghost. */
  close(): void {
    clearTimeout(this.lasting);
    for (const timer of this.rejoining.values()) clearTimeout(timer);
    this.bodyProvider.destroy();
    this.marginProvider.destroy();
    this.socket.destroy();
    this.body.destroy();
    this.margin.destroy();
  }

  private token(): string {
    const { key, user } = this.options;
    // With the epoch, so that this copy is not mixed into what a backup has put in the document's place.
    const epoch = this.epoch === "" ? {} : { epoch: this.epoch };
    return JSON.stringify({ ...(key === "" ? {} : { key }), user: { id: user.id, name: user.name, color: user.color }, ...epoch });
  }

  private onSynced(): void {
    clearTimeout(this.lasting);
    this.lasting = undefined;
    this.closeReason = "";
    const first = !this.everSynced;
    this.everSynced = true;
    if (first) this.listener.synced();
    this.listener.changed();
  }

  private onClose(why: string): void {
    // Tries in vain say less than what ended the connection.
    if (why !== "" || this.closeReason === "") this.closeReason = why || "the connection was lost";
    this.listener.lost();
    this.listener.changed();
    if (this.ended !== null || this.lasting !== undefined) return;
    this.lasting = setTimeout(() => {
      this.listener.notice("warning", `No connection to the server (${this.closeReason}). You can go on; your changes are sent as soon as it is back.`);
    }, LASTING_MS);
  }

  /** The relay closed one document (too slow, too large, restarted) and kept the socket: the provider would not come back. */
  private onPartClosed(provider: HocuspocusProvider, why: string): void {
    if (this.socket.status !== "connected" || this.ended !== null || this.rejoining.has(provider)) return;
    this.onClose(why);
    const rejoin = (): void => {
      this.rejoining.delete(provider);
      provider.detach();
      provider.attach();
    };
    this.rejoining.set(provider, setTimeout(rejoin, this.options.retry ?? 1000));
  }

  private onDenied(why: string): void {
    if (this.ended !== null) return; // body and margin are told one after the other
    const said = why === "permission-denied" ? "" : why;
    this.ended = { why: said.startsWith("epoch: ") ? "replaced" : "refused", message: said.replace(/^epoch: /, "") };
    clearTimeout(this.lasting);
    this.socket.disconnect();
    this.listener.lost();
    if (this.everSynced) return void this.ask();
    const because = said === "" ? "" : ` (${said})`;
    this.listener.notice("error", `The server does not let you open this document${because}. Ask whoever shared it for a new link.`);
    this.listener.changed();
  }

  /** Whether it is the right that is gone, or the document: the answer to a refusal does not tell. */
  private async ask(): Promise<void> {
    if (this.ended?.why === "refused") {
      const { status } = await callApi("GET", `/documents/${encodeURIComponent(this.options.doc)}`, null);
      if (status === 404) this.ended = { ...this.ended, why: "gone" };
    }
    this.listener.changed();
  }

  private onStateless(payload: string): void {
    const message = record(parse(payload));
    if (message["type"] === "welcome") {
      this.role = oneOf(message["role"], ROLES) ?? null;
      if (this.epoch === "") this.epoch = words(message["epoch"], 200);
      this.listener.changed();
    } else if (message["type"] === "storage") {
      this.storage = message["ok"] === false ? words(message["message"]) || "The server cannot write to its disk." : undefined;
      this.listener.changed();
    } else this.listener.stateless(payload);
  }

  /** The provider leaves a refusal unmentioned. */
  private onMessage(data: unknown): void {
    this.listener.incoming();
    if (!(data instanceof Uint8Array) && Object.prototype.toString.call(data) !== "[object ArrayBuffer]") return;
    try {
      const decoder = createDecoder(new Uint8Array(data as ArrayBuffer));
      readVarString(decoder);
      if (readVarUint(decoder) !== SYNC_STATUS || readVarInt(decoder) === 1 || !this.mayWrite || this.refused) return;
    } catch {
      return; // not ours to judge
    }
    this.refused = true;
    this.listener.notice("error", "The server refused your last changes; they exist in this window only. Copy what you need and reload.");
    this.listener.changed();
  }
}

/** The queue is private to the provider, which would send its contents twice: from there and in the handshake. */
function forgetQueue(socket: HocuspocusProviderWebsocket): void {
  (socket as unknown as { messageQueue: unknown[] }).messageQueue = [];
}
