-- What may leave the machine, by document, and what has left.

CREATE TABLE policies (                    -- a document without a row: nothing leaves
    document TEXT PRIMARY KEY,
    leave    TEXT NOT NULL,                -- nothing, masked, asIs
    engines  TEXT NOT NULL,                -- names, as a JSON array
    set_at   INTEGER NOT NULL,
    set_by   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE departures (                  -- every request that was sent to an engine elsewhere; never its text
    id         INTEGER PRIMARY KEY,
    document   TEXT NOT NULL,
    at         INTEGER NOT NULL,
    by         TEXT NOT NULL,
    engine     TEXT NOT NULL,
    place      TEXT NOT NULL,
    leave      TEXT NOT NULL,
    characters INTEGER NOT NULL,
    masked     TEXT NOT NULL               -- how many of which kind, as a JSON object
) STRICT;

CREATE INDEX departures_of_document ON departures (document, id);
