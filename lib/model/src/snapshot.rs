//! Snapshots: the state of a host that a fix would destroy.

use serde::{Deserialize, Serialize};

use crate::id::{HostId, SnapshotId};
use crate::time::Timestamp;

/// Version of the manifest's form.
pub const MANIFEST_VERSION: u32 = 1;
/// Largest archive that a collector accepts, in bytes.
pub const ARCHIVE_LIMIT_BYTES: u64 = 256 * 1024 * 1024;
/// Size of the pieces in which an archive travels, in bytes.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// One member of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotItem {
    /// Path within the archive, as `processes.json`. Relative, no `..`.
    pub path: String,
    /// What it holds, for people.
    pub what: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// Whether its end was cut off at a limit.
    pub truncated: bool,
}

/// Something that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingItem {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// The archive's table of contents: its first member, `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Name of the snapshot.
    pub id: SnapshotId,
    /// Of which host.
    pub host: HostId,
    /// Why it was taken, in the requester's words. May be empty.
    pub reason: String,
    /// When taking began.
    pub began: Timestamp,
    /// When taking ended.
    pub ended: Timestamp,
    /// Members, in archive order, the manifest itself excluded.
    pub items: Vec<SnapshotItem>,
    /// What could not be had, and why.
    pub missing: Vec<MissingItem>,
}
