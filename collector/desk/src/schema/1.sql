-- Times are microseconds since the Unix epoch, UTC. Bodies are the model's own JSON.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('incident', 0);

CREATE TABLE incidents (
    id     INTEGER PRIMARY KEY,
    state  TEXT NOT NULL,
    opened INTEGER NOT NULL,
    closed INTEGER,
    body   TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_by_state ON incidents (state, opened);

CREATE TABLE verdicts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL REFERENCES incidents (id),
    parent   INTEGER REFERENCES verdicts (id),
    reached  INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    body     TEXT NOT NULL
) STRICT;
CREATE INDEX verdicts_by_incident ON verdicts (incident, id);

CREATE TABLE hosts (
    host        TEXT PRIMARY KEY,
    serial      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    expires     INTEGER NOT NULL,
    enrolled    INTEGER NOT NULL,
    renewed     INTEGER,
    revoked     INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    created    INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    bound_to   TEXT,
    used       INTEGER,
    used_by    TEXT,
    revoked    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    time   INTEGER NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    result TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
