//! Snapshots: what each holds, where its archive lies, and whether it arrived whole.

use firstlook_model::{HostId, Manifest, SnapshotId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::row::{Columns, short, to_json};
use crate::{Desk, DeskError};

/// Where a snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// Asked for; its archive is on its way.
    Pending,
    /// Arrived whole: every hash fits.
    Verified,
    /// Could not be had, or did not arrive whole.
    Failed,
}

impl SnapshotState {
    const ALL: [Self; 3] = [Self::Pending, Self::Verified, Self::Failed];

    /// The lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

/// A snapshot as the collector has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Name.
    pub id: SnapshotId,
    /// Of which host.
    pub host: HostId,
    /// Where it stands.
    pub state: SnapshotState,
    /// When it was asked for.
    pub requested: Timestamp,
    /// Who asked for it.
    pub requested_by: String,
    /// Its table of contents, once that arrived.
    pub manifest: Option<Manifest>,
    /// Its archive's file, relative to the collector's snapshot folder. Empty while there is none.
    pub path: String,
    /// The archive's size.
    pub size_bytes: u64,
    /// SHA-256 of the archive, hexadecimal. Empty while there is none.
    pub sha256: String,
    /// What went wrong, if anything.
    pub problem: Option<String>,
}

/// Access to snapshots.
pub struct Snapshots<'d>(pub(crate) &'d Desk);

impl Snapshots<'_> {
    /// Adds a snapshot.
    ///
    /// # Errors
    /// [`DeskError::Exists`] when its name is taken.
    pub fn insert(&self, snapshot: &StoredSnapshot) -> Result<(), DeskError> {
        let sql = "INSERT INTO snapshots
                (id, host, state, requested, manifest, path, size_bytes, problem, requested_by, sha256)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING";
        match self.write(sql, snapshot)? {
            0 => Err(DeskError::Exists {
                what: "snapshot",
                name: snapshot.id.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Replaces what is known of a snapshot.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when there is none of that name.
    pub fn update(&self, snapshot: &StoredSnapshot) -> Result<(), DeskError> {
        let sql = "UPDATE snapshots SET host = ?2, state = ?3, requested = ?4, manifest = ?5,
            path = ?6, size_bytes = ?7, problem = ?8, requested_by = ?9, sha256 = ?10 WHERE id = ?1";
        match self.write(sql, snapshot)? {
            0 => Err(not_found(&snapshot.id)),
            _ => Ok(()),
        }
    }

    /// One snapshot.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], or when its row or the database fails.
    pub fn get(&self, id: &SnapshotId) -> Result<StoredSnapshot, DeskError> {
        let doing = "reading a snapshot";
        self.0
            .connection()
            .query_row(
                "SELECT * FROM snapshots WHERE id = ?1",
                [id.as_str()],
                |row| Ok(read(row)),
            )
            .optional()
            .map_err(|source| DeskError::Database { doing, source })?
            .unwrap_or_else(|| Err(not_found(id)))
    }

    /// Snapshots, newest first, at most `limit`; of one host, or of all.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(
        &self,
        host: Option<&HostId>,
        limit: u32,
    ) -> Result<Vec<StoredSnapshot>, DeskError> {
        let sql = "SELECT * FROM snapshots WHERE ?1 IS NULL OR host = ?1
            ORDER BY requested DESC, id LIMIT ?2";
        let values = params![host.map(HostId::as_str), limit];
        self.0.rows("reading snapshots", sql, values, read)
    }

    fn write(&self, sql: &str, snapshot: &StoredSnapshot) -> Result<usize, DeskError> {
        let manifest = snapshot.manifest.as_ref();
        let manifest = manifest
            .map(|m| to_json("a snapshot's manifest", m))
            .transpose()?;
        let problem = snapshot.problem.as_deref();
        let problem = problem
            .map(|p| short("a snapshot's problem", p))
            .transpose()?;
        let size = i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX);
        let doing = "storing a snapshot";
        self.0
            .connection()
            .execute(
                sql,
                params![
                    snapshot.id.as_str(),
                    snapshot.host.as_str(),
                    snapshot.state.as_str(),
                    snapshot.requested.as_micros(),
                    manifest,
                    short("a snapshot's path", &snapshot.path)?,
                    size,
                    problem,
                    short("a requester's name", &snapshot.requested_by)?,
                    short("a hash", &snapshot.sha256)?
                ],
            )
            .map_err(|source| DeskError::Database { doing, source })
    }
}

fn not_found(id: &SnapshotId) -> DeskError {
    DeskError::NotFound {
        what: "snapshot",
        name: id.to_string(),
    }
}

fn read(row: &Row<'_>) -> Result<StoredSnapshot, DeskError> {
    let columns = Columns {
        table: "snapshots",
        row,
    };
    let state = columns.parsed("state", |text| {
        let mut all = SnapshotState::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or_else(|| format!("unknown state {text:?}"))
    })?;
    let size: i64 = columns.get("size_bytes")?;
    Ok(StoredSnapshot {
        id: columns.parsed("id", SnapshotId::new)?,
        host: columns.parsed("host", HostId::new)?,
        state,
        requested: columns.time("requested")?,
        requested_by: columns.get("requested_by")?,
        manifest: columns.parsed_or_none("manifest", |text| serde_json::from_str(&text))?,
        path: columns.get("path")?,
        size_bytes: u64::try_from(size).map_err(|error| columns.bad("size_bytes", &error))?,
        sha256: columns.get("sha256")?,
        problem: columns.get("problem")?,
    })
}
