// The document's nodes and marks (names and attributes as in crdt/SCHEMA.md) and the Tiptap extensions that make them.

import type { AnyExtension } from "@tiptap/core";
import { Extension, Mark } from "@tiptap/core";
import { Blockquote } from "@tiptap/extension-blockquote";
import { Bold } from "@tiptap/extension-bold";
import { Code } from "@tiptap/extension-code";
import { CodeBlock } from "@tiptap/extension-code-block";
import { Document } from "@tiptap/extension-document";
import { HardBreak } from "@tiptap/extension-hard-break";
import { Heading } from "@tiptap/extension-heading";
import { HorizontalRule } from "@tiptap/extension-horizontal-rule";
import { Italic } from "@tiptap/extension-italic";
import { Link } from "@tiptap/extension-link";
import { BulletList, ListItem, ListKeymap, OrderedList, TaskItem, TaskList } from "@tiptap/extension-list";
import { Paragraph } from "@tiptap/extension-paragraph";
import { Strike } from "@tiptap/extension-strike";
import { Table, TableCell, TableHeader, TableRow } from "@tiptap/extension-table";
import { Text } from "@tiptap/extension-text";
import { Underline } from "@tiptap/extension-underline";
import { Dropcursor, Gapcursor, Placeholder } from "@tiptap/extensions";
import { Picture } from "./pictures.ts";

/** The root that holds the text. */
export const FRAGMENT = "default";

/** Every element a body may hold, with its attributes. */
export const NODES: Readonly<Record<string, readonly string[]>> = {
  paragraph: [],
  heading: ["level"],
  bulletList: [],
  orderedList: ["start"],
  listItem: [],
  taskList: [],
  taskItem: ["checked"],
  blockquote: [],
  codeBlock: ["language"],
  table: [],
  tableRow: [],
  tableHeader: ["colspan", "rowspan", "colwidth"],
  tableCell: ["colspan", "rowspan", "colwidth"],
  image: ["src", "alt", "title"],
  horizontalRule: [],
  hardBreak: [],
};

/** Every mark a body's text may carry, with its attributes. */
export const MARKS: Readonly<Record<string, readonly string[]>> = {
  bold: [],
  italic: [],
  underline: [],
  strike: [],
  code: [],
  link: ["href", "title"],
};

/** Elements without content: one position wide in ProseMirror, no text. */
export const LEAVES: ReadonlySet<string> = new Set(["image", "horizontalRule", "hardBreak"]);

/** Elements whose content is text, and that therefore are a line of the visible text even when empty. */
export const TEXTBLOCKS: ReadonlySet<string> = new Set(["paragraph", "heading", "codeBlock"]);

/** What other clients brought into a document and this version can carry along without understanding it. */
export interface Foreign {
  /** Attributes: name of the node or mark -> attribute names. */
  attributes: Map<string, Set<string>>;
  /** Marks: name -> whether several of them may overlap (their keys in the text carry a hash). */
  marks: Map<string, { overlap: boolean }>;
}

/** Nothing foreign. */
export const NOTHING_FOREIGN: Foreign = { attributes: new Map(), marks: new Map() };

/** Declares what is foreign, so that ProseMirror carries it through edits instead of dropping it. */
const keepForeign = ({ attributes, marks }: Foreign): AnyExtension[] => [
  ...[...marks].map(([name, { overlap }]) =>
    Mark.create({
      name,
      ...(overlap ? { excludes: "" } : {}),
      inclusive: false,
      renderHTML: () => ["span", { class: "ink-foreign" }, 0],
    }),
  ),
  Extension.create({
    name: "inkForeign",
    addGlobalAttributes: () =>
      [...attributes].map(([type, names]) => ({
        types: [type],
        attributes: Object.fromEntries([...names].map((name) => [name, { default: null, rendered: false }])),
      })),
  }),
];

/** Only what SCHEMA.md names is written; how a link opens is a matter of this window. */
const SafeLink = Link.extend({
  addAttributes: () => ({
    href: { default: null, parseHTML: (element: HTMLElement) => element.getAttribute("href") },
    title: { default: null },
  }),
}).configure({
  // Both would edit the text of whoever merely has the document open.
  autolink: false,
  openOnClick: false,
  linkOnPaste: true,
  defaultProtocol: "https",
  HTMLAttributes: { target: "_blank", rel: "noopener noreferrer nofollow" },
});

/** Content rules are wider than Tiptap's: y-prosemirror deletes what they refuse, so whatever Markdown allows is allowed. */
const nodeExtensions: AnyExtension[] = [
  Document,
  Paragraph,
  Text,
  Heading.configure({ levels: [1, 2, 3, 4, 5, 6] }),
  BulletList,
  OrderedList,
  ListItem.extend({ content: "block+" }),
  TaskList,
  TaskItem.extend({ content: "block+" }).configure({ nested: true }),
  Blockquote,
  CodeBlock,
  Table.configure({ resizable: true, allowTableNodeSelection: true }),
  TableRow,
  TableHeader,
  TableCell,
  Picture.configure({ inline: false, allowBase64: true }),
  HorizontalRule,
  HardBreak,
];

const markExtensions: AnyExtension[] = [
  Bold,
  Italic,
  Underline,
  Strike,
  // Markdown has bold code; Tiptap's default would drop one of the two.
  Code.extend({ excludes: "code" }),
  SafeLink,
];

/** Nodes and marks alone: what a document may hold. */
export const contentExtensions = (foreign: Foreign = NOTHING_FOREIGN): AnyExtension[] => [
  ...nodeExtensions,
  ...markExtensions,
  ...keepForeign(foreign),
];

/** Everything of the surface that is not collaboration: content, keys, cursors, placeholder. */
export const surfaceExtensions = (foreign: Foreign, placeholder: string): AnyExtension[] => [
  ...contentExtensions(foreign),
  ListKeymap,
  Dropcursor.configure({ class: "ink-dropcursor" }),
  Gapcursor,
  Placeholder.configure({ placeholder }),
];
