// The seam between the Leptos shell (Rust, wasm) and the editing surface: every type that crosses it, and every
// class name and attribute that the shell's style sheet may rely on. Types only, no code.

/*
 * CLASS NAMES (made here, styled by the shell)
 *
 *   the surface
 *     .ink-surface                  put on the element given to open(); [data-role=viewer|suggester|editor|owner], [data-theme]
 *     .ink-surface[data-readonly]   present while typing is impossible (role, or a document with unknown parts)
 *     .ProseMirror                  the editable element inside; .ProseMirror-focused while it has the focus
 *     .ProseMirror p.is-editor-empty:first-child::before     placeholder; its words are in attr(data-placeholder)
 *     .ProseMirror-gapcursor, .ProseMirror-selectednode, .selectedCell, .column-resize-handle, .tableWrapper   as in Tiptap
 *     ul[data-type=taskList] > li[data-checked=true|false] > label > input, + div    task lists
 *     .ink-unknown                  a part this version cannot show (read-only documents)
 *     .ink-picture-away             stands for a picture on another server until somebody asks for it (a span and a button)
 *     .ink-foreign                  text with formatting of another client that this version carries along unseen
 *     .ink-dropcursor               where dragged content would land
 *
 *   people
 *     .ink-caret                    inline, where somebody's caret is; style="--ink-color: #hex"; [data-kind=human|ai]
 *     .ink-caret-label              inside it: the name. .ink-caret[data-fresh] for 2.5 s after it moved (show the label)
 *     .ink-selection                somebody's selected text; style="--ink-color: #hex"
 *     .ink-own-selection            one's own selection while the focus is elsewhere (in the ask bar)
 *
 *   authors (decorations; only while `showAuthors` is on)
 *     .ink-author                   a run of text by one author; style="--ink-color: #hex"; [data-kind=human|ai|link|unknown],
 *                                   [data-author=key]; its title says who
 *
 *   proposals (decorations; never part of the document)
 *     .ink-ghost                    text of a proposal at its place; a span ([data-inline]) or a div ([data-block]);
 *                                   [data-state=queued|streaming|pending|failed], [data-kind=insert|replace|delete|comment],
 *                                   [data-proposal=id], [data-stale] when the text under it has changed
 *     .ink-ghost-body               inside it: the words (p, ul, ol, pre, code, strong, em, …)
 *     .ink-ghost-replaced           on the document's own text that a `replace` or `delete` proposal would take away
 *     .ink-anchor                   on the text a proposal is about; [data-state], [data-kind], [data-proposal]
 *     .ink-ai-caret                 the AI's caret at the end of what it writes; contains .ink-caret-label; [data-working]
 *                                   while it reads (nothing written yet)
 *     .ink-reveal                   for 1.6 s on what reveal() brought into view (ghost or anchor)
 */

/** Which transport and API the surface runs on. */
export type Platform = "web" | "desktop";

/** What a connection may do with the document: see docs/protocol.md. */
export type Role = "viewer" | "suggester" | "editor" | "owner";

/** Somebody, as stored in documents and sent to the relay. */
export interface User {
  /** Stable for this person on this device. */
  id: string;
  /** Shown at the caret and on cards. */
  name: string;
  /** `#rrggbb`; when missing or empty one is derived from `id`. */
  color?: string;
}

/** The first argument's companion in `open`: JSON of this. */
export interface OpenOptions {
  /** Document id. */
  doc: string;
  user: User;
  /** Access key; when missing, the one that came with the page's address (kept in sessionStorage) is used. */
  key?: string;
  /** Only put on the surface as `data-theme`. */
  theme?: "light" | "dark";
  /** Words in an empty document. */
  placeholder?: string;
}

/** What a person can ask an AI peer for. */
export type RequestKind = "continue" | "rewrite" | "summarise" | "brainstorm" | "ask";

/** Argument of `ask`: JSON of this. The place is the selection (or the last one, or the document's end). */
export interface AskOptions {
  kind: RequestKind;
  /** In the person's own words; "" where `kind` says it all. */
  instruction?: string;
  /** Id of the AI peer; "" or missing for whichever is free. */
  to?: string;
  /** Id of a card whose place is meant, instead of the selection's. */
  again?: string;
}

/** Argument of `decide`: JSON of this. */
export interface DecideOptions {
  /** Id of the proposal (a card's `id`). */
  proposal: string;
  action: "accept" | "reject" | "undo";
  /** Accept although the text under the proposal has changed; only after `preview`. */
  force?: boolean;
}

/** Markdown of a proposal's place: when it was made, now, and after accepting. */
export interface Preview {
  base: string;
  current: string;
  result: string;
}

/** What `decide` resolves to (JSON of this; it never rejects). */
export interface DecideAnswer {
  ok: boolean;
  /** Id of the decision, when `ok`. */
  decision?: string;
  /** When not `ok`. `offline` and `timeout` are made here, the others by the relay. */
  code?:
    | "stale" | "detached" | "forbidden" | "unknown" | "already" | "streaming" | "failed" | "offline" | "timeout";
  /** Words for the person, when not `ok`. */
  message?: string;
  /** With `code: "stale"`: show it, then decide again with `force`. */
  preview?: Preview;
}

/** What `preview` resolves to (JSON of this; it never rejects). */
export interface PreviewAnswer {
  ok: boolean;
  stale?: boolean;
  preview?: Preview;
  code?: string;
  message?: string;
}

/** What `api` resolves to (JSON of this; it never rejects). `body` is the answer's text; `status` 0: nothing answered. */
export interface ApiAnswer {
  status: number;
  body: string;
}

/** What `saveText` resolves to (JSON of this; it never rejects): words for the person, also when it worked. */
export interface SaveAnswer {
  ok: boolean;
  message: string;
}

/** What `keepCopy` resolves to (JSON of this; it never rejects): the new document's id, or words for the person. */
export interface KeepAnswer {
  doc?: string;
  message?: string;
}

/** Why the relay does not go on with a document for this window. */
export interface Ended {
  /**
   * `replaced`: the relay's document has another history, for example from a backup. `gone`: it has none any more. `refused`:
   * the right was taken away or has run out. This window keeps what it has, and lets nobody type.
   */
  why: "replaced" | "gone" | "refused";
  /** The relay's words; may be empty. */
  message: string;
}

/** Somebody to whom text is put down. */
export interface Writer {
  /** For telling them apart. */
  key: string;
  name: string;
  /** `link`: came from another server, which knows who it was. `unknown`: nothing is recorded. */
  kind: "human" | "ai" | "link" | "unknown";
  color: string;
  /** Of an AI's text: who accepted it. */
  acceptedBy?: string;
  /** Characters in the text now, in UTF-16 units. */
  units: number;
}

/** Names for `command`; arguments are JSON of the object shown, or "" / "null" for none. Unknown names do nothing. */
export interface Commands {
  toggleBold: null;
  toggleItalic: null;
  toggleUnderline: null;
  toggleStrike: null;
  toggleCode: null;
  setParagraph: null;
  /** Heading of that level, or back to a paragraph. */
  toggleHeading: { level: 1 | 2 | 3 | 4 | 5 | 6 };
  toggleBulletList: null;
  toggleOrderedList: null;
  toggleTaskList: null;
  toggleBlockquote: null;
  toggleCodeBlock: { language?: string } | null;
  /** On the selection, or on the link around the caret; inserts `href` as text when there is neither. */
  setLink: { href: string };
  unsetLink: null;
  insertTable: { rows?: number; cols?: number; withHeaderRow?: boolean } | null;
  addRowBefore: null;
  addRowAfter: null;
  deleteRow: null;
  addColumnBefore: null;
  addColumnAfter: null;
  deleteColumn: null;
  toggleHeaderRow: null;
  mergeOrSplit: null;
  deleteTable: null;
  setHorizontalRule: null;
  setHardBreak: null;
  /** `src` must be http(s), data:image or a path of this server. */
  insertImage: { src: string; alt?: string; title?: string };
  sinkListItem: null;
  liftListItem: null;
  clearFormatting: null;
  selectAll: null;
  /** Own edits only; an accepted proposal is taken back by `decide` with action "undo". */
  undo: null;
  redo: null;
  /** Shows who wrote what, or hides it; `only`: key of the one author who is marked. */
  showAuthors: { on: boolean; only?: string | null };
  /** Back to where the caret was, or to the document's end. */
  focus: { at?: "start" | "end" } | null;
  blur: null;
}

/** What is switched on at the selection. Absent keys are off. */
export interface Active {
  bold?: true;
  italic?: true;
  underline?: true;
  strike?: true;
  code?: true;
  link?: { href: string };
  /** Level. */
  heading?: number;
  paragraph?: true;
  bulletList?: true;
  orderedList?: true;
  taskList?: true;
  blockquote?: true;
  codeBlock?: { language: string };
  table?: true;
  image?: true;
}

/** Somebody who has the document open: a person's window or an AI peer. */
export interface Person {
  /** Yjs client id: one per window. */
  clientId: number;
  id: string;
  name: string;
  color: string;
  kind: "human" | "ai";
  /** This very window. */
  self: boolean;
  /** AI peers only. */
  model?: string;
  device?: string;
  quantisation?: string;
  licence?: string;
  ai?: { state: "idle" | "thinking" | "writing"; request?: string; tokensPerSecond?: number };
}

/** A card's state with the decisions taken into account. `queued`: asked, nothing written yet. */
export type CardState = "queued" | "streaming" | "pending" | "accepted" | "rejected" | "cancelled" | "failed";

/** A request and its answer, as one card in the margin. */
export interface Card {
  /** Id of the proposal; of the request while there is no proposal. Use it as the key and for decide/preview/reveal. */
  id: string;
  /** Id of the request: for `cancel`. "" for a proposal that nobody asked for. */
  request: string;
  /** What accepting does; null while there is no proposal. `comment`: the payload can be inserted after the anchor's block. */
  kind: "insert" | "replace" | "delete" | "comment" | null;
  /** What was asked for; "" for a proposal that nobody asked for. */
  requestKind: RequestKind | string;
  state: CardState;
  /** The text under a `replace` or `delete` has changed since: preview before accepting. */
  stale: boolean;
  /** Its place is gone: the card stays, accepting is refused. */
  detached: boolean;
  /** Who wrote it; null while queued. */
  author: { kind: "ai" | "human"; id: string; name: string; model?: string; quantisation?: string; adapter?: string; device?: string } | null;
  /** Who asked. */
  requester: { id: string; name: string };
  /** This person asked. */
  mine: boolean;
  instruction: string;
  /** The text it is about, "" for a caret. */
  quote: string;
  /** Markdown, growing while `streaming`. */
  payload: string;
  /** The same as safe HTML (no scripts, no images, no ids), for inner_html. */
  payloadHtml: string;
  stats: { promptTokens?: number; tokens?: number; firstWordMs?: number; tokensPerSecond?: number } | null;
  rationale?: string;
  confidence?: number;
  /** Words, with `failed`. */
  error?: string;
  /** Who accepted or rejected, with `accepted` and `rejected`. */
  decidedBy?: { id: string; name: string };
  /** Milliseconds since the epoch: when it was asked. */
  at: number;
  /** CSS px of its anchor's top edge from the top of the page (scroll included); null when detached or not laid out. */
  top: number | null;
}

/** Everything the surface tells the shell; at most one of each type per animation frame, and only when it changed. */
export type EditorEvent =
  /** The document has arrived and can be typed in (also when it is shown read-only). */
  | { type: "ready" }
  | { type: "toolbar"; active: Active; can: { undo: boolean; redo: boolean }; editable: boolean }
  | { type: "people"; people: Person[] }
  /** All cards, in the order of the text (detached ones last). */
  | { type: "cards"; cards: Card[] }
  | {
      type: "status";
      connection: "connected" | "connecting" | "offline";
      /** `saved`: on the relay's disk. `saving`: sent, not yet confirmed. `unsaved`: cannot be sent or stored now. */
      saved: "saved" | "saving" | "unsaved";
      /** Words, while the relay cannot write to its disk. */
      storage?: string;
      role: Role | null;
      ended?: Ended;
    }
  /** Who wrote what; `here`: key of whoever wrote the character before the caret; `trouble`: words, when the relay does not say. */
  | { type: "authors"; shown: boolean; authors: Writer[]; here: string | null; only: string | null; trouble?: string }
  | { type: "title"; title: string }
  /** `rect` in CSS px of the viewport, for placing the ask bar; null when the selection is not laid out. */
  | { type: "selection"; empty: boolean; text: string; rect: { top: number; left: number; bottom: number } | null; focused: boolean }
  /** Ctrl/Cmd+J in the text. */
  | { type: "askShortcut" }
  | { type: "notice"; level: "info" | "warning" | "error"; message: string };

/** `window.inkling`: exactly what Rust may call. Calls that need an open document do nothing (or answer `offline`) without one. */
export interface Inkling {
  /** Opens a document in `element` (closing the one before). `onEvent` gets JSON of an EditorEvent. */
  open(element: HTMLElement, optionsJson: string, onEvent: (json: string) => void): void;
  /** Leaves the document; no event comes after it. */
  close(): void;
  /** Runs an editing command: see Commands. */
  command(name: string, argsJson: string): void;
  /** Asks an AI peer; answers the request's id at once, or "" when it could not be written (a notice says why). */
  ask(optionsJson: string): string;
  /** Withdraws a request, also while its answer streams. Takes a request's id or a card's. */
  cancel(id: string): void;
  /** JSON of DecideAnswer. */
  decide(optionsJson: string): Promise<string>;
  /** JSON of PreviewAnswer. */
  preview(proposalId: string): Promise<string>;
  /** Scrolls a card's place into view and marks it for a moment. */
  reveal(cardId: string): void;
  /** Renames the document (its meta.title). */
  setTitle(title: string): void;
  /** JSON of User: name or colour changed. */
  setUser(userJson: string): void;
  /** Follows a link: within the page, in a new tab, or in the system's browser; a notice says why it cannot. */
  follow(href: string): void;
  /** Saves a text as a Markdown file; JSON of SaveAnswer. */
  saveText(name: string, text: string): Promise<string>;
  /** ProseMirror's JSON of what this window holds; "" without a document. */
  content(): string;
  /** Makes a new document of everything that this window holds of the open one; JSON of KeepAnswer. */
  keepCopy(title: string): Promise<string>;
  /** Calls the REST API (`path` below /api/v1, as "/documents"); JSON of ApiAnswer. */
  api(method: string, path: string, bodyJson: string | null): Promise<string>;
  platform(): Platform;
}
