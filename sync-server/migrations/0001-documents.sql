-- Documents, their append-only log with snapshots, who wrote what, and links to other servers.

CREATE TABLE documents (
    key        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    title      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    epoch      TEXT    NOT NULL,           -- a new one when a document's history is replaced
    deleted_at INTEGER                     -- a deleted document keeps this row, so that nobody's copy revives it
) STRICT;

CREATE TABLE authors (
    key      INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE          -- JSON
) STRICT;

CREATE TABLE records (
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    seq      INTEGER NOT NULL,
    body     BLOB,                         -- updates, v1 encoding
    margin   BLOB,
    author   INTEGER NOT NULL REFERENCES authors (key),
    at       INTEGER NOT NULL,
    body_ranges   BLOB NOT NULL,           -- ids that this record wrote: client u64, clock u32, len u32, little-endian
    margin_ranges BLOB NOT NULL,
    checksum INTEGER NOT NULL,             -- CRC-32 over all of the above
    UNIQUE (document, seq)
) STRICT;

CREATE TABLE snapshots (
    document INTEGER PRIMARY KEY REFERENCES documents (key) ON DELETE CASCADE,
    seq      INTEGER NOT NULL,             -- covers all records up to this one
    body     BLOB    NOT NULL,
    margin   BLOB    NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE authorship (                  -- the ranges of records that a snapshot has replaced
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    part     INTEGER NOT NULL,             -- 0 body, 1 margin
    client   INTEGER NOT NULL,
    clock    INTEGER NOT NULL,
    len      INTEGER NOT NULL,
    author   INTEGER NOT NULL REFERENCES authors (key),
    PRIMARY KEY (document, part, client, clock)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    document INTEGER PRIMARY KEY REFERENCES documents (key) ON DELETE CASCADE,
    url      TEXT NOT NULL
) STRICT;
