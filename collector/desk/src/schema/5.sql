-- Configuration of agents by groups of hosts. A version's number is never given twice, also not after its group is gone:
-- agents remember by it what they have tried.
CREATE TABLE config_versions (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name TEXT NOT NULL,
    -- JSON list of patterns of host names.
    patterns TEXT NOT NULL,
    made INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- TOML.
    text TEXT NOT NULL
) STRICT;

CREATE INDEX config_versions_by_group ON config_versions (group_name, version);

-- What each host's agent last said of the configuration that is wanted of it.
CREATE TABLE config_reports (
    host TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    why TEXT NOT NULL,
    running INTEGER NOT NULL,
    reported INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
