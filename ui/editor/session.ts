// One open document: joins the connection, the surface, the margin and the people, and tells the shell what changed.

import { Selection } from "@tiptap/pm/state";
import { yXmlFragmentToProsemirrorJSON } from "@tiptap/y-tiptap";
import { anchorAt } from "./anchor.ts";
import { callApi } from "./api.ts";
import { AuthorsOverlay } from "./authors-view.ts";
import { Surface } from "./binding.ts";
import { keepAsNew } from "./branch.ts";
import { Cards } from "./cards.ts";
import { colorOf } from "./colors.ts";
import { activeAt, runCommand } from "./commands.ts";
import { Decisions } from "./decide.ts";
import { follow, linkAt } from "./follow.ts";
import { Frames } from "./frames.ts";
import { reason, record, some } from "./json.ts";
import { Margin } from "./margin.ts";
import { colorBeside, peopleOf, publishCaret, refreshPresence } from "./presence.ts";
import { Link } from "./provider.ts";
import { FRAGMENT } from "./schema.ts";
import type { AskOptions, EditorEvent, KeepAnswer, OpenOptions, User } from "./seam.ts";
import { Suggestions } from "./suggestions.ts";

/** How the document is reached; index.ts fills it in for the platform. */
export interface Transport {
  url: string;
  key: string;
  /** A WebSocket class; the browser's own when missing. */
  socket?: unknown;
  /** Milliseconds before the first try to connect again. */
  retry?: number;
}

type Dirty = "toolbar" | "people" | "cards" | "status" | "title" | "selection" | "authors";
/** The longest piece of selected text that an event carries. */
const MAX_SELECTED = 2000;

/** An open document. */
export class Session {
  /** Accept, reject, undo, preview. */
  readonly decisions: Decisions;
  private readonly link: Link;
  private readonly margin: Margin;
  private readonly cards: Cards;
  private readonly suggestions: Suggestions;
  private readonly authors: AuthorsOverlay;
  private readonly frames = new Frames(() => this.frame());
  private readonly dirty = new Set<Dirty>(["status"]);
  private readonly last = new Map<string, string>();
  private readonly cleanUp: (() => void)[] = [];
  private surface: Surface | null = null;
  private closed = false;
  private user: User & { color: string };
  private colorIsChosen: boolean;

  constructor(
    private readonly element: HTMLElement,
    private readonly options: OpenOptions,
    private readonly transport: Transport,
    private readonly emit: (event: EditorEvent) => void,
  ) {
    this.user = { ...options.user, color: colorOf(options.user.id, options.user.color) };
    this.colorIsChosen = options.user.color !== undefined;
    this.link = new Link(
      { ...transport, doc: options.doc, user: this.user },
      {
        changed: () => this.mark("status"),
        synced: () => this.ready(),
        incoming: () => this.surface?.readInput(),
        stateless: (payload) => void this.decisions.receive(payload),
        lost: () => this.decisions.lost(),
        notice: (level, message) => this.emit({ type: "notice", level, message }),
      },
    );
    this.decisions = new Decisions((payload) => this.link.send(payload));
    this.margin = new Margin(this.link.body, this.link.margin);
    this.cards = new Cards(this.margin, this.fragment);
    this.suggestions = new Suggestions(() => this.cards.ghosts(peopleOf(this.link.awareness)));
    this.authors = new AuthorsOverlay({
      fragment: this.fragment,
      awareness: this.link.awareness,
      ask: () => callApi("GET", `/documents/${encodeURIComponent(options.doc)}/authorship/ids`, null),
      changed: () => this.mark("authors"),
    });
    this.introduce();
    this.watch();
    element.classList.add("ink-surface");
    if (options.theme !== undefined) element.dataset["theme"] = options.theme;
    this.frames.request();
  }

  /** Runs an editing command. */
  command(name: string, args: unknown): void {
    if (name === "showAuthors") return this.showAuthors(record(args));
    const editor = this.surface?.editor;
    if (editor) runCommand(editor, name, args);
  }

  /** Writes a request at the selection (the last one, else the document's end); "" when this person may not. */
  ask(options: AskOptions): string {
    if (this.surface === null) return this.refuse("The document is not there yet.");
    if (!this.link.mayAsk) return this.refuse("You may read this document, but not ask for proposals in it.");
    const { editor, touched } = this.surface;
    const again = options.again === undefined ? null : this.cards.place(options.again);
    if (options.again !== undefined && again === null) return this.refuse("The place this was about is gone. Select another one and ask there.");
    const { from, to } = again ?? (editor === null ? END : touched ? editor.state.selection : Selection.atEnd(editor.state.doc));
    return this.margin.ask(options, anchorAt(this.fragment, from, to, this.cards.text()), this.user, Date.now());
  }

  /** Withdraws a request. */
  cancel(id: string): void {
    if (this.link.mayAsk) this.margin.cancel(id);
  }

  /** Brings a card's place into view. */
  reveal(id: string): void {
    const editor = this.surface?.editor;
    if (editor) this.suggestions.reveal(editor.view, id);
  }

  /** Renames the document. */
  setTitle(title: string): void {
    const meta = this.link.body.getMap("meta");
    if (meta.get("title") === title || this.surface === null) return;
    if (this.link.mayWrite) meta.set("title", title);
    else this.refuse("You may not rename this document.");
  }

  /** What this window holds, as ProseMirror's JSON. */
  content(): string {
    if (this.surface === null) return "";
    return JSON.stringify(this.surface.editor?.getJSON() ?? yXmlFragmentToProsemirrorJSON(this.fragment));
  }

  /** Makes a new document of what this window holds. */
  keepCopy(title: string): Promise<KeepAnswer> {
    const { body, margin } = this.link;
    return keepAsNew({ body, margin }, title, { ...this.transport, user: this.user });
  }

  /** Name or colour changed. */
  setUser(user: User): void {
    Object.assign(this.user, user, { color: colorOf(user.id, user.color) });
    this.colorIsChosen = user.color !== undefined;
    this.introduce();
    // The relay signs decisions with the name it knows.
    this.link.renew();
  }

  /** Follows a link of the text, or any other. */
  async follow(href: string): Promise<void> {
    const trouble = await follow(href);
    if (trouble !== null) this.refuse(trouble);
  }

  /** Leaves; nothing is emitted any more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.frames.stop();
    for (const done of this.cleanUp) done();
    this.decisions.lost();
    this.suggestions.stop();
    this.authors.stop();
    this.surface?.close();
    this.surface = null;
    this.link.close();
    this.element.classList.remove("ink-surface");
    for (const name of ["role", "theme", "readonly"]) delete this.element.dataset[name];
  }

  private get fragment() {
    return this.link.body.getXmlFragment(FRAGMENT);
  }

  private introduce(): void {
    const { id, name, color } = this.user;
    this.link.awareness.setLocalStateField("user", { id, name, color, kind: "human" });
  }

  /** Takes another colour when somebody else has the same, unless it was chosen. */
  private giveWay(): void {
    if (this.colorIsChosen) return;
    const color = colorBeside(this.link.awareness, this.user.id, this.user.color);
    if (color === this.user.color) return;
    this.user.color = color;
    this.introduce();
  }

  private showAuthors(args: Record<string, unknown>): void {
    if (this.surface === null) return;
    if (this.surface.editor === null) return void this.refuse("Who wrote what cannot be shown in a document that can only be read as a whole.");
    this.authors.show(args["on"] === true, some(args["only"]) ?? null);
  }

  private refuse(message: string): string {
    this.emit({ type: "notice", level: "warning", message });
    return "";
  }

  private mark(...what: Dirty[]): void {
    for (const each of what) this.dirty.add(each);
    this.frames.request();
  }

  private watch(): void {
    const { body, awareness } = this.link;
    const onText = (): void => {
      this.cards.textChanged();
      this.authors.textChanged();
      this.mark("cards", "selection", "toolbar", "authors");
    };
    const onTitle = (): void => this.mark("title");
    const onPeople = (): void => this.mark("people", "cards");
    const onLayout = (): void => this.mark("cards", "selection", "authors");
    const onClick = (event: MouseEvent): void => {
      const href = linkAt(event.target);
      if (href === null) return;
      // Never by the browser itself: it would follow addresses that we refuse, and leave the page.
      event.preventDefault();
      if (event.ctrlKey || event.metaKey || this.surface?.editor?.isEditable !== true) void this.follow(href);
    };
    const onLeave = (event: BeforeUnloadEvent): void => {
      if (this.link.saved !== "saved") event.preventDefault();
    };
    this.fragment.observeDeep(onText);
    body.getMap("meta").observe(onTitle);
    awareness.on("change", onPeople);
    window.addEventListener("resize", onLayout);
    window.addEventListener("beforeunload", onLeave);
    this.element.addEventListener("click", onClick);
    document.addEventListener("scroll", onLayout, { capture: true, passive: true });
    const sizes = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(onLayout);
    sizes?.observe(this.element);
    const stopMargin = this.margin.observe(() => {
      this.cards.marginChanged();
      this.mark("cards");
    });
    this.cleanUp.push(stopMargin, () => {
      sizes?.disconnect();
      window.removeEventListener("resize", onLayout);
      window.removeEventListener("beforeunload", onLeave);
      this.element.removeEventListener("click", onClick);
      document.removeEventListener("scroll", onLayout, { capture: true });
      awareness.off("change", onPeople);
    });
  }

  /** The body is there: only now may a surface be bound to it, or the empty document would be taken for the real one. */
  private ready(): void {
    const { awareness, mayWrite } = this.link;
    this.surface = new Surface({
      element: this.element,
      fragment: this.fragment,
      presence: { awareness, fragment: this.fragment, shownElsewhere: () => this.suggestions.writers() },
      suggestions: this.suggestions,
      authors: this.authors,
      placeholder: this.options.placeholder ?? "Write, or press Ctrl+J to ask an AI peer",
      editable: mayWrite,
      onChange: () => this.mark("toolbar", "selection", "authors"),
      onAsk: () => this.emit({ type: "askShortcut" }),
      onFollow: (href) => void this.follow(href),
      onNotice: (level, message) => this.emit({ type: "notice", level, message }),
    });
    this.emit({ type: "ready" });
    this.mark("toolbar", "people", "cards", "status", "title", "selection");
  }

  /** Everything that is shown or told, at most once per animation frame. */
  private frame(): void {
    const { dirty, link, surface } = this;
    const due = new Set(dirty);
    dirty.clear();
    if (due.has("status")) this.tellStatus();
    if (due.has("people")) this.giveWay();
    if (due.has("people")) this.tell({ type: "people", people: peopleOf(link.awareness) });
    if (due.has("title")) this.tell({ type: "title", title: String(link.body.getMap("meta").get("title") ?? "") });
    if (surface === null) return;
    this.draw(due);
    if (due.has("toolbar")) {
      const { editor } = surface;
      this.tell({ type: "toolbar", active: editor ? activeAt(editor) : {}, can: surface.history(), editable: editor?.isEditable ?? false });
    }
    if (due.has("cards")) this.tell({ type: "cards", cards: this.cards.cards(this.user.id, (position) => this.topOf(position)) });
    if (due.has("selection")) this.tellSelection();
    if (due.has("authors") && (this.authors.on || this.last.has("authors"))) this.tell(this.authors.event(surface.editor?.view));
  }

  private draw(due: ReadonlySet<Dirty>): void {
    const view = this.surface?.editor?.view;
    if (view === undefined || view.isDestroyed) return;
    if (due.has("toolbar") || due.has("selection")) publishCaret(view, { awareness: this.link.awareness, fragment: this.fragment, shownElsewhere: () => new Set() });
    // Drawing around the caret would end a composition (IME): it waits until that is over, which is a change.
    if (view.composing) {
      for (const late of ["cards", "people", "authors"] as const) if (due.has(late)) this.dirty.add(late);
      return;
    }
    this.surface?.readInput();
    try {
      if (due.has("cards")) this.suggestions.refresh(view);
      if (due.has("people")) refreshPresence(view);
      if (due.has("authors")) this.authors.refresh(view);
    } catch (error) {
      console.warn("carets and proposals could not be drawn", reason(error));
    }
  }

  private tellStatus(): void {
    const { connection, saved, storage, role, ended, mayWrite } = this.link;
    this.surface?.setEditable(mayWrite);
    if (role !== null) this.element.dataset["role"] = role;
    this.tell({ type: "status", connection, saved, ...(storage === undefined ? {} : { storage }), role, ...(ended === null ? {} : { ended }) });
  }

  private tellSelection(): void {
    const view = this.surface?.editor?.view;
    if (view === undefined) return;
    const { from, to, empty } = view.state.selection;
    const text = empty ? "" : view.state.doc.textBetween(from, to, "\n", "\n").slice(0, MAX_SELECTED);
    this.tell({ type: "selection", empty, text, rect: this.rectOf(from, to), focused: view.hasFocus() });
  }

  private rectOf(from: number, to: number): { top: number; left: number; bottom: number } | null {
    try {
      const view = this.surface?.editor?.view;
      const first = view?.coordsAtPos(from);
      const last = view?.coordsAtPos(to, -1);
      return first && last ? { top: first.top, left: first.left, bottom: Math.max(first.bottom, last.bottom) } : null;
    } catch {
      return null; // not laid out
    }
  }

  private topOf(position: number): number | null {
    const rect = this.rectOf(position, position);
    return rect === null ? null : Math.round(rect.top + window.scrollY);
  }

  private tell(event: EditorEvent): void {
    const json = JSON.stringify(event);
    if (this.last.get(event.type) === json) return;
    this.last.set(event.type, json);
    this.emit(event);
  }
}

/** Beyond any document: its end. */
const END = { from: Number.MAX_SAFE_INTEGER, to: Number.MAX_SAFE_INTEGER };
