// Between positions in a Yjs fragment and positions in the ProseMirror document that shows it. Own code, because
// y-tiptap's conversions answer null for text at the very start of a document and depend on a mapping that lags behind.

import * as Y from "yjs";
import { LEAVES } from "./schema.ts";

/** A Yjs type that may hold content. */
export type Holder = Y.XmlText | Y.XmlElement | Y.XmlFragment;

/** A place in the shared document: before the index-th unit (of text) or child (of an element). */
export interface Point {
  type: Holder;
  index: number;
}

/** The live children of an element or fragment, first to last. */
export function* childrenOf(parent: Y.XmlElement | Y.XmlFragment): Generator<Y.XmlElement | Y.XmlText> {
  for (let item = parent._start; item !== null; item = item.right) {
    if (item.deleted || !(item.content instanceof Y.ContentType)) continue;
    const type: unknown = item.content.type;
    if (type instanceof Y.XmlText || type instanceof Y.XmlElement) yield type;
  }
}

/** How many ProseMirror positions a child takes up. */
export function sizeOf(child: Y.XmlElement | Y.XmlText): number {
  if (child instanceof Y.XmlText) return child.length;
  if (LEAVES.has(child.nodeName)) return 1;
  let size = 2;
  for (const grandchild of childrenOf(child)) size += sizeOf(grandchild);
  return size;
}

/** The shared place of a ProseMirror position; beyond the end: the end. */
export function pointAt(fragment: Y.XmlFragment, position: number): Point {
  let parent: Y.XmlElement | Y.XmlFragment = fragment;
  let rest = Math.max(0, position);
  descend: for (;;) {
    let index = 0;
    for (const child of childrenOf(parent)) {
      if (child instanceof Y.XmlText) {
        if (rest <= child.length) return { type: child, index: rest };
        rest -= child.length;
      } else {
        if (rest === 0) return { type: parent, index };
        const size = sizeOf(child);
        if (rest < size) {
          parent = child;
          rest -= 1;
          continue descend;
        }
        rest -= size;
      }
      index += 1;
    }
    return { type: parent, index };
  }
}

/** The ProseMirror position of a shared place; null when the place is not (or no longer) in the fragment. */
export function positionOf(fragment: Y.XmlFragment, point: Point): number | null {
  let position = 0;
  if (point.type instanceof Y.XmlText) position = Math.min(point.index, point.type.length);
  else position = sizeBefore(point.type, (_, index) => index >= point.index);
  let type: Holder = point.type;
  while (type !== fragment) {
    const item: Y.Item | null = type._item;
    if (item === null || item.deleted) return null;
    const parent = item.parent;
    if (!(parent instanceof Y.XmlElement || parent instanceof Y.XmlFragment)) return null;
    const inside = type;
    if (!(type instanceof Y.XmlText)) position += 1;
    position += sizeBefore(parent, (child) => child === inside);
    type = parent;
  }
  return position;
}

function sizeBefore(
  parent: Y.XmlElement | Y.XmlFragment,
  stop: (child: Y.XmlElement | Y.XmlText, index: number) => boolean,
): number {
  let size = 0;
  let index = 0;
  for (const child of childrenOf(parent)) {
    if (stop(child, index)) break;
    size += sizeOf(child);
    index += 1;
  }
  return size;
}

/** A place that moves along with edits, as JSON (SCHEMA.md, Anchor). */
export type RelativeJson = { type?: unknown; tname?: string; item?: unknown; assoc?: number };

/** `assoc` >= 0 sticks to what follows, < 0 to what precedes. */
export function toRelative(point: Point, assoc: number): RelativeJson {
  const relative = Y.createRelativePositionFromTypeIndex(point.type, point.index, assoc);
  return Y.relativePositionToJSON(relative) as RelativeJson;
}

/** Where a relative position is now; null when its ids have not arrived or the element that held it is gone. */
export function fromRelative(fragment: Y.XmlFragment, json: unknown): Point | null {
  const doc = fragment.doc;
  if (doc === null || typeof json !== "object" || json === null) return null;
  try {
    const absolute = Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(json), doc);
    if (absolute === null) return null;
    const type = absolute.type as unknown;
    if (!(type instanceof Y.XmlText || type instanceof Y.XmlElement || type instanceof Y.XmlFragment)) return null;
    return isAlive(fragment, type) ? { type, index: absolute.index } : null;
  } catch {
    return null; // JSON of another shape: somebody else's data
  }
}

function isAlive(fragment: Y.XmlFragment, type: Holder): boolean {
  for (let at: unknown = type; at !== fragment; ) {
    if (!(at instanceof Y.AbstractType) || at._item === null || at._item.deleted) return false;
    at = at._item.parent;
  }
  return true;
}
