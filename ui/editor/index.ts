// window.inkling: what the shell may call, and nothing else. No call throws; what goes wrong becomes words.

import { callApi } from "./api.ts";
import { saveText } from "./files.ts";
import { oneOf, parse, reason, record, some, words } from "./json.ts";
import type { AskOptions, DecideAnswer, DecideOptions, EditorEvent, Inkling, OpenOptions, PreviewAnswer, User } from "./seam.ts";
import type { Transport } from "./session.ts";
import { Session } from "./session.ts";
import { isDesktop, TauriSocket } from "./transport-tauri.ts";
import { follow, linkAt } from "./follow.ts";
import { accessKey, relayUrl, takeKey } from "./transport-ws.ts";

let session: Session | null = null;

const transport = (key: string | undefined): Transport =>
  isDesktop() ? { url: "ipc://relay", key: "", socket: TauriSocket, retry: 300 } : { url: relayUrl(), key: key ?? accessKey() };

const readUser = (value: unknown): User => {
  const json = record(value);
  return { id: words(json["id"], 200), name: words(json["name"], 80).trim() || "Somebody", color: some(json["color"]) };
};

const readOptions = (json: string): OpenOptions => {
  const options = record(parse(json));
  return {
    doc: words(options["doc"]),
    user: readUser(options["user"]),
    key: some(options["key"], 4000),
    theme: oneOf(options["theme"], ["light", "dark"]),
    placeholder: some(options["placeholder"]),
  };
};

const KINDS = ["continue", "rewrite", "summarise", "brainstorm", "ask"] as const;
const ACTIONS = ["accept", "reject", "undo"] as const;
const CLOSED = { ok: false, code: "offline", message: "No document is open." } as const;

const inkling: Inkling = {
  open(element, optionsJson, onEvent) {
    inkling.close();
    let live: Session | null = null;
    const emit = (event: EditorEvent): void => {
      if (live === null || live === session) onEvent(JSON.stringify(event));
    };
    try {
      const options = readOptions(optionsJson);
      if (options.doc === "") throw new Error("no document is named");
      live = session = new Session(element, options, transport(options.key), emit);
    } catch (error) {
      emit({ type: "notice", level: "error", message: `The document could not be opened (${reason(error)}).` });
    }
  },
  close() {
    const leaving = session;
    session = null;
    leaving?.close();
  },
  command: (name, argsJson) => guarded(() => session?.command(name, parse(argsJson)), undefined),
  ask: (optionsJson) =>
    guarded(() => {
      const json = record(parse(optionsJson));
      const kind = oneOf(json["kind"], KINDS);
      if (kind === undefined) return "";
      const options: AskOptions = { kind, instruction: words(json["instruction"], 4000), to: words(json["to"], 200), again: some(json["again"]) };
      return session?.ask(options) ?? "";
    }, ""),
  cancel: (id) => guarded(() => session?.cancel(id), undefined),
  async decide(optionsJson) {
    const json = record(parse(optionsJson));
    const action = oneOf(json["action"], ACTIONS);
    const unclear: DecideAnswer = { ok: false, code: "failed", message: "It is not clear what to decide." };
    if (action === undefined) return JSON.stringify(unclear);
    const options: DecideOptions = { proposal: words(json["proposal"]), action, force: json["force"] === true };
    const answer: DecideAnswer = (await session?.decisions.decide(options)) ?? CLOSED;
    return JSON.stringify(answer);
  },
  async preview(proposalId) {
    const answer: PreviewAnswer = (await session?.decisions.preview(proposalId)) ?? CLOSED;
    return JSON.stringify(answer);
  },
  reveal: (cardId) => guarded(() => session?.reveal(cardId), undefined),
  setTitle: (title) => guarded(() => session?.setTitle(title), undefined),
  setUser: (userJson) => guarded(() => session?.setUser(readUser(parse(userJson))), undefined),
  follow: (href) => guarded(() => void (session ? session.follow(href) : follow(href)), undefined),
  content: () => guarded(() => session?.content() ?? "", ""),
  async keepCopy(title) {
    const answer = (await session?.keepCopy(words(title, 300))) ?? { message: CLOSED.message };
    return JSON.stringify(answer);
  },
  saveText: async (name, text) => JSON.stringify(await saveText(name, text)),
  api: async (method, path, bodyJson) => JSON.stringify(await callApi(method, path, bodyJson)),
  platform: () => (isDesktop() ? "desktop" : "web"),
};

/** A throw would end the shell's event handler, or the shell. */
function guarded<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch (error) {
    console.error(error);
    return otherwise;
  }
}

// Before the shell looks at the address. A link with another key, opened in this tab, begins anew with it.
takeKey();
window.addEventListener("hashchange", () => {
  if (takeKey()) window.location.reload();
});

// Links outside the text (in cards) say that they leave the page; a desktop window has nowhere to leave to.
document.addEventListener("click", (event) => {
  const href = event.target instanceof Element && event.target.closest("a[target=_blank]") ? linkAt(event.target) : null;
  if (href === null || event.defaultPrevented) return;
  event.preventDefault();
  inkling.follow(href);
});

Object.assign(window, { inkling });
