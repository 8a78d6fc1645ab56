-- Changes that somebody announced, rather than that an agent saw.
CREATE TABLE announcements (
    id TEXT PRIMARY KEY,
    time INTEGER NOT NULL,
    announced INTEGER NOT NULL,
    announced_by TEXT NOT NULL,
    -- JSON of the change.
    change TEXT NOT NULL
) STRICT;

CREATE INDEX announcements_by_time ON announcements (time);
