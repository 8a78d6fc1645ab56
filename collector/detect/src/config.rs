//! What detection may be told.

use std::time::Duration;

/// Times and budgets of detection. The limits of each symptom stand beside its rule.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectConfig {
    /// Observation of a host before its levels and edges are judged; filesystems, units and
    /// silence need none. Default 20 s. Zero judges from the first sample.
    pub warm_up: Duration,
    /// Observation of a host before its log lines are judged. Short, for what is learned as usual is not
    /// told later, and agents bring some minutes of history along. Default 5 s.
    pub log_warm_up: Duration,
    /// How long no contact makes a host silent. Default 5 s; agents report every second or two.
    pub silent_after: Duration,
    /// How long a silence lasts before it is reason for an incident: an agent's restart is shorter.
    /// Default 8 s.
    pub silence_gates_after: Duration,
    /// After nobody was heard for `silent_after` (the collector was away), how long hosts may take to
    /// come back before their silence counts. Default 30 s.
    pub reconnect_grace: Duration,
    /// How old a measurement may be to attest health. Default 30 s.
    pub attest_within: Duration,
    /// How long changes are handed on. Default 6 h.
    pub changes_for: Duration,
    /// Most hosts. Default 10,000.
    pub host_limit: usize,
    /// Most edges of one host. Default 4,000.
    pub edge_limit: usize,
    /// Most log templates remembered per component. Default 2,000.
    pub template_limit: usize,
    /// Most components of one host whose logs are followed, and most units. Default 4,000.
    pub component_limit: usize,
    /// Most changes remembered per host. Default 500.
    pub change_limit: usize,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_secs(20),
            log_warm_up: Duration::from_secs(5),
            silent_after: Duration::from_secs(5),
            silence_gates_after: Duration::from_secs(8),
            reconnect_grace: Duration::from_secs(30),
            attest_within: Duration::from_secs(30),
            changes_for: Duration::from_secs(6 * 3600),
            host_limit: 10_000,
            edge_limit: 4_000,
            template_limit: 2_000,
            component_limit: 4_000,
            change_limit: 500,
        }
    }
}
