// The files that the Rust side reads and writes too: documents of crdt/tests/golden, anchors of anchors.golden.json.
// `UPDATE=1 npm test -w ui/editor` writes the anchors anew; look at the difference before keeping it.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getSchema } from "@tiptap/core";
import { fromBase64, toBase64 } from "lib0/buffer";
import { yXmlFragmentToProseMirrorRootNode } from "@tiptap/y-tiptap";
import { afterEach, describe, expect, test } from "vitest";
import * as Y from "yjs";
import type { Anchor } from "../anchor.ts";
import { anchorAt, resolveAnchor } from "../anchor.ts";
import { MARKS, NODES, contentExtensions } from "../schema.ts";
import { surveyNames, surveyPlaces } from "../survey.ts";
import { closeAll, fill, open, schema, settle, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";
import { stories } from "./stories.ts";

afterEach(closeAll);

const here = join(import.meta.dirname, "anchors.golden.json");
const crdt = join(import.meta.dirname, "../../../crdt");

interface GoldenAnchor {
  name: string;
  update: string;
  anchor: Anchor;
  expected: { state: string; text: string; moved: boolean };
}

describe("anchors", () => {
  const made: GoldenAnchor[] = stories().map(({ name, doc, anchor }) => {
    const resolved = resolveAnchor(doc.getXmlFragment("default"), anchor);
    const expected = resolved.state === "detached" ? { state: "detached", text: "", moved: false } : { state: resolved.state, text: resolved.text, moved: resolved.moved };
    return { name, update: toBase64(Y.encodeStateAsUpdate(doc)), anchor, expected };
  });
  if (process.env["UPDATE"] === "1") writeFileSync(here, `${JSON.stringify(made, null, 1)}\n`);
  const golden = JSON.parse(readFileSync(here, "utf8")) as GoldenAnchor[];

  test("are made and found as they always were", () => {
    expect(made).toEqual(golden);
  });

  test.each(golden)("$name, read from its update", ({ update, anchor, expected }) => {
    const doc = new Y.Doc();
    Y.applyUpdate(doc, fromBase64(update));
    expect(resolveAnchor(doc.getXmlFragment("default"), anchor)).toMatchObject(expected.state === "detached" ? { state: "detached" } : expected);
  });
});

describe.runIf(existsSync(join(crdt, "tests/golden/document.json")))("documents", () => {
  const json = JSON.parse(readFileSync(join(crdt, "tests/golden/document.json"), "utf8")) as { content: [] };

  test.each(["document.update.bin", "document.rust.update.bin"])("%s is understood whole", (file) => {
    const doc = new Y.Doc();
    Y.applyUpdate(doc, readFileSync(join(crdt, "tests/golden", file)));
    const fragment = doc.getXmlFragment("default");
    const { unknown, foreign } = surveyNames(fragment);
    expect(unknown).toEqual([]);
    const known = getSchema(contentExtensions(foreign));
    expect(surveyPlaces(fragment, known)).toEqual([]);
    const before = Y.encodeStateAsUpdate(doc);
    const shown = yXmlFragmentToProseMirrorRootNode(fragment, known);
    shown.check();
    expect(strip(shown.toJSON())).toEqual(strip({ type: "doc", content: json.content }));
    expect(Y.encodeStateAsUpdate(doc)).toEqual(before);
  });

  test.each(["document.update.bin", "document.rust.update.bin"])("%s is opened and closed without an edit", async (file) => {
    const relay = new FakeRelay();
    Y.applyUpdate(relay.doc("d"), readFileSync(join(crdt, "tests/golden", file)));
    const { last, session } = open(relay);
    await until(() => last("toolbar")?.editable === true);
    session.command("selectAll", null);
    await settle();
    session.close();
    await settle();
    expect(relay.updates).toEqual([]);
  });
});

test("schema.ts names what SCHEMA.md names, and the editor's schema has exactly that", () => {
  const text = readFileSync(join(crdt, "SCHEMA.md"), "utf8");
  const section = /### Nodes\n([\s\S]*?)###/.exec(text)?.[1] ?? "";
  for (const name of [...Object.keys(NODES), ...Object.keys(MARKS)]) expect(section).toContain(`\`${name}\``);
  expect(Object.keys(schema.nodes).filter((name) => name !== "doc" && name !== "text").sort()).toEqual(Object.keys(NODES).sort());
  expect(Object.keys(schema.marks).sort()).toEqual(Object.keys(MARKS).sort());
  for (const [name, attributes] of Object.entries(NODES)) expect(Object.keys(schema.nodes[name]!.spec.attrs ?? {})).toEqual(expect.arrayContaining([...attributes]));
  for (const [name, attributes] of Object.entries(MARKS)) expect(Object.keys(schema.marks[name]!.spec.attrs ?? {})).toEqual([...attributes]);
});

/** Without attributes that are null or at their default, and with marks in one order: JSON of two writers made alike. */
function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== "object" || value === null) return value;
  const node = value as { type?: string; attrs?: Record<string, unknown>; marks?: { type: string }[] };
  const out: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(node)) if (key !== "attrs" && key !== "marks") out[key] = strip(entry);
  if (node.marks) out["marks"] = [...node.marks].sort((a, b) => a.type.localeCompare(b.type)).map(strip);
  const defaults: Record<string, unknown> = { start: 1, checked: false, colspan: 1, rowspan: 1 };
  const attrs = Object.entries(node.attrs ?? {}).filter(([key, entry]) => entry !== null && entry !== defaults[key]);
  if (attrs.length > 0) out["attrs"] = Object.fromEntries(attrs);
  return out;
}

// `fill` and `anchorAt` are what the stories are made of; a story that does not start found would prove nothing.
test("every story starts with its anchor found", () => {
  const doc = new Y.Doc();
  fill(doc, [{ type: "paragraph", content: [{ type: "text", text: "abc" }] }]);
  const fragment = doc.getXmlFragment("default");
  expect(resolveAnchor(fragment, anchorAt(fragment, 1, 4))).toMatchObject({ state: "found", from: 1, to: 4, moved: false });
  for (const { name, atFirst } of stories()) expect(atFirst, name).toMatchObject({ state: "found", moved: false });
});
