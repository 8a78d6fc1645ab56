//! Log lines and the templates mined from them.

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::id::TemplateId;
use crate::time::{TimeRange, Timestamp};

/// Longest line kept, in bytes; the rest is cut and the entry marked.
pub const LINE_LIMIT_BYTES: usize = 8_192;
/// Most entries in one block.
pub const LOG_BLOCK_LIMIT_ENTRIES: usize = 10_000;

/// How grave a line says it is. The eight of syslog (RFC 5424) folded to what tools agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For developers.
    Debug,
    /// Routine; also when the line does not say.
    Info,
    /// Something unusual that was handled.
    Warning,
    /// Something failed.
    Error,
    /// The program or system cannot go on.
    Critical,
}

/// Where a line was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// systemd's journal.
    Journald,
    /// The kernel's ring buffer.
    Kernel,
    /// A plain file.
    File,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When it was written, by its own stamp where that is trusted, else when it was read.
    pub time: Timestamp,
    /// Who wrote it: a service, or the host for the kernel.
    pub component: ComponentId,
    /// Its template.
    pub template: TemplateId,
    /// How grave.
    pub severity: Severity,
    /// Where it was read.
    pub source: LogSource,
    /// The line after redaction, at most [`LINE_LIMIT_BYTES`]. Hostile: escape when shown.
    pub text: String,
}

/// A template: a line with its variable parts replaced by `<*>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTemplate {
    /// Hash of `text`.
    pub id: TemplateId,
    /// Masked text, at most [`LINE_LIMIT_BYTES`].
    pub text: String,
}

/// Lines of one host in order of reading, with the templates that it has not sent before on this
/// connection or that they changed into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBlock {
    /// Templates first used by this block. May be empty.
    pub templates: Vec<LogTemplate>,
    /// At most [`LOG_BLOCK_LIMIT_ENTRIES`].
    pub entries: Vec<LogEntry>,
}

/// Longest text that lines may be searched for, in bytes.
pub const CONTAINS_LIMIT_BYTES: usize = 1_024;

/// A question for log lines that a host itself keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesQuestion {
    /// Whose; the host for all of its lines.
    pub component: ComponentId,
    /// From when to when. Not empty.
    pub range: TimeRange,
    /// At most this many, the newest.
    pub limit: u32,
    /// Least severity.
    pub severity: Option<Severity>,
    /// Only lines that contain this once they are redacted, case-insensitively; empty for all. At most
    /// [`CONTAINS_LIMIT_BYTES`].
    pub contains: String,
}
