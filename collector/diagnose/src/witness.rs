//! Witnesses: the symptoms to explain, and what was measured and is normal.

use std::collections::{BTreeSet, HashMap};

use firstlook_model::{
    Attestation, ComponentId, ComponentKind, HostId, Situation, Symptom, Timestamp,
};

use crate::catalogue::{Catalogue, SymptomKind};
use crate::graph::{Graph, Link, Node};

/// Age up to which an attestation speaks of now, in seconds.
const FRESH_S: f64 = 15.0;

/// Share of quiet time from which it is said that a symptom is usual.
const USUAL: f64 = 0.02;

/// Other hosts from which a kind that hosts show together counts as widespread, if they are half of all others.
const WIDESPREAD: usize = 3;

/// Most of the base rate that being widespread makes: one of many may still be the one.
const WIDESPREAD_RATE: f64 = 0.9;

/// Coverage that a symptom shows of its own family: who reports one kind would report its sisters.
const COVERAGE_BY_SYMPTOM: f64 = 0.95;

/// Coverage of an edge that carries traffic now.
const COVERAGE_BY_TRAFFIC: f64 = 0.98;

/// Segments on an edge from which the absence of retransmissions says something.
const ENOUGH_SEGMENTS: u64 = 20;

/// One symptom, by numbers.
pub(crate) struct Observed<'a> {
    pub symptom: &'a Symptom,
    pub node: Node,
    pub peer: Option<Node>,
    pub known: &'a SymptomKind,
    /// P(seen near an incident | caused by something else): what the catalogue says, how often it is seen there when nobody is hurt,
    /// or where hosts show it together, which part of the others shows it now.
    pub base_rate: f64,
    /// How many other hosts show it now, and how many there are, where it is widespread.
    pub widespread: Option<(usize, usize)>,
    /// Number of what it says the same as: see [`SymptomKind::witness`].
    pub group: usize,
}

impl Observed<'_> {
    /// One line for people that names its place.
    pub fn says(&self, graph: &Graph<'_>) -> String {
        let id = graph.id(self.node);
        let text = &self.symptom.text;
        let said = match self.peer {
            Some(_) if text.contains(" → ") => text.clone(),
            Some(peer) => format!("{} → {}: {text}", id.label(), graph.id(peer).label()),
            None if text.contains(&id.label()) => text.clone(),
            None => format!("{}: {text}", id.label()),
        };
        if let Some((others, all)) = self.widespread {
            return format!("{said} (as {others} of {all} other hosts do now)");
        }
        if self.is_usual() {
            let share = 100.0 * self.symptom.usual;
            return format!("{said} (as in {share:.0}% of the time when nobody is hurt)");
        }
        said
    }

    /// Share of its weight as a sign of this place that is left, as it is seen for other reasons.
    pub fn is_of_this_place(&self) -> f64 {
        (1.0 - self.base_rate) / (1.0 - self.known.base_rate)
    }

    /// It counts for clearly less, since it is seen there at other times.
    fn is_usual(&self) -> bool {
        self.base_rate >= USUAL && self.base_rate >= 2.0 * self.known.base_rate
    }
}

/// Everything that was seen, at one time.
pub(crate) struct Witnesses<'a> {
    catalogue: &'a Catalogue,
    pub observed: Vec<Observed<'a>>,
    pub reference_time: Timestamp,
    by_node: HashMap<Node, Vec<usize>>,
    attested: HashMap<(Node, &'a str), &'a Attestation>,
    silent_hosts: BTreeSet<Node>,
}

/// What shows that a family of signals was measured at a place.
#[derive(Clone, Copy)]
pub(crate) struct Measured<'a> {
    /// Chance that a symptom would have been caught, 0 to 1.
    pub coverage: f64,
    /// Last observation.
    pub last_seen: Timestamp,
    /// The attestation, where there is one.
    pub by: Option<&'a Attestation>,
}

impl<'a> Witnesses<'a> {
    /// The symptoms of the components that `wanted` holds for, and all attestations.
    pub fn new(
        catalogue: &'a Catalogue,
        graph: &Graph<'_>,
        situation: &'a Situation,
        wanted: impl Fn(&ComponentId) -> bool,
    ) -> Self {
        let chosen = situation.symptoms.iter().filter(|s| wanted(&s.component));
        let symptoms = unique(chosen.collect());
        let fleet = Fleet::of(catalogue, situation);
        let mut groups: HashMap<(Node, &str), usize> = HashMap::new();
        let mut observed = Vec::with_capacity(symptoms.len());
        let mut by_node: HashMap<Node, Vec<usize>> = HashMap::new();
        for symptom in symptoms {
            let Some(node) = graph.node(&symptom.component) else {
                continue;
            };
            let known = catalogue.symptom(&symptom.kind);
            let witness = known.witness.as_deref().unwrap_or(&symptom.family);
            let next = groups.len();
            let group = *groups.entry((node, witness)).or_insert(next);
            let peer = symptom.peer.as_ref().and_then(|peer| graph.node(peer));
            by_node.entry(node).or_default().push(observed.len());
            let widespread = fleet.others(symptom).filter(|_| known.shared);
            let rate = widespread.map_or(0.0, |(others, all)| others as f64 / all as f64);
            observed.push(Observed {
                symptom,
                node,
                peer,
                known,
                base_rate: known
                    .base_rate
                    .max(unit(symptom.usual))
                    .max(WIDESPREAD_RATE * rate),
                widespread,
                group,
            });
        }
        let silent = situation
            .symptoms
            .iter()
            .filter(|s| s.kind == firstlook_model::symptom::kinds::AGENT_SILENT);
        Self {
            catalogue,
            silent_hosts: silent
                .filter_map(|s| graph.node(&s.component).and_then(|n| graph.host(n)))
                .collect(),
            attested: attested(graph, situation),
            reference_time: situation.reference_time,
            observed,
            by_node,
        }
    }

    /// Numbers of the symptoms of one component.
    pub fn of(&self, node: Node) -> &[usize] {
        self.by_node.get(&node).map_or(&[], Vec::as_slice)
    }

    /// What is known of a kind of symptom; `None` for the catch-all `*`.
    pub fn kind(&self, kind: &str) -> Option<&'a SymptomKind> {
        (kind != "*").then(|| self.catalogue.symptom(kind))
    }

    /// The fresh attestation of a family, its own or, for an interface or agent, its host's.
    pub fn attestation(
        &self,
        graph: &Graph<'_>,
        node: Node,
        family: &str,
    ) -> Option<&'a Attestation> {
        let by_host = matches!(
            graph.kind(node),
            ComponentKind::Interface | ComponentKind::Agent
        );
        let host = graph.host(node).filter(|_| by_host);
        if self.is_silent(graph, node) {
            return None;
        }
        [Some(node), host].into_iter().flatten().find_map(|place| {
            let attestation = *self.attested.get(&(place, family))?;
            self.is_fresh(attestation.last_seen).then_some(attestation)
        })
    }

    /// Whether a family was measured at a component now, and by what.
    pub fn measured(&self, graph: &Graph<'_>, node: Node, family: &str) -> Option<Measured<'a>> {
        if let Some(by) = self.attestation(graph, node, family) {
            return Some(Measured {
                coverage: caught(by.coverage),
                last_seen: by.last_seen,
                by: Some(by),
            });
        }
        let sisters = self.of(node).iter().map(|o| self.observed[*o].symptom);
        let last_seen = sisters
            .filter(|s| s.family == family && self.is_fresh(s.last_seen))
            .map(|s| s.last_seen)
            .max()
            .filter(|_| !self.is_silent(graph, node))?;
        Some(Measured {
            coverage: COVERAGE_BY_SYMPTOM,
            last_seen,
            by: None,
        })
    }

    /// Whether the health of an edge was measured now: by the traffic that it carries, or by its
    /// caller's attestation.
    pub fn edge_measured(&self, graph: &Graph<'_>, link: &Link<'_>) -> Option<Measured<'a>> {
        let last_seen = link.edge.last_seen;
        let stats = link.edge.from_caller.as_ref();
        let stats =
            stats.filter(|_| self.is_fresh(last_seen) && !self.is_silent(graph, link.caller))?;
        let answered = stats.bytes_received > 0 && stats.syn_sent == 0 && stats.retransmits == 0;
        let flows = answered && stats.segments_sent >= ENOUGH_SEGMENTS;
        let caller = self.attestation(graph, link.caller, firstlook_model::symptom::families::EDGE);
        let coverage = match caller {
            _ if flows => COVERAGE_BY_TRAFFIC,
            Some(by) if answered => caught(by.coverage),
            _ => return None,
        };
        Some(Measured {
            coverage,
            last_seen,
            by: caller,
        })
    }

    /// Whether the agent of the component's host is silent: nothing of it is seen.
    pub fn is_silent(&self, graph: &Graph<'_>, node: Node) -> bool {
        graph
            .host(node)
            .is_some_and(|host| self.silent_hosts.contains(&host))
    }

    fn is_fresh(&self, seen: Timestamp) -> bool {
        self.reference_time.seconds_from(seen) <= FRESH_S
    }
}

/// Which hosts show a kind that hosts show together, whatever incident it belongs to.
struct Fleet<'a> {
    hosts: BTreeSet<&'a HostId>,
    showing: HashMap<&'a str, BTreeSet<&'a HostId>>,
}

impl<'a> Fleet<'a> {
    fn of(catalogue: &Catalogue, situation: &'a Situation) -> Self {
        let hosts = situation.components.iter().filter_map(ComponentId::host_id);
        let mut showing: HashMap<&str, BTreeSet<&HostId>> = HashMap::new();
        for symptom in &situation.symptoms {
            if let Some(host) = symptom.component.host_id()
                && catalogue.symptom(&symptom.kind).shared
            {
                showing.entry(&symptom.kind).or_default().insert(host);
            }
        }
        Self {
            hosts: hosts.collect(),
            showing,
        }
    }

    /// Of how many other hosts how many show it, where these are enough to say something.
    fn others(&self, symptom: &Symptom) -> Option<(usize, usize)> {
        let showing = self.showing.get(symptom.kind.as_str())?;
        let others = showing.len().checked_sub(1)?;
        let all = self.hosts.union(showing).count().checked_sub(1)?;
        (others >= WIDESPREAD && 2 * others >= all).then_some((others, all))
    }
}

/// Chance that a lasting symptom is caught when each observation arrives with this share: it need not
/// be seen in every one.
fn caught(coverage: f64) -> f64 {
    1.0 - (1.0 - unit(coverage)).powi(2)
}

/// Cuts to 0 to 1; what is no number counts as 0.
pub(crate) fn unit(share: f64) -> f64 {
    if share.is_nan() {
        0.0
    } else {
        share.clamp(0.0, 1.0)
    }
}

fn unique(mut symptoms: Vec<&Symptom>) -> Vec<&Symptom> {
    symptoms.sort_by(|a, b| {
        (&a.component, &a.kind, &a.peer)
            .cmp(&(&b.component, &b.kind, &b.peer))
            .then(unit(b.severity).total_cmp(&unit(a.severity)))
            .then(b.last_seen.cmp(&a.last_seen))
            .then((a.onset.from, a.onset.to, b.gate).cmp(&(b.onset.from, b.onset.to, a.gate)))
            .then_with(|| (&a.family, &a.text).cmp(&(&b.family, &b.text)))
    });
    symptoms.dedup_by(|a, b| (&a.component, &a.kind, &a.peer) == (&b.component, &b.kind, &b.peer));
    symptoms
}

fn attested<'a>(
    graph: &Graph<'_>,
    situation: &'a Situation,
) -> HashMap<(Node, &'a str), &'a Attestation> {
    let mut best: HashMap<(Node, &str), &Attestation> = HashMap::new();
    for attestation in &situation.attestations {
        let Some(node) = graph.node(&attestation.component) else {
            continue;
        };
        let rank = |a: &Attestation| (a.last_seen, unit(a.coverage).to_bits());
        let slot = best
            .entry((node, &attestation.family))
            .or_insert(attestation);
        if (rank(attestation), &attestation.text) > (rank(slot), &slot.text) {
            *slot = attestation;
        }
    }
    best
}
