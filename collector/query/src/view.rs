//! The read model: the situation, the incidents and the collector's own counters at one time.

use std::collections::BTreeMap;

use firstlook_model::{ComponentId, HostId, Incident, Situation, Timestamp};
use firstlook_proto::wire;

/// Everything that a responder sees at once. Replaced whole, never changed.
#[derive(Clone, Debug)]
pub struct View {
    /// The situation that the verdicts were given on; `None` until the first analysis.
    pub situation: Option<Situation>,
    /// Open incidents, the worst first.
    pub open: Vec<Incident>,
    /// Recently closed incidents, newest first.
    pub closed: Vec<Incident>,
    /// Last contact of each host that was ever heard.
    pub contacts: BTreeMap<HostId, Timestamp>,
    /// Hosts with a session now.
    pub connected: Vec<HostId>,
    /// Estimated clock of each host minus the collector's, in microseconds.
    pub clock_offsets: BTreeMap<HostId, i64>,
    /// The collector's own counters.
    pub counters: Vec<(String, u64)>,
}

impl View {
    /// Before the first analysis.
    pub fn empty() -> Self {
        Self {
            situation: None,
            open: Vec::new(),
            closed: Vec::new(),
            contacts: BTreeMap::new(),
            connected: Vec::new(),
            clock_offsets: BTreeMap::new(),
            counters: Vec::new(),
        }
    }

    /// Health of a component, and the reason in one line: broken when it has a symptom, fine only when
    /// something was measured and normal (the line then says what else was not), else it cannot be seen.
    pub fn health(&self, component: &ComponentId) -> (wire::Health, String) {
        let Some(situation) = &self.situation else {
            return (
                wire::Health::CannotSee,
                "nothing was analysed yet".to_owned(),
            );
        };
        let worst = situation
            .symptoms
            .iter()
            .filter(|s| &s.component == component)
            .max_by(|a, b| a.severity.total_cmp(&b.severity));
        if let Some(symptom) = worst {
            return (wire::Health::Broken, symptom.text.clone());
        }
        let mut blind = situation
            .blind_spots
            .iter()
            .filter(|b| &b.component == component);
        let blind = blind.next().map(|spot| spot.text.clone());
        let measured = |of: &ComponentId| situation.attestations.iter().any(|a| &a.component == of);
        if measured(component) {
            return (wire::Health::Fine, blind.unwrap_or_default());
        }
        let nothing = || "nothing was measured lately".to_owned();
        (wire::Health::CannotSee, blind.unwrap_or_else(nothing))
    }
}
