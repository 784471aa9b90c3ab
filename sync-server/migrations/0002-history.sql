-- Versions of documents, whose content is that was written again, and what is known about linked servers.

ALTER TABLE documents ADD COLUMN last_version INTEGER NOT NULL DEFAULT 0;  -- numbers are not used again

ALTER TABLE snapshots ADD COLUMN encoding INTEGER NOT NULL DEFAULT 0;      -- 1: the body is v2, 2: the margin is v2

ALTER TABLE links ADD COLUMN epoch    TEXT;                                -- that of the document there, when last heard of
ALTER TABLE links ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;          -- it has another history now: not linked any more

CREATE TABLE versions (
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    author   INTEGER NOT NULL REFERENCES authors (key),
    kind     TEXT    NOT NULL,             -- JSON string, as are the names of the program
    name     TEXT,
    why      TEXT,
    seq      INTEGER NOT NULL,             -- holds all records up to this one
    body     BLOB    NOT NULL,
    encoding INTEGER NOT NULL,             -- 1: v2
    checksum INTEGER NOT NULL,
    PRIMARY KEY (document, number)
) STRICT;

CREATE TABLE credits (                     -- comes before what records and the table `authorship` say about the same ids
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    client   INTEGER NOT NULL,
    clock    INTEGER NOT NULL,
    len      INTEGER NOT NULL,
    credit   TEXT    NOT NULL,             -- JSON
    PRIMARY KEY (document, client, clock)
) STRICT, WITHOUT ROWID;
