//! The audit log: who did what, and what came of it. It only grows.

use firstlook_model::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::row::{Columns, short};
use crate::{Desk, DeskError};

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It was tried and failed.
    Failed,
}

impl AuditOutcome {
    pub(crate) const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub time: Timestamp,
    /// Who: a person, a host, or the collector. At most 4 KiB, like the other texts.
    pub who: String,
    /// What: a constant word or two, as `token create`.
    pub what: String,
    /// What came of it.
    pub result: AuditOutcome,
    /// On what, and why. May be empty. Hostile: escape when shown.
    pub detail: String,
}

/// Access to the audit log.
pub struct Audit<'d>(pub(crate) &'d Desk);

impl Audit<'_> {
    /// Adds an entry; durable on return.
    ///
    /// # Errors
    /// When a text is over its limit or the database fails.
    pub fn append(&self, entry: &AuditEntry) -> Result<(), DeskError> {
        append(&self.0.connection(), entry)
    }

    /// The last entries, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(&self, limit: u32) -> Result<Vec<AuditEntry>, DeskError> {
        let sql = "SELECT * FROM audit ORDER BY id DESC LIMIT ?1";
        self.0.rows("reading the audit log", sql, [limit], read)
    }
}

/// Adds an entry, as a part of a transaction where `connection` is in one.
pub(crate) fn append(connection: &Connection, entry: &AuditEntry) -> Result<(), DeskError> {
    let doing = "writing the audit log";
    connection
        .execute(
            "INSERT INTO audit (time, who, what, result, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                entry.time.as_micros(),
                short("an audit entry's actor", &entry.who)?,
                short("an audit entry's action", &entry.what)?,
                entry.result.as_str(),
                short("an audit entry's detail", &entry.detail)?
            ],
        )
        .map_err(|source| DeskError::Database { doing, source })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<AuditEntry, DeskError> {
    let columns = Columns {
        table: "audit",
        row,
    };
    let result = columns.parsed("result", |text| {
        let mut all = AuditOutcome::ALL.into_iter();
        all.find(|result| result.as_str() == text)
            .ok_or_else(|| format!("unknown result {text:?}"))
    })?;
    Ok(AuditEntry {
        time: columns.time("time")?,
        who: columns.get("who")?,
        what: columns.get("what")?,
        result,
        detail: columns.get("detail")?,
    })
}
