//! Changes: what somebody or something altered.

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::time::Timestamp;

/// What sort of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Announced by a deployment system or a person.
    Deploy,
    /// Package installed, removed or upgraded.
    Package,
    /// Unit file or drop-in changed.
    UnitFile,
    /// A watched configuration file changed.
    ConfigFile,
    /// A running service's program file was replaced.
    Binary,
    /// A service started, restarted or was reloaded.
    Restart,
    /// A service stopped by request.
    Stop,
    /// The kernel booted.
    Reboot,
    /// A setting of the running kernel changed.
    Setting,
    /// A file system was mounted, unmounted or mounted otherwise.
    Mount,
    /// Somebody logged in, or acted as somebody else.
    Login,
    /// What runs by the clock changed.
    Schedule,
    /// A certificate was replaced, or expired.
    Certificate,
    /// A container was started from another image than before.
    Image,
    /// Announced by a person: what the component does from here on is as it should be. No agent sees it.
    Accepted,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Stable within its host: kind, subject and time.
    pub id: String,
    /// When it happened, as nearly as the host can tell.
    pub time: Timestamp,
    /// What was changed: a service where it is known, else the host.
    pub component: ComponentId,
    /// What sort.
    pub kind: ChangeKind,
    /// One line for people. Hostile: escape when shown.
    pub text: String,
    /// More, as a redacted diff. May be empty. At most 64 KiB.
    pub detail: String,
}
