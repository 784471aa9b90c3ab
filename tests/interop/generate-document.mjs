// Writes crdt/tests/golden/document.json and document.update.bin: one document with everything in the schema, made by
// stock Tiptap extensions and y-prosemirror. Run from the repository's root: node tests/interop/generate-document.mjs
// The Rust tests read the update and expect the JSON. Both files change only when this script or its versions do.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { prosemirrorJSONToYXmlFragment, yXmlFragmentToProsemirrorJSON } from 'y-prosemirror';
import * as Y from 'yjs';
import { clean, schema } from './tiptap.mjs';

const text = (words, ...marks) =>
  ({ type: 'text', text: words, ...(marks.length && { marks: marks.map((mark) => (typeof mark === 'string' ? { type: mark } : mark)) }) });
const node = (type, attrs, ...content) => ({ type, ...(attrs && { attrs }), ...(content.length && { content }) });
const p = (...content) => node('paragraph', null, ...content.map((one) => (typeof one === 'string' ? text(one) : one)));
const br = node('hardBreak');
const link = (href, title) => ({ type: 'link', attrs: { href, ...(title && { title }) } });
const comment = (thread) => ({ type: 'comment', attrs: { thread } });

const document = node('doc', null,
  ...[1, 2, 3, 4, 5, 6].map((level) => node('heading', { level }, text(`Heading ${level}`))),
  node('heading', { level: 2 }),
  p('Plain, ', text('bold', 'bold'), ', ', text('italic', 'italic'), ', ', text('under', 'underline'), ', ',
    text('struck', 'strike'), ', ', text('code', 'code'), ' and ', text('a link', link('https://example.org/?a=1&b=2')), '.'),
  p(text('bold ', 'bold'), text('and italic', 'bold', 'italic'), text(' italic', 'italic')),
  p(text('code in bold', 'bold', 'code'), text('linked code', link('https://example.org/', 'Example'), 'code')),
  p(text('one link', link('https://a.example/')), text('another', link('https://b.example/'))),
  p('one line', br, text('two lines', 'bold'), br, br, 'four'),
  p(br, 'after a break'),
  p(),
  p('Ünïcödé 👩‍👩‍👧‍👦 漢字 עברית ', text('𝒳', 'italic'), ' end'),
  p('  spaces  kept  '),
  p(text('once ', comment('t1')), text('twice', comment('t1'), comment('t2')), text(' later', comment('t2'))),
  node('bulletList', null,
    node('listItem', null, p('bullet')),
    node('listItem', null, p('nested'),
      node('orderedList', { start: 3 },
        node('listItem', null, p('three')),
        node('listItem', null, p('four'), p('second paragraph'))))),
  node('taskList', null,
    node('taskItem', { checked: true }, p('done')),
    node('taskItem', { checked: false }, p('to do'), node('taskList', null, node('taskItem', { checked: false }, p('part'))))),
  node('blockquote', null, p('quoted'), node('blockquote', null, p('twice')), node('codeBlock', null, text('in a quote'))),
  node('codeBlock', { language: 'rust' }, text('fn main() {\n    println!("*");\n}\n')),
  node('codeBlock', null),
  node('table', null,
    node('tableRow', null,
      node('tableHeader', { colwidth: [120] }, p('name')), node('tableHeader', null, p('value'))),
    node('tableRow', null, node('tableCell', null, p('a')), node('tableCell', null, p('1'), p('2'))),
    node('tableRow', null, node('tableCell', { colspan: 2 }, node('bulletList', null, node('listItem', null, p('wide')))))),
  node('image', { src: 'https://example.org/cat.png', alt: 'A cat', title: 'Cat' }),
  node('image', { src: 'https://example.org/dog.png' }),
  node('horizontalRule'),
  p('The end'));

const doc = new Y.Doc();
doc.clientID = 1; // so that the bytes are the same each time
prosemirrorJSONToYXmlFragment(schema, document, doc.getXmlFragment('default'));

const folder = fileURLToPath(new URL('../../crdt/tests/golden/', import.meta.url));
const json = clean(yXmlFragmentToProsemirrorJSON(doc.getXmlFragment('default')));
writeFileSync(`${folder}document.json`, `${JSON.stringify(json, null, 1)}\n`);
writeFileSync(`${folder}document.update.bin`, Y.encodeStateAsUpdate(doc));
