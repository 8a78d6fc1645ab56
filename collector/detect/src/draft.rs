//! The situation while it is being drawn up.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlook_model::{
    Attestation, BlindSpot, ComponentId, Reference, Symptom, TemplateId, TimeRange, Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::HostClock;
use crate::watch::Span;

/// Longest text of a symptom or attestation, in bytes.
const TEXT_LIMIT_BYTES: usize = 400;
/// What a reference shows from before the onset.
const BEFORE: Duration = Duration::from_secs(60);
/// What is over by more than this, by the collector's clock, is history: a host that is catching up.
const HISTORY: Duration = Duration::from_secs(60);

/// Where the raw observations behind a finding are.
#[derive(Clone, Debug, Serialize)]
pub(crate) enum Source {
    #[serde(rename = "Series")]
    Metric(&'static str),
    /// A series by its name, as of a probe or a certificate.
    Series(String),
    Log(Option<TemplateId>),
    Edge(ComponentId, ComponentId),
    Unit,
    Heartbeat,
}

/// As a checkpoint has it: a metric is a series by its name.
#[derive(Deserialize)]
enum KeptSource {
    Series(String),
    Log(Option<TemplateId>),
    Edge(ComponentId, ComponentId),
    Unit,
    Heartbeat,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match KeptSource::deserialize(from)? {
            KeptSource::Series(name) => Self::Series(name),
            KeptSource::Log(template) => Self::Log(template),
            KeptSource::Edge(caller, callee) => Self::Edge(caller, callee),
            KeptSource::Unit => Self::Unit,
            KeptSource::Heartbeat => Self::Heartbeat,
        })
    }
}

impl Source {
    fn reference(self, component: &ComponentId, range: TimeRange) -> Reference {
        let component = component.clone();
        match self {
            Self::Metric(signal) => Reference::Metric {
                component,
                signal: signal.to_owned(),
                range,
            },
            Self::Series(signal) => Reference::Metric {
                component,
                signal,
                range,
            },
            Self::Log(template) => Reference::Log {
                component,
                template,
                range,
            },
            Self::Edge(caller, callee) => Reference::Edge {
                caller,
                callee,
                range,
            },
            Self::Unit => Reference::Unit { component, range },
            Self::Heartbeat => Reference::Heartbeat { component, range },
        }
    }
}

/// A symptom in its host's own time.
#[derive(Debug)]
pub(crate) struct Finding {
    pub component: ComponentId,
    pub peer: Option<ComponentId>,
    pub kind: &'static str,
    pub family: &'static str,
    pub span: Span,
    pub severity: f64,
    pub gate: bool,
    pub text: String,
    pub source: Source,
}

/// An attestation in its host's own time.
#[derive(Debug)]
pub(crate) struct Health {
    pub component: ComponentId,
    pub family: &'static str,
    pub coverage: f64,
    pub last: Timestamp,
    pub text: String,
    pub source: Source,
}

type SymptomKey = (ComponentId, String, Option<ComponentId>);

/// Symptoms, attestations and blind spots, sorted and unique.
#[derive(Debug)]
pub(crate) struct Draft {
    now: Timestamp,
    attest_within: Duration,
    symptoms: BTreeMap<SymptomKey, Symptom>,
    attestations: BTreeMap<(ComponentId, &'static str), Attestation>,
    unwell: BTreeSet<(ComponentId, &'static str)>,
    blind: BTreeMap<(ComponentId, String), BlindSpot>,
}

impl Draft {
    pub fn new(now: Timestamp, attest_within: Duration) -> Self {
        Self {
            now,
            attest_within,
            symptoms: BTreeMap::new(),
            attestations: BTreeMap::new(),
            unwell: BTreeSet::new(),
            blind: BTreeMap::new(),
        }
    }

    /// Adds a symptom. Two of one component, kind and peer become one: the graver one's words, the
    /// earlier onset. One whose end is history is left out unless its host is `silent`.
    pub fn symptom(&mut self, clock: &HostClock, silent: bool, finding: Finding) {
        let last_seen = clock.corrected(finding.span.last).min(self.now);
        if !silent && self.now.since(last_seen) > HISTORY {
            return;
        }
        let first = clock.corrected(finding.span.first);
        let after = finding
            .span
            .after
            .map_or(first, |after| clock.corrected(after));
        if after > self.now {
            return;
        }
        let instant = Timestamp::from_micros(first.as_micros().saturating_add(1_000));
        let to = if after < first { first } else { instant };
        let own = Span {
            after: finding.span.after,
            ..finding.span
        };
        let range = TimeRange::new(
            own.after.unwrap_or(own.first).minus(BEFORE),
            own.last.plus(Duration::from_secs(1)),
        );
        self.unwell
            .insert((finding.component.clone(), finding.family));
        let symptom = Symptom {
            reference: finding.source.reference(&finding.component, range),
            component: finding.component,
            kind: finding.kind.to_owned(),
            peer: finding.peer,
            family: finding.family.to_owned(),
            onset: TimeRange::new(after, to),
            last_seen,
            severity: if finding.severity.is_finite() {
                finding.severity.clamp(0.0, 1.0)
            } else {
                0.0
            },
            gate: finding.gate,
            text: crate::words::clip(&finding.text, TEXT_LIMIT_BYTES),
            usual: 0.0,
        };
        self.merge(symptom);
    }

    fn merge(&mut self, new: Symptom) {
        let key = (new.component.clone(), new.kind.clone(), new.peer.clone());
        match self.symptoms.entry(key) {
            Entry::Vacant(free) => {
                free.insert(new);
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let onset = if new.onset.from < known.onset.from {
                    new.onset
                } else {
                    known.onset
                };
                let last_seen = known.last_seen.max(new.last_seen);
                let gate = known.gate || new.gate;
                if new.severity > known.severity {
                    *known = new;
                }
                (known.onset, known.last_seen, known.gate) = (onset, last_seen, gate);
            }
        }
    }

    /// Marks a family of a component as not to be attested, though the symptom stands elsewhere.
    pub fn unwell(&mut self, component: &ComponentId, family: &'static str) {
        self.unwell.insert((component.clone(), family));
    }

    /// Adds an attestation, unless it is too old. Of two, the better covered stays.
    pub fn attest(&mut self, clock: &HostClock, health: Health) {
        let last_seen = clock.corrected(health.last).min(self.now);
        if self.now.since(last_seen) > self.attest_within {
            return;
        }
        let range = TimeRange::new(
            health.last.minus(BEFORE),
            health.last.plus(Duration::from_secs(1)),
        );
        let attestation = Attestation {
            reference: health.source.reference(&health.component, range),
            component: health.component.clone(),
            family: health.family.to_owned(),
            coverage: health.coverage.clamp(0.0, 1.0),
            last_seen,
            text: crate::words::clip(&health.text, TEXT_LIMIT_BYTES),
        };
        let known = self.attestations.entry((health.component, health.family));
        match known {
            Entry::Vacant(free) => {
                free.insert(attestation);
            }
            Entry::Occupied(mut known) if known.get().coverage < attestation.coverage => {
                known.insert(attestation);
            }
            Entry::Occupied(_) => {}
        }
    }

    pub fn blind(&mut self, component: ComponentId, text: String) {
        let text = crate::words::clip(&text, TEXT_LIMIT_BYTES);
        let key = (component.clone(), text.clone());
        self.blind
            .entry(key)
            .or_insert(BlindSpot { component, text });
    }

    /// Symptoms, attestations of what shows no symptom of the same family, blind spots.
    pub fn finish(self) -> (Vec<Symptom>, Vec<Attestation>, Vec<BlindSpot>) {
        let unwell = self.unwell;
        let mut attestations: Vec<Attestation> = self
            .attestations
            .into_iter()
            .filter(|(key, _)| !unwell.contains(key))
            .map(|(_, attestation)| attestation)
            .collect();
        attestations.sort_by(|a, b| (&a.component, &a.family).cmp(&(&b.component, &b.family)));
        (
            self.symptoms.into_values().collect(),
            attestations,
            self.blind.into_values().collect(),
        )
    }
}
