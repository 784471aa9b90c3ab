// Reads a Yjs update with y-prosemirror and stock Tiptap extensions and prints the document as ProseMirror JSON:
// node tests/interop/read-document.mjs FILE. Fails if y-prosemirror would throw any of it away, or change it on opening.

import { readFileSync } from 'node:fs';
import { yXmlFragmentToProseMirrorRootNode, yXmlFragmentToProsemirrorJSON } from 'y-prosemirror';
import * as Y from 'yjs';
import { clean, schema } from './tiptap.mjs';

const [file] = process.argv.slice(2);
if (!file) throw new Error('usage: node tests/interop/read-document.mjs FILE');
const doc = new Y.Doc();
Y.applyUpdate(doc, readFileSync(file));
const fragment = doc.getXmlFragment('default');
const json = clean(yXmlFragmentToProsemirrorJSON(fragment));

// y-prosemirror deletes from the document what it cannot make a node of: opening must leave everything as it is.
const before = Y.encodeStateAsUpdate(doc);
const root = yXmlFragmentToProseMirrorRootNode(fragment, schema);
root.check();
if (Buffer.compare(before, Y.encodeStateAsUpdate(doc)) !== 0) throw new Error('y-prosemirror changed the document on opening it');
process.stdout.write(`${JSON.stringify(json, null, 1)}\n`);
