// The schema of crdt/SCHEMA.md as stock Tiptap extensions make it, for the scripts that write and read documents.

import { getSchema, Mark } from '@tiptap/core';
import { Blockquote } from '@tiptap/extension-blockquote';
import { Bold } from '@tiptap/extension-bold';
import { Code } from '@tiptap/extension-code';
import { CodeBlock } from '@tiptap/extension-code-block';
import { Document } from '@tiptap/extension-document';
import { HardBreak } from '@tiptap/extension-hard-break';
import { Heading } from '@tiptap/extension-heading';
import { HorizontalRule } from '@tiptap/extension-horizontal-rule';
import { Image } from '@tiptap/extension-image';
import { Italic } from '@tiptap/extension-italic';
import { Link } from '@tiptap/extension-link';
import { BulletList, ListItem, OrderedList, TaskItem, TaskList } from '@tiptap/extension-list';
import { Paragraph } from '@tiptap/extension-paragraph';
import { Strike } from '@tiptap/extension-strike';
import { Table, TableCell, TableHeader, TableRow } from '@tiptap/extension-table';
import { Text } from '@tiptap/extension-text';
import { Underline } from '@tiptap/extension-underline';

/** A mark that may overlap itself, as comments do: y-prosemirror gives its attribute a hash. */
const Comment = Mark.create({ name: 'comment', excludes: '', addAttributes: () => ({ thread: { default: null } }) });

export const schema = getSchema([
  Document, Paragraph, Text, Heading, Blockquote, CodeBlock, HorizontalRule, HardBreak, Image,
  BulletList, OrderedList, ListItem, TaskList, TaskItem.configure({ nested: true }),
  Table, TableRow, TableHeader, TableCell,
  Bold, Italic, Strike, Underline, Link, Code.extend({ excludes: '' }), Comment,
]);

/** ProseMirror JSON without nulls and empty attributes, marks by name: one form for one document. */
export function clean(value) {
  if (Array.isArray(value)) return value.map(clean);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value)
    .filter(([, field]) => field !== null)
    .map(([key, field]) => [key, clean(field)])
    .filter(([key, field]) => !(key === 'attrs' && Object.keys(field).length === 0))
    .filter(([key, field]) => !((key === 'marks' || key === 'content') && field.length === 0))
    .map(([key, field]) => [key, key === 'marks' ? field.sort(byName) : field]);
  return Object.fromEntries(entries);
}

const byName = (a, b) => (a.type + JSON.stringify(a.attrs)).localeCompare(b.type + JSON.stringify(b.attrs));
