-- A desk as version 1 of the schema left it, dumped by SQLite.
BEGIN TRANSACTION;
CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    time   INTEGER NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    result TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
INSERT INTO "audit" VALUES(1,1700000000000000,'root','token create','done','for db1');
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "counters" VALUES('incident',42);
CREATE TABLE hosts (
    host        TEXT PRIMARY KEY,
    serial      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    expires     INTEGER NOT NULL,
    enrolled    INTEGER NOT NULL,
    renewed     INTEGER,
    revoked     INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "hosts" VALUES('db1','0a1b','c3d4',1700086400000000,1700000000000000,NULL,NULL);
INSERT INTO "hosts" VALUES('db2','e5f6','e5f6',1700086400000000,1700000000000000,NULL,NULL);
INSERT INTO "hosts" VALUES('db3','none','none',1700000000000000,1700000000000000,NULL,NULL);
CREATE TABLE incidents (
    id     INTEGER PRIMARY KEY,
    state  TEXT NOT NULL,
    opened INTEGER NOT NULL,
    closed INTEGER,
    body   TEXT NOT NULL
) STRICT;
INSERT INTO "incidents" VALUES(41,'open',1700000001500000,NULL,'{"id":"INC-0041","state":"open","began":"2023-11-14T22:13:20Z","opened":"2023-11-14T22:13:21.5Z","closed":null,"title":"db1 is full","symptoms":[],"verdict":{"reference_time":"2023-11-14T22:13:29Z","suspects":[],"ruled_out":[],"blind_spots":[],"changes":[],"next_look":null,"hesitation":"nothing stands out"},"timeline":[{"time":"2023-11-14T22:13:21.5Z","text":"opened"}]}');
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
INSERT INTO "tokens" VALUES(X'F16D05EC6B29248D2C61ADB1E9263F78E4F7BACE1B955014A2D17872CFE4064D',1700000000000000,'root',1700000600000000,'db1',1700000005000000,'db1',NULL);
CREATE TABLE verdicts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL REFERENCES incidents (id),
    parent   INTEGER REFERENCES verdicts (id),
    reached  INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    body     TEXT NOT NULL
) STRICT;
INSERT INTO "verdicts" VALUES(7,41,NULL,1700000009000000,'opened','{"reference_time":"2023-11-14T22:13:29Z","suspects":[],"ruled_out":[],"blind_spots":[],"changes":[],"next_look":null,"hesitation":"nothing stands out"}');
CREATE INDEX incidents_by_state ON incidents (state, opened);
CREATE INDEX verdicts_by_incident ON verdicts (incident, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('verdicts',7);
INSERT INTO "sqlite_sequence" VALUES('audit',1);
COMMIT;
PRAGMA user_version = 1;
