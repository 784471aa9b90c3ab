// Pictures that another server holds are not fetched by themselves: it would learn who reads the document, and when.

import { Image } from "@tiptap/extension-image";
import { follow } from "./follow.ts";
import { words } from "./json.ts";
import { isDesktop } from "./transport-tauri.ts";

/** The host of a picture that lies elsewhere; null for one that is in the document or on this page's own server. */
export function elsewhere(src: string, page: string = window.location.href): string | null {
  try {
    const url = new URL(src, page);
    if (url.protocol === "data:" || url.protocol === "blob:" || url.origin === new URL(page).origin) return null;
    return url.host || url.protocol;
  } catch {
    return src;
  }
}

/** A picture, or what stands for it until somebody asks for it. */
export const Picture = Image.extend({
  addNodeView() {
    return ({ node }) => {
      const [src, alt, title] = ["src", "alt", "title"].map((name) => words(node.attrs[name])) as [string, string, string];
      const host = elsewhere(src);
      return { dom: host === null ? picture(src, alt, title) : away(src, alt, title, host) };
    };
  },
});

function picture(src: string, alt: string, title: string): HTMLImageElement {
  const image = document.createElement("img");
  Object.assign(image, { src, alt, title });
  return image;
}

/** In a browser it can be shown here; the window's rules let it fetch from nobody, so there it opens in the browser. */
function away(src: string, alt: string, title: string, host: string): HTMLElement {
  const box = document.createElement("div");
  box.className = "ink-picture-away";
  box.contentEditable = "false";
  const label = document.createElement("span");
  label.textContent = alt === "" ? `A picture on ${host}` : `${alt} (a picture on ${host})`;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = isDesktop() ? "Open in the browser" : "Show";
  button.addEventListener("click", () => {
    if (isDesktop()) void follow(src);
    else box.replaceWith(picture(src, alt, title));
  });
  box.append(label, button);
  return box;
}
