// Cards and ghosts: what the margin holds, with its place in the text as it is now.

import type * as Y from "yjs";
import type { Anchor, Resolved } from "./anchor.ts";
import { resolveAnchor } from "./anchor.ts";
import { AI_COLOR, colorOf } from "./colors.ts";
import { toHtml } from "./markdown.ts";
import type { Entry, Margin } from "./margin.ts";
import type { Card, Person } from "./seam.ts";
import type { Ghost } from "./suggestions.ts";
import { VisibleText } from "./visible.ts";

/** Works cards out; keeps what did not change. */
export class Cards {
  private entries: Entry[] | null = null;
  private visible: VisibleText | null = null;
  private readonly places = new Map<string, Resolved>();
  private readonly html = new Map<string, { payload: string; html: string }>();

  constructor(
    private readonly margin: Margin,
    private readonly fragment: Y.XmlFragment,
  ) {}

  /** The text changed. */
  textChanged(): void {
    this.visible = null;
    this.places.clear();
  }

  /** Requests, proposals or decisions changed. */
  marginChanged(): void {
    this.entries = null;
  }

  /** The visible text as it is now. */
  text(): VisibleText {
    this.visible ??= new VisibleText(this.fragment);
    return this.visible;
  }

  /** Cards in the order of the text, detached ones last. `top` finds a ProseMirror position on the page. */
  cards(self: string, top: (position: number) => number | null): Card[] {
    const made = this.read().map((entry) => ({ place: this.placeOf(entry), card: this.card(entry, self, top) }));
    const rank = (place: Resolved): number => (place.state === "detached" ? Number.MAX_SAFE_INTEGER : place.from);
    made.sort((a, b) => rank(a.place) - rank(b.place) || a.card.at - b.card.at || (a.card.id < b.card.id ? -1 : 1));
    return made.map(({ card }) => card);
  }

  /** Where a card's place is now; null when it is gone. */
  place(id: string): { from: number; to: number } | null {
    const entry = this.read().find((candidate) => candidate.id === id);
    const place = entry === undefined ? DETACHED : this.placeOf(entry);
    return place.state === "detached" ? null : place;
  }

  /** What is to be drawn in the text. */
  ghosts(people: Person[]): Ghost[] {
    const ghosts: Ghost[] = [];
    for (const entry of this.read()) {
      const { id, state, proposal } = entry;
      const place = this.placeOf(entry);
      if (place.state === "detached" || (state !== "queued" && state !== "streaming" && state !== "pending")) continue;
      const kind = proposal?.kind ?? null;
      const writer = writerOf(entry, people);
      const { from, to } = place;
      ghosts.push({ id, kind, state, stale: isStale(entry, place), from, to, payload: proposal?.payload ?? "", writer });
    }
    return ghosts;
  }

  private read(): Entry[] {
    if (this.entries === null) {
      this.entries = this.margin.entries();
      const live = new Set(this.entries.map(({ id }) => id));
      for (const id of this.html.keys()) if (!live.has(id)) this.html.delete(id);
      this.places.clear();
    }
    return this.entries;
  }

  private placeOf({ id, anchor }: Entry): Resolved {
    const known = this.places.get(id);
    if (known !== undefined) return known;
    const place = anchor === null ? DETACHED : this.resolve(anchor);
    this.places.set(id, place);
    return place;
  }

  private resolve(anchor: Anchor): Resolved {
    try {
      return resolveAnchor(this.fragment, anchor, this.text());
    } catch (error) {
      console.warn("an anchor could not be read", error);
      return DETACHED;
    }
  }

  private card(entry: Entry, self: string, top: (position: number) => number | null): Card {
    const { id, request, proposal, state, decidedBy } = entry;
    const place = this.placeOf(entry);
    const payload = proposal?.payload ?? "";
    const requester = request?.by ?? proposal?.requester ?? { id: "", name: "" };
    const error = (proposal?.error ?? "") || (request?.error ?? "");
    return {
      id,
      request: request?.id ?? proposal?.request ?? "",
      kind: proposal?.kind ?? null,
      requestKind: request?.kind ?? "",
      state,
      stale: isStale(entry, place),
      detached: place.state === "detached" && state !== "accepted" && state !== "rejected",
      author: proposal?.author ?? null,
      requester,
      mine: requester.id !== "" && requester.id === self,
      instruction: request?.instruction ?? "",
      quote: entry.anchor?.quote ?? "",
      payload,
      payloadHtml: this.htmlOf(id, payload),
      stats: proposal?.stats ?? null,
      rationale: proposal?.rationale,
      confidence: proposal?.confidence,
      ...(error === "" ? {} : { error }),
      ...(decidedBy === undefined ? {} : { decidedBy }),
      at: entry.at,
      top: place.state === "detached" ? null : top(place.from),
    };
  }

  private htmlOf(id: string, payload: string): string {
    const known = this.html.get(id);
    if (known?.payload === payload) return known.html;
    const html = toHtml(payload);
    this.html.set(id, { payload, html });
    return html;
  }
}

const DETACHED: Resolved = { state: "detached" };

/** Only what takes text away can be wrong about that text (SCHEMA.md, Stale). */
const isStale = ({ proposal, state }: Entry, place: Resolved): boolean =>
  place.state === "stale" && (proposal?.kind === "replace" || proposal?.kind === "delete") && (state === "pending" || state === "streaming");

/** The author; while nothing is written, the peer that took the request. */
function writerOf({ proposal, request }: Entry, people: Person[]): Ghost["writer"] {
  const id = proposal?.author.id ?? (request?.state === "claimed" ? request.peer : "");
  if (id === "" && proposal === null) return null;
  const person = people.find((candidate) => candidate.id === id);
  const color = person?.color ?? (proposal?.author.kind === "human" ? colorOf(id) : AI_COLOR);
  return { id, name: proposal?.author.name || person?.name || "AI", color };
}
