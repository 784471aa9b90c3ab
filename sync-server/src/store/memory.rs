//! A store in memory, for tests and for relays that keep nothing. It passes the same tests as the one on disk.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crdt::authorship::{Authorship, Credits};
use crdt::history::{Kind, Packed, Version, thin};
use crdt::ids::{DocId, Part, Timestamp};
use crdt::room::Record;

use super::examine::Piece;
use super::{
    AccessRows, AccessWrite, Backend, Backing, Cause, DepartureRow, DocumentRow, LinkRow, MOST_DEPARTURES,
    NewVersion, PackedSnapshot, Raw, Remains, StoreError, VersionBody, Write,
};
use crate::clock;

/// Documents in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    documents: BTreeMap<DocId, Document>,
    quota: Option<u64>,
    access: AccessRows,
    /// By document, the oldest first.
    departures: BTreeMap<DocId, Vec<DepartureRow>>,
}

#[derive(Debug, Clone)]
struct Document {
    row: DocumentRow,
    snapshot: Option<PackedSnapshot>,
    records: Vec<Record>,
    compacted: [Authorship; 2],
    credits: Credits,
    versions: Vec<VersionBody>,
    last_version: u64,
    link: Option<LinkRow>,
}

impl Document {
    fn new(id: &DocId, title: &str, at: Timestamp, epoch: Option<&str>) -> Self {
        let row = DocumentRow {
            id: id.clone(),
            title: title.to_owned(),
            created_at: at,
            updated_at: at,
            epoch: epoch.map_or_else(|| clock::ulid().to_string(), str::to_owned),
            deleted: false,
        };
        Self {
            row,
            snapshot: None,
            records: Vec::new(),
            compacted: Default::default(),
            credits: Credits::default(),
            versions: Vec::new(),
            last_version: 0,
            link: None,
        }
    }

    fn next_seq(&self) -> u64 {
        let last = self.records.last().map(|record| record.seq);
        last.or(self.snapshot.as_ref().map(|snapshot| snapshot.seq))
            .map_or(1, |seq| seq + 1)
    }

    fn bytes(&self) -> u64 {
        let records = self.records.iter().map(Record::size);
        let snapshot = self.snapshot.as_ref().map_or(0, PackedSnapshot::size);
        (records.sum::<usize>() + snapshot) as u64
    }

    fn append(&mut self, record: &Record, title: Option<&str>) -> Result<(), StoreError> {
        if let Some(known) = self.records.iter().find(|known| known.seq == record.seq) {
            if known.body == record.body && known.margin == record.margin {
                return Ok(());
            }
            return Err(StoreError::Conflict {
                doc: self.row.id.clone(),
                seq: record.seq,
            });
        }
        let (doc, seq, expected) = (self.row.id.clone(), record.seq, self.next_seq());
        match seq.cmp(&expected) {
            Ordering::Less => return Err(StoreError::Conflict { doc, seq }),
            Ordering::Greater => return Err(StoreError::Gap { doc, seq, expected }),
            Ordering::Equal => {}
        }
        self.records.push(record.clone());
        self.row.updated_at = record.at;
        if let Some(title) = title {
            title.clone_into(&mut self.row.title);
        }
        Ok(())
    }

    fn compact(&mut self, snapshot: &PackedSnapshot) {
        let (covered, tail) = self
            .records
            .drain(..)
            .partition(|record| record.seq <= snapshot.seq);
        self.records = tail;
        let covered: Vec<Record> = covered;
        for record in covered {
            record_authors(&mut self.compacted, &record);
        }
        self.snapshot = Some(snapshot.clone());
    }
}

fn record_authors([body, margin]: &mut [Authorship; 2], record: &Record) {
    body.record(&record.author, &record.ranges);
    margin.record(&record.author, &record.margin_ranges);
}

impl MemoryStore {
    fn apply(documents: &mut BTreeMap<DocId, Document>, write: &Write) -> Result<(), StoreError> {
        let doc = match write {
            Write::Create { doc, .. }
            | Write::Append { doc, .. }
            | Write::Compact { doc, .. }
            | Write::Delete { doc, .. }
            | Write::Credit { doc, .. }
            | Write::RemoveLink { doc } => doc,
            Write::PutLink { link, .. } => &link.doc,
        };
        if documents.get(doc).is_some_and(|document| document.row.deleted) {
            return Err(StoreError::Deleted(doc.clone()));
        }
        match write {
            Write::Create { title, at, .. } => {
                documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, title, *at, None));
            }
            Write::Append {
                record, title, epoch, ..
            } => {
                let entry = documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, "", record.at, epoch.as_deref()));
                entry.append(record, title.as_deref())?;
            }
            Write::Compact { snapshot, .. } => {
                if let Some(document) = documents.get_mut(doc) {
                    document.compact(snapshot);
                }
            }
            Write::Delete { at, .. } => {
                let entry = documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, "", *at, None));
                let row = DocumentRow {
                    deleted: true,
                    ..entry.row.clone()
                };
                *entry = Document {
                    row,
                    ..Document::new(doc, "", *at, None)
                };
            }
            Write::PutLink { link, at } => {
                let entry = documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, "", *at, None));
                entry.link = Some(link.clone());
            }
            Write::Credit { credits, at, .. } => {
                let entry = documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, "", *at, None));
                for (range, credit) in credits.iter() {
                    entry.credits.record(range, credit);
                }
            }
            Write::RemoveLink { .. } => {
                if let Some(document) = documents.get_mut(doc) {
                    document.link = None;
                }
            }
        }
        Ok(())
    }
}

impl Backend for MemoryStore {
    fn documents(&mut self) -> Result<Vec<DocumentRow>, StoreError> {
        let mut rows: Vec<_> = self
            .documents
            .values()
            .map(|document| document.row.clone())
            .filter(|row| !row.deleted)
            .collect();
        rows.sort_by(|one, other| {
            other
                .updated_at
                .cmp(&one.updated_at)
                .then_with(|| one.id.cmp(&other.id))
        });
        Ok(rows)
    }

    fn document(&mut self, doc: &DocId) -> Result<Option<DocumentRow>, StoreError> {
        Ok(self.documents.get(doc).map(|document| document.row.clone()))
    }

    fn load(&mut self, doc: &DocId) -> Result<Raw, StoreError> {
        let document = self.documents.get(doc);
        Ok(Raw {
            row: document.map(|document| document.row.clone()),
            snapshot: document.and_then(|document| document.snapshot.clone()),
            tail: document
                .map(|document| document.records.clone())
                .unwrap_or_default(),
            next_seq: document.map_or(1, Document::next_seq),
            last_version: document
                .and_then(|document| document.versions.last())
                .map(|body| (body.version.seq, body.version.at)),
        })
    }

    fn authorship(&mut self, doc: &DocId, part: Part) -> Result<Authorship, StoreError> {
        let Some(document) = self.documents.get(doc) else {
            return Ok(Authorship::default());
        };
        let mut parts = document.compacted.clone();
        for record in &document.records {
            record_authors(&mut parts, record);
        }
        let [body, margin] = parts;
        Ok(match part {
            Part::Body => body,
            Part::Margin => margin,
        })
    }

    fn credits(&mut self, doc: &DocId) -> Result<Credits, StoreError> {
        let document = self.documents.get(doc);
        Ok(document
            .map(|document| document.credits.clone())
            .unwrap_or_default())
    }

    fn versions(&mut self, doc: &DocId) -> Result<Vec<Version>, StoreError> {
        let versions = self
            .documents
            .get(doc)
            .map(|document| document.versions.iter().rev());
        Ok(versions
            .into_iter()
            .flatten()
            .map(|body| body.version.clone())
            .collect())
    }

    fn version(&mut self, doc: &DocId, number: u64) -> Result<Option<VersionBody>, StoreError> {
        let versions = self.documents.get(doc).map(|document| document.versions.iter());
        let found = versions
            .into_iter()
            .flatten()
            .find(|body| body.version.number == number);
        Ok(found.cloned())
    }

    fn keep_version(&mut self, doc: &DocId, version: &NewVersion) -> Result<Version, StoreError> {
        let document = self
            .documents
            .entry(doc.clone())
            .or_insert_with(|| Document::new(doc, "", version.at, None));
        if document.row.deleted {
            return Err(StoreError::Deleted(doc.clone()));
        }
        document.last_version += 1;
        let entry = version.entry(document.last_version);
        document.versions.push(VersionBody {
            version: entry.clone(),
            body: version.body.clone(),
        });
        if version.kind == Kind::Automatic {
            let list: Vec<Version> = document
                .versions
                .iter()
                .map(|body| body.version.clone())
                .collect();
            let dropped = thin(&list, version.at);
            document
                .versions
                .retain(|body| !dropped.contains(&body.version.number));
        }
        Ok(entry)
    }

    fn remains(&mut self, doc: &DocId) -> Result<Remains, StoreError> {
        let Some(document) = self.documents.get(doc) else {
            return Err(StoreError::Damaged {
                doc: doc.clone(),
                what: "its entry in the list".into(),
            });
        };
        let piece = |what, body, margin| Piece {
            what,
            parts: [body, margin],
            sound: true,
        };
        let snapshot = document.snapshot.iter().map(|snapshot| {
            let (body, margin) = (snapshot.body.clone(), snapshot.margin.clone());
            piece(format!("snapshot {}", snapshot.seq), Some(body), Some(margin))
        });
        let records = document.records.iter().map(|record| {
            let (body, margin) = (record.body.clone(), record.margin.clone());
            piece(
                format!("record {}", record.seq),
                body.map(Packed::v1),
                margin.map(Packed::v1),
            )
        });
        let versions = document.versions.iter().rev();
        let versions = versions.map(|version| {
            let what = format!("version {}", version.version.number);
            piece(what, Some(version.body.clone()), None)
        });
        Ok(Remains {
            row: document.row.clone(),
            problems: Vec::new(),
            pieces: snapshot.chain(records).collect(),
            versions: versions.collect(),
        })
    }

    fn links(&mut self) -> Result<Vec<LinkRow>, StoreError> {
        let rows = self
            .documents
            .values()
            .filter_map(|document| document.link.clone());
        Ok(rows.collect())
    }

    fn write(&mut self, batch: &[&Write]) -> Result<(), StoreError> {
        let mut next = self.documents.clone();
        for write in batch {
            Self::apply(&mut next, write)?;
        }
        let size =
            |documents: &BTreeMap<DocId, Document>| documents.values().map(Document::bytes).sum::<u64>();
        if self
            .quota
            .is_some_and(|quota| size(&next) > quota.max(size(&self.documents)))
        {
            return Err(StoreError::Full(Cause::new("the store's quota is used up")));
        }
        self.documents = next;
        Ok(())
    }

    fn set_quota(&mut self, bytes: Option<u64>) -> Result<(), StoreError> {
        self.quota = bytes;
        Ok(())
    }

    fn access(&mut self) -> Result<AccessRows, StoreError> {
        Ok(self.access.clone())
    }

    fn departures(&mut self, doc: &DocId) -> Result<Vec<DepartureRow>, StoreError> {
        let rows = self.departures.get(doc).into_iter().flatten();
        Ok(rows.rev().cloned().collect())
    }

    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError> {
        self.access.apply(write);
        match write {
            AccessWrite::Depart(row) => {
                let rows = self.departures.entry(row.doc.clone()).or_default();
                rows.push(row.clone());
                let most = usize::try_from(MOST_DEPARTURES).unwrap_or(usize::MAX);
                rows.drain(..rows.len().saturating_sub(most));
            }
            AccessWrite::ForgetDepartures(doc) => drop(self.departures.remove(doc)),
            _ => {}
        }
        Ok(())
    }
}

impl Backing for MemoryStore {
    fn backup(&mut self, _: &Path, _: &mut dyn FnMut(&mut dyn Backend)) -> Result<(), StoreError> {
        Err(StoreError::NoFile)
    }

    fn replace(&mut self, _: &Path) -> Result<PathBuf, StoreError> {
        Err(StoreError::NoFile)
    }

    fn check_file(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
