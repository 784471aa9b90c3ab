// Positions: ProseMirror to Yjs and back, for every position of many documents; and who types at once in one place.

import type { Node as PmNode } from "@tiptap/pm/model";
import { Selection } from "@tiptap/pm/state";
import { yXmlFragmentToProseMirrorRootNode } from "@tiptap/y-tiptap";
import { afterEach, expect, test } from "vitest";
import * as Y from "yjs";
import { anchorAt, resolveAnchor } from "../anchor.ts";
import { fromRelative, pointAt, positionOf, toRelative } from "../points.ts";
import { VisibleText } from "../visible.ts";
import { chance } from "./chance.ts";
import { closeAll, editorOf, fill, open, p, schema, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(closeAll);

/** Any document of the schema, a few blocks long. */
function anyBlocks(dice: (below: number) => number, depth = 0): object[] {
  const inline = (): object[] =>
    Array.from({ length: dice(4) }, (_, i) => {
      if (dice(6) === 0) return { type: "hardBreak" };
      const marks = dice(3) === 0 ? [{ type: ["bold", "italic", "code"][dice(3)] }] : [];
      return { type: "text", text: ["word ", "a 😀 ", "xyz", "—"][dice(4)] + String(i), marks };
    });
  const blocks = (): object[] => anyBlocks(dice, depth + 1);
  return Array.from({ length: 1 + dice(3) }, () => {
    switch (dice(depth > 2 ? 4 : 9)) {
      case 0: return { type: "heading", attrs: { level: 1 + dice(6) }, content: inline() };
      case 1: return { type: "codeBlock", content: dice(2) ? [{ type: "text", text: "let x\n" }] : [] };
      case 2: return { type: "image", attrs: { src: "/x" } };
      case 4: return { type: "bulletList", content: [{ type: "listItem", content: blocks() }, { type: "listItem", content: blocks() }] };
      case 5: return { type: "blockquote", content: blocks() };
      case 6: return { type: "taskList", content: [{ type: "taskItem", content: blocks() }] };
      case 7: return { type: "table", content: [{ type: "tableRow", content: [{ type: "tableCell", content: blocks() }, { type: "tableCell", content: blocks() }] }] };
      case 8: return { type: "horizontalRule" };
      default: return { type: "paragraph", content: inline() };
    }
  });
}

function documentOf(seed: number): { fragment: Y.XmlFragment; node: PmNode } {
  const doc = new Y.Doc();
  fill(doc, anyBlocks(chance(seed)) as never);
  const fragment = doc.getXmlFragment("default");
  return { fragment, node: yXmlFragmentToProseMirrorRootNode(fragment, schema) };
}

test("every position goes to the shared document and back, also as a relative position", () => {
  for (let seed = 0; seed < 150; seed++) {
    const { fragment, node } = documentOf(seed);
    for (let position = 0; position <= node.content.size; position++) {
      const point = pointAt(fragment, position);
      expect(positionOf(fragment, point), `seed ${seed}`).toBe(position);
      for (const assoc of [0, -1]) {
        const back = fromRelative(fragment, JSON.parse(JSON.stringify(toRelative(point, assoc))));
        expect(back === null ? null : positionOf(fragment, back), `seed ${seed}`).toBe(position);
      }
    }
  }
});

test("the visible text is ProseMirror's, and every selection's anchor is found where it was made", () => {
  for (let seed = 0; seed < 150; seed++) {
    const { fragment, node } = documentOf(seed);
    const visible = new VisibleText(fragment);
    const lines: string[] = [];
    node.descendants((child) => {
      if (child.isTextblock) lines.push(child.textBetween(0, child.content.size, "", (leaf) => (leaf.type.name === "hardBreak" ? "\n" : "")));
      return !child.isTextblock;
    });
    expect(visible.text, `seed ${seed}`).toBe(lines.join("\n"));
    const dice = chance(seed + 1000);
    for (let i = 0; i < 20; i++) {
      const [a, b] = [dice(node.content.size + 1), dice(node.content.size + 1)].map((at) => Selection.near(node.resolve(at)).from);
      const anchor = anchorAt(fragment, a!, b!, visible);
      const found = resolveAnchor(fragment, anchor, visible);
      expect(found, `seed ${seed}`).toMatchObject({ state: "found", moved: false, text: anchor.quote });
      expect(visible.text, `seed ${seed}`).toContain(anchor.prefix + anchor.quote + anchor.suffix);
    }
  }
});

test("two people who begin to type in a new empty line at once double and lose nothing", async () => {
  for (let round = 0; round < 8; round++) {
    const relay = new FakeRelay();
    fill(relay.doc("d"), [p("first line")]);
    const ada = open(relay, { id: "u1", name: "Ada" });
    const bob = open(relay, { id: "u2", name: "Bob" });
    await until(() => ada.last("toolbar")?.editable === true && bob.last("toolbar")?.editable === true);
    const [a, b] = [editorOf(ada.element), editorOf(bob.element)];
    a.commands.setTextSelection(11);
    a.commands.splitBlock();
    await until(() => b.state.doc.childCount === 2);
    b.commands.setTextSelection(13);
    for (let i = 0; i < 12; i++) {
      if ((i + round) % 3 !== 0) a.commands.insertContent("A");
      if ((i + round) % 2 !== 0) b.commands.insertContent("b");
      if (i % 4 === round % 4) await settle(1);
    }
    await settle(30);
    await until(() => a.getText() === b.getText());
    const text = a.getText().replace("first line\n\n", "");
    expect([...text].sort().join("")).toBe("A".repeat(8) + "b".repeat(6));
    expect(relay.doc("d").getXmlFragment("default").toString()).toBe(`<paragraph>first line</paragraph><paragraph>${text}</paragraph>`);
    closeAll();
  }
});
