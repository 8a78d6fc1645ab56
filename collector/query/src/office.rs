//! What people keep: tokens, hosts, snapshots, past incidents. Implemented by the collector over its desk.

use std::path::PathBuf;

use firstlook_model::{
    Change, Edge, HostId, Incident, IncidentId, LinesQuestion, LogEntry, Manifest, SnapshotId,
    TimeRange, Timestamp,
};

use crate::config_office::HostConfig;

/// Why the office did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfficeError {
    /// There is no such thing.
    NotFound(String),
    /// What was asked for makes no sense, or is over a limit.
    Invalid(String),
    /// A rule forbids it.
    Refused(String),
    /// The host cannot be reached.
    Unreachable(String),
    /// It is busy with the same.
    Busy(String),
    /// It is so already.
    Already(String),
    /// What came is damaged.
    Damaged(String),
    /// The database or a file cannot be used.
    Failed(String),
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Id.
    pub id: String,
    /// Host name that it is bound to.
    pub host: Option<HostId>,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when it can be redeemed.
    pub expires: Timestamp,
    /// When it was redeemed.
    pub used: Option<Timestamp>,
    /// By which host.
    pub used_by: Option<HostId>,
    /// When it was made void.
    pub revoked: bool,
}

/// An enrolled host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Name.
    pub host: HostId,
    /// When it joined.
    pub enrolled: Timestamp,
    /// When its latest certificate ends.
    pub certificate_expires: Option<Timestamp>,
    /// Whether it may no longer speak.
    pub revoked: bool,
    /// What is wanted of its agent; `None` where nothing is to be said of it.
    pub config: Option<HostConfig>,
}

/// A host that was just shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Since when.
    pub at: Timestamp,
    /// Whether a session of it was ended.
    pub session_ended: bool,
}

/// A kept snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// What it holds.
    pub manifest: Manifest,
    /// The archive.
    pub path: PathBuf,
    /// Size of the archive.
    pub size_bytes: u64,
    /// SHA-256 of the archive, hexadecimal.
    pub sha256: String,
    /// Who asked for it.
    pub taken_by: String,
}

/// Lines that a host itself keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptLines {
    /// Oldest first.
    pub entries: Vec<LogEntry>,
    /// Matching lines that are older and over the limit.
    pub left_out: u64,
    /// What was not read, in the agent's words. Hostile: escape when shown.
    pub notes: Vec<String>,
}

/// What the desk keeps. Calls block, save [`Office::take_snapshot`] and [`Office::read_lines`].
#[tonic::async_trait]
pub trait Office: Send + Sync + 'static {
    /// Makes a token; gives its row and its text, which is shown once.
    fn create_token(
        &self,
        host: Option<HostId>,
        replace: bool,
        by: &str,
    ) -> Result<(TokenRow, String), OfficeError>;
    /// All tokens, newest first.
    fn tokens(&self) -> Result<Vec<TokenRow>, OfficeError>;
    /// Makes a token void.
    fn revoke_token(&self, id: &str, by: &str) -> Result<(), OfficeError>;
    /// Enrolled hosts, by name.
    fn hosts(&self) -> Result<Vec<HostRow>, OfficeError>;
    /// Shuts a host out and ends its session, if it has one.
    fn revoke_host(&self, host: &HostId, reason: &str, by: &str) -> Result<Revoked, OfficeError>;
    /// Keeps an announced change and lets the analysis hear it. Gives it as it is kept, and whether it was before.
    fn announce(&self, change: Change, by: &str) -> Result<(Change, bool), OfficeError>;
    /// Announced changes of a range, oldest first.
    fn announced(&self, range: TimeRange) -> Result<Vec<Change>, OfficeError>;
    /// Who called whom in a range, as far as it is kept. Sorted by caller, callee, port; unique by those.
    fn graph(&self, range: TimeRange) -> Result<Vec<Edge>, OfficeError>;
    /// An incident, open or closed.
    fn incident(&self, id: IncidentId) -> Result<Incident, OfficeError>;
    /// Kept snapshots, newest first.
    fn snapshots(&self) -> Result<Vec<SnapshotRow>, OfficeError>;
    /// One snapshot.
    fn snapshot(&self, id: &SnapshotId) -> Result<SnapshotRow, OfficeError>;
    /// Reads the archive again and checks it against its manifest; gives the number of items.
    fn verify_snapshot(&self, id: &SnapshotId) -> Result<usize, OfficeError>;
    /// Takes a snapshot, receives, verifies and keeps it.
    async fn take_snapshot(
        &self,
        host: HostId,
        reason: String,
        by: String,
    ) -> Result<SnapshotRow, OfficeError>;
    /// Reads lines that the component's host itself keeps. At most as many as asked for.
    async fn read_lines(
        &self,
        question: LinesQuestion,
        by: String,
    ) -> Result<KeptLines, OfficeError>;
}
