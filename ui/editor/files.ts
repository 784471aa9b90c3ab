// Saving a text as a file: a download in a browser, the folder for downloads on the desktop.

import { invoke } from "@tauri-apps/api/core";
import { reason, words } from "./json.ts";
import type { SaveAnswer } from "./seam.ts";
import { isDesktop } from "./transport-tauri.ts";

/** Saves Markdown under a document's title; never rejects. */
export async function saveText(name: string, text: string): Promise<SaveAnswer> {
  try {
    if (isDesktop()) return { ok: true, message: `Saved as ${words(await invoke("save_text", { name, text }))}` };
    const url = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${name.replace(/[\\/:*?"<>|]+/g, " ").trim() || "Document"}.md`;
    link.click();
    // After the download has begun; browsers hold on to what they read.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return { ok: true, message: `${link.download} is in your downloads.` };
  } catch (error) {
    return { ok: false, message: `The file could not be saved (${reason(error)}).` };
  }
}
