// The visible text of a body, block by block joined by "\n", and where each of its characters is in the shared document.
// What quotes are taken from and found again in; crdt/src/anchor.rs defines the same text.

import * as Y from "yjs";
import type { Point } from "./points.ts";
import { childrenOf } from "./points.ts";
import { LEAVES, TEXTBLOCKS } from "./schema.ts";

/** A stretch of the visible text that lies in one Yjs type. */
interface Run {
  start: number;
  end: number;
  /** Where `start` is. */
  point: Point;
}

/** A reading of a body at one moment; make a new one after a change. */
export class VisibleText {
  /** The whole text, UTF-16 as everywhere. */
  readonly text: string;
  private readonly runs: Run[] = [];
  private readonly spans = new Map<unknown, { start: number; end: number }>();

  constructor(fragment: Y.XmlFragment) {
    const parts: string[] = [];
    let length = 0;
    let first = true;
    const push = (part: string): void => {
      parts.push(part);
      length += part.length;
    };
    const visit = (child: Y.XmlElement | Y.XmlText, parent: Y.XmlElement | Y.XmlFragment, index: number): void => {
      const isBlock = child instanceof Y.XmlElement && !LEAVES.has(child.nodeName) && holdsText(child);
      if (isBlock) {
        if (!first) push("\n");
        first = false;
      }
      const start = length;
      if (child instanceof Y.XmlText) {
        push(plain(child));
        this.runs.push({ start, end: length, point: { type: child, index: 0 } });
      } else if (child.nodeName === "hardBreak") {
        push("\n");
        this.runs.push({ start, end: length, point: { type: parent, index } });
      } else {
        let at = 0;
        for (const grandchild of childrenOf(child)) visit(grandchild, child, at++);
        if (isBlock && at === 0) this.runs.push({ start, end: start, point: { type: child, index: 0 } });
      }
      this.spans.set(child, { start, end: length });
    };
    let index = 0;
    for (const child of childrenOf(fragment)) visit(child, fragment, index++);
    this.spans.set(fragment, { start: 0, end: length });
    this.text = parts.join("");
  }

  /** The offset of a shared place; null when it is not in this text. */
  offsetOf(point: Point): number | null {
    const span = this.spans.get(point.type);
    if (span === undefined) return null;
    if (point.type instanceof Y.XmlText) return Math.min(span.start + point.index, span.end);
    let index = 0;
    for (const child of childrenOf(point.type)) {
      if (index === point.index) return this.spans.get(child)?.start ?? null;
      index += 1;
    }
    return span.end;
  }

  /** The shared place of an offset: at a seam, in the run whose text follows (`after`) or precedes. */
  pointOf(offset: number, side: "after" | "before"): Point | null {
    let seam: Run | null = null;
    for (const run of this.runs) {
      if (run.end < offset) continue;
      if (run.start > offset) break;
      const inside = side === "after" ? run.start <= offset && offset < run.end : run.start < offset && offset <= run.end;
      if (inside) return at(run, offset);
      // `after` takes the last run that touches, `before` the first.
      if (seam === null || side === "after") seam = run;
    }
    return seam === null ? null : at(seam, offset);
  }
}

const at = (run: Run, offset: number): Point => ({ type: run.point.type, index: run.point.index + (offset - run.start) });

/** Whether an element is a line of its own: by its name, or, for an unknown one, by what it holds. */
function holdsText(element: Y.XmlElement): boolean {
  if (TEXTBLOCKS.has(element.nodeName)) return true;
  for (const child of childrenOf(element)) if (child instanceof Y.XmlText) return true;
  return false;
}

function plain(text: Y.XmlText): string {
  let out = "";
  for (const piece of text.toDelta() as { insert: unknown }[]) out += typeof piece.insert === "string" ? piece.insert : "\ufffc";
  return out;
}
