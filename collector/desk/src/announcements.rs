//! Changes that somebody announced: a person, or a system that deploys.

use firstlook_model::{Change, TimeRange, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::row::{Columns, short, to_json};
use crate::{Desk, DeskError};

/// Most announcements kept; the oldest go first.
const KEPT_LIMIT: u32 = 100_000;

/// An announced change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The change, under an id that nothing else has.
    pub change: Change,
    /// Who announced it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Announcement {
    /// Whether both say the same. Whoever repeats one may do so later, and under another name.
    fn says_as(&self, other: &Self) -> bool {
        let said = |one: &Self| {
            let Change {
                component,
                kind,
                text,
                detail,
                ..
            } = one.change.clone();
            (component, kind, text, detail)
        };
        said(self) == said(other)
    }
}

/// Access to announcements.
pub struct Announcements<'d>(pub(crate) &'d Desk);

impl Announcements<'_> {
    /// Keeps an announcement; durable on return. Of one that is there already, word for word, gives that one.
    ///
    /// # Errors
    /// [`DeskError::Exists`] when the id is another announcement's.
    pub fn add(&self, new: &Announcement) -> Result<Option<Announcement>, DeskError> {
        let doing = "keeping an announced change";
        let failed = |source| DeskError::Database { doing, source };
        let mut connection = self.0.connection();
        let transaction = connection.transaction().map_err(failed)?;
        let known = transaction
            .query_row(
                "SELECT * FROM announcements WHERE id = ?1",
                [&new.change.id],
                |row| Ok(read(row)),
            )
            .optional()
            .map_err(failed)?
            .transpose()?;
        if let Some(known) = known {
            return match known.says_as(new) {
                true => Ok(Some(known)),
                false => Err(DeskError::Exists {
                    what: "announced change",
                    name: new.change.id.clone(),
                }),
            };
        }
        transaction
            .execute(
                "INSERT INTO announcements (id, time, announced, announced_by, change) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    short("a change's id", &new.change.id)?,
                    new.change.time.as_micros(),
                    new.at.as_micros(),
                    short("who announced a change", &new.by)?,
                    to_json("an announced change", &new.change)?,
                ],
            )
            .map_err(failed)?;
        transaction
            .execute(
                "DELETE FROM announcements WHERE id IN
                 (SELECT id FROM announcements ORDER BY time DESC, id LIMIT -1 OFFSET ?1)",
                [KEPT_LIMIT],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(None)
    }

    /// Those whose change lies in the range, oldest first.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(&self, range: TimeRange) -> Result<Vec<Announcement>, DeskError> {
        let sql = "SELECT * FROM announcements WHERE time >= ?1 AND time < ?2 ORDER BY time, id";
        let bounds = [range.from.as_micros(), range.to.as_micros()];
        self.0.rows("reading announced changes", sql, bounds, read)
    }

    /// Those that were announced at or after `from`, of whatever time their change is, in the order in which they were.
    ///
    /// # Errors
    /// As [`Announcements::list`].
    pub fn list_since(&self, from: Timestamp) -> Result<Vec<Announcement>, DeskError> {
        let sql = "SELECT * FROM announcements WHERE announced >= ?1 ORDER BY announced, id";
        let bounds = [from.as_micros()];
        self.0.rows("reading what was announced", sql, bounds, read)
    }
}

fn read(row: &Row<'_>) -> Result<Announcement, DeskError> {
    let columns = Columns {
        table: "announcements",
        row,
    };
    Ok(Announcement {
        change: columns.json("change")?,
        by: columns.get("announced_by")?,
        at: columns.time("announced")?,
    })
}
