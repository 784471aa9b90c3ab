// Who wrote which characters: the relay's record by ids, what the people who are here add to it, and the runs of the text.

import * as Y from "yjs";
import type { Awareness } from "y-protocols/awareness";
import { AI_COLOR, PALETTE, colorOf } from "./colors.ts";
import { finite, record, some, words } from "./json.ts";
import { childrenOf, sizeOf } from "./points.ts";
import { LEAVES } from "./schema.ts";
import type { Writer } from "./seam.ts";

/** Somebody to whom characters are put down. */
export type Author = Omit<Writer, "units">;

/** Characters that lie side by side and are by one author, in ProseMirror positions. */
export interface AuthorRun {
  from: number;
  to: number;
  author: Author;
}

interface Span {
  clock: number;
  end: number;
  author: Author;
}

/** Characters of which nothing is recorded. */
export const NOBODY: Author = { key: "unknown", name: "", kind: "unknown", color: "#8a8a8a" };

/** Whose every id is. */
export class AuthorBook {
  /** An id was asked for that the relay has not told of: it is time to ask it again. */
  guessed = false;
  private readonly spans = new Map<number, Span[]>();
  private readonly authors = new Map<string, Author>();
  private readonly colors = new Set<string>();

  constructor(private readonly awareness: Awareness) {}

  /** Takes the relay's answer (docs/protocol.md, `authorship/ids`); what it does not say as expected is left out. */
  read(answer: unknown): void {
    const { credits, spans } = record(answer);
    const known = (Array.isArray(credits) ? credits : []).map((credit) => this.authorOf(record(credit)));
    this.spans.clear();
    for (const span of Array.isArray(spans) ? (spans as unknown[]) : []) {
      const [client, clock, length, index] = (Array.isArray(span) ? (span as unknown[]) : []).map(finite);
      const author = index === undefined ? undefined : known[index];
      if (client === undefined || clock === undefined || length === undefined || author === undefined) continue;
      const list = this.spans.get(client) ?? [];
      if (list.length === 0) this.spans.set(client, list);
      list.push({ clock, end: clock + length, author });
    }
    for (const list of this.spans.values()) list.sort((a, b) => a.clock - b.clock);
    this.guessed = false;
  }

  /** Calls back with the authors of `length` ids from one on, in order. */
  each(client: number, clock: number, length: number, tell: (length: number, author: Author) => void): void {
    const list = this.spans.get(client) ?? [];
    const end = clock + length;
    let at = clock;
    for (let index = firstAfter(list, clock); at < end; index += 1) {
      const span = list[index];
      const start = span === undefined ? end : Math.min(Math.max(span.clock, at), end);
      if (start > at) {
        this.guessed = true;
        tell(start - at, this.guess(client, list));
      }
      if (span === undefined) return;
      at = start;
      const until = Math.min(span.end, end);
      if (until > at) tell(until - at, span.author);
      at = Math.max(at, until);
    }
  }

  /** Whoever writes with this id now: what they wrote before says it best, and what they say of themselves next. */
  private guess(client: number, list: readonly Span[]): Author {
    const before = list.at(-1)?.author;
    if (before?.kind === "human") return before;
    const user = record(record(this.awareness.getStates().get(client))["user"]);
    const id = words(user["id"], 200);
    if (id === "") return NOBODY;
    return this.keep(`human:${id}`, { name: words(user["name"], 80) || "Somebody", kind: "human", color: colorOf(id, user["color"]) });
  }

  private authorOf(credit: Record<string, unknown>): Author {
    const author = record(credit["author"]);
    const accepted = record(credit["acceptedFrom"]);
    const proposer = record(accepted["proposedBy"]);
    const by = record(accepted["acceptedBy"]);
    if (proposer["kind"] === "ai") {
      const model = some(proposer["model"]) ?? some(proposer["name"]) ?? "AI";
      const adapter = some(proposer["adapter"]);
      const name = adapter === undefined ? model : `${model} with the adapter ${adapter}`;
      const acceptedBy = some(by["name"], 80) ?? "somebody";
      return this.keep(`ai:${name}:${words(by["id"], 200)}`, { name, kind: "ai", color: AI_COLOR, acceptedBy });
    }
    const [id, name] = [words(author["id"], 200), words(author["name"], 80)];
    if (id === "") return NOBODY;
    if (author["kind"] === "relay") return this.keep(`link:${id}`, { name: id.replace(/^relay:/, ""), kind: "link", color: colorOf(id) });
    if (author["kind"] === "ai") return this.keep(`ai:${id}`, { name: some(author["model"]) ?? name, kind: "ai", color: AI_COLOR });
    const live = [...this.awareness.getStates().values()].map((state) => record(record(state)["user"]));
    const said = live.find((user) => words(user["id"]) === bareId(id));
    return this.keep(`human:${id}`, { name: name || "Somebody", kind: "human", color: colorOf(bareId(id), said?.["color"]) });
  }

  /** One author for each key, so that they can be compared by identity; two people never have one colour while there are others. */
  private keep(key: string, told: Omit<Author, "key">): Author {
    const known = this.authors.get(key);
    if (known !== undefined) return known;
    let { color } = told;
    if (told.kind !== "ai") {
      if (this.colors.has(color)) color = PALETTE.find((free) => !this.colors.has(free)) ?? color;
      this.colors.add(color);
    }
    const author = { ...told, key, color };
    this.authors.set(key, author);
    return author;
  }
}

/** What a person's id was before the relay said by which way they came: `share:{link}/{id}`, `key:{id}`. */
const bareId = (id: string): string => id.replace(/^(share:[^/]*\/|key:)/, "");

/** Index of the first span that ends after a clock. */
function firstAfter(spans: readonly Span[], clock: number): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle] as Span).end <= clock) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Calls back with every stretch of ids in a block's text, with its position in ProseMirror when the block is at `position`. */
export function idsOf(
  child: Y.XmlElement | Y.XmlText,
  position: number,
  tell: (position: number, client: number, clock: number, length: number) => void,
): void {
  if (child instanceof Y.XmlText) {
    let at = position;
    for (let item = child._start; item !== null; item = item.right) {
      if (item.deleted || !item.countable) continue;
      tell(at, item.id.client, item.id.clock, item.length);
      at += item.length;
    }
    return;
  }
  if (LEAVES.has(child.nodeName)) return;
  let at = position + 1;
  for (const grandchild of childrenOf(child)) {
    idsOf(grandchild, at, tell);
    at += sizeOf(grandchild);
  }
}

/** The runs of a block at `position`. */
export function runsOf(book: AuthorBook, child: Y.XmlElement | Y.XmlText, position: number): AuthorRun[] {
  const runs: AuthorRun[] = [];
  idsOf(child, position, (start, client, clock, length) => {
    let from = start;
    book.each(client, clock, length, (units, author) => {
      const last = runs.at(-1);
      if (last !== undefined && last.to === from && last.author === author) last.to += units;
      else runs.push({ from, to: from + units, author });
      from += units;
    });
  });
  return runs;
}

/** How many characters of the whole text are whose, most first. */
export function unitsOf(book: AuthorBook, fragment: Y.XmlFragment): Writer[] {
  const units = new Map<Author, number>();
  for (const child of childrenOf(fragment)) {
    idsOf(child, 0, (_, client, clock, length) => {
      book.each(client, clock, length, (some, author) => void units.set(author, (units.get(author) ?? 0) + some));
    });
  }
  const writers = [...units].map(([author, count]) => ({ ...author, units: count }));
  return writers.sort((a, b) => b.units - a.units || (a.key < b.key ? -1 : 1));
}

/** Whose the character before a place is. */
export function authorBefore(book: AuthorBook, point: { type: unknown; index: number }): Author | null {
  if (!(point.type instanceof Y.XmlText) || point.index === 0) return null;
  let found: Author | null = null;
  idsOf(point.type, 0, (start, client, clock, length) => {
    const offset = point.index - 1 - start;
    if (offset >= 0 && offset < length) book.each(client, clock + offset, 1, (_, author) => void (found = author));
  });
  return found;
}
