//! The desk's handle: one connection, shared.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Params, Row, Transaction, TransactionBehavior};

use crate::{
    Announcements, Audit, Configs, DeskError, Hosts, Incidents, Snapshots, Theories, Tokens, schema,
};

/// How long a call waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The relational store. A handle; clones share one connection, on which calls take turns.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    connection: Mutex<Connection>,
    unreadable: AtomicU64,
}

impl Desk {
    /// Opens the database at `path`, making it (readable by its owner only) if it is not there, and brings
    /// an older schema up to date.
    ///
    /// # Errors
    /// [`DeskError::File`], [`DeskError::Damaged`], [`DeskError::Foreign`] and [`DeskError::Newer`] say
    /// what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DeskError> {
        let path = path.as_ref();
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| DeskError::File {
                path: path.to_owned(),
                source,
            })?;
        let mut connection = Connection::open(path).map_err(|error| damaged(path, &error))?;
        // Before anything is set: a file that is not ours is not touched.
        schema::version(&connection, path)?;
        configure(&connection).map_err(|error| damaged(path, &error))?;
        check(&connection, path)?;
        schema::migrate(&mut connection, path)?;
        Ok(Self(Arc::new(Inner {
            connection: Mutex::new(connection),
            unreadable: AtomicU64::new(0),
        })))
    }

    /// Incidents and their verdicts.
    pub fn incidents(&self) -> Incidents<'_> {
        Incidents(self)
    }

    /// Enrolled hosts.
    pub fn hosts(&self) -> Hosts<'_> {
        Hosts(self)
    }

    /// Join tokens.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }

    /// Changes that somebody announced.
    pub fn announcements(&self) -> Announcements<'_> {
        Announcements(self)
    }

    /// The audit log.
    pub fn audit(&self) -> Audit<'_> {
        Audit(self)
    }

    /// Configurations of agents.
    pub fn configs(&self) -> Configs<'_> {
        Configs(self)
    }

    /// Snapshots.
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots(self)
    }

    /// What people suspect.
    pub fn theories(&self) -> Theories<'_> {
        Theories(self)
    }

    /// Rows that lists left out since opening because they could not be read.
    pub fn unreadable_rows(&self) -> u64 {
        self.0.unreadable.load(Ordering::Relaxed)
    }

    fn count_unreadable(&self, error: &DeskError) {
        self.0.unreadable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "a row of the desk is unreadable and was left out");
    }

    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in a caller rolls its transaction back: the connection stays sound.
        self.0
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in a transaction that holds the write lock from its start, so that what it reads is
    /// still so when it writes.
    pub(crate) fn transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, DeskError>,
    ) -> Result<T, DeskError> {
        let mut connection = self.connection();
        let failed = |source| DeskError::Database { doing, source };
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let outcome = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(outcome)
    }

    /// Reads rows; one that cannot be read is counted and left out, so that the others are still seen.
    pub(crate) fn rows<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, DeskError>,
    ) -> Result<Vec<T>, DeskError> {
        let failed = |source| DeskError::Database { doing, source };
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(parameters).map_err(failed)?;
        let mut items = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            match read(row) {
                Ok(item) => items.push(item),
                Err(error) => self.count_unreadable(&error),
            }
        }
        Ok(items)
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn check(connection: &Connection, path: &Path) -> Result<(), DeskError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|error| damaged(path, &error))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(DeskError::Damaged {
        path: path.to_owned(),
        what: verdict,
    })
}

pub(crate) fn damaged(path: &Path, error: &rusqlite::Error) -> DeskError {
    DeskError::Damaged {
        path: path.to_owned(),
        what: error.to_string(),
    }
}
