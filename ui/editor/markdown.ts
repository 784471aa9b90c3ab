// Markdown as HTML for showing (ghosts, cards) and for pasting. Never with raw HTML, scripts or pictures from elsewhere.

import MarkdownIt from "markdown-it";

const shown = new MarkdownIt({ html: false, linkify: false, typographer: false, breaks: false });
// A model's answer must not be able to fetch anything by being looked at.
shown.disable("image");
const renderLink = shown.renderer.rules.link_open ?? ((tokens, index, options, _env, self) => self.renderToken(tokens, index, options));
shown.renderer.rules.link_open = (tokens, index, options, env, self) => {
  tokens[index]?.attrSet("target", "_blank");
  tokens[index]?.attrSet("rel", "noopener noreferrer nofollow");
  return renderLink(tokens, index, options, env, self);
};

const pasted = new MarkdownIt({ html: false, linkify: false, typographer: false, breaks: false });

/** Safe HTML of Markdown. */
export const toHtml = (markdown: string): string => shown.render(markdown);

/** The first paragraph without its tag, and the rest as blocks: a ghost continues its line with the one, shows the other below. */
export function toParts(markdown: string): { inline: string; blocks: string } {
  const tokens = shown.parse(markdown, {});
  const inline = tokens[0]?.type === "paragraph_open" ? tokens[1] : undefined;
  if (inline === undefined) return { inline: "", blocks: shown.renderer.render(tokens, shown.options, {}) };
  return {
    inline: shown.renderer.renderInline(inline.children ?? [], shown.options, {}),
    blocks: shown.renderer.render(tokens.slice(3), shown.options, {}),
  };
}

const MARKDOWN_LINE = /^(#{1,6} \S|\s*[-*+] \S|\s*\d{1,9}[.)] \S|> ?\S|```|~~~|\|.+\|\s*$|( {0,3}[-*_]){3,}\s*$)/m;
const MARKDOWN_SPAN = /\*\*[^\s*][^*]*\*\*|\[[^\]\n]+\]\([^)\s]+\)|`[^`\n]+`|~~\S[^~\n]*~~/;

/** Whether pasted plain text is meant as Markdown. */
export const looksLikeMarkdown = (text: string): boolean => MARKDOWN_LINE.test(text) || MARKDOWN_SPAN.test(text);

/** Markdown as elements that the editor's own HTML rules read (task lists as Tiptap writes them). */
export function toElements(markdown: string): HTMLElement {
  const body = new DOMParser().parseFromString(pasted.render(markdown), "text/html").body;
  for (const list of body.querySelectorAll("ul")) {
    const items = [...list.children].filter((child) => child.tagName === "LI");
    const boxes = items.map((item) => /^\[([ xX])\] /.exec(textOf(item)?.data ?? ""));
    if (items.length === 0 || boxes.some((box) => box === null)) continue;
    list.setAttribute("data-type", "taskList");
    items.forEach((item, index) => {
      item.setAttribute("data-type", "taskItem");
      item.setAttribute("data-checked", String(boxes[index]?.[1] !== " "));
      const text = textOf(item);
      if (text !== null) text.data = text.data.slice(4);
    });
  }
  return body;
}

/** The first text in a list item, in its paragraph if it has one. */
function textOf(item: Element): Text | null {
  const first = item.firstElementChild?.tagName === "P" && item.firstChild?.textContent?.trim() !== "" ? item.firstElementChild : item;
  for (const child of first.childNodes) {
    if (child instanceof Text && child.data.trim() !== "") return child;
    if (child instanceof Element && child.tagName === "P") return child.firstChild instanceof Text ? child.firstChild : null;
    if (child instanceof Element) return null;
  }
  return null;
}
