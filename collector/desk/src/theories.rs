//! Theories: what people suspect in an incident, and how the facts weighed it last.

use firstlook_model::{IncidentId, Suspect, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::row::{Columns, short, to_json};
use crate::{Desk, DeskError};

/// Most theories about one incident.
pub(crate) const THEORIES_LIMIT: u32 = 64;
/// Most theories kept; those of the oldest incidents go first.
const KEPT_LIMIT: u32 = 10_000;

/// Somebody's theory.
#[derive(Clone, Debug, PartialEq)]
pub struct Theory {
    /// About which incident.
    pub incident: IncidentId,
    /// The component and the fault, as they were weighed last.
    pub suspect: Suspect,
    /// When it was added.
    pub added: Timestamp,
    /// By whom.
    pub added_by: String,
}

/// Access to theories.
pub struct Theories<'d>(pub(crate) &'d Desk);

impl Theories<'_> {
    /// Keeps a theory, durable on return. Of one that is there already only its weight is new; gives who had it first.
    ///
    /// # Errors
    /// [`DeskError::TooMany`] when the incident has as many as it may have.
    pub fn add(&self, new: &Theory) -> Result<Option<Theory>, DeskError> {
        let doing = "keeping a theory";
        let failed = |source| DeskError::Database { doing, source };
        let incident = new.incident.0;
        let component = new.suspect.component.to_string();
        let suspect = to_json("a theory", &new.suspect)?;
        let mut connection = self.0.connection();
        let transaction = connection.transaction().map_err(failed)?;
        let known = transaction
            .query_row(
                "SELECT * FROM theories WHERE incident = ?1 AND component = ?2 AND fault = ?3",
                params![incident, component, new.suspect.fault],
                |row| Ok(read(row)),
            )
            .optional()
            .map_err(failed)?
            .transpose()?;
        if known.is_none() {
            let count = "SELECT count(*) FROM theories WHERE incident = ?1";
            let count: u32 = transaction
                .query_row(count, [incident], |row| row.get(0))
                .map_err(failed)?;
            if count >= THEORIES_LIMIT {
                return Err(DeskError::TooMany {
                    what: "theories about one incident",
                    limit: THEORIES_LIMIT as usize,
                });
            }
        }
        transaction
            .execute(
                "INSERT INTO theories (incident, component, fault, added, added_by, suspect)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (incident, component, fault) DO UPDATE SET suspect = excluded.suspect",
                params![
                    incident,
                    component,
                    short("a fault's kind", &new.suspect.fault)?,
                    new.added.as_micros(),
                    short("who has a theory", &new.added_by)?,
                    suspect,
                ],
            )
            .map_err(failed)?;
        transaction
            .execute(
                "DELETE FROM theories WHERE rowid IN
                 (SELECT rowid FROM theories ORDER BY incident DESC, added DESC LIMIT -1 OFFSET ?1)",
                [KEPT_LIMIT],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(known)
    }

    /// Those about an incident, in the order in which they were added.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(&self, incident: IncidentId) -> Result<Vec<Theory>, DeskError> {
        let sql = "SELECT * FROM theories WHERE incident = ?1 ORDER BY added, component, fault";
        self.0.rows("reading theories", sql, [incident.0], read)
    }
}

fn read(row: &Row<'_>) -> Result<Theory, DeskError> {
    let columns = Columns {
        table: "theories",
        row,
    };
    Ok(Theory {
        incident: IncidentId(columns.get("incident")?),
        suspect: columns.json("suspect")?,
        added: columns.time("added")?,
        added_by: columns.get("added_by")?,
    })
}
