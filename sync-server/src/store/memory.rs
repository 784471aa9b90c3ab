//! A store in memory, for tests and for relays that keep nothing. It passes the same tests as the one on disk.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crdt::authorship::Authorship;
use crdt::ids::{DocId, Part, Timestamp};
use crdt::room::{Record, Snapshot, Stored};

use super::{AccessRows, AccessWrite, Backend, Cause, DocumentRow, LinkRow, Loaded, StoreError, Write};
use crate::clock;

/// Documents in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    documents: BTreeMap<DocId, Document>,
    quota: Option<u64>,
    access: AccessRows,
}

#[derive(Debug, Clone)]
struct Document {
    row: DocumentRow,
    snapshot: Option<Snapshot>,
    records: Vec<Record>,
    compacted: [Authorship; 2],
    link: Option<String>,
}

impl Document {
    fn new(id: &DocId, title: &str, at: Timestamp) -> Self {
        let row = DocumentRow {
            id: id.clone(),
            title: title.to_owned(),
            created_at: at,
            updated_at: at,
            epoch: clock::ulid().to_string(),
            deleted: false,
        };
        Self {
            row,
            snapshot: None,
            records: Vec::new(),
            compacted: Default::default(),
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
        let snapshot = self
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.body.len() + snapshot.margin.len());
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

    fn compact(&mut self, snapshot: &Snapshot) {
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
                    .or_insert_with(|| Document::new(doc, title, *at));
            }
            Write::Append { record, title, .. } => {
                let entry = documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, "", record.at));
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
                    .or_insert_with(|| Document::new(doc, "", *at));
                let row = DocumentRow {
                    deleted: true,
                    ..entry.row.clone()
                };
                *entry = Document {
                    row,
                    ..Document::new(doc, "", *at)
                };
            }
            Write::PutLink { link, at } => {
                let entry = documents
                    .entry(doc.clone())
                    .or_insert_with(|| Document::new(doc, "", *at));
                entry.link = Some(link.url.clone());
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

    fn load(&mut self, doc: &DocId) -> Result<Loaded, StoreError> {
        let Some(document) = self.documents.get(doc) else {
            return Ok(Loaded {
                row: None,
                stored: Stored {
                    snapshot_body: None,
                    snapshot_margin: None,
                    tail: Vec::new(),
                    next_seq: 1,
                },
            });
        };
        let stored = Stored {
            snapshot_body: document.snapshot.as_ref().map(|snapshot| snapshot.body.clone()),
            snapshot_margin: document.snapshot.as_ref().map(|snapshot| snapshot.margin.clone()),
            tail: document.records.clone(),
            next_seq: document.next_seq(),
        };
        Ok(Loaded {
            row: Some(document.row.clone()),
            stored,
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

    fn links(&mut self) -> Result<Vec<LinkRow>, StoreError> {
        let rows = self.documents.values().filter_map(|document| {
            Some(LinkRow {
                doc: document.row.id.clone(),
                url: document.link.clone()?,
            })
        });
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

    fn write_access(&mut self, write: &AccessWrite) -> Result<(), StoreError> {
        self.access.apply(write);
        Ok(())
    }
}
