//! What is wrong with a document, and what can be saved of it.

use crdt::history::Packed;
use crdt::ids::{DocId, Part};
use yrs::{Doc, ReadTxn, StateVector, Transact};

use super::DocumentRow;

/// A piece of a document as it lies in the store.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// What it is, in words: `snapshot 7`, `record 8`, `version 2`.
    pub(super) what: String,
    /// What it holds of the body and of the margin.
    pub(super) parts: [Option<Packed>; 2],
    /// Whether it is, byte for byte, what was written.
    pub(super) sound: bool,
}

impl Piece {
    /// One of its parts as an update in the first encoding. The second encoding is read only where it is sound (see
    /// [`Packed::into_v1`]); of one that is not, nothing could be trusted anyway: a wrong byte moves all fields after it.
    fn update(&self, part: &Packed) -> Option<Vec<u8>> {
        if part.v2 && !self.sound {
            return None;
        }
        part.clone().into_v1().ok()
    }
}

/// All that can be read of a document.
#[derive(Debug, Clone)]
pub struct Remains {
    /// Its entry in the list.
    pub row: DocumentRow,
    /// What is wrong as far as bytes tell.
    pub(super) problems: Vec<String>,
    /// Snapshot and records, in order.
    pub(super) pieces: Vec<Piece>,
    /// Its versions, the last one first.
    pub(super) versions: Vec<Piece>,
}

/// What an examination found.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Which document.
    pub doc: DocId,
    /// Its title in the list.
    pub title: String,
    /// What is damaged, in words; nothing when it is whole.
    pub problems: Vec<String>,
    /// The body as one update (v1), as far as it can be saved.
    pub body: Vec<u8>,
    /// The margin as one update (v1).
    pub margin: Vec<u8>,
    /// The text as Markdown.
    pub markdown: String,
}

/// Opens everything that there is of a document. Takes at least as long as it takes to open it.
#[must_use]
pub fn examine(remains: Remains) -> Examined {
    let Remains {
        row,
        mut problems,
        pieces,
        versions,
    } = remains;
    for version in &versions {
        let opens = version.parts.iter().flatten().all(|part| {
            let update = version.update(part);
            update.is_some_and(|update| crdt::history::open(&update, 1).is_ok())
        });
        if version.sound && !opens {
            problems.push(format!("{} does not hold a document", version.what));
        }
    }
    let body = assemble(&pieces, Part::Body, &mut problems);
    let body = body.or_else(|| {
        // The snapshot is lost: the last version that can be read is better than nothing.
        let mut from = versions.clone();
        from.retain(|version| assemble(std::slice::from_ref(version), Part::Body, &mut Vec::new()).is_some());
        from.truncate(1);
        if let Some(version) = from.first() {
            problems.push(format!(
                "what can be saved is {} and what came after it",
                version.what
            ));
        }
        from.extend(pieces.iter().cloned());
        assemble(&from, Part::Body, &mut Vec::new())
    });
    let margin = assemble(&pieces, Part::Margin, &mut problems);
    let body = body.unwrap_or_else(|| crdt::doc::open(1));
    let markdown = {
        let root = crdt::doc::fragment(&body);
        let txn = body.transact();
        crdt::markdown::write(&crdt::content::read(&root, &txn))
    };
    Examined {
        doc: row.id,
        title: row.title,
        problems,
        body: crdt::history::state(&body),
        margin: margin
            .map(|margin| crdt::history::state(&margin))
            .unwrap_or_default(),
        markdown,
    }
}

/// One part out of its pieces. `None` when nothing of it is left though there was something.
fn assemble(pieces: &[Piece], part: Part, problems: &mut Vec<String>) -> Option<Doc> {
    let index = match part {
        Part::Body => 0,
        Part::Margin => 1,
    };
    let name = match part {
        Part::Body => "text",
        Part::Margin => "margin",
    };
    let present: Vec<(&Piece, Option<Vec<u8>>)> = pieces
        .iter()
        .filter_map(|piece| Some((piece, piece.update(piece.parts.get(index)?.as_ref()?))))
        .collect();
    let all: Option<Vec<Vec<u8>>> = present.iter().map(|(_, update)| update.clone()).collect();
    let mut whole = match all.as_deref().and_then(joined) {
        Some(whole) => whole,
        // One by one, each on a copy: what cannot be applied can leave a document half changed.
        None => {
            let mut good: Vec<Vec<u8>> = Vec::new();
            for (piece, update) in &present {
                good.extend(update.clone());
                if update.is_some() && joined(&good).is_some() {
                    continue;
                }
                if update.is_some() {
                    good.pop();
                }
                if piece.sound {
                    problems.push(format!("{} does not hold a change of the {name}", piece.what));
                }
            }
            joined(&good)?
        }
    };
    let any = !present.is_empty();
    if whole.transact().has_missing_updates() {
        problems.push(format!(
            "the {name} refers to changes that are not there any more"
        ));
        // What waits for others cannot be shown; what stands can.
        let stands = whole.transact().encode_diff_v1(&StateVector::default());
        whole = crdt::history::open(&stands, 1).unwrap_or(whole);
    }
    (!any || whole.transact().state_vector() != StateVector::default()).then_some(whole)
}

fn joined(updates: &[Vec<u8>]) -> Option<Doc> {
    match updates {
        [] => Some(crdt::doc::open(1)),
        [only] => crdt::history::open(only, 1).ok(),
        several => {
            let merged = std::panic::catch_unwind(|| yrs::merge_updates_v1(several))
                .ok()?
                .ok()?;
            crdt::history::open(&merged, 1).ok()
        }
    }
}
