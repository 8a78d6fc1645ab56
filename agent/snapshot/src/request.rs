//! What is asked of a snapshot.

use std::path::PathBuf;
use std::time::Duration;

use firstlook_model::{HostId, SnapshotId, Timestamp};

/// Takes secrets out of text. Given by the caller, so that this room need not know the pipeline's.
pub trait Redact: Send + Sync {
    /// A line of a log or a command line.
    fn line(&self, text: &str) -> String;
    /// A whole configuration file.
    fn text(&self, text: &str) -> String;
}

/// Where things are read. Other places than the default serve tests and hosts seen from a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// procfs. Default `/proc`.
    pub proc: PathBuf,
    /// The kernel log. Default `/dev/kmsg`.
    pub kmsg: PathBuf,
    /// dpkg's list of packages. Default `/var/lib/dpkg/status`.
    pub dpkg_status: PathBuf,
    /// User names. Default `/etc/passwd`.
    pub passwd: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            kmsg: "/dev/kmsg".into(),
            dpkg_status: "/var/lib/dpkg/status".into(),
            passwd: "/etc/passwd".into(),
        }
    }
}

/// How much a snapshot may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Largest item, in bytes; what is longer is cut. Default 4 MiB.
    pub item_bytes: u64,
    /// Most bytes of all items. Default 64 MiB.
    pub total_bytes: u64,
    /// Contents beyond this many bytes wait in an unnamed file, not in memory. Default 4 MiB.
    pub memory_bytes: usize,
    /// Longest time for one item. Default 5 s.
    pub item_deadline: Duration,
    /// Longest time for all. Default 30 s.
    pub deadline: Duration,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self {
            item_bytes: 4 * 1024 * 1024,
            total_bytes: 64 * 1024 * 1024,
            memory_bytes: 4 * 1024 * 1024,
            item_deadline: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
        }
    }
}

/// A request for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Its name.
    pub id: SnapshotId,
    /// This host.
    pub host: HostId,
    /// Why, in the requester's words. Cut at 1,000 characters.
    pub reason: String,
    /// Wall-clock time of the request: the manifest's times count from it.
    pub now: Timestamp,
    /// Where to read.
    pub roots: Roots,
    /// Declared configuration files: absolute paths of regular files. At most 1,000 are read.
    pub config_paths: Vec<PathBuf>,
    /// Folder for the unnamed files that hold what does not fit in memory. Must exist.
    pub work_dir: PathBuf,
    /// How much it may take.
    pub limits: SnapshotLimits,
}

/// Something that the caller has already. It is archived as it is: redacting it is the caller's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraItem {
    /// Path in the archive, as `units.json`. Characters that an archive does not permit are replaced.
    pub path: String,
    /// What it holds, for people.
    pub what: String,
    /// The content, cut at the item's limit.
    pub content: Vec<u8>,
    /// When it was true.
    pub taken: Timestamp,
    /// Whether its end was cut off before it came here.
    pub truncated: bool,
}
