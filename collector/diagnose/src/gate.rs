//! The symptom gate: which symptoms belong together, and which groups are reason for an incident.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{ComponentId, ComponentKind, Situation, Symptom, Timestamp};

use crate::graph::{Graph, Node};
use crate::reach::Reach;

/// Seconds between the end of one symptom and the onset of another that still count as together.
const SLACK_S: f64 = 30.0;

/// Which components' symptoms one incident is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentScope {
    /// Whose symptoms belong to it.
    pub components: BTreeSet<ComponentId>,
}

/// Symptoms that belong together, with at least one that gates.
#[derive(Clone, Debug, PartialEq)]
pub struct SymptomGroup {
    /// Sorted by component, kind, peer. Not empty.
    pub symptoms: Vec<Symptom>,
    /// Earliest onset.
    pub began: Timestamp,
}

impl SymptomGroup {
    /// The scope to diagnose it in.
    pub fn scope(&self) -> IncidentScope {
        IncidentScope {
            components: self.symptoms.iter().map(|s| s.component.clone()).collect(),
        }
    }
}

/// Groups the situation's symptoms: those of one component, those of one host, those that one's
/// trouble brings to whoever depends on it, those of callers of one callee, as far as they overlap in time.
///
/// Groups without a symptom that gates are left out: they harm nobody yet. Sorted by first component;
/// no component is in two groups. Empty: nothing is wrong.
pub fn symptom_gate(situation: &Situation) -> Vec<SymptomGroup> {
    let graph = Graph::new(situation);
    let mut symptoms: BTreeMap<Node, Vec<&Symptom>> = BTreeMap::new();
    for symptom in &situation.symptoms {
        if let Some(node) = graph.node(&symptom.component) {
            symptoms.entry(node).or_default().push(symptom);
        }
    }
    let mut sets = Sets::new(graph.len());
    join_neighbours(&graph, &symptoms, &mut sets);
    join_by_peer(&graph, &symptoms, &mut sets);
    let mut groups: BTreeMap<Node, Vec<Symptom>> = BTreeMap::new();
    for (node, of_node) in &symptoms {
        groups
            .entry(sets.root(*node))
            .or_default()
            .extend(of_node.iter().map(|s| (*s).clone()));
    }
    let mut groups: Vec<SymptomGroup> = groups.into_values().filter_map(gated).collect();
    groups.sort_by(|a, b| a.symptoms[0].component.cmp(&b.symptoms[0].component));
    groups
}

fn gated(mut symptoms: Vec<Symptom>) -> Option<SymptomGroup> {
    symptoms
        .sort_by(|a, b| (&a.component, &a.kind, &a.peer).cmp(&(&b.component, &b.kind, &b.peer)));
    let began = symptoms.iter().map(|s| s.onset.from).min()?;
    symptoms
        .iter()
        .any(|s| s.gate)
        .then_some(SymptomGroup { symptoms, began })
}

/// Joins what stands on one host, and whom a place's trouble reaches with that place, though what lies
/// between may show nothing.
fn join_neighbours(graph: &Graph<'_>, symptoms: &BTreeMap<Node, Vec<&Symptom>>, sets: &mut Sets) {
    for (node, of_node) in symptoms {
        let beside = graph.beside(*node).iter().copied().chain(graph.host(*node));
        let hurt = Reach::of(graph, *node);
        for other in beside.chain(hurt.likely()) {
            if let Some(of_other) = symptoms.get(&other)
                && overlap(of_node, of_other)
            {
                sets.join(*node, other);
            }
        }
    }
}

/// Joins those that complain of the same peer, and a peer's host with those that complain of it; then
/// those that depend on one service and are both hurt in a way that points outward.
fn join_by_peer(graph: &Graph<'_>, symptoms: &BTreeMap<Node, Vec<&Symptom>>, sets: &mut Sets) {
    let mut by_peer: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
    for (node, of_node) in symptoms {
        for symptom in of_node {
            if let Some(peer) = symptom.peer.as_ref().and_then(|p| graph.node(p)) {
                by_peer.entry(peer).or_default().push(*node);
            } else if points_outward(&symptom.kind) {
                let callees = graph.callees(*node).map(|link| link.callee);
                let served = callees.filter(|c| graph.kind(*c) != ComponentKind::Host);
                for callee in served {
                    by_peer.entry(callee).or_default().push(*node);
                }
            }
        }
    }
    for (peer, complaining) in &by_peer {
        let host = graph.host(*peer).into_iter();
        let near = host
            .chain(graph.beside(*peer).iter().copied())
            .filter(|n| symptoms.contains_key(n));
        let all: Vec<Node> = near.chain(complaining.iter().copied()).collect();
        for pair in all.windows(2) {
            if overlap(&symptoms[&pair[0]], &symptoms[&pair[1]]) {
                sets.join(pair[0], pair[1]);
            }
        }
    }
}

fn points_outward(kind: &str) -> bool {
    use firstlook_model::symptom::kinds::{LOG_REFUSED, LOG_TIMEOUT};
    kind == LOG_REFUSED || kind == LOG_TIMEOUT
}

fn overlap(a: &[&Symptom], b: &[&Symptom]) -> bool {
    let meets = |a: &Symptom, b: &Symptom| b.onset.from.seconds_from(a.last_seen) <= SLACK_S;
    a.iter()
        .any(|a| b.iter().any(|b| meets(a, b) && meets(b, a)))
}

/// Disjoint sets of nodes; the root of each is its smallest.
struct Sets(Vec<Node>);

impl Sets {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn root(&mut self, node: Node) -> Node {
        let mut root = node;
        while self.0[root] != root {
            self.0[root] = self.0[self.0[root]];
            root = self.0[root];
        }
        root
    }

    fn join(&mut self, a: Node, b: Node) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
