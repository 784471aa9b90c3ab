// Who wrote what: the relay's record by ids, what is guessed until it comes, and the runs that are drawn.

import { afterEach, expect, test, vi } from "vitest";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { AuthorBook, authorBefore, runsOf, unitsOf } from "../authors.ts";
import { describe as said } from "../authors-view.ts";
import { childrenOf } from "../points.ts";
import { closeAll, editorOf, fill, open, p, until } from "./help.ts";
import { FakeRelay } from "./relay.ts";

afterEach(() => {
  closeAll();
  vi.unstubAllGlobals();
});

const human = (id: string, name: string): object => ({ author: { id, name, kind: "human" } });
const accepted = {
  author: { id: "u1", name: "Ada", kind: "human" },
  acceptedFrom: { proposal: "P", proposedBy: { kind: "ai", id: "ai-1", name: "Helper", model: "Smol" }, acceptedBy: { id: "u1", name: "Ada" } },
};

function bookWith(answer: unknown): AuthorBook {
  const book = new AuthorBook(new Awareness(new Y.Doc()));
  book.read(answer);
  return book;
}

const told = (book: AuthorBook, client: number, clock: number, length: number): string[] => {
  const out: string[] = [];
  book.each(client, clock, length, (units, author) => void out.push(`${units} ${author.key}`));
  return out;
};

test("ids are looked up in spans, with holes in between", () => {
  const spans = [[7, 10, 5, 0], [7, 20, 5, 1], [9, 0, 3, 0]];
  const book = bookWith({ credits: [human("a", "Ann"), accepted], spans });
  expect(told(book, 7, 10, 5)).toEqual(["5 human:a"]);
  expect(told(book, 7, 12, 10)).toEqual(["3 human:a", "5 unknown", "2 ai:Smol:u1"]);
  expect(book.guessed).toBe(true);
  expect(told(book, 9, 0, 3)).toEqual(["3 human:a"]);
  // Whoever wrote last with a client goes on writing with it.
  expect(told(book, 9, 3, 2)).toEqual(["2 human:a"]);
  expect(told(book, 8, 0, 2)).toEqual(["2 unknown"]);
});

test("an accepted proposal names the model and who accepted it", () => {
  const book = bookWith({ credits: [accepted], spans: [[1, 0, 4, 0]] });
  book.each(1, 0, 4, (_, author) => {
    expect(author).toMatchObject({ kind: "ai", name: "Smol", acceptedBy: "Ada" });
    expect(said(author)).toBe("Written by Smol (AI), accepted by Ada");
  });
});

test("two people never have one colour while there are others, and rubbish is left out", () => {
  // These two get the same one by their ids.
  const people = ["test-Ann", "test-Bob", "x1", "x2", "x3", "x4"].map((id) => human(id, id));
  const book = bookWith({ credits: people, spans: [...people.map((_, index) => [index + 1, 0, 1, index]), "x", [1], [1, 0, 1, 99], null] });
  const colours = new Set<string>();
  for (let client = 1; client <= people.length; client += 1) book.each(client, 0, 1, (_, { color }) => void colours.add(color));
  expect(colours.size).toBe(people.length);
  for (const rubbish of [null, 7, { credits: 3, spans: {} }, { credits: [null], spans: [[1, 0, 1, 0]] }]) {
    expect(told(bookWith(rubbish), 1, 0, 1)).toEqual(["1 unknown"]);
  }
});

test("who is here and not recorded yet is known by what they say of themselves", () => {
  const awareness = new Awareness(new Y.Doc());
  awareness.getStates().set(5, { user: { id: "u5", name: "Eve", color: "#123456" } });
  const book = new AuthorBook(awareness);
  book.each(5, 0, 2, (_, author) => expect(author).toEqual({ key: "human:u5", name: "Eve", kind: "human", color: "#123456" }));
  expect(book.guessed).toBe(true);
});

test("runs have ProseMirror's positions, in nested blocks too, and deleted letters count for nobody", () => {
  const [one, two] = [new Y.Doc(), new Y.Doc()];
  [one.clientID, two.clientID] = [1, 2];
  fill(one, [p("Hello"), { type: "bulletList", content: [{ type: "listItem", content: [p("item")] }] }]);
  Y.applyUpdate(two, Y.encodeStateAsUpdate(one));
  const text = two.getXmlFragment("default").get(0) as Y.XmlElement;
  (text.get(0) as Y.XmlText).insert(2, "XYZ");
  (text.get(0) as Y.XmlText).delete(3, 1);
  Y.applyUpdate(one, Y.encodeStateAsUpdate(two));
  const fragment = one.getXmlFragment("default");
  const book = bookWith({ credits: [human("a", "Ann"), human("b", "Bob")], spans: [[1, 0, 99, 0], [2, 0, 99, 1]] });
  const [first, list] = [...childrenOf(fragment)];
  const runs = (child: Y.XmlElement | Y.XmlText | undefined, at: number): string[] =>
    runsOf(book, child as Y.XmlElement, at).map(({ from, to, author }) => `${from}-${to} ${author.name}`);
  expect(runs(first, 0)).toEqual(["1-3 Ann", "3-5 Bob", "5-8 Ann"]);
  expect(runs(list, 9)).toEqual(["12-16 Ann"]);
  expect(unitsOf(book, fragment).map(({ name, units }) => [name, units])).toEqual([["Ann", 9], ["Bob", 2]]);
  expect(authorBefore(book, { type: (first as Y.XmlElement).get(0), index: 4 })?.name).toBe("Bob");
  expect(authorBefore(book, { type: (first as Y.XmlElement).get(0), index: 0 })).toBeNull();
});

test("switched on, the text is marked and kept current; switched off, nothing is left", async () => {
  const relay = new FakeRelay();
  const doc = relay.doc("d");
  fill(doc, [p("By somebody.")]);
  const answer = { credits: [human("s", "Sam")], spans: [[doc.clientID, 0, 999, 0]] };
  const fetched = vi.fn(() => Promise.resolve({ status: 200, text: () => Promise.resolve(JSON.stringify(answer)) }));
  vi.stubGlobal("fetch", fetched);
  const ada = open(relay, { id: "u1", name: "Ada" });
  await until(() => ada.last("ready") !== undefined);
  const marks = (): string[] => [...ada.editorDom().querySelectorAll<HTMLElement>(".ink-author")].map((run) => `${run.title}: ${run.textContent}`);
  ada.session.command("showAuthors", { on: true });
  await until(() => marks().includes("Written by Sam: By somebody."));
  expect(String((fetched.mock.calls as unknown as [string][])[0]?.[0])).toBe("/api/v1/documents/d/authorship/ids");
  editorOf(ada.element).commands.insertContentAt(4, "me ");
  await until(() => marks().includes("Written by Ada: me "));
  await until(() => ada.last("authors")?.authors.map(({ name, units }) => `${name} ${units}`).join() === "Sam 12,Ada 3");
  ada.session.command("showAuthors", { on: true, only: "human:u1" });
  await until(() => marks().join() === "Written by Ada: me ");
  ada.session.command("showAuthors", { on: false });
  await until(() => marks().length === 0);
  expect(ada.last("authors")).toMatchObject({ shown: false, authors: [] });
});

test("words of the relay are told when it does not say who wrote what", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve({ status: 503, text: () => Promise.resolve('{"message":"busy just now"}') }));
  const ada = open(new FakeRelay(), { id: "u1", name: "Ada" });
  await until(() => ada.last("ready") !== undefined);
  ada.session.command("showAuthors", { on: true });
  await until(() => ada.last("authors")?.trouble === "busy just now");
});
