//! The desk: incidents and their verdicts, enrolled hosts, join tokens, snapshots, announced changes, theories,
//! configurations of agents and the audit log, in one SQLite file.
//!
//! It knows no clock: every time is an argument. Calls block on the disk: callers on an async runtime go
//! through a blocking thread.

mod announcements;
mod audit;
mod configs;
mod desk;
mod error;
mod hosts;
mod incidents;
mod row;
mod schema;
mod snapshots;
mod theories;
mod tokens;

#[cfg(test)]
mod tests;

pub use announcements::{Announcement, Announcements};
pub use audit::{Audit, AuditEntry, AuditOutcome};
pub use configs::{ConfigVersion, Configs, HostReport, NewConfig, groups_of};
pub use desk::Desk;
pub use error::{DeskError, TokenRefusal};
pub use hosts::{Certificate, EnrolledHost, Hosts};
pub use incidents::{Incidents, StoredVerdict, VerdictId};
pub use snapshots::{SnapshotState, Snapshots, StoredSnapshot};
pub use theories::{Theories, Theory};
pub use tokens::{JoinToken, TokenHash, TokenId, Tokens};
