// Looks at a body before ProseMirror is bound to it: y-prosemirror deletes what its schema refuses, so a document
// with such parts must never be bound.

import type { Schema, Node as PmNode } from "@tiptap/pm/model";
import * as Y from "yjs";
import { MARKS, NODES } from "./schema.ts";

/** What a body holds beyond this version's schema. */
export interface Survey {
  /** Names of elements and marks that this version does not know. */
  unknown: string[];
  /** Known elements with content that would be lost because they stand where the schema has no place for them. */
  misplaced: string[];
  /** Attributes that this version does not know, by type name; they can be carried along. */
  foreign: Map<string, Set<string>>;
}

/** Attributes that our own extensions declare beyond SCHEMA.md; null unless somebody sets them. */
const DECLARED: Readonly<Record<string, readonly string[]>> = {
  orderedList: ["type"],
  image: ["width", "height"],
  tableCell: ["align"],
  tableHeader: ["align"],
};

/** A mark's name without the hash that y-prosemirror puts behind marks that may overlap. */
export const markName = (attribute: string): string => attribute.split("--", 1)[0] ?? attribute;

/** The name of an element, also of one that lost its own. */
export const elementName = (element: Y.XmlElement): string => element.nodeName ?? "undefined";

/** The fragment's children of a kind that y-prosemirror handles; hooks count as unknown elements. */
export type YChild = Y.XmlElement | Y.XmlText | Y.XmlHook;

/** Surveys names and attributes alone. */
export function surveyNames(fragment: Y.XmlFragment): Survey {
  const unknown = new Set<string>();
  const foreign = new Map<string, Set<string>>();
  const note = (type: string, attribute: string): void => {
    foreign.set(type, (foreign.get(type) ?? new Set()).add(attribute));
  };
  const visit = (child: YChild): void => {
    if (child instanceof Y.XmlText) return visitText(child, unknown, note);
    if (!(child instanceof Y.XmlElement)) return void unknown.add("hook");
    const name = elementName(child);
    const known = Object.hasOwn(NODES, name) ? NODES[name] : undefined;
    if (known === undefined) return void unknown.add(name);
    for (const attribute of Object.keys(child.getAttributes())) {
      if (!known.includes(attribute) && !DECLARED[name]?.includes(attribute)) note(name, attribute);
    }
    for (const grandchild of child.toArray()) visit(grandchild as YChild);
  };
  for (const child of fragment.toArray()) visit(child as YChild);
  return { unknown: [...unknown], misplaced: [], foreign };
}

function visitText(text: Y.XmlText, unknown: Set<string>, note: (type: string, attribute: string) => void): void {
  for (const piece of text.toDelta() as { insert: unknown; attributes?: Record<string, unknown> }[]) {
    if (typeof piece.insert !== "string") unknown.add("embed");
    for (const [attribute, value] of Object.entries(piece.attributes ?? {})) {
      const name = markName(attribute);
      const known = Object.hasOwn(MARKS, name) ? MARKS[name] : undefined;
      if (known === undefined) unknown.add(name);
      else if (typeof value === "object" && value !== null) {
        for (const key of Object.keys(value)) if (!known.includes(key)) note(name, key);
      }
    }
  }
}

/** Surveys names, attributes and places. `schema` must have been made with the foreign attributes of `surveyNames`. */
export function surveyPlaces(fragment: Y.XmlFragment, schema: Schema): string[] {
  const misplaced = new Set<string>();
  for (const child of fragment.toArray()) {
    if (child instanceof Y.XmlElement) build(child, schema, misplaced);
    else misplaced.add("text");
  }
  return [...misplaced];
}

/** What y-prosemirror would make of an element; null where it would delete it. An empty shell loses nothing. */
function build(element: Y.XmlElement, schema: Schema, misplaced: Set<string>): PmNode | null {
  const children: PmNode[] = [];
  for (const child of element.toArray() as YChild[]) {
    if (child instanceof Y.XmlText) {
      for (const piece of child.toDelta() as { insert: string; attributes?: Record<string, object> }[]) {
        const marks = Object.entries(piece.attributes ?? {}).map(([name, attrs]) => schema.mark(markName(name), attrs as never));
        if (piece.insert.length > 0) children.push(schema.text(piece.insert, marks));
      }
    } else if (child instanceof Y.XmlElement) {
      const node = build(child, schema, misplaced);
      if (node !== null) children.push(node);
    }
  }
  try {
    return schema.node(elementName(element), element.getAttributes(), children);
  } catch {
    if (children.some((child) => child.isText || child.isLeaf || child.content.size > 0)) misplaced.add(elementName(element));
    return null;
  }
}

/** Whether these changes brought in anything that `known` (the attributes the bound schema carries) does not cover. */
export function bringsForeign(events: readonly Y.YEvent<Y.AbstractType<unknown>>[], fragment: Y.XmlFragment, known: Survey["foreign"]): boolean {
  // Plain typing is by far the most frequent change and cannot: text without formatting in an existing block.
  const plain = events.every(
    (event) =>
      (event.target as unknown) instanceof Y.XmlText &&
      (event.delta as { insert?: unknown; attributes?: unknown }[]).every(
        (piece) => piece.attributes === undefined && typeof (piece.insert ?? "") === "string",
      ),
  );
  if (plain) return false;
  const now = surveyNames(fragment);
  if (now.unknown.length > 0) return true;
  for (const [type, names] of now.foreign) {
    for (const name of names) if (!known.get(type)?.has(name)) return true;
  }
  return false;
}
