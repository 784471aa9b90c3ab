// Decisions: asks the relay to accept, reject or undo, and to preview, on the connection that carries the edits.

import { oneOf, parse, record, words } from "./json.ts";
import type { DecideAnswer, DecideOptions, Preview, PreviewAnswer } from "./seam.ts";

/** How long an answer may take: the relay answers after its disk has it. */
const TIMEOUT_MS = 15_000;

const CODES = ["stale", "detached", "forbidden", "unknown", "already", "streaming", "failed"] as const;

/** For codes that came without words. */
const WORDS: Record<(typeof CODES)[number], string> = {
  stale: "The text has changed since this was proposed. Look at the preview before accepting it.",
  detached: "The place this belongs to is gone, so it cannot be put in. Copy what you need from the card.",
  forbidden: "You may not decide about proposals in this document.",
  unknown: "This proposal does not exist any more.",
  already: "Somebody has decided about this already.",
  streaming: "This is still being written. Wait until it is complete, or cancel it.",
  failed: "The server could not carry out the decision. Try again.",
};

interface Waiting {
  settle: (answer: Record<string, unknown> | "offline" | "timeout") => void;
  timer: ReturnType<typeof setTimeout>;
}

/** The questions that wait for the relay's answer. */
export class Decisions {
  private seq = 0;
  private readonly waiting = new Map<number, Waiting>();

  /** `send` hands a stateless message over and answers false when there is no connection. */
  constructor(private readonly send: (payload: string) => boolean) {}

  /** Never rejects. */
  async decide({ proposal, action, force }: DecideOptions): Promise<DecideAnswer> {
    const answer = await this.question({ type: "decide", proposal, action, ...(force === true ? { force } : {}) });
    if (typeof answer === "string") return { ok: false, code: answer, message: unanswered(answer) };
    if (answer["ok"] === true) return { ok: true, decision: words(answer["decision"]) };
    const code = oneOf(answer["code"], CODES) ?? "failed";
    const preview = readPreview(answer["preview"]);
    return { ok: false, code, message: words(answer["message"]) || WORDS[code], ...(preview && { preview }) };
  }

  /** Never rejects. */
  async preview(proposal: string): Promise<PreviewAnswer> {
    const answer = await this.question({ type: "preview", proposal });
    if (typeof answer === "string") return { ok: false, code: answer, message: unanswered(answer) };
    const preview = readPreview(answer["preview"]);
    if (answer["ok"] === true && preview) return { ok: true, stale: answer["stale"] === true, preview };
    const code = oneOf(answer["code"], CODES) ?? "failed";
    return { ok: false, code, message: words(answer["message"]) || WORDS[code] };
  }

  /** A stateless message from the relay; answers whether it was one of these. */
  receive(payload: string): boolean {
    const message = record(parse(payload));
    if (message["type"] !== "decided" && message["type"] !== "previewed") return false;
    this.waiting.get(Number(message["seq"]))?.settle(message);
    return true;
  }

  /** The connection is gone: no answer will come on it. */
  lost(): void {
    for (const { settle } of [...this.waiting.values()]) settle("offline");
  }

  private question(message: Record<string, unknown>): Promise<Record<string, unknown> | "offline" | "timeout"> {
    const seq = ++this.seq;
    return new Promise((resolve) => {
      const settle: Waiting["settle"] = (answer) => {
        clearTimeout(this.waiting.get(seq)?.timer);
        this.waiting.delete(seq);
        resolve(answer);
      };
      this.waiting.set(seq, { settle, timer: setTimeout(() => settle("timeout"), TIMEOUT_MS) });
      if (!this.send(JSON.stringify({ ...message, seq }))) settle("offline");
    });
  }
}

const unanswered = (why: "offline" | "timeout"): string =>
  why === "offline"
    ? "There is no connection to the server now. Decide again when it is back."
    : "The server has not answered in time. Look at the card before you decide again.";

function readPreview(value: unknown): Preview | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const json = record(value);
  return { base: words(json["base"]), current: words(json["current"]), result: words(json["result"]) };
}
