// Anchors: a place or range of the text as stored in requests and proposals, and how it is found again after edits.

import type * as Y from "yjs";
import type { RelativeJson } from "./points.ts";
import { fromRelative, pointAt, positionOf, toRelative } from "./points.ts";
import { VisibleText } from "./visible.ts";

/** As stored: crdt/SCHEMA.md, Anchor. */
export interface Anchor {
  start: RelativeJson;
  end: RelativeJson;
  quote: string;
  prefix: string;
  suffix: string;
}

/** Where an anchor is now. `from`/`to` are ProseMirror positions. */
export type Resolved =
  | { state: "found" | "stale"; from: number; to: number; text: string; moved: boolean }
  | { state: "detached" };

/** How much text around an anchor is stored, in UTF-16 units. */
const AROUND = 32;
/** A caret is found again by the text around it only if that text is at least so long. */
const LEAST_CONTEXT = 8;
/** A quote that occurs more often says nothing about a place. */
const MAX_OCCURRENCES = 256;

/** The anchor of a ProseMirror range (`from === to` for a caret). Line breaks at its edges are left out. */
export function anchorAt(fragment: Y.XmlFragment, from: number, to: number, visible = new VisibleText(fragment)): Anchor {
  const first = pointAt(fragment, Math.min(from, to));
  const last = pointAt(fragment, Math.max(from, to));
  const { text } = visible;
  let start = whole(text, visible.offsetOf(first) ?? 0, -1);
  let end = Math.max(start, whole(text, visible.offsetOf(last) ?? start, from === to ? -1 : 1));
  while (start < end && text[start] === "\n") start += 1;
  while (end > start && text[end - 1] === "\n") end -= 1;
  const prefix = trimHalves(text.slice(Math.max(0, start - AROUND), start));
  const suffix = trimHalves(text.slice(end, end + AROUND));
  if (start === end) {
    const caret = toRelative((from === to && visible.offsetOf(last) === end ? last : visible.pointOf(end, "before")) ?? last, -1);
    return { start: caret, end: caret, quote: "", prefix, suffix };
  }
  return {
    start: toRelative(visible.pointOf(start, "after") ?? first, 0),
    end: toRelative(visible.pointOf(end, "before") ?? last, -1),
    quote: text.slice(start, end),
    prefix,
    suffix,
  };
}

/** Finds an anchor again: by its ids, else by its quote with what stood around it. */
export function resolveAnchor(fragment: Y.XmlFragment, anchor: Anchor, visible = new VisibleText(fragment)): Resolved {
  const first = fromRelative(fragment, anchor.start);
  const last = fromRelative(fragment, anchor.end);
  const start = first === null ? null : visible.offsetOf(first);
  const end = last === null ? null : visible.offsetOf(last);
  const byIds =
    first !== null && last !== null && start !== null && end !== null
      ? { from: positionOf(fragment, first), to: positionOf(fragment, last), text: visible.text.slice(start, Math.max(start, end)) }
      : null;
  if (byIds !== null && byIds.from !== null && byIds.to !== null) {
    const { from, to, text } = byIds;
    if (text === anchor.quote) return { state: "found", from, to: Math.max(from, to), text, moved: false };
    // What is there counts more than a look-alike elsewhere.
    if (text !== "") return { state: "stale", from, to: Math.max(from, to), text, moved: false };
  }
  const candidate = anchor.quote === "" ? findCaret(visible.text, anchor) : findQuote(visible.text, anchor);
  if (candidate === null) return { state: "detached" };
  const from = placeOf(fragment, visible, candidate, "after");
  const to = anchor.quote === "" ? from : placeOf(fragment, visible, candidate + anchor.quote.length, "before");
  if (from === null || to === null) return { state: "detached" };
  return { state: "found", from, to: Math.max(from, to), text: anchor.quote, moved: true };
}

function placeOf(fragment: Y.XmlFragment, visible: VisibleText, offset: number, side: "after" | "before"): number | null {
  const point = visible.pointOf(offset, side);
  return point === null ? null : positionOf(fragment, point);
}

/** Offset of the occurrence of the quote whose surroundings are most like those stored; null when none or a tie. */
function findQuote(text: string, anchor: Anchor): number | null {
  let best: number | null = null;
  let bestScore = -1;
  let tie = false;
  let count = 0;
  for (let at = text.indexOf(anchor.quote); at >= 0; at = text.indexOf(anchor.quote, at + 1)) {
    if (++count > MAX_OCCURRENCES) return null;
    const score = likeness(text, at, at + anchor.quote.length, anchor);
    if (score > bestScore) {
      [best, bestScore, tie] = [at, score, false];
    } else if (score === bestScore) tie = true;
  }
  return tie ? null : best;
}

/** How many units before and after agree with the stored prefix and suffix. */
function likeness(text: string, start: number, end: number, anchor: Anchor): number {
  const { prefix, suffix } = anchor;
  let before = 0;
  while (before < prefix.length && before < start && text[start - 1 - before] === prefix[prefix.length - 1 - before]) before += 1;
  let after = 0;
  while (after < suffix.length && end + after < text.length && text[end + after] === suffix[after]) after += 1;
  return before + after;
}

/** Offset of a caret by what stood around it: all of it, else what stood before, else what followed; each only if it is there once. */
function findCaret(text: string, { prefix, suffix }: Anchor): number | null {
  const tries: [string, number][] = [[prefix + suffix, prefix.length], [prefix, prefix.length], [suffix, 0]];
  for (const [needle, seam] of tries) {
    const at = needle.length >= LEAST_CONTEXT ? only(text, needle) : null;
    if (at !== null) return at + seam;
  }
  return null;
}

function only(text: string, needle: string): number | null {
  const at = text.indexOf(needle);
  return at >= 0 && text.indexOf(needle, at + 1) < 0 ? at : null;
}

/** The offset, or the next one in that direction when it would cut a surrogate pair in two. */
function whole(text: string, offset: number, direction: -1 | 1): number {
  const cuts = /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(offset - 1, offset + 1)) && offset > 0;
  return cuts ? offset + direction : offset;
}

/** Without halves of surrogate pairs at the edges: they would not survive UTF-8. */
function trimHalves(text: string): string {
  return text.replace(/^[\udc00-\udfff]/, "").replace(/[\ud800-\udbff]$/, "");
}
