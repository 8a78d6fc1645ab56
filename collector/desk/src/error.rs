//! What can go wrong at the desk.

use std::path::PathBuf;

use firstlook_model::{HostId, Timestamp};

/// Why the desk could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The file cannot be made or reached.
    #[error("cannot use {path} as the desk's database")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no sound database.
    #[error(
        "the desk's database {path} is damaged: {what}; restore it from a backup, or move it aside and enrol the hosts again"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file is a database of something else.
    #[error("{path} is a database, but not a desk's: name another file")]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error(
        "the desk's database {path} has schema {found}, this version knows up to {known}: use the newer version"
    )]
    Newer {
        /// Where.
        path: PathBuf,
        /// Schema found.
        found: i64,
        /// Schema known.
        known: i64,
    },
    /// The database refused or failed. A retry helps when the disk was full or another process held it.
    #[error("the desk's database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A row holds what this version cannot read.
    #[error("a row of {table} cannot be read: {what}")]
    Row {
        /// Which table.
        table: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A text is over its limit. No retry helps.
    #[error("{what} is longer than {limit_bytes} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Its limit.
        limit_bytes: usize,
    },
    /// There are as many as there may be. No retry helps.
    #[error("too many {what}: {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Most allowed.
        limit: usize,
    },
    /// A new group of hosts names none.
    #[error("the group {name} is new: say which hosts it has")]
    NoPatterns {
        /// Its name.
        name: String,
    },
    /// A value cannot be written.
    #[error("{what} cannot be written")]
    Unwritable {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is no such thing.
    #[error("{what} {name} is not known")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("{what} {name} exists already")]
    Exists {
        /// What was to be made.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The host's enrolment was revoked.
    #[error("host {host} was revoked at {at}")]
    Revoked {
        /// Which.
        host: HostId,
        /// When.
        at: Timestamp,
    },
    /// The host showed a certificate from before it last joined, or one that it has replaced.
    #[error("the certificate that host {host} shows is void")]
    Superseded {
        /// Which.
        host: HostId,
    },
    /// A join token was refused.
    #[error("join token refused: {0}")]
    Token(#[from] TokenRefusal),
}

/// Why a join token does not let a host in. No retry helps: make a new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Nobody made it.
    #[error("it is not known")]
    Unknown,
    /// It is too old.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// Somebody came before.
    #[error("it was used by {by} at {at}")]
    Used {
        /// Who.
        by: HostId,
        /// When.
        at: Timestamp,
    },
    /// It was withdrawn.
    #[error("it was revoked at {0}")]
    Revoked(Timestamp),
    /// It is for another host.
    #[error("it is bound to host {0}")]
    Bound(HostId),
}
