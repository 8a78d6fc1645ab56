//! The read model: the situation, the incidents and the collector's own counters at one time.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{ComponentId, HostId, Incident, Situation, Timestamp};
use firstlook_proto::wire;

use crate::office::HostRow;

/// How a host fares, as `status` counts it and `hosts` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// It is heard.
    Reporting,
    /// It was heard, and is no more.
    Silent,
    /// It joined and was never heard.
    NeverSeen,
    /// It was shut out.
    Revoked,
}

impl HostState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reporting => "reporting",
            Self::Silent => "silent",
            Self::NeverSeen => "never-seen",
            Self::Revoked => "revoked",
        }
    }
}

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
    /// Hosts that have a session and were heard lately.
    pub reporting: BTreeSet<HostId>,
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
            reporting: BTreeSet::new(),
            clock_offsets: BTreeMap::new(),
            counters: Vec::new(),
        }
    }

    /// How an enrolled host fares.
    pub fn state(&self, row: &HostRow) -> HostState {
        if row.revoked {
            HostState::Revoked
        } else if self.reporting.contains(&row.host) {
            HostState::Reporting
        } else if self.contacts.contains_key(&row.host) {
            HostState::Silent
        } else {
            HostState::NeverSeen
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
        let nothing = || "nothing was measured lately that would show a fault".to_owned();
        (wire::Health::CannotSee, blind.unwrap_or_else(nothing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_it_was_last_heard_as_unless_it_was_shut_out() {
        let host = |name: &str| HostId::new(name).unwrap();
        let at = Timestamp::from_secs(1_800_000_000);
        let view = View {
            contacts: ["here", "gone", "out"].map(|name| (host(name), at)).into(),
            reporting: [host("here"), host("out")].into(),
            ..View::empty()
        };
        for (name, revoked, state) in [
            ("here", false, "reporting"),
            ("gone", false, "silent"),
            ("new", false, "never-seen"),
            ("out", true, "revoked"),
        ] {
            let row = HostRow {
                host: host(name),
                enrolled: at,
                certificate_expires: None,
                revoked,
                config: None,
            };
            assert_eq!(view.state(&row).as_str(), state, "{name}");
        }
    }
}
