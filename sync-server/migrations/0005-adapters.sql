-- Which adapters the model here wears in a document, and who has agreed to what leaves it.

CREATE TABLE adapters (                    -- a document without a row: the model as it is
    document TEXT PRIMARY KEY,
    chosen   TEXT NOT NULL,                -- crdt::policy::Adapters as JSON
    set_at   INTEGER NOT NULL,
    set_by   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE agreements (                  -- without a row nothing that this person asks for leaves
    document TEXT NOT NULL,
    person   TEXT NOT NULL,                -- the id that requests name
    leave    TEXT NOT NULL,
    engines  TEXT NOT NULL,                -- names, as a JSON array
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL,                -- the identity that agreed
    PRIMARY KEY (document, person)
) STRICT, WITHOUT ROWID;
