CREATE TABLE snapshots (
    id         TEXT PRIMARY KEY,
    host       TEXT NOT NULL,
    state      TEXT NOT NULL,
    requested  INTEGER NOT NULL,
    requested_by TEXT NOT NULL,
    manifest   TEXT,
    path       TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    problem    TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshots_by_time ON snapshots (requested);
