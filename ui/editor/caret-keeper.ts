// Keeps one's caret where it was while others change the text. y-tiptap guesses by comparing blocks, which moves the
// caret into look-alike blocks, uses a selection of long ago after an undo, and can throw in the middle of a change.

import type { Editor } from "@tiptap/core";
import { TextSelection } from "@tiptap/pm/state";
import type { ProsemirrorBinding } from "@tiptap/y-tiptap";
import * as Y from "yjs";
import type { Point, RelativeJson } from "./points.ts";
import { fromRelative, pointAt, toRelative } from "./points.ts";
import { VisibleText } from "./visible.ts";

/** One end of the selection, as it was before a change from elsewhere. */
interface Kept {
  /** Beside the character before, and beside the one after. */
  left: RelativeJson;
  right: RelativeJson;
  prefix: string;
  suffix: string;
}

/** How much text on each side a caret is found by when all around it got new ids (its block was split or rebuilt). */
const CONTEXTS = [32, 16, 8, 4];

/** Takes the selection out of y-tiptap's hands; answers how to stop. */
export function keepCaret(editor: Editor, binding: ProsemirrorBinding, fragment: Y.XmlFragment): () => void {
  const { doc } = binding;
  const held = binding as unknown as { beforeTransactionSelection: unknown };
  let anchor: Kept | null = null;
  let head: Kept | null = null;

  // Before the first of a batch of transactions: those that observers begin see the shared text ahead of ProseMirror's.
  const remember = (): void => {
    const { selection } = editor.state;
    const isText = selection instanceof TextSelection;
    head = isText ? keep(editor, fragment, selection.head) : null;
    anchor = !isText ? null : selection.empty ? head : keep(editor, fragment, selection.anchor);
  };

  const show = binding._observeFunction;
  const guarded = (events: Y.YEvent<Y.AbstractType<unknown>>[], transaction: Y.Transaction): void => {
    if (binding.prosemirrorView === null) return;
    held.beforeTransactionSelection = relocate(anchor, head, fragment, held.beforeTransactionSelection);
    try {
      show(events as never, transaction);
    } catch (error) {
      // Half a change shown would be written back as if it had been typed. All of it, then, whatever becomes of the caret.
      console.warn("a change could not be shown; showing everything anew", error);
      held.beforeTransactionSelection = null;
      Map.prototype.clear.call(binding.mapping);
      binding._forceRerender();
    }
  };

  doc.on("beforeAllTransactions", remember);
  fragment.unobserveDeep(show);
  binding._observeFunction = guarded as typeof show; // what binding.destroy() takes away
  fragment.observeDeep(guarded);
  return () => doc.off("beforeAllTransactions", remember);
}

function keep(editor: Editor, fragment: Y.XmlFragment, position: number): Kept {
  const { doc } = editor.state;
  const point = pointAt(fragment, position);
  const text = (from: number, to: number): string => doc.textBetween(from, to, "\n", (leaf) => (leaf.type.name === "hardBreak" ? "\n" : ""));
  return {
    left: toRelative(point, -1),
    right: toRelative(point, 0),
    prefix: text(Math.max(0, position - 32), position),
    suffix: text(position, Math.min(doc.content.size, position + 32)),
  };
}

/** The selection in y-tiptap's own form. Without `absAnchor` and `absHead` it does not guess. */
function relocate(anchor: Kept | null, head: Kept | null, fragment: Y.XmlFragment, given: unknown): object | null {
  const visible = { text: null as VisibleText | null };
  if (anchor === null || head === null) {
    return typeof given !== "object" || given === null ? null : { ...given, absAnchor: null, absHead: null };
  }
  const to = find(head, fragment, visible);
  const from = anchor === head ? to : find(anchor, fragment, visible);
  if (from === null || to === null) return null;
  const relative = ({ type, index }: Point): Y.RelativePosition => Y.createRelativePositionFromTypeIndex(type, index, -1);
  return { type: "text", anchor: relative(from), head: relative(to), absAnchor: null, absHead: null };
}

function find(kept: Kept, fragment: Y.XmlFragment, visible: { text: VisibleText | null }): Point | null {
  const left = fromRelative(fragment, kept.left);
  if (left !== null && lives(kept.left, fragment)) return left;
  const right = fromRelative(fragment, kept.right);
  if (right !== null && lives(kept.right, fragment)) return right;
  visible.text ??= new VisibleText(fragment);
  const { text } = visible.text;
  for (const length of CONTEXTS) {
    const before = kept.prefix.slice(-length);
    const words = before + kept.suffix.slice(0, length);
    const at = words.length < length ? -1 : text.indexOf(words);
    if (at >= 0 && text.indexOf(words, at + 1) < 0) return visible.text.pointOf(at + before.length, before.endsWith("\n") ? "after" : "before");
  }
  return left ?? right;
}

/** Whether what a position sticks to is still in the text. Without an item it sticks to a type, which `fromRelative` has looked at. */
function lives(relative: RelativeJson, fragment: Y.XmlFragment): boolean {
  const { item } = Y.createRelativePositionFromJSON(relative);
  if (item === null || fragment.doc === null) return true;
  const struct = Y.getItem(fragment.doc.store, item);
  return struct instanceof Y.Item && !struct.deleted;
}
