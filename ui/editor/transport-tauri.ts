// A WebSocket-shaped link to the relay inside the desktop application, over Tauri's IPC: raw bytes both ways.

import { Channel, invoke } from "@tauri-apps/api/core";
import { reason } from "./json.ts";

/** Whether this page runs in the desktop window. */
export const isDesktop = (): boolean => "__TAURI_INTERNALS__" in window;

const CLOSED_NORMALLY = 1000;
const CLOSED_ABNORMALLY = 1006;

/**
 * What HocuspocusProviderWebsocket needs of a WebSocket. Frames are sent one at a time: IPC requests are separate
 * messages that may overtake each other, and updates must stay in order.
 */
export class TauriSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  /** As in WebSocket; frames are always array buffers. */
  binaryType: BinaryType = "arraybuffer";
  readyState: number = TauriSocket.CONNECTING;
  /** Bytes that wait to be handed over. */
  bufferedAmount = 0;
  private link: number | null = null;
  private readonly waiting: Uint8Array[] = [];
  private sending = false;

  constructor(readonly url: string) {
    super();
    const channel = new Channel<unknown>((message) => this.receive(message));
    invoke<number>("link_open", { channel }).then(
      (link) => this.opened(link),
      (error: unknown) => this.failed(error),
    );
  }

  /** Queues a frame; frames on a closed link are dropped, as a WebSocket does. */
  send(frame: Uint8Array | ArrayBuffer): void {
    if (this.readyState === TauriSocket.CONNECTING) throw new DOMException("the link is not open yet", "InvalidStateError");
    if (this.readyState !== TauriSocket.OPEN) return;
    // A copy of exactly these bytes: the view may be of a larger buffer that is used again.
    const bytes = frame instanceof ArrayBuffer ? new Uint8Array(frame.slice(0)) : frame.slice();
    this.waiting.push(bytes);
    this.bufferedAmount += bytes.byteLength;
    void this.drain();
  }

  /** Closes the link after what is queued has been handed over. */
  close(): void {
    if (this.readyState >= TauriSocket.CLOSING) return;
    const wasOpen = this.readyState === TauriSocket.OPEN;
    this.readyState = TauriSocket.CLOSING;
    if (wasOpen && !this.sending) void this.release();
  }

  private opened(link: number): void {
    this.link = link;
    if (this.readyState !== TauriSocket.CONNECTING) return void this.release(); // closed meanwhile
    this.readyState = TauriSocket.OPEN;
    this.dispatchEvent(new Event("open"));
  }

  private failed(error: unknown): void {
    if (this.readyState === TauriSocket.CLOSED) return;
    this.dispatchEvent(new Event("error"));
    this.ended(CLOSED_ABNORMALLY, reason(error));
  }

  private async drain(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    try {
      for (let frame = this.waiting.shift(); frame !== undefined; frame = this.waiting.shift()) {
        await invoke("link_send", frame, { headers: { link: String(this.link) } });
        this.bufferedAmount -= frame.byteLength;
      }
    } catch (error) {
      // A frame that may be lost is a gap in the order: only a new link with a full sync is safe.
      this.failed(error);
      void this.release();
    } finally {
      this.sending = false;
    }
    if (this.readyState === TauriSocket.CLOSING) await this.release();
  }

  private async release(): Promise<void> {
    const { link } = this;
    this.link = null;
    if (link !== null) {
      try {
        await invoke("link_close", { link });
      } catch {
        // Closing what is closed: nothing is left to do.
      }
    }
    this.ended(CLOSED_NORMALLY, "");
  }

  private receive(message: unknown): void {
    const data = toBuffer(message);
    if (data !== null) {
      if (this.readyState === TauriSocket.OPEN) this.dispatchEvent(new MessageEvent("message", { data }));
    } else if (typeof message === "object" && message !== null && "closed" in message) {
      this.ended(CLOSED_ABNORMALLY, String(message.closed));
    }
  }

  private ended(code: number, why: string): void {
    if (this.readyState === TauriSocket.CLOSED) return;
    this.readyState = TauriSocket.CLOSED;
    this.waiting.length = 0;
    this.bufferedAmount = 0;
    const event = new Event("close");
    this.dispatchEvent(Object.assign(event, { code, reason: why, wasClean: code === CLOSED_NORMALLY }));
  }
}

/** Raw payloads are array buffers; where the fast path of IPC is blocked they arrive as arrays of numbers. */
function toBuffer(message: unknown): ArrayBuffer | null {
  if (message instanceof ArrayBuffer) return message;
  // Another realm's ArrayBuffer (tests) is recognised by its tag.
  if (Object.prototype.toString.call(message) === "[object ArrayBuffer]") return message as ArrayBuffer;
  if (ArrayBuffer.isView(message)) return new Uint8Array(message.buffer, message.byteOffset, message.byteLength).slice().buffer;
  return Array.isArray(message) ? new Uint8Array(message as number[]).buffer : null;
}
