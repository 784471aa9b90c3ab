// Markdown for showing and for pasting.

import { getSchema } from "@tiptap/core";
import { DOMParser as PmParser } from "@tiptap/pm/model";
import { afterEach, expect, test } from "vitest";
import { looksLikeMarkdown, toElements, toHtml, toParts } from "../markdown.ts";
import { contentExtensions } from "../schema.ts";
import { closeAll, editorOf, open, until } from "./help.ts";

afterEach(closeAll);

test("HTML, pictures and dangerous links stay words", () => {
  const html = toHtml("<script>x</script> ![a](http://evil/x.png) [b](javascript:x) [c](https://example.org \"t\")");
  expect(html).not.toMatch(/<script|<img|href="javascript/);
  expect(html).toContain('<a href="https://example.org" title="t" target="_blank" rel="noopener noreferrer nofollow">c</a>');
});

test("a ghost's first paragraph continues the line, the rest stands below", () => {
  expect(toParts("one *two*")).toEqual({ inline: "one <em>two</em>", blocks: "" });
  expect(toParts("one\n\ntwo")).toEqual({ inline: "one", blocks: "<p>two</p>\n" });
  expect(toParts("- one")).toEqual({ inline: "", blocks: "<ul>\n<li>one</li>\n</ul>\n" });
  expect(toParts("")).toEqual({ inline: "", blocks: "" });
});

test.each([
  ["# Title", true],
  ["- one\n- two", true],
  ["1. one", true],
  ["```\ncode\n```", true],
  ["some **bold** words", true],
  ["see [this](https://example.org)", true],
  ["| a | b |\n|---|---|\n| 1 | 2 |", true],
  ["just a sentence.", false],
  ["5 * 3 * 2 = 30", false],
  ["a_b_c and d-e-f", false],
  ["#hashtag", false],
])("%j looks like Markdown: %s", (text, expected) => {
  expect(looksLikeMarkdown(text)).toBe(expected);
});

test("Markdown becomes what the editor itself would write", () => {
  const schema = getSchema(contentExtensions());
  const source = "## T\n\n**b** ~~s~~ `c`\n\n- [x] done\n- [ ] open\n\n1. n\n\n> q\n\n```rust\nfn\n```\n\n| a |\n|---|\n| 1 |\n\n---";
  const doc = PmParser.fromSchema(schema).parse(toElements(source));
  doc.check();
  const types = doc.content.content.map((node) => node.type.name);
  expect(types).toEqual(["heading", "paragraph", "taskList", "orderedList", "blockquote", "codeBlock", "table", "horizontalRule"]);
  expect(doc.child(2).content.content.map((item) => [item.attrs["checked"], item.textContent])).toEqual([[true, "done"], [false, "open"]]);
  expect(doc.child(5).attrs["language"]).toBe("rust");
});

test("pasting: Markdown as blocks, plain text as it is, HTML without what is not ours", async () => {
  const { element, last } = open();
  await until(() => last("toolbar")?.editable === true);
  const editor = editorOf(element);
  const { view } = editor;
  const paste = (text: string): boolean => {
    const clipboardData = { getData: (type: string) => (type === "text/plain" ? text : ""), types: ["text/plain"], files: [], items: [] };
    return view.dom.dispatchEvent(Object.assign(new Event("paste", { bubbles: true, cancelable: true }), { clipboardData }));
  };
  paste("# Title\n\n- one\n- two");
  expect(editor.getJSON().content?.map(({ type }) => type)).toEqual(["heading", "bulletList"]);
  editor.commands.setContent("<p></p>");
  paste("2 * 3 is <b>not</b> bold");
  expect(editor.getText()).toBe("2 * 3 is <b>not</b> bold");
  editor.commands.setContent("<p></p>");
  view.pasteText("# not a title: pasted as plain text");
  expect(editor.getText()).toBe("# not a title: pasted as plain text");
  editor.commands.setContent("<p></p>");
  view.pasteHTML('<p onclick="x()" style="color:red">a <b>bold</b> <a href="javascript:x()">trap</a><script>x()</script></p>');
  expect(editor.getHTML()).toBe("<p>a <strong>bold</strong> trap</p>");
});
