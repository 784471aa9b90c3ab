// What ProseMirror asks of a browser and jsdom lacks: boxes. Everything is laid out at the origin.

const box = { top: 0, left: 0, bottom: 16, right: 8, width: 8, height: 16, x: 0, y: 0, toJSON: () => ({}) };
const boxes = (): DOMRectList => Object.assign([box], { item: () => box }) as unknown as DOMRectList;

Range.prototype.getBoundingClientRect = () => box as DOMRect;
Range.prototype.getClientRects = boxes;
Element.prototype.scrollIntoView = () => undefined;
document.elementFromPoint = () => null;
window.scrollBy = () => undefined;
Object.assign(window, {
  ClipboardEvent: class extends Event {
    readonly clipboardData = null;
  },
});
