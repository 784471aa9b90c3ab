// What can happen to the text around an anchor, each as a document with a known history.

import type { JSONContent } from "@tiptap/core";
import { Node as PmNode } from "@tiptap/pm/model";
import { updateYFragment, yXmlFragmentToProseMirrorRootNode } from "@tiptap/y-tiptap";
import * as Y from "yjs";
import type { Anchor, Resolved } from "../anchor.ts";
import { anchorAt, resolveAnchor } from "../anchor.ts";
import { VisibleText } from "../visible.ts";
import { fill, p, schema } from "./help.ts";

export interface Story {
  name: string;
  /** As it is at the end. */
  doc: Y.Doc;
  anchor: Anchor;
  /** How the anchor was found before anything happened. */
  atFirst: Resolved;
}

const text = "The harbour was quiet when the first snow fell.";
const other = "Nobody had thought to bring in the boats.";

/** Makes a document, an anchor on `words` (a caret behind them with `caret`), then lets `happen` happen to the text. */
function story(name: string, content: JSONContent[], words: string, happen: (doc: Y.Doc) => void, caret = false): Story {
  const doc = new Y.Doc();
  doc.clientID = 1000;
  fill(doc, content);
  const fragment = doc.getXmlFragment("default");
  const node = yXmlFragmentToProseMirrorRootNode(fragment, schema);
  const at = new VisibleText(fragment).text.indexOf(words);
  const to = position(node, at + words.length);
  const anchor = anchorAt(fragment, caret ? to : position(node, at), to);
  const atFirst = resolveAnchor(fragment, anchor);
  // Somebody else does what happens then: other ids.
  const editor = new Y.Doc();
  editor.clientID = 2000;
  Y.applyUpdate(editor, Y.encodeStateAsUpdate(doc));
  happen(editor);
  return { name, doc: editor, anchor, atFirst };
}

/** ProseMirror position of an offset in the visible text. */
function position(node: PmNode, offset: number): number {
  let found = 0;
  let line = -1;
  let seen = 0;
  node.descendants((child, at) => {
    if (child.isTextblock) {
      line += 1;
      const start = seen + (line > 0 ? 1 : 0);
      if (offset >= start && offset <= start + child.content.size) found = at + 1 + offset - start;
      seen = start + child.content.size;
    }
    return !child.isTextblock;
  });
  return found;
}

const textAt = (doc: Y.Doc, block: number): Y.XmlText => (doc.getXmlFragment("default").get(block) as Y.XmlElement).get(0) as Y.XmlText;

/** Writes a new state of the text as the editor's binding does: what a split or a merge of blocks really looks like. */
function rewrite(doc: Y.Doc, content: JSONContent[]): void {
  const fragment = doc.getXmlFragment("default");
  const meta = { mapping: new Map(), isOMark: new Map() };
  doc.transact(() => updateYFragment(doc, fragment, PmNode.fromJSON(schema, { type: "doc", content }), meta));
}

const put = (doc: Y.Doc, block: number, at: string, words: string): void => textAt(doc, block).insert(text.indexOf(at), words);
const cut = (doc: Y.Doc, block: number, words: string): void => {
  const from = textAt(doc, block).toString().indexOf(words);
  textAt(doc, block).delete(from, words.length);
};

/** Every story, made anew: they are deterministic. */
export function stories(): Story[] {
  const two = [p(text), p(other)];
  return [
    story("nothing happened", two, "quiet", () => undefined),
    story("text was put in before", two, "quiet", (doc) => put(doc, 0, "The", "Once, ")),
    story("text was put in at the beginning of the range: it stays outside", two, "quiet", (doc) => put(doc, 0, "quiet", "very ")),
    story("text was put in at the end of the range: it stays outside", two, "quiet", (doc) => put(doc, 0, " when", "er")),
    story("text was put into the range", two, "quiet", (doc) => put(doc, 0, "iet", "oo")),
    story("a part of the range was deleted", two, "was quiet when", (doc) => cut(doc, 0, "quiet ")),
    story("the beginning of the range was deleted", two, "was quiet", (doc) => cut(doc, 0, "was ")),
    story("the range was deleted", two, "quiet ", (doc) => cut(doc, 0, "quiet ")),
    story("the range was deleted and typed again", two, "quiet", (doc) => {
      cut(doc, 0, "quiet");
      textAt(doc, 0).insert(16, "quiet");
    }),
    story("the block was split before the range", two, "first snow", (doc) => rewrite(doc, [p(text.slice(0, 21)), p(text.slice(22)), p(other)])),
    story("the block was split in the range", two, "first snow", (doc) => rewrite(doc, [p(text.slice(0, 36)), p(text.slice(37)), p(other)])),
    story("the block was joined with the one before", two, "bring in", (doc) => rewrite(doc, [p(text + other)])),
    story("the block was deleted", two, "bring in", (doc) => rewrite(doc, [p(text)])),
    story("the block became a heading", two, "bring in", (doc) => rewrite(doc, [p(text), { type: "heading", attrs: { level: 2 }, content: [{ type: "text", text: other }] }])),
    story("the block was moved to the front", two, "bring in", (doc) => rewrite(doc, [p(other), p(text)])),
    story("the words came back twice, with other surroundings", [p("a word here"), p("x")], "word", (doc) => rewrite(doc, [p("x"), p("no word there"), p("a word here")])),
    story("the words came back twice, just alike", [p("word")], "word", (doc) => {
      cut(doc, 0, "word");
      rewrite(doc, [p(""), p("word"), p(""), p("word"), p("")]);
    }),
    story("a range over two blocks", two, "fell.\nNobody", (doc) => put(doc, 0, "The", "> ")),
    story("a range over two blocks that were joined", two, "fell.\nNobody", (doc) => rewrite(doc, [p(text + other)])),
    story("a range with a line break in it", [{ type: "paragraph", content: [{ type: "text", text: "one" }, { type: "hardBreak" }, { type: "text", text: "two" }] }], "one\ntwo", () => undefined),
    story("a range in bold text", [{ type: "paragraph", content: [{ type: "text", text: "plain " }, { type: "text", text: "bold", marks: [{ type: "bold" }] }, { type: "text", text: " plain" }] }], "bold", (doc) => textAt(doc, 0).format(6, 4, { bold: null, italic: {} })),
    story("the whole first block", two, text, (doc) => textAt(doc, 0).insert(0, "Then: ")),
    story("words in a list in a table", [
      { type: "table", content: [{ type: "tableRow", content: [{ type: "tableCell", content: [{ type: "bulletList", content: [{ type: "listItem", content: [p("deep down")] }] }] }] }] },
      p(other),
    ], "deep", () => undefined),
    story("words beyond the first plane", [p("a 😀 smile and a 🐚 shell")], "😀 smile", (doc) => textAt(doc, 0).insert(0, "🐚 ")),
    story("a caret, and nothing happened", two, "quiet", () => undefined, true),
    story("a caret, and text was put in right there: it comes after", two, "quiet", (doc) => put(doc, 0, " when", " again"), true),
    story("a caret, and the word before it was deleted", two, "quiet", (doc) => cut(doc, 0, "quiet"), true),
    story("a caret at the very beginning", two, "", () => undefined, true),
    story("a caret in an empty block", [p("above"), p(""), p("below")], "above\n", (doc) => put(doc, 0, "The", "x"), true),
    story("a caret at the end of the document", two, other, (doc) => put(doc, 0, "The", "x"), true),
    story("a caret in a block that was split before it", two, "first snow", (doc) => rewrite(doc, [p(text.slice(0, 21)), p(text.slice(22)), p(other)]), true),
    story("a caret in a block that was deleted", two, "bring in", (doc) => rewrite(doc, [p(text)]), true),
    story("a caret in a block that moved", two, "bring in", (doc) => rewrite(doc, [p(other), p(text)]), true),
    story("a caret in an empty document", [], "", () => undefined, true),
    story("a caret in an empty document that was filled", [], "", (doc) => fill(doc, two), true),
  ];
}
