// Keeping what a window holds as a document of its own, when the relay's document has gone another way.

import * as Y from "yjs";
import { callApi } from "./api.ts";
import { parse, record, words } from "./json.ts";
import type { LinkOptions } from "./provider.ts";
import { Link } from "./provider.ts";
import type { KeepAnswer } from "./seam.ts";

/** How long the relay may take to say that the copy is on its disk. */
const PATIENCE = 60_000;

/** What is kept. */
export interface Kept {
  body: Y.Doc;
  margin: Y.Doc;
}

/**
 * Makes a document named `title` with everything of `kept`: its text, the decisions on proposals, the margin. Resolves when
 * the relay has it on its disk, or with words for the person.
 */
export async function keepAsNew(kept: Kept, title: string, options: Omit<LinkOptions, "doc">): Promise<KeepAnswer> {
  const { id, name } = options.user;
  const who = new URLSearchParams({ user: id, name }).toString();
  const answer = await callApi("POST", `/documents?${who}`, JSON.stringify({ title }));
  const made = record(parse(answer.body));
  const doc = words(made["id"]);
  if (answer.status !== 201 || doc === "") return { message: words(made["message"]) || "The server did not make a document." };
  const refusal = await write(kept, title, { ...options, doc });
  return refusal === null ? { doc } : { message: refusal };
}

/** Brings the content into the new document; answers why that did not go, or null. */
function write(kept: Kept, title: string, options: LinkOptions): Promise<string | null> {
  const [body, margin] = [Y.encodeStateAsUpdate(kept.body), Y.encodeStateAsUpdate(kept.margin)];
  return new Promise((resolve) => {
    let written = false;
    let over = false;
    const done = (refusal: string | null): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      // Not from within one of the connection's own calls.
      queueMicrotask(() => link?.close());
      resolve(refusal);
    };
    const timer = setTimeout(() => done("The server has not confirmed the copy in time."), PATIENCE);
    let link: Link | undefined;
    const look = (): void => {
      if (link === undefined) return; // it tells of itself while it is made
      if (link.ended !== null) done(link.ended.message || "The server refused the copy.");
      else if (link.refused) done("The server refused the copy.");
      else if (written && link.connection === "connected" && link.saved === "saved") done(null);
    };
    link = new Link(options, {
      changed: () => look(),
      synced: () => {
        if (link === undefined) return;
        Y.applyUpdate(link.body, body);
        Y.applyUpdate(link.margin, margin);
        link.body.getMap("meta").set("title", title);
        written = true;
      },
      incoming: () => undefined,
      stateless: () => undefined,
      lost: () => undefined,
      notice: () => undefined,
    });
  });
}
