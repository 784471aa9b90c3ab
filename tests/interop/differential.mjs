// The yjs half of crdt/tests/differential: does what it is told, and says what came of it. One line of JSON in, one out.
// A line is a list of commands for replicas by name; updates are base64.

import { createInterface } from 'node:readline';
import * as Y from 'yjs';

const replicas = new Map();

function replica(name, client) {
  const doc = new Y.Doc();
  doc.clientID = client;
  // As an editor does: what comes into a root before its type is named, yjs searches in as if it had no marks.
  doc.getText('t');
  doc.getXmlFragment('default');
  doc.getMap('m');
  const made = [];
  doc.on('update', (update, origin) => { if (origin !== 'remote') made.push(Buffer.from(update).toString('base64')); });
  replicas.set(name, { doc, made });
}

/** The node at a path: indices of children, from the root of the text. */
const at = (doc, path) => path.reduce((node, index) => node.get(index), doc.getXmlFragment('default'));

const operations = {
  // Plain text in a root of its own.
  type: (doc, index, words, marks) => doc.getText('t').insert(index, words, marks),
  erase: (doc, index, length) => doc.getText('t').delete(index, length),
  format: (doc, index, length, marks) => doc.getText('t').format(index, length, marks),
  // The tree that y-prosemirror writes.
  element: (doc, path, index, name, words) => {
    const element = new Y.XmlElement(name);
    at(doc, path).insert(index, [element]);
    if (words === null) return;
    const text = new Y.XmlText();
    element.insert(0, [text]);
    if (words) text.insert(0, words);
  },
  remove: (doc, path, index, count) => at(doc, path).delete(index, count),
  attribute: (doc, path, key, value) => at(doc, path).setAttribute(key, value),
  typeIn: (doc, path, index, words, marks) => at(doc, path).insert(index, words, marks),
  eraseIn: (doc, path, index, length) => at(doc, path).delete(index, length),
  formatIn: (doc, path, index, length, marks) => at(doc, path).format(index, length, marks),
  // A map, as meta and the margin are.
  set: (doc, key, value) => doc.getMap('m').set(key, value),
  drop: (doc, key) => doc.getMap('m').delete(key),
};

/** Runs of text with sorted marks; neighbours with the same marks are one. */
function runs(text) {
  const out = [];
  for (const { insert, attributes = {} } of text.toDelta()) {
    const marks = JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
    if (out.length > 0 && out.at(-1)[1] === marks) out.at(-1)[0] += insert;
    else out.push([insert, marks]);
  }
  return out;
}

function tree(node) {
  if (node instanceof Y.XmlText) return runs(node);
  const attributes = Object.entries(node.getAttributes()).sort(([a], [b]) => (a < b ? -1 : 1));
  return [node.nodeName, attributes, node.toArray().map(tree)];
}

function state(doc) {
  return {
    text: runs(doc.getText('t')),
    tree: doc.getXmlFragment('default').toArray().map(tree),
    map: Object.entries(doc.getMap('m').toJSON()).sort(([a], [b]) => (a < b ? -1 : 1)),
    // State vector and delete set.
    snapshot: Buffer.from(Y.encodeSnapshot(Y.snapshot(doc))).toString('base64'),
    pending: doc.store.pendingStructs !== null || doc.store.pendingDs !== null,
  };
}

function carryOut(name, doc, [operation, ...args]) {
  try {
    operations[operation](doc, ...args);
  } catch (error) {
    // The two halves are apart already: the states say where.
    replicas.get(name).error ??= `cannot ${operation} ${JSON.stringify(args)}: ${error}`;
  }
}

function run([what, name, ...rest]) {
  if (what === 'new') return replica(name, ...rest);
  const { doc, made, error } = replicas.get(name);
  switch (what) {
    case 'apply': return rest.forEach((update) => Y.applyUpdate(doc, Buffer.from(update, 'base64'), 'remote'));
    // One transaction, as a keystroke of an editor is.
    case 'do': return doc.transact(() => rest.forEach((operation) => carryOut(name, doc, operation)));
    case 'made': return made.splice(0);
    case 'state': return { ...state(doc), ...(error && { error }) };
    case 'end': return void replicas.delete(name);
    default: throw new Error(`there is no command ${what}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answers = JSON.parse(line).map(run).filter((answer) => answer !== undefined);
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
