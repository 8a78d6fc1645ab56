//! What a service manager says of its units.

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::time::Timestamp;

/// systemd's ActiveState.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActiveState {
    /// Running, or done as it should be.
    Active,
    /// Reloading its configuration.
    Reloading,
    /// Stopped.
    Inactive,
    /// Ended with an error.
    Failed,
    /// On the way up.
    Activating,
    /// On the way down.
    Deactivating,
}

/// State of one unit at one time. Source: org.freedesktop.systemd1(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// The service.
    pub component: ComponentId,
    /// When the agent saw it.
    pub time: Timestamp,
    /// ActiveState.
    pub active: ActiveState,
    /// SubState, as `running`, `dead`, `auto-restart`.
    pub sub: String,
    /// Result, as `success`, `exit-code`, `signal`, `oom-kill`, `watchdog`, `start-limit-hit`.
    pub result: String,
    /// NRestarts: automatic restarts since the unit was loaded.
    pub restarts: u32,
    /// Main process, 0 when there is none.
    pub main_pid: u32,
    /// ExecMainCode: 1 exited, 2 killed, 3 dumped; 0 unknown (waitid(2) CLD_*).
    pub exit_code: i32,
    /// ExecMainStatus: exit status, or the signal's number.
    pub exit_status: i32,
    /// StateChangeTimestamp, if the manager says.
    pub since: Option<Timestamp>,
    /// Whether it is enabled or wanted by a target: a stopped one is then a fault, else a choice.
    pub wanted: bool,
    /// InvocationID, 32 hexadecimal digits; changes at each start. Empty when never started.
    pub invocation: String,
}
