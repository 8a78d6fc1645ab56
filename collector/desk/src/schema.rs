//! The schema's versions and the way from one to the next. SQLite's `user_version` says which a file has.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::DeskError;
use crate::desk::damaged;

/// Step `n` (from 1) leads from version `n - 1` to version `n`. Steps are never changed, only added.
const STEPS: [&str; 6] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
];

/// Version that this code reads and writes.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// The version of a database that is ours to open; 0 for an empty one.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<i64, DeskError> {
    let number = |sql: &str| -> Result<i64, DeskError> {
        let number = connection.query_row(sql, (), |row| row.get(0));
        number.map_err(|error| damaged(path, &error))
    };
    let found = number("PRAGMA user_version")?;
    let path = path.to_owned();
    if found < 0 || (found == 0 && number("SELECT count(*) FROM sqlite_master")? > 0) {
        return Err(DeskError::Foreign { path });
    }
    if found > VERSION {
        return Err(DeskError::Newer {
            path,
            found,
            known: VERSION,
        });
    }
    Ok(found)
}

/// Brings a database up to [`VERSION`], all steps or none.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), DeskError> {
    let failed = |source| DeskError::Database {
        doing: "migrating",
        source,
    };
    // The version is read under the write lock: two processes may open at once.
    let lock = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(lock).map_err(failed)?;
    let found = version(&transaction, path)?;
    for step in STEPS
        .iter()
        .skip(usize::try_from(found).unwrap_or(STEPS.len()))
    {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", VERSION)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}
