// The margin: reads requests, proposals and decisions, and writes requests (crdt/SCHEMA.md). Never writes the body.

import { ulid } from "ulid";
import * as Y from "yjs";
import type { Anchor } from "./anchor.ts";
import { finite, oneOf, record, some, words } from "./json.ts";
import type { AskOptions, Card, CardState, User } from "./seam.ts";

/** An entry of `requests`. */
export interface Request {
  id: string;
  kind: string;
  by: { id: string; name: string };
  at: number;
  anchor: Anchor | null;
  instruction: string;
  state: "open" | "claimed" | "done" | "failed" | "cancelled";
  /** Id of the peer that works on it. */
  peer: string;
  /** Id of the answer. */
  proposal: string;
  error: string;
}

/** An entry of `proposals`. */
export interface Proposal {
  id: string;
  request: string;
  author: NonNullable<Card["author"]>;
  requester: { id: string; name: string };
  kind: NonNullable<Card["kind"]>;
  anchor: Anchor | null;
  payload: string;
  state: "streaming" | "pending" | "cancelled" | "failed";
  at: number;
  rationale: string | undefined;
  confidence: number | undefined;
  stats: Card["stats"];
  error: string;
}

/** A request with its answer, and what has been decided about it. */
export interface Entry {
  /** Card id: the proposal's, or the request's while there is none. */
  id: string;
  request: Request | null;
  proposal: Proposal | null;
  state: CardState;
  decidedBy: { id: string; name: string } | undefined;
  anchor: Anchor | null;
  at: number;
}

/** A record of `decisions`, as far as cards need it. */
export interface Decision {
  id: string;
  action: "accept" | "reject" | "undo";
  undoes: string;
  /** What was known of the same proposal when this was decided. */
  seen: string[];
  /** It brought in all of its text. */
  whole: boolean;
  /** What it brought in was taken out again. */
  repaired: boolean;
  by: { id: string; name: string };
}

/** Cards of decided, cancelled and failed proposals that are still shown, newest first. */
const MAX_SETTLED = 30;

/** A view of one document's margin, and the pen for its requests. */
export class Margin {
  private readonly requests: Y.Map<unknown>;
  private readonly proposals: Y.Map<unknown>;
  private readonly decisions: Y.Map<unknown>;

  constructor(
    body: Y.Doc,
    private readonly doc: Y.Doc,
  ) {
    this.requests = doc.getMap("requests");
    this.proposals = doc.getMap("proposals");
    this.decisions = body.getMap("decisions");
  }

  /** Calls back after every change of requests, proposals, payloads or decisions; returns how to stop. */
  observe(changed: () => void): () => void {
    const roots = [this.requests, this.proposals, this.decisions];
    for (const root of roots) root.observeDeep(changed);
    return () => {
      for (const root of roots) root.unobserveDeep(changed);
    };
  }

  /** Everything a card is shown for. Entries that do not read as SCHEMA.md says are left out. */
  entries(): Entry[] {
    const decided = this.readDecisions();
    const requests = new Map<string, Request>();
    for (const [id, value] of this.requests) {
      const request = readRequest(id, value);
      if (request !== null) requests.set(id, request);
    }
    const proposals: Proposal[] = [];
    const newest = new Map<string, string>();
    for (const [id, value] of this.proposals) {
      const proposal = readProposal(id, value);
      if (proposal === null) continue;
      proposals.push(proposal);
      if (id > (newest.get(proposal.request) ?? "")) newest.set(proposal.request, id);
    }
    const entries: Entry[] = [];
    for (const proposal of proposals) {
      const { id } = proposal;
      const request = requests.get(proposal.request) ?? null;
      // A peer that vanished while writing leaves its half behind; whoever took the request over writes another.
      if (request !== null && newest.get(request.id) !== id && proposal.state === "streaming") continue;
      const decision = effective(decided.get(id) ?? []);
      const stored = proposal.state === "streaming" && request?.state === "cancelled" ? "cancelled" : proposal.state;
      const { anchor, at } = proposal;
      const decidedBy = decision !== null && decision.state !== "pending" ? decision.by : undefined;
      entries.push({ id, request, proposal, state: decision?.state ?? stored, decidedBy, anchor, at: request?.at ?? at });
    }
    for (const [id, request] of requests) {
      if (newest.has(id) || request.state === "cancelled" || request.state === "done") continue;
      const state = request.state === "failed" ? "failed" : "queued";
      entries.push({ id, request, proposal: null, state, decidedBy: undefined, anchor: request.anchor, at: request.at });
    }
    return withoutOld(entries);
  }

  /** Writes a request and answers its id. */
  ask(options: AskOptions, anchor: Anchor, by: User, now: number): string {
    const id = ulid(now);
    const entry = new Y.Map<unknown>();
    const fields = {
      id,
      kind: options.kind,
      by: { id: by.id, name: by.name },
      at: now,
      anchor,
      instruction: options.instruction ?? "",
      to: options.to ?? "",
      state: "open",
    };
    this.doc.transact(() => {
      this.requests.set(id, entry);
      for (const [key, value] of Object.entries(fields)) entry.set(key, value);
    });
    return id;
  }

  /** Withdraws a request that is open or being worked on; takes its id or its proposal's. Answers whether there was one. */
  cancel(id: string): boolean {
    const proposal = this.proposals.get(id);
    const request = this.requests.get(proposal instanceof Y.Map ? words(proposal.get("request")) : id);
    if (!(request instanceof Y.Map)) return false;
    if (oneOf(request.get("state"), ["open", "claimed"]) === undefined) return false;
    request.set("state", "cancelled");
    return true;
  }

  private readDecisions(): Map<string, Decision[]> {
    const byProposal = new Map<string, Decision[]>();
    for (const [id, value] of this.decisions) {
      const json = record(value);
      const action = oneOf(json["action"], ["accept", "reject", "undo"]);
      if (action === undefined) continue;
      const proposal = words(json["proposal"]);
      const seen = Array.isArray(json["seen"]) ? json["seen"].map((other) => words(other)) : [];
      const [whole, repaired] = [json["whole"] === true, json["repaired"] === true];
      const decision = { id, action, undoes: words(json["undoes"]), seen, whole, repaired, by: person(json["by"]) };
      byProposal.set(proposal, [...(byProposal.get(proposal) ?? []), decision]);
    }
    return byProposal;
  }
}

/**
 * The state that decisions give a proposal, and who gave it; null when nothing has been decided. The rules are those of
 * crdt/src/decision/record.rs: an accept stands until it is undone or repaired; a rejection until an undo that knew of it.
 */
export function effective(decisions: Decision[]): { state: CardState; by: { id: string; name: string } } | null {
  const order = [...decisions].sort((a, b) => (a.id < b.id ? -1 : 1));
  const undos = order.filter(({ action }) => action === "undo");
  const accepts = order.filter(({ id, action, repaired }) => action === "accept" && !repaired && !undos.some(({ undoes }) => undoes === id));
  const standing = accepts.find(({ whole }) => whole) ?? accepts[0];
  if (standing !== undefined) return { state: "accepted", by: standing.by };
  const reject = order.findLast(({ id, action }) => action === "reject" && !undos.some(({ undoes, seen }) => undoes === id || seen.includes(id)));
  if (reject !== undefined) return { state: "rejected", by: reject.by };
  const last = order.at(-1);
  return last === undefined ? null : { state: "pending", by: last.by };
}

/** Accepted and rejected cards would pile up for ever. */
function withoutOld(entries: Entry[]): Entry[] {
  const isLive = ({ state }: Entry): boolean => state === "queued" || state === "streaming" || state === "pending";
  const settled = entries.filter((entry) => !isLive(entry)).sort((a, b) => b.at - a.at);
  return [...entries.filter(isLive), ...settled.slice(0, MAX_SETTLED)];
}

const person = (value: unknown): { id: string; name: string } => {
  const json = record(value);
  return { id: words(json["id"], 200), name: words(json["name"], 80) };
};

function readAnchor(value: unknown): Anchor | null {
  const json = record(value);
  if (Object.keys(record(json["start"])).length === 0 || Object.keys(record(json["end"])).length === 0) return null;
  return {
    start: record(json["start"]),
    end: record(json["end"]),
    quote: words(json["quote"]),
    prefix: words(json["prefix"], 64),
    suffix: words(json["suffix"], 64),
  };
}

function readRequest(id: string, value: unknown): Request | null {
  if (!(value instanceof Y.Map)) return null;
  const state = oneOf(value.get("state"), ["open", "claimed", "done", "failed", "cancelled"]);
  if (state === undefined) return null;
  return {
    id,
    kind: words(value.get("kind"), 40),
    by: person(value.get("by")),
    at: finite(value.get("at")) ?? 0,
    anchor: readAnchor(value.get("anchor")),
    instruction: words(value.get("instruction"), 4000),
    state,
    peer: words(record(value.get("lease"))["peer"], 200),
    proposal: words(value.get("proposal"), 40),
    error: words(value.get("error"), 500),
  };
}

function readProposal(id: string, value: unknown): Proposal | null {
  if (!(value instanceof Y.Map)) return null;
  const stored = oneOf(value.get("state"), ["streaming", "pending", "cancelled", "failed", "accepted", "rejected"]);
  // The margin may say that it was decided, but only the body's word counts.
  const state = stored === "accepted" || stored === "rejected" ? "pending" : stored;
  const kind = oneOf(value.get("kind"), ["insert", "replace", "delete", "comment"]);
  if (state === undefined || kind === undefined) return null;
  const author = record(value.get("author"));
  const payload: unknown = value.get("payload");
  return {
    id,
    request: words(value.get("request"), 40),
    author: {
      kind: author["kind"] === "human" ? "human" : "ai",
      ...person(author),
      model: some(author["model"]),
      quantisation: some(author["quantisation"]),
      adapter: some(author["adapter"]),
      device: some(author["device"]),
    },
    requester: person(value.get("requester")),
    kind,
    anchor: readAnchor(value.get("anchor")),
    payload: payload instanceof Y.Text ? payload.toString() : words(payload),
    state,
    at: finite(value.get("at")) ?? 0,
    rationale: some(value.get("rationale"), 2000),
    confidence: finite(value.get("confidence")),
    stats: readStats(value.get("stats")),
    error: words(value.get("error"), 500),
  };
}

function readStats(value: unknown): Card["stats"] {
  if (typeof value !== "object" || value === null) return null;
  const json = record(value);
  return {
    promptTokens: finite(json["promptTokens"]),
    tokens: finite(json["tokens"]),
    firstWordMs: finite(json["firstWordMs"]),
    tokensPerSecond: finite(json["tokensPerSecond"]),
  };
}
