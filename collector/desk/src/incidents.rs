//! Incidents, and the verdicts that were reached on each.

use firstlook_model::{Incident, IncidentId, IncidentState, Timestamp, Verdict};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::row::{Columns, short, to_json};
use crate::{Desk, DeskError};

/// A verdict's number: rises over all incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerdictId(pub i64);

/// One verdict of an incident's history.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVerdict {
    /// Number.
    pub id: VerdictId,
    /// The verdict that it replaced; `None` for an incident's first.
    pub parent: Option<VerdictId>,
    /// When it was reached.
    pub reached: Timestamp,
    /// Why the one before did not stand any more.
    pub reason: String,
    /// The verdict.
    pub verdict: Verdict,
}

/// Access to incidents.
pub struct Incidents<'d>(pub(crate) &'d Desk);

impl Incidents<'_> {
    /// A number that was never given before and never will be again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_id(&self) -> Result<IncidentId, DeskError> {
        let doing = "numbering an incident";
        let number: i64 = self
            .0
            .connection()
            .query_row(
                "UPDATE counters SET value = value + 1 WHERE name = 'incident' RETURNING value",
                (),
                |row| row.get(0),
            )
            .map_err(|source| DeskError::Database { doing, source })?;
        let number = u32::try_from(number).map_err(|_| DeskError::Row {
            table: "counters",
            what: format!("incident number {number} is out of range"),
        })?;
        Ok(IncidentId(number))
    }

    /// Stores an incident as it now stands. With a `reason`, its verdict also joins the history as the
    /// successor of the last one there, reached at its reference time; both or neither are stored.
    ///
    /// # Errors
    /// When the incident or the reason is over its limit, or the database fails.
    pub fn upsert(
        &self,
        incident: &Incident,
        reason: Option<&str>,
    ) -> Result<Option<VerdictId>, DeskError> {
        let body = to_json("an incident", incident)?;
        let verdict = match reason {
            Some(reason) => Some((
                short("a verdict's reason", reason)?,
                to_json("a verdict", &incident.verdict)?,
            )),
            None => None,
        };
        let doing = "storing an incident";
        let failed = |source| DeskError::Database { doing, source };
        self.0.transaction(doing, |transaction| {
            transaction
                .execute(
                    "INSERT INTO incidents (id, state, opened, closed, body) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (id) DO UPDATE
                     SET state = ?2, opened = ?3, closed = ?4, body = ?5",
                    params![
                        incident.id.0,
                        state_text(incident.state),
                        incident.opened.as_micros(),
                        incident.closed.map(Timestamp::as_micros),
                        body
                    ],
                )
                .map_err(failed)?;
            let Some((reason, body)) = &verdict else {
                return Ok(None);
            };
            append(transaction, incident, reason, body)
                .map(Some)
                .map_err(failed)
        })
    }

    /// One incident.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], or when its row or the database fails.
    pub fn get(&self, id: IncidentId) -> Result<Incident, DeskError> {
        let doing = "reading an incident";
        self.0
            .connection()
            .query_row("SELECT body FROM incidents WHERE id = ?1", [id.0], |row| {
                Ok(read(row))
            })
            .optional()
            .map_err(|source| DeskError::Database { doing, source })?
            .unwrap_or_else(|| {
                Err(DeskError::NotFound {
                    what: "incident",
                    name: id.to_string(),
                })
            })
    }

    /// Open incidents, oldest first.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list_open(&self) -> Result<Vec<Incident>, DeskError> {
        let open = state_text(IncidentState::Open);
        self.query(
            "WHERE state = ?1 ORDER BY opened, id LIMIT ?2",
            open,
            u32::MAX,
        )
    }

    /// All incidents, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(&self, limit: u32) -> Result<Vec<Incident>, DeskError> {
        self.query("WHERE ?1 = '' ORDER BY id DESC LIMIT ?2", "", limit)
    }

    /// The verdicts reached on an incident, oldest first. Empty when there is no such incident.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn verdicts(&self, id: IncidentId) -> Result<Vec<StoredVerdict>, DeskError> {
        let sql = "SELECT * FROM verdicts WHERE incident = ?1 ORDER BY id";
        self.0.rows("reading verdicts", sql, params![id.0], |row| {
            let columns = Columns {
                table: "verdicts",
                row,
            };
            Ok(StoredVerdict {
                id: VerdictId(columns.get("id")?),
                parent: columns.get::<Option<i64>>("parent")?.map(VerdictId),
                reached: columns.time("reached")?,
                reason: columns.get("reason")?,
                verdict: columns.json("body")?,
            })
        })
    }

    fn query(&self, rest: &str, state: &str, limit: u32) -> Result<Vec<Incident>, DeskError> {
        let sql = format!("SELECT body FROM incidents {rest}");
        self.0
            .rows("reading incidents", &sql, params![state, limit], read)
    }
}

fn append(
    transaction: &Transaction<'_>,
    incident: &Incident,
    reason: &str,
    body: &str,
) -> rusqlite::Result<VerdictId> {
    transaction.execute(
        "INSERT INTO verdicts (incident, parent, reached, reason, body)
         VALUES (?1, (SELECT max(id) FROM verdicts WHERE incident = ?1), ?2, ?3, ?4)",
        params![
            incident.id.0,
            incident.verdict.reference_time.as_micros(),
            reason,
            body
        ],
    )?;
    Ok(VerdictId(transaction.last_insert_rowid()))
}

fn read(row: &Row<'_>) -> Result<Incident, DeskError> {
    Columns {
        table: "incidents",
        row,
    }
    .json("body")
}

const fn state_text(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Open => "open",
        IncidentState::Closed => "closed",
    }
}
