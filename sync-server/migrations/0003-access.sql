-- The server's secret, share links, and who has which role in which document.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE shares (                      -- a row that is gone is a link that opens nothing
    id         TEXT PRIMARY KEY,
    document   TEXT NOT NULL,              -- by its id: a link may be made before the first edit
    role       TEXT NOT NULL,
    label      TEXT,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX shares_of_document ON shares (document);

CREATE TABLE members (
    document TEXT NOT NULL,
    sub      TEXT NOT NULL,                -- the subject of the person's tokens
    role     TEXT,                         -- none: shut out, whatever the token says
    margin   TEXT,
    set_at   INTEGER NOT NULL,
    set_by   TEXT NOT NULL,
    PRIMARY KEY (document, sub)
) STRICT, WITHOUT ROWID;
