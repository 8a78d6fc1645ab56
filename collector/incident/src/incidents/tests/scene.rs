//! Scenes to step the machine through: who is sick, who is heard, who leads.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{
    Attestation, BlindSpot, ComponentId, IncidentId, Reference, Situation, Suspect, Symptom,
    TimeRange, Timestamp, Verdict,
};

use crate::change::IncidentChange;
use crate::incidents::{Config, Incidents, Sighting};

pub(super) const APP: &str = "service:app2/shop.service";
pub(super) const EDGE: &str = "service:edge1/haproxy.service";
pub(super) const DB: &str = "service:db1/postgresql.service";

pub(super) fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(10_000 + second)
}

pub(super) fn reference(component: &str) -> Reference {
    let range = TimeRange::new(at(0), at(1));
    Reference::Unit {
        component: id(component),
        range,
    }
}

pub(super) fn symptom(component: &str, kind: &str, family: &str) -> Symptom {
    Symptom {
        component: id(component),
        kind: kind.into(),
        peer: None,
        family: family.into(),
        onset: TimeRange::new(at(0), at(1)),
        last_seen: at(1),
        severity: 0.9,
        gate: true,
        text: format!("{kind} seen"),
        usual: 0.0,
        reference: reference(component),
    }
}

pub(super) fn failed(component: &str) -> Symptom {
    symptom(component, kinds::UNIT_FAILED, families::UNIT)
}

pub(super) fn lost(caller: &str, callee: &str) -> Symptom {
    let peer = Some(id(callee));
    Symptom {
        peer,
        ..symptom(caller, kinds::EDGE_LOST, families::EDGE)
    }
}

/// What one step is given: the symptoms present, the hosts that are heard, and the leading suspect.
pub(super) struct Scene {
    pub(super) symptoms: Vec<Vec<Symptom>>,
    pub(super) heard: Vec<&'static str>,
    pub(super) blind: Vec<&'static str>,
    pub(super) suspect: Option<(&'static str, &'static str, f64)>,
}

impl Scene {
    pub(super) fn quiet() -> Self {
        Self {
            symptoms: Vec::new(),
            heard: vec![APP, EDGE, DB],
            blind: Vec::new(),
            suspect: None,
        }
    }

    pub(super) fn group(mut self, symptoms: &[Symptom]) -> Self {
        self.symptoms.push(symptoms.to_vec());
        self
    }

    pub(super) fn suspect(mut self, component: &'static str, fault: &'static str, p: f64) -> Self {
        self.suspect = Some((component, fault, p));
        self
    }

    pub(super) fn unheard(mut self, component: &str) -> Self {
        self.heard.retain(|heard| *heard != component);
        self
    }

    pub(super) fn situation(&self, now: Timestamp) -> Situation {
        let attestation = |component: &&'static str| Attestation {
            component: id(component),
            family: families::CPU.into(),
            coverage: 1.0,
            last_seen: now,
            text: "as usual".into(),
            reference: reference(component),
        };
        let blind = |component: &&'static str| BlindSpot {
            component: id(component),
            text: "not seen".into(),
        };
        Situation {
            reference_time: now,
            symptoms: self.symptoms.iter().flatten().cloned().collect(),
            attestations: self.heard.iter().map(attestation).collect(),
            components: Vec::new(),
            edges: Vec::new(),
            mounts: Vec::new(),
            changes: Vec::new(),
            blind_spots: self.blind.iter().map(blind).collect(),
        }
    }

    pub(super) fn verdict(&self, now: Timestamp) -> Verdict {
        let suspect = |(component, fault, probability): (&str, &str, f64)| Suspect {
            component: id(component),
            fault: fault.into(),
            summary: "in words".into(),
            decibans: 20.0,
            probability,
            since: at(0),
            hurts: Vec::new(),
            evidence_for: Vec::new(),
            evidence_against: Vec::new(),
        };
        Verdict {
            reference_time: now,
            suspects: self.suspect.map(suspect).into_iter().collect(),
            ruled_out: Vec::new(),
            blind_spots: Vec::new(),
            changes: Vec::new(),
            next_look: None,
            hesitation: self
                .suspect
                .filter(|(_, _, probability)| *probability < 0.7)
                .map(|_| "not decided".into()),
        }
    }
}

/// The machine with a counter for numbers.
pub(super) struct Desk {
    pub(super) incidents: Incidents,
    pub(super) last_id: u32,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            incidents: Incidents::new(Config::default()),
            last_id: 0,
        }
    }

    pub(super) fn step(&mut self, second: i64, scene: &Scene) -> Vec<IncidentChange> {
        let now = at(second);
        let sightings = scene.symptoms.iter().map(|symptoms| Sighting {
            symptoms: symptoms.clone(),
            verdict: scene.verdict(now),
        });
        let last_id = &mut self.last_id;
        self.incidents
            .step(&scene.situation(now), sightings.collect(), || {
                *last_id += 1;
                IncidentId(*last_id)
            })
    }

    /// Steps once a second through `seconds`, with everything that changed.
    pub(super) fn run(
        &mut self,
        seconds: std::ops::Range<i64>,
        scene: &Scene,
    ) -> Vec<IncidentChange> {
        seconds
            .flat_map(|second| self.step(second, scene))
            .collect()
    }
}
