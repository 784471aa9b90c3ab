// Following the links of a document: inside the page, in a new tab, or in the system's browser.

import { invoke } from "@tauri-apps/api/core";
import { reason } from "./json.ts";
import { isDesktop } from "./transport-tauri.ts";

/** What is done with a link. Documents come from others: whatever could run something is not followed. */
export type Way = "page" | "outside" | "refused";

/** How a link is followed. */
export function wayOf(href: string): Way {
  if (href.startsWith("#/")) return "page";
  return /^(https?:\/\/|mailto:|tel:)/i.test(href.trim()) ? "outside" : "refused";
}

/** Follows a link; answers words for the person when that cannot be done. */
export async function follow(href: string): Promise<string | null> {
  const way = wayOf(href);
  if (way === "refused") return "This link leads nowhere that Inkling can open.";
  if (way === "page") {
    window.location.hash = href;
    return null;
  }
  if (!isDesktop()) {
    window.open(href, "_blank", "noopener,noreferrer");
    return null;
  }
  try {
    await invoke("follow_link", { url: href.trim() });
    return null;
  } catch (error) {
    return `The link could not be opened (${reason(error)}).`;
  }
}

/** The link that a click or the caret is in. */
export function linkAt(target: EventTarget | null): string | null {
  const element = target instanceof Element ? target.closest("a[href]") : null;
  return element?.getAttribute("href") ?? null;
}
