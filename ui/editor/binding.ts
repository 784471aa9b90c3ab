// Binds the ProseMirror surface to a body. Looks first whether that is safe: y-prosemirror deletes what it cannot show.

import { Editor, Extension, getSchema } from "@tiptap/core";
import { Collaboration } from "@tiptap/extension-collaboration";
import type { Slice } from "@tiptap/pm/model";
import { DOMParser as PmParser } from "@tiptap/pm/model";
import type { EditorView } from "@tiptap/pm/view";
import type { ProsemirrorBinding } from "@tiptap/y-tiptap";
import { ySyncPluginKey, yUndoPluginKey } from "@tiptap/y-tiptap";
import type * as Y from "yjs";
import type { AuthorsOverlay } from "./authors-view.ts";
import { keepCaret } from "./caret-keeper.ts";
import { NoEditsOfItsOwn, keepMapping, seedTextblocks } from "./guards.ts";
import { words } from "./json.ts";
import { looksLikeMarkdown, toElements } from "./markdown.ts";
import type { PresenceOptions } from "./presence.ts";
import { Presence } from "./presence.ts";
import { mountReader } from "./reader.ts";
import { NOTHING_FOREIGN, contentExtensions, surfaceExtensions } from "./schema.ts";
import type { Suggestions } from "./suggestions.ts";
import { bringsForeign, surveyNames, surveyPlaces } from "./survey.ts";

/** What the surface needs and whom it tells. */
export interface SurfaceOptions {
  element: HTMLElement;
  fragment: Y.XmlFragment;
  presence: PresenceOptions;
  suggestions: Suggestions;
  authors: AuthorsOverlay;
  placeholder: string;
  editable: boolean;
  /** After every change of text, selection or focus. */
  onChange(): void;
  onAsk(): void;
  /** A link is to be followed. */
  onFollow(href: string): void;
  onNotice(level: "info" | "warning" | "error", message: string): void;
}

/** The editing surface of one document; mounts again by itself when the document gains parts it was not made for. */
export class Surface {
  /** Null while the document can only be shown. */
  editor: Editor | null = null;
  /** This person has been in the text: its selection means something. */
  touched = false;
  private unmountReader: (() => void) | null = null;
  private stopKeeping = (): void => undefined;
  private foreign = NOTHING_FOREIGN;
  private editable: boolean;
  private remounting = false;
  private closed = false;

  constructor(private readonly options: SurfaceOptions) {
    this.editable = options.editable;
    // Registered before the binding's own observer, and therefore called before it.
    options.fragment.observeDeep(this.watch);
    this.mount();
  }

  /** The rights changed. */
  setEditable(editable: boolean): void {
    if (editable === this.editable) return;
    this.editable = editable;
    // False: rights are no edit.
    this.editor?.setEditable(editable, false);
    this.options.onChange();
  }

  /**
   * Takes in what the browser has done and ProseMirror has not heard of yet: it reports a moved caret a task later than
   * it moves it. Drawing in between, for a change from elsewhere, would put the caret back where it was, and what is
   * typed next would go there; so would what a key does that follows at once. Not from within a Yjs transaction: what is
   * read would be taken for its change.
   */
  readInput(): void {
    const view = this.editor?.view as (EditorView & { domObserver?: { flush(): void } }) | undefined;
    if (view !== undefined && !view.isDestroyed && !view.composing) view.domObserver?.flush();
  }

  /** How many own steps can be undone and redone. */
  history(): { undo: boolean; redo: boolean } {
    const state: unknown = this.editor === null ? undefined : yUndoPluginKey.getState(this.editor.state);
    const { undoManager } = (state ?? {}) as { undoManager?: Y.UndoManager };
    return { undo: (undoManager?.undoStack.length ?? 0) > 0, redo: (undoManager?.redoStack.length ?? 0) > 0 };
  }

  /** Takes the surface away. */
  close(): void {
    this.closed = true;
    this.options.fragment.unobserveDeep(this.watch);
    this.unmount();
  }

  private mount(): void {
    const { fragment, element, onNotice } = this.options;
    const { unknown, foreign } = surveyNames(fragment);
    this.foreign = foreign;
    const misplaced = unknown.length > 0 ? [] : surveyPlaces(fragment, getSchema(contentExtensions(foreign)));
    if (unknown.length + misplaced.length === 0) {
      this.editor = this.makeEditor();
    } else {
      this.unmountReader = mountReader(element, fragment);
      onNotice(
        "warning",
        unknown.length > 0
          ? `This document has parts that this version cannot edit (${unknown.join(", ")}). It is shown read-only, so that nothing is lost; update Inkling to edit it.`
          : `Parts of this document (${misplaced.join(", ")}) stand where they cannot be edited. It is shown read-only, so that nothing is lost.`,
      );
    }
    element.toggleAttribute("data-readonly", this.editor === null);
  }

  private unmount(): void {
    this.stopKeeping();
    this.stopKeeping = () => undefined;
    this.editor?.destroy();
    this.editor = null;
    this.unmountReader?.();
    this.unmountReader = null;
  }

  private makeEditor(): Editor {
    const { element, fragment, presence, suggestions, authors, placeholder, onChange, onAsk, onFollow } = this.options;
    const followAtCaret = ({ editor }: { editor: Editor }): boolean => {
      const href = words(editor.getAttributes("link")["href"]);
      if (href !== "") onFollow(href);
      return href !== "";
    };
    const editor = new Editor({
      element,
      editable: this.editable,
      extensions: [
        ...surfaceExtensions(this.foreign, placeholder),
        Collaboration.configure({ fragment }),
        NoEditsOfItsOwn,
        Presence(presence),
        suggestions.extension(),
        authors.extension(),
        Extension.create({ name: "inkKeys", addKeyboardShortcuts: () => ({ "Mod-j": () => (onAsk(), true), "Alt-Enter": followAtCaret }) }),
      ],
      editorProps: {
        attributes: { "aria-label": "Document", "aria-multiline": "true", role: "textbox", spellcheck: "true" },
        handleDOMEvents: {
          compositionend: () => void setTimeout(onChange),
          // A key that follows a click at once is for where the click was.
          keydown: () => this.readInput(),
        },
        clipboardTextParser: (text, context, plain, view) =>
          (plain || !looksLikeMarkdown(text)
            ? undefined
            : PmParser.fromSchema(view.state.schema).parseSlice(toElements(text), { context })) as Slice,
      },
      onTransaction: ({ transaction }) => {
        if (transaction.selectionSet && transaction.getMeta(ySyncPluginKey) === undefined) this.touched = true;
        onChange();
      },
      onFocus: () => {
        this.touched = true;
        onChange();
      },
      onBlur: () => onChange(),
    });
    const { binding } = ySyncPluginKey.getState(editor.state) as { binding: ProsemirrorBinding };
    seedTextblocks(binding);
    keepMapping(binding);
    this.stopKeeping = keepCaret(editor, binding, fragment);
    return editor;
  }

  /** Stops the binding before it sees, and deletes, what it cannot show; then looks at the document afresh. */
  private readonly watch = (events: Y.YEvent<Y.AbstractType<unknown>>[], transaction: Y.Transaction): void => {
    if (this.editor === null) return void this.remount(); // it may have become editable
    if (transaction.origin === ySyncPluginKey || !bringsForeign(events, this.options.fragment, this.foreign)) return;
    const sync = ySyncPluginKey.getState(this.editor.state) as { binding?: ProsemirrorBinding } | undefined;
    if (sync?.binding) {
      sync.binding.destroy();
      // Any update of the view would write what ProseMirror shows, which lacks the new part, back over the document.
      sync.binding.mux = () => undefined;
    }
    this.remount();
  };

  private remount(): void {
    if (this.remounting) return;
    this.remounting = true;
    queueMicrotask(() => {
      this.remounting = false;
      if (this.closed || (this.editor === null && !this.isEditableNow())) return;
      const before = this.editor?.state.selection;
      const focused = this.editor?.isFocused ?? false;
      this.unmount();
      this.mount();
      if (before !== undefined) this.editor?.commands.setTextSelection({ from: before.from, to: before.to });
      if (focused) this.editor?.commands.focus();
      this.options.onChange();
    });
  }

  private isEditableNow(): boolean {
    const { fragment } = this.options;
    const { unknown, foreign } = surveyNames(fragment);
    return unknown.length === 0 && surveyPlaces(fragment, getSchema(contentExtensions(foreign))).length === 0;
  }
}
