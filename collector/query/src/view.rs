//! The read model: the situation, the incidents and the collector's own counters at one time.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::symptom::kinds;
use firstlook_model::{ComponentId, HostId, Incident, Situation, Symptom, Timestamp};
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

    /// What harms nobody yet, and will if nobody acts: the gravest first. None that an open incident tells of.
    pub fn risks(&self) -> Vec<&Symptom> {
        let told = |symptom: &Symptom| {
            let same = |known: &Symptom| {
                known.component == symptom.component && known.kind == symptom.kind
            };
            self.open
                .iter()
                .any(|incident| incident.symptoms.iter().any(same))
        };
        let all = self.situation.iter().flat_map(|s| &s.symptoms);
        let mut risks: Vec<&Symptom> = all
            .filter(|s| !s.gate && kinds::RISKS.contains(&s.kind.as_str()) && !told(s))
            .collect();
        risks.sort_by(|a, b| {
            b.severity
                .total_cmp(&a.severity)
                .then_with(|| a.component.cmp(&b.component))
        });
        risks
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
    use firstlook_model::{IncidentId, IncidentState, Reference, TimeRange, Verdict};

    use super::*;

    fn symptom(component: &str, kind: &str, severity: f64, gate: bool) -> Symptom {
        let at = Timestamp::from_secs(1_800_000_000);
        let component: ComponentId = component.parse().unwrap();
        Symptom {
            kind: kind.to_owned(),
            peer: None,
            family: "filesystem".to_owned(),
            onset: TimeRange::new(at, at),
            last_seen: at,
            severity,
            gate,
            text: "98% full".to_owned(),
            usual: 0.0,
            reference: Reference::Heartbeat {
                component: component.clone(),
                range: TimeRange::new(at, at),
            },
            component,
        }
    }

    #[test]
    fn risks_are_what_harms_nobody_yet_and_no_incident_tells_of() {
        let full = kinds::SPACE_EXHAUSTED;
        let at = Timestamp::from_secs(1_800_000_000);
        let told = symptom("filesystem:db1/var", full, 0.9, false);
        let mut view = View::empty();
        assert!(view.risks().is_empty(), "nothing was analysed yet");
        view.situation = Some(Situation {
            reference_time: at,
            symptoms: vec![
                symptom("host:app1", kinds::CLOCK_SKEW, 0.2, false),
                symptom("filesystem:app1/var", full, 0.5, false),
                symptom("filesystem:app2/var", full, 1.0, true),
                symptom("service:app1/shop.service", kinds::LOG_ERRORS, 0.9, false),
                told.clone(),
            ],
            attestations: Vec::new(),
            components: Vec::new(),
            edges: Vec::new(),
            mounts: Vec::new(),
            changes: Vec::new(),
            blind_spots: Vec::new(),
        });
        view.open.push(Incident {
            id: IncidentId(7),
            state: IncidentState::Open,
            began: at,
            opened: at,
            closed: None,
            title: String::new(),
            symptoms: vec![told],
            verdict: Verdict {
                reference_time: at,
                suspects: Vec::new(),
                ruled_out: Vec::new(),
                blind_spots: Vec::new(),
                changes: Vec::new(),
                next_look: None,
                hesitation: None,
            },
            timeline: Vec::new(),
        });
        let named: Vec<String> = view
            .risks()
            .iter()
            .map(|risk| risk.component.to_string())
            .collect();
        assert_eq!(named, ["filesystem:app1/var", "host:app1"]);
    }

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
