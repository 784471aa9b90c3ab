//! The editing trace of the automerge paper, every keystroke of it: as a plain text, and as an editor's paragraphs.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use yrs::{
    Doc, GetString as _, ReadTxn as _, StateVector, Text as _, Transact as _, TransactionMut,
    XmlElementPrelim, XmlFragment as _, XmlFragmentRef, XmlOut, XmlTextPrelim, XmlTextRef,
};

use super::load::letters::{ROOT, Typist, reached};

/// The root that y-prosemirror's editors use.
const FRAGMENT: &str = "default";
/// Whoever wrote the paper.
const AUTHOR: u64 = 1;

/// <https://github.com/josephg/editing-traces>: position, deleted characters, inserted text.
#[derive(Deserialize)]
struct Trace {
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<(u32, u32, String)>,
}

/// One edit as an update.
#[derive(Debug)]
pub struct Edit {
    /// The update (v1).
    pub update: Vec<u8>,
    /// The author's clock after it.
    pub clock: u64,
}

/// The paper.
#[derive(Debug)]
pub struct Paper {
    /// Each edit by itself, into the plain text.
    pub edits: Vec<Edit>,
    /// The plain text's document as one update.
    pub text: Vec<u8>,
    /// The document of paragraphs as one update.
    pub blocks: Vec<u8>,
    /// What is to be read at the end.
    pub end: String,
}

impl Paper {
    /// Replays the trace, or only its first `most` edits.
    ///
    /// # Errors
    /// When the file is missing or the two documents come to differ.
    pub fn read(file: &Path, most: usize) -> anyhow::Result<Self> {
        let json = std::fs::read(file)
            .with_context(|| format!("{} is missing; `npm run bench` fetches it", file.display()))?;
        let trace: Trace = serde_json::from_slice(&json)?;
        let patches = || trace.txns.iter().flat_map(|txn| &txn.patches).take(most);

        let doc = Doc::with_client_id(AUTHOR);
        let text = doc.get_or_insert_text(ROOT);
        let (mut edits, mut clock) = (Vec::new(), 0);
        // One transaction an edit: all in one takes minutes.
        for (at, delete, insert) in patches() {
            let mut txn = doc.transact_mut();
            if *delete > 0 {
                text.remove_range(&mut txn, *at, *delete);
            }
            if !insert.is_empty() {
                text.insert(&mut txn, *at, insert);
            }
            let update = txn.encode_update_v1();
            reached(&update, |_, reached| clock = reached)?;
            edits.push(Edit { update, clock });
        }
        let end = text.get_string(&doc.transact());

        let paragraphs = Paragraphs::new();
        let blocks = patches().fold(paragraphs, |mut paragraphs, (at, delete, insert)| {
            paragraphs.edit(*at as usize, *delete as usize, insert);
            paragraphs
        });
        ensure!(
            read_blocks(&blocks.doc) == end,
            "the paragraphs do not read as the plain text"
        );
        let whole = |doc: &Doc| doc.transact().encode_state_as_update_v1(&StateVector::default());
        Ok(Self {
            edits,
            text: whole(&doc),
            blocks: whole(&blocks.doc),
            end,
        })
    }

    /// A last letter by somebody else, whose arrival shows that everything before it has arrived.
    #[must_use]
    pub fn full_stop(client: u64) -> Vec<u8> {
        Typist::new(client).key()
    }
}

/// What is to be read in a document of plain text.
#[must_use]
pub fn read_text(doc: &Doc) -> String {
    let text = doc.get_or_insert_text(ROOT);
    text.get_string(&doc.transact())
}

/// What is to be read in a document of paragraphs.
#[must_use]
pub fn read_blocks(doc: &Doc) -> String {
    let fragment = doc.get_or_insert_xml_fragment(FRAGMENT);
    let txn = doc.transact();
    let paragraphs = fragment.children(&txn).filter_map(|child| match child {
        XmlOut::Element(paragraph) => match paragraph.get(&txn, 0) {
            Some(XmlOut::Text(text)) => Some(text.get_string(&txn)),
            _ => None,
        },
        _ => None,
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// The document as y-prosemirror makes it: Enter moves what follows it into a new paragraph, deleting a line's end moves
/// the next paragraph's text here.
struct Paragraphs {
    doc: Doc,
    fragment: XmlFragmentRef,
    lines: Vec<(XmlTextRef, usize)>,
}

impl Paragraphs {
    fn new() -> Self {
        let doc = Doc::with_client_id(AUTHOR);
        let fragment = doc.get_or_insert_xml_fragment(FRAGMENT);
        let first = paragraph(&fragment, &mut doc.transact_mut(), 0, "");
        Self {
            doc,
            fragment,
            lines: vec![(first, 0)],
        }
    }

    fn edit(&mut self, at: usize, mut delete: usize, insert: &str) {
        let mut txn = self.doc.transact_mut();
        let (mut line, mut offset) = (0, at);
        while offset > self.lines[line].1 {
            offset -= self.lines[line].1 + 1;
            line += 1;
        }
        while delete > 0 {
            let (text, length) = self.lines[line].clone();
            let here = delete.min(length - offset);
            if here > 0 {
                text.remove_range(&mut txn, offset as u32, here as u32);
                self.lines[line].1 -= here;
                delete -= here;
            }
            if delete > 0 {
                let (next, length) = self.lines.remove(line + 1);
                let moved = next.get_string(&txn);
                if length > 0 {
                    text.insert(&mut txn, offset as u32, &moved);
                }
                self.fragment.remove_range(&mut txn, line as u32 + 1, 1);
                self.lines[line].1 += length;
                delete -= 1;
            }
        }
        for (index, part) in insert.split('\n').enumerate() {
            if index > 0 {
                let (text, length) = self.lines[line].clone();
                let tail = text.get_string(&txn)[offset..].to_owned();
                if !tail.is_empty() {
                    text.remove_range(&mut txn, offset as u32, (length - offset) as u32);
                }
                self.lines[line].1 = offset;
                line += 1;
                let new = paragraph(&self.fragment, &mut txn, line as u32, &tail);
                self.lines.insert(line, (new, tail.len()));
                offset = 0;
            }
            if !part.is_empty() {
                let (text, length) = &mut self.lines[line];
                text.insert(&mut txn, offset as u32, part);
                *length += part.len();
                offset += part.len();
            }
        }
    }
}

fn paragraph(fragment: &XmlFragmentRef, txn: &mut TransactionMut<'_>, at: u32, text: &str) -> XmlTextRef {
    let paragraph = fragment.insert(txn, at, XmlElementPrelim::empty("paragraph"));
    paragraph.push_back(txn, XmlTextPrelim::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_read_as_the_text_they_were_typed_as() {
        let mut paragraphs = Paragraphs::new();
        let mut text = String::new();
        for (at, delete, insert) in [
            (0, 0, "one\ntwo"),
            (3, 0, "\n"),
            (8, 0, "!"),
            (2, 3, "E\n\n"),
            (0, 0, "\n"),
            (0, 5, ""),
        ] {
            text.replace_range(at..at + delete, insert);
            paragraphs.edit(at, delete, insert);
            assert_eq!(read_blocks(&paragraphs.doc), text);
        }
    }
}
