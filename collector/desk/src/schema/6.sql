-- What people suspect in an incident.
CREATE TABLE theories (
    incident INTEGER NOT NULL,
    component TEXT NOT NULL,
    fault TEXT NOT NULL,
    added INTEGER NOT NULL,
    added_by TEXT NOT NULL,
    -- JSON of the suspect, as it was weighed last.
    suspect TEXT NOT NULL,
    PRIMARY KEY (incident, component, fault)
) STRICT;
