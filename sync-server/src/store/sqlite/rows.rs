//! Rows as they are read, and the checksums over them.

use crdt::history::{Kind, Packed, Version};
use crdt::ids::{DocId, IdRange, Identity, Part, Timestamp};
use crdt::room::Record;
use rusqlite::Row;
use rusqlite::types::Type;

use crate::store::{DocumentRow, LinkRow, PackedSnapshot, StoreError};

/// Bytes of one encoded range.
const RANGE_BYTES: usize = 16;

/// A record as it stands in its row; `rows` decodes nothing, so that damage can be told with the record's number.
pub(super) struct RecordRow {
    pub(super) seq: u64,
    pub(super) body: Option<Vec<u8>>,
    pub(super) margin: Option<Vec<u8>>,
    pub(super) identity: String,
    pub(super) at: u64,
    pub(super) body_ranges: Vec<u8>,
    pub(super) margin_ranges: Vec<u8>,
    pub(super) checksum: u32,
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    Ok(RecordRow {
        seq: row.get(0)?,
        body: row.get(1)?,
        margin: row.get(2)?,
        identity: row.get(3)?,
        at: row.get(4)?,
        body_ranges: row.get(5)?,
        margin_ranges: row.get(6)?,
        checksum: row.get(7)?,
    })
}

pub(super) fn document(row: &Row<'_>) -> rusqlite::Result<DocumentRow> {
    Ok(DocumentRow {
        id: doc_id(row)?,
        title: row.get(1)?,
        created_at: Timestamp(row.get(2)?),
        updated_at: Timestamp(row.get(3)?),
        epoch: row.get(4)?,
        deleted: row.get::<_, Option<u64>>(5)?.is_some(),
    })
}

pub(super) fn link(row: &Row<'_>) -> rusqlite::Result<LinkRow> {
    Ok(LinkRow {
        doc: doc_id(row)?,
        url: row.get(1)?,
        epoch: row.get(2)?,
        replaced: row.get(3)?,
    })
}

/// The body is in the second encoding.
const BODY_V2: u8 = 1;
/// The margin is in the second encoding.
const MARGIN_V2: u8 = 2;

/// How a snapshot's parts are encoded.
pub(super) const fn encoding(snapshot: &PackedSnapshot) -> u8 {
    let body = if snapshot.body.v2 { BODY_V2 } else { 0 };
    let margin = if snapshot.margin.v2 { MARGIN_V2 } else { 0 };
    body | margin
}

pub(super) fn snapshot(row: &Row<'_>) -> rusqlite::Result<(PackedSnapshot, u32)> {
    let encoding: u8 = row.get(3)?;
    Ok((
        PackedSnapshot {
            seq: row.get(0)?,
            body: Packed {
                bytes: row.get(1)?,
                v2: encoding & BODY_V2 != 0,
            },
            margin: Packed {
                bytes: row.get(2)?,
                v2: encoding & MARGIN_V2 != 0,
            },
        },
        row.get(4)?,
    ))
}

pub(super) fn span(row: &Row<'_>) -> rusqlite::Result<(IdRange, String)> {
    Ok((
        IdRange {
            client: row.get(0)?,
            clock: row.get(1)?,
            len: row.get(2)?,
        },
        row.get(3)?,
    ))
}

fn doc_id(row: &Row<'_>) -> rusqlite::Result<DocId> {
    let text: String = row.get(0)?;
    DocId::parse(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

pub(super) fn identity_json(identity: &Identity) -> String {
    serde_json::to_string(identity).expect("an identity is plain strings")
}

pub(super) fn identity(doc: &DocId, json: &str) -> Result<Identity, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Damaged {
        doc: doc.clone(),
        what: "an author's name".into(),
    })
}

pub(super) fn encode_ranges(ranges: &[IdRange]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ranges.len() * RANGE_BYTES);
    for range in ranges {
        bytes.extend_from_slice(&range.client.to_le_bytes());
        bytes.extend_from_slice(&range.clock.to_le_bytes());
        bytes.extend_from_slice(&range.len.to_le_bytes());
    }
    bytes
}

pub(super) fn decode_ranges(bytes: &[u8]) -> Option<Vec<IdRange>> {
    if !bytes.len().is_multiple_of(RANGE_BYTES) {
        return None;
    }
    bytes
        .chunks_exact(RANGE_BYTES)
        .map(|chunk| {
            let (client, rest) = chunk.split_first_chunk::<8>()?;
            let (clock, rest) = rest.split_first_chunk::<4>()?;
            let (len, _) = rest.split_first_chunk::<4>()?;
            Some(IdRange {
                client: u64::from_le_bytes(*client),
                clock: u32::from_le_bytes(*clock),
                len: u32::from_le_bytes(*len),
            })
        })
        .collect()
}

/// CRC-32 over fields, each with its length, so that no two different records have the same bytes.
struct Checksum(crc32fast::Hasher);

impl Checksum {
    fn new(doc: &DocId, seq: u64) -> Self {
        let mut sum = Self(crc32fast::Hasher::new());
        sum.field(Some(doc.as_str().as_bytes()));
        sum.field(Some(&seq.to_le_bytes()));
        sum
    }

    fn field(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.0.update(&(bytes.len() as u64 + 1).to_le_bytes());
                self.0.update(bytes);
            }
            None => self.0.update(&0_u64.to_le_bytes()),
        }
    }
}

/// The checksum of a record whose author is `identity` as JSON, and whose ranges are [`encode_ranges`] of those of body and
/// margin: the caller has them, and they take longer to make than the sum.
pub(super) fn record_checksum(
    doc: &DocId,
    record: &Record,
    identity: &str,
    [body_ranges, margin_ranges]: [&[u8]; 2],
) -> u32 {
    let mut sum = Checksum::new(doc, record.seq);
    sum.field(record.body.as_deref());
    sum.field(record.margin.as_deref());
    sum.field(Some(identity.as_bytes()));
    sum.field(Some(&record.at.0.to_le_bytes()));
    sum.field(Some(body_ranges));
    sum.field(Some(margin_ranges));
    sum.0.finalize()
}

pub(super) fn snapshot_checksum(doc: &DocId, snapshot: &PackedSnapshot) -> u32 {
    let mut sum = Checksum::new(doc, snapshot.seq);
    sum.field(Some(&snapshot.body.bytes));
    sum.field(Some(&snapshot.margin.bytes));
    // Not for the first encoding: the sums of snapshots from before there was a second one stay right.
    match encoding(snapshot) {
        0 => {}
        encoding => sum.field(Some(&[encoding])),
    }
    sum.0.finalize()
}

pub(super) fn version_checksum(doc: &DocId, version: &Version, body: &Packed) -> u32 {
    let mut sum = Checksum::new(doc, version.number);
    sum.field(Some(&version.at.0.to_le_bytes()));
    sum.field(Some(identity_json(&version.by).as_bytes()));
    sum.field(Some(kind_json(version.kind).as_bytes()));
    sum.field(version.name.as_deref().map(str::as_bytes));
    sum.field(version.why.as_deref().map(str::as_bytes));
    sum.field(Some(&version.seq.to_le_bytes()));
    sum.field(Some(&[u8::from(body.v2)]));
    sum.field(Some(&body.bytes));
    sum.0.finalize()
}

pub(super) fn kind_json(kind: Kind) -> String {
    serde_json::to_string(&kind).expect("a kind is a plain name")
}

/// A part's number in the table of authors.
pub(super) const fn part_number(part: Part) -> u8 {
    match part {
        Part::Body => 0,
        Part::Margin => 1,
    }
}
