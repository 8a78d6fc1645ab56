//! The judgement: from a situation to a verdict, and from a person's theory to its weight.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{Change, ComponentId, ComponentKind, Situation, Suspect, Verdict};

use crate::catalogue::{Catalogue, Fault, Level, Prediction, UNKNOWN_FAULT};
use crate::compete::{Contest, Outcome};
use crate::gate::IncidentScope;
use crate::graph::{Graph, Node};
use crate::hypothesis::{Hypothesis, names};
use crate::reach::Reach;
use crate::relation::Seat;
use crate::suspect;
use crate::witness::Witnesses;
use crate::{cleared, outlook};

/// A theory that cannot be weighed. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TheoryError {
    /// The catalogue has no such fault kind.
    #[error("no fault kind {fault:?}; the catalogue has {known}")]
    NoSuchFault {
        /// What was asked for, cut to 64 characters.
        fault: String,
        /// What there is.
        known: String,
    },
    /// The fault is of other kinds of components.
    #[error("{fault} is a fault of a {of}, {component} is none")]
    NotOfThatKind {
        /// The fault kind.
        fault: String,
        /// Kinds that can have it.
        of: String,
        /// The component.
        component: ComponentId,
    },
}

/// Judges one incident. `scope` chooses whose symptoms it is about; `None` takes all.
///
/// A function of its arguments alone, the same for any order of the situation's lists. Each suspect's
/// evidence adds up to its decibans. Without symptoms the verdict abstains.
pub fn diagnose(
    catalogue: &Catalogue,
    situation: &Situation,
    scope: Option<&IncidentScope>,
) -> Verdict {
    let inquiry = Inquiry::new(catalogue, situation, scope);
    let hypotheses = inquiry.hypotheses(None);
    inquiry.verdict(&hypotheses)
}

/// Weighs a person's theory as [`diagnose`] weighs its own: against the same facts, beside the same
/// suspects. Without a fault kind it is the one that explains most there.
///
/// # Errors
/// When the catalogue lacks the fault kind, or it is not one that such a component can have.
pub fn theory(
    catalogue: &Catalogue,
    situation: &Situation,
    scope: Option<&IncidentScope>,
    component: &ComponentId,
    fault: Option<&str>,
) -> Result<Suspect, TheoryError> {
    let wanted = find(catalogue, component, fault.unwrap_or(UNKNOWN_FAULT))?;
    // A component that nobody has heard of can be suspected all the same.
    let mut situation = situation.clone();
    if !situation.components.contains(component) {
        situation.components.push(component.clone());
    }
    let inquiry = Inquiry::new(catalogue, &situation, scope);
    let node = inquiry
        .graph
        .node(component)
        .expect("the component was added above");
    let hypotheses = inquiry.hypotheses(Some((node, wanted)));
    let contest = inquiry.contest(&hypotheses);
    let outcome = contest.decide();
    let meant =
        |h: &Hypothesis<'_>| h.node == node && (fault.is_none() || h.fault.kind == wanted.kind);
    let mine = (0..hypotheses.len())
        .filter(|h| meant(&hypotheses[*h]))
        .max_by(|a, b| outcome.probability[*a].total_cmp(&outcome.probability[*b]))
        .expect("the theory is among the hypotheses");
    Ok(suspect::suspect(&contest, &outcome, mine))
}

fn find<'a>(
    catalogue: &'a Catalogue,
    component: &ComponentId,
    kind: &str,
) -> Result<&'a Fault, TheoryError> {
    let fault = catalogue
        .fault(kind)
        .ok_or_else(|| TheoryError::NoSuchFault {
            fault: kind.chars().take(64).collect(),
            known: catalogue
                .faults()
                .map(|f| f.kind.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let mut fits = fault.components.iter().chain(&fault.otherwise);
    if fits.any(|kind| *kind == component.kind()) {
        return Ok(fault);
    }
    let of: Vec<_> = fault.components.iter().map(|kind| kind.as_str()).collect();
    Err(TheoryError::NotOfThatKind {
        fault: fault.kind.clone(),
        of: of.join(" or "),
        component: component.clone(),
    })
}

/// Everything that one judgement looks at.
pub(crate) struct Inquiry<'a> {
    pub catalogue: &'a Catalogue,
    pub situation: &'a Situation,
    pub graph: Graph<'a>,
    pub witnesses: Witnesses<'a>,
    /// Sorted by time, then id, whatever the order given.
    pub changes: Vec<&'a Change>,
}

impl<'a> Inquiry<'a> {
    fn new(
        catalogue: &'a Catalogue,
        situation: &'a Situation,
        scope: Option<&IncidentScope>,
    ) -> Self {
        let graph = Graph::new(situation);
        let wanted = |id: &ComponentId| scope.is_none_or(|scope| scope.components.contains(id));
        let witnesses = Witnesses::new(catalogue, &graph, situation, wanted);
        let mut changes: Vec<&Change> = situation.changes.iter().collect();
        changes.sort_by(|a, b| {
            (a.time, &a.component, &a.id, &a.text).cmp(&(b.time, &b.component, &b.id, &b.text))
        });
        Self {
            catalogue,
            situation,
            graph,
            witnesses,
            changes,
        }
    }

    pub fn contest<'c>(&'c self, hypotheses: &'c [Hypothesis<'a>]) -> Contest<'c, 'a> {
        Contest {
            graph: &self.graph,
            witnesses: &self.witnesses,
            hypotheses,
        }
    }

    fn verdict(&self, hypotheses: &[Hypothesis<'a>]) -> Verdict {
        let contest = self.contest(hypotheses);
        let outcome = contest.decide();
        let listed = suspect::listed(&contest, &outcome);
        let suspects: Vec<Suspect> = listed
            .iter()
            .map(|h| suspect::suspect(&contest, &outcome, *h))
            .collect();
        let hesitation =
            suspect::hesitation(&suspects, &outcome, self.witnesses.observed.is_empty());
        let neighbours = self.neighbours(&listed, hypotheses);
        Verdict {
            reference_time: self.situation.reference_time,
            ruled_out: cleared::ruled_out(self, hypotheses, &outcome, &neighbours),
            blind_spots: outlook::blind_spots(self, &neighbours),
            changes: outlook::changes(self, &suspects, &neighbours),
            next_look: outlook::next_look(self.catalogue, &suspects),
            suspects,
            hesitation,
        }
    }

    /// Components that one would suspect, with their distance in hops from the suspects and the
    /// symptoms: what calls and is called, and the hosts, filesystems and interfaces below. Nearest
    /// first, then by id.
    fn neighbours(&self, listed: &[usize], hypotheses: &[Hypothesis<'_>]) -> Vec<(usize, Node)> {
        let suspects = listed.iter().map(|h| hypotheses[*h].node);
        let sick = self
            .witnesses
            .observed
            .iter()
            .flat_map(|seen| seen.peer.iter().chain([&seen.node]));
        let start: BTreeSet<Node> = suspects.chain(sick.copied()).collect();
        let lodgers = start.iter().flat_map(|node| self.called_on(*node));
        let mut front: BTreeSet<Node> = start.iter().copied().chain(lodgers).collect();
        let mut found: BTreeMap<Node, usize> = BTreeMap::new();
        for hops in 0..=outlook::NEIGHBOUR_HOPS {
            let mut next = BTreeSet::new();
            for node in &front {
                for near in self.graph.ground(*node).into_iter().chain([*node]) {
                    found.entry(near).or_insert(hops);
                }
                next.extend(self.graph.callees(*node).map(|link| link.callee));
                next.extend(self.graph.callers(*node).map(|link| link.caller));
            }
            front = next;
        }
        let mut found: Vec<(usize, Node)> =
            found.into_iter().map(|(node, hops)| (hops, node)).collect();
        found.sort_unstable();
        found
    }

    /// Services that others call on a host, filesystem, disk or interface.
    fn called_on(&self, node: Node) -> Vec<Node> {
        if self.graph.kind(node) == ComponentKind::Service {
            return Vec::new();
        }
        let called = |service: &Node| self.graph.callers(*service).next().is_some();
        self.graph.services_beside(node).filter(called).collect()
    }

    /// Every hypothesis that explains something seen, and the wanted one in any case. Sorted by
    /// component and fault kind.
    fn hypotheses(&self, wanted: Option<(Node, &'a Fault)>) -> Vec<Hypothesis<'a>> {
        let mut places = self.candidates();
        places.extend(wanted.map(|(node, _)| node));
        let mut hypotheses = Vec::new();
        let thinkable: Vec<&'a Fault> = self
            .catalogue
            .faults()
            .filter(|f| self.is_thinkable(f) || wanted.is_some_and(|(_, w)| w.kind == f.kind))
            .collect();
        for node in places {
            let reach = Reach::of(&self.graph, node);
            let seat = Seat {
                graph: &self.graph,
                node,
                reach: &reach,
            };
            for fault in thinkable.iter().copied() {
                let asked = wanted.is_some_and(|(n, f)| n == node && f.kind == fault.kind);
                if asked {
                    hypotheses.push(Hypothesis::even_if_unlikely(
                        &seat,
                        fault,
                        &self.witnesses,
                        &self.changes,
                    ));
                } else if self.can_have(node, fault) {
                    hypotheses.extend(Hypothesis::at(&seat, fault, &self.witnesses, &self.changes));
                }
            }
        }
        hypotheses
    }

    /// Whether a fault that needs a sign has one anywhere: most have none, and are not looked for at every place.
    fn is_thinkable(&self, fault: &Fault) -> bool {
        let observed = &self.witnesses.observed;
        let mut must = fault.predicts.iter().filter(|p| p.level == Level::Must);
        let is_seen = |p: &Prediction| {
            let mut all = observed.iter();
            all.any(|seen| names(&p.any, &seen.symptom.kind, seen.known))
        };
        !fault.needs_sign || must.all(is_seen)
    }

    /// Whether a component is of a kind that can have the fault; a stand-in only where its host
    /// shows none of the proper kind.
    pub fn can_have(&self, node: Node, fault: &Fault) -> bool {
        let kind = self.graph.kind(node);
        let id = self.graph.id(node);
        let loopback = kind == ComponentKind::Interface && id.name() == "lo";
        let proper = || {
            self.graph.beside(node).iter().any(|n| {
                fault.components.contains(&self.graph.kind(*n)) && self.graph.id(*n).name() != "lo"
            })
        };
        !loopback
            && (fault.components.contains(&kind) || fault.otherwise.contains(&kind) && !proper())
    }

    /// Components near enough to a symptom to cause it directly.
    fn candidates(&self) -> BTreeSet<Node> {
        let mut near: BTreeSet<Node> = BTreeSet::new();
        for seen in &self.witnesses.observed {
            near.insert(seen.node);
            near.extend(seen.peer);
            near.extend(self.graph.callees(seen.node).map(|link| link.callee));
        }
        let homes: Vec<Node> = near
            .iter()
            .flat_map(|n| {
                self.graph
                    .beside(*n)
                    .iter()
                    .copied()
                    .chain(self.graph.host(*n))
            })
            .collect();
        near.extend(homes);
        near
    }
}

/// Whether the outcome names what is at work with confidence.
pub(crate) fn is_named(outcome: &Outcome) -> bool {
    !outcome.accepted.is_empty()
        && outcome
            .accepted
            .iter()
            .all(|a| outcome.probability[*a] >= suspect::NAMED)
}
