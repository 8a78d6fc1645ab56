//! Configurations of agents, as the collector keeps them over its desk.

use firstlook_model::{ConfigReport, GroupName, HostId, HostPattern, Timestamp};

use crate::office::OfficeError;

/// One version of a group's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRow {
    /// Unique, and rising.
    pub version: u64,
    /// Whose.
    pub group: GroupName,
    /// Which hosts.
    pub patterns: Vec<HostPattern>,
    /// When it was made.
    pub made: Timestamp,
    /// By whom.
    pub made_by: String,
    /// Why; may be empty.
    pub reason: String,
    /// TOML.
    pub text: String,
}

/// A version to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRow {
    /// Whose.
    pub group: GroupName,
    /// Which hosts; empty: as before.
    pub patterns: Vec<HostPattern>,
    /// TOML, checked.
    pub text: String,
    /// Why; may be empty.
    pub reason: String,
}

/// A host's configuration: what is wanted, and what its agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Whose.
    pub host: HostId,
    /// The group that counts.
    pub group: Option<GroupName>,
    /// The version that is wanted; 0: none.
    pub wanted: u64,
    /// What its agent said last, and when.
    pub report: Option<(ConfigReport, Timestamp)>,
    /// Groups that fit, too, and do not count.
    pub passed_over: Vec<GroupName>,
}

impl HostConfig {
    /// Whether there is anything to be said of it.
    pub fn is_any(&self) -> bool {
        let runs = |(report, _): &(ConfigReport, _)| report.running != 0;
        self.group.is_some() || self.report.as_ref().is_some_and(runs)
    }
}

/// Configurations by groups of hosts. Calls block.
pub trait ConfigOffice: Send + Sync + 'static {
    /// Makes a version, lets agents know, and says whether it was so before.
    fn set_config(&self, wanted: WantedRow, by: &str) -> Result<(ConfigRow, bool), OfficeError>;
    /// Makes a version of what an earlier one said; the one before the present where none is named.
    fn revert_config(
        &self,
        group: &GroupName,
        version: Option<u64>,
        reason: &str,
        by: &str,
    ) -> Result<ConfigRow, OfficeError>;
    /// Removes a group, and lets agents know.
    fn remove_config(&self, group: &GroupName, reason: &str, by: &str) -> Result<(), OfficeError>;
    /// The present version of each group, by name.
    fn configs(&self) -> Result<Vec<ConfigRow>, OfficeError>;
    /// The kept versions of a group, newest first.
    fn config_history(&self, group: &GroupName) -> Result<Vec<ConfigRow>, OfficeError>;
    /// Every enrolled host that is not revoked, by name.
    fn host_configs(&self) -> Result<Vec<HostConfig>, OfficeError>;
}
