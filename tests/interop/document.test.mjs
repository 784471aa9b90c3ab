// y-prosemirror reads what Rust wrote: the other half of crdt/tests/content.rs.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'node:test';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

for (const update of ['document.update.bin', 'document.rust.update.bin']) {
  test(`y-prosemirror and Tiptap read ${update} without loss`, () => {
    const printed = execFileSync(process.execPath, [path('read-document.mjs'), path(`../../crdt/tests/golden/${update}`)]);
    const expected = readFileSync(path('../../crdt/tests/golden/document.json'), 'utf8');
    assert.deepEqual(JSON.parse(printed), JSON.parse(expected));
  });
}
