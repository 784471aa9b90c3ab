// Looks at a body before ProseMirror is bound to it: y-prosemirror deletes what its schema refuses, so a document
// with such parts must never be bound.

import type { Schema, Node as PmNode } from "@tiptap/pm/model";
import * as Y from "yjs";
import type { Foreign } from "./schema.ts";
import { MARKS, NODES } from "./schema.ts";

/** What a body holds beyond this version's schema. */
export interface Survey {
  /** Names of elements that this version does not know, and of what is no element at all. */
  unknown: string[];
  /** What it does not know either, but can carry along. */
  foreign: Foreign;
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

/** Surveys names and attributes. */
export function surveyNames(fragment: Y.XmlFragment): Survey {
  const unknown = new Set<string>();
  const foreign: Foreign = { attributes: new Map(), marks: new Map() };
  const visit = (child: YChild): void => {
    if (child instanceof Y.XmlText) return visitText(child, unknown, foreign);
    if (!(child instanceof Y.XmlElement)) return void unknown.add("hook");
    const name = elementName(child);
    const known = Object.hasOwn(NODES, name) ? NODES[name] : undefined;
    if (known === undefined) return void unknown.add(name);
    for (const attribute of Object.keys(child.getAttributes())) {
      if (!known.includes(attribute) && !DECLARED[name]?.includes(attribute)) note(foreign, name, attribute);
    }
    for (const grandchild of child.toArray()) visit(grandchild as YChild);
  };
  for (const child of fragment.toArray()) visit(child as YChild);
  return { unknown: [...unknown], foreign };
}

function visitText(text: Y.XmlText, unknown: Set<string>, foreign: Foreign): void {
  for (const piece of text.toDelta() as { insert: unknown; attributes?: Record<string, unknown> }[]) {
    if (typeof piece.insert !== "string") unknown.add("embed");
    for (const [attribute, value] of Object.entries(piece.attributes ?? {})) {
      const name = markName(attribute);
      const known = Object.hasOwn(MARKS, name) ? MARKS[name] : undefined;
      if (known === undefined) {
        // A schema cannot have a node and a mark of one name.
        if (RESERVED.has(name)) unknown.add(name);
        else foreign.marks.set(name, { overlap: attribute !== name || foreign.marks.get(name)?.overlap === true });
      }
      if (typeof value !== "object" || value === null) continue;
      for (const key of Object.keys(value)) if (known?.includes(key) !== true) note(foreign, name, key);
    }
  }
}

const RESERVED: ReadonlySet<string> = new Set([...Object.keys(NODES), "doc", "text", ""]);

const note = ({ attributes }: Foreign, type: string, attribute: string): void => {
  attributes.set(type, (attributes.get(type) ?? new Set()).add(attribute));
};

/** Surveys places: names of what has content and stands where the schema has no place for it. `schema` must have been made with what `surveyNames` found. */
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

/** Whether these changes brought in anything that the bound schema, made to carry `known`, does not cover. */
export function bringsForeign(events: readonly Y.YEvent<Y.AbstractType<unknown>>[], fragment: Y.XmlFragment, known: Foreign): boolean {
  // Plain typing is by far the most frequent change and cannot: text without formatting in an existing block.
  const plain = events.every(
    (event) =>
      (event.target as unknown) instanceof Y.XmlText &&
      (event.delta as { insert?: unknown; attributes?: unknown }[]).every(
        (piece) => piece.attributes === undefined && typeof (piece.insert ?? "") === "string",
      ),
  );
  if (plain) return false;
  const { unknown, foreign } = surveyNames(fragment);
  if (unknown.length > 0) return true;
  for (const [name, { overlap }] of foreign.marks) if (known.marks.get(name)?.overlap !== overlap) return true;
  for (const [type, names] of foreign.attributes) {
    for (const name of names) if (known.attributes.get(type)?.has(name) !== true) return true;
  }
  return false;
}
