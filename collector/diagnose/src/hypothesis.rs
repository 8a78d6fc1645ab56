//! Hypotheses: one component with one fault kind, what it would explain, and what speaks of it alone.

use firstlook_model::{Change, Evidence, Timestamp};

use crate::catalogue::{Fault, Level, Prediction, Relation, SymptomKind};
use crate::graph::{Graph, Node};
use crate::reach::either;
use crate::relation::Seat;
use crate::weigh::rounded;
use crate::witness::{Observed, Witnesses};
use crate::{absence, changed, timing};

/// Beyond this lead, in seconds, a symptom is hardly the effect of a fault that began later.
const TOO_EARLY_S: f64 = 15.0;

/// What remains of the probability of such an effect.
const TOO_EARLY_FACTOR: f64 = 0.05;

/// Weight against a place whose signs all others show, in decibans.
const SHARED_DB: f64 = -12.0;

/// How much less surely a callee notices a caller's trouble than the other way round.
const SEEN_BY_CALLEE: f64 = 0.3;

/// A component with a fault kind, weighed against everything that was seen.
pub(crate) struct Hypothesis<'a> {
    pub node: Node,
    pub fault: &'a Fault,
    /// P(symptom seen because of this fault), for those symptoms where it is not 0. By number.
    pub explains: Vec<(usize, f64)>,
    /// Symptoms that the fault shows on the component itself.
    pub own: Vec<usize>,
    /// Prior, absences, forbidden sights, order and change: what does not depend on other faults.
    pub fixed: Vec<Evidence>,
    /// The change that it blames, if any.
    pub change: Option<&'a Change>,
}

impl<'a> Hypothesis<'a> {
    /// Weighs the fault at the seat. `None` when nothing seen is a direct effect of it.
    pub fn at(
        seat: &Seat<'_, '_>,
        fault: &'a Fault,
        witnesses: &Witnesses<'_>,
        changes: &[&'a Change],
    ) -> Option<Self> {
        if fault.needs_sign && !is_signed(seat, fault, witnesses) {
            return None;
        }
        let hypothesis = Self::even_if_unlikely(seat, fault, witnesses, changes);
        let direct = |o: usize| {
            let seen = &witnesses.observed[o];
            fault
                .predicts
                .iter()
                .any(|p| placed(seat, p, seen) * p.p_each > 0.0)
        };
        let explains_something = hypothesis.explains.iter().any(|(o, _)| direct(*o));
        let needs_change = fault.change.as_ref().is_some_and(|c| c.required);
        let has_change = !needs_change || hypothesis.change.is_some();
        let thinkable = explains_something && has_change && hypothesis.is_well(seat, witnesses);
        thinkable.then_some(hypothesis)
    }

    /// The same for a person's theory: weighed even when nothing speaks for it.
    pub fn even_if_unlikely(
        seat: &Seat<'_, '_>,
        fault: &'a Fault,
        witnesses: &Witnesses<'_>,
        changes: &[&'a Change],
    ) -> Self {
        let own = own(seat, fault, witnesses);
        let onset = timing::earliest(witnesses, own.iter().copied());
        let explains = explains(seat, fault, witnesses, onset);
        let mut fixed = vec![prior(fault)];
        let since = onset.or(timing::earliest(
            witnesses,
            explains.iter().map(|(o, _)| *o),
        ));
        fixed.extend(absence::weigh(seat, fault, witnesses, since));
        fixed.extend(timing::order(seat.graph, witnesses, &own, &explains));
        fixed.extend(shared(seat, fault, witnesses));
        let mut change = None;
        if let Some(needed) = &fault.change {
            let weighed = changed::weigh(seat.graph, seat.node, needed, witnesses, &own, changes);
            change = weighed.blamed;
            fixed.extend(weighed.evidence);
        }
        Self {
            node: seat.node,
            fault,
            explains,
            own,
            fixed,
            change,
        }
    }

    /// Whether the component was seen to be well, in all that the fault leaves well, after the fault began.
    fn is_well(&self, seat: &Seat<'_, '_>, witnesses: &Witnesses<'_>) -> bool {
        let since = self.since(witnesses);
        let mut families = self.fault.well.iter();
        families.all(|family| {
            let attested = witnesses.attestation(seat.graph, seat.node, family);
            attested.is_some_and(|by| by.last_seen.seconds_from(since) > timing::CLOCK_ERROR_S)
        })
    }

    /// Sum of what does not depend on other faults.
    pub fn fixed_db(&self) -> f64 {
        self.fixed.iter().map(|e| e.weight_db).sum()
    }

    /// When it began: with its own first symptom, else with the first that it explains.
    pub fn since(&self, witnesses: &Witnesses<'_>) -> Timestamp {
        let own = timing::earliest(witnesses, self.own.iter().copied());
        own.or(timing::earliest(
            witnesses,
            self.explains.iter().map(|(o, _)| *o),
        ))
        .unwrap_or(witnesses.reference_time)
    }
}

/// Whether a prediction names the kind.
pub(crate) fn names(any: &[String], kind: &str, known: &SymptomKind) -> bool {
    any.iter()
        .any(|k| k == kind || (k == "*" && !known.outward))
}

/// Whether everything that the fault must show is seen where it must.
fn is_signed(seat: &Seat<'_, '_>, fault: &Fault, witnesses: &Witnesses<'_>) -> bool {
    let mut must = fault.predicts.iter().filter(|p| p.level == Level::Must);
    must.all(|p| {
        witnesses
            .observed
            .iter()
            .any(|seen| placed(seat, p, seen) > 0.0)
    })
}

/// How surely the observation is the predicted one, by kind and place.
pub(crate) fn placed(seat: &Seat<'_, '_>, prediction: &Prediction, seen: &Observed<'_>) -> f64 {
    let applies = prediction.holds_for(seat.graph.kind(seat.node));
    if !applies || !names(&prediction.any, &seen.symptom.kind, seen.known) {
        return 0.0;
    }
    prediction
        .at
        .iter()
        .map(|relation| seat.holds(*relation, seen))
        .fold(0.0, f64::max)
}

/// Changes of a component: its own, and those of its host, which may concern anything on it.
pub(crate) fn concerns(graph: &Graph<'_>, node: Node, change: &Change) -> bool {
    let id = graph.id(node);
    change.component == *id || id.its_host().as_ref() == Some(&change.component)
}

fn prior(fault: &Fault) -> Evidence {
    Evidence {
        weight_db: fault.prior_db,
        text: format!(
            "before any fact: how seldom one component has {}",
            fault.kind
        ),
        reference: None,
    }
}

/// What speaks against a place all of whose signs of the fault are shown by many others, too: what they share is likelier.
fn shared(seat: &Seat<'_, '_>, fault: &Fault, witnesses: &Witnesses<'_>) -> Option<Evidence> {
    let must = |o: &usize| {
        let seen = &witnesses.observed[*o];
        let mut must = fault.predicts.iter().filter(|p| p.level == Level::Must);
        must.any(|p| placed(seat, p, seen) > 0.0)
    };
    let signs = (0..witnesses.observed.len()).filter(must);
    let signs: Vec<&Observed<'_>> = signs.map(|o| &witnesses.observed[o]).collect();
    let (others, all) = signs.first()?.widespread?;
    let everywhere = signs.iter().all(|seen| seen.widespread.is_some());
    everywhere.then(|| Evidence {
        weight_db: rounded(SHARED_DB * others as f64 / all as f64),
        text: format!("{others} of {all} other hosts show the same: what they share is likelier"),
        reference: None,
    })
}

fn own(seat: &Seat<'_, '_>, fault: &Fault, witnesses: &Witnesses<'_>) -> Vec<usize> {
    let near = |relation: &Relation| {
        matches!(
            relation,
            Relation::Itself | Relation::ItsHost | Relation::Interface
        )
    };
    let places = seat
        .graph
        .interfaces_beside(seat.node)
        .chain(seat.graph.host(seat.node));
    let mut places: Vec<Node> = places.chain([seat.node]).collect();
    places.sort_unstable();
    places.dedup();
    let mut own: Vec<usize> = places
        .into_iter()
        .flat_map(|place| witnesses.of(place).iter().copied())
        .filter(|o| {
            let seen = &witnesses.observed[*o];
            fault.predicts.iter().any(|p| {
                p.p_each > 0.0
                    && names(&p.any, &seen.symptom.kind, seen.known)
                    && p.at
                        .iter()
                        .filter(|r| near(r))
                        .any(|r| seat.holds(*r, seen) > 0.0)
            })
        })
        .collect();
    own.sort_unstable();
    own
}

fn explains(
    seat: &Seat<'_, '_>,
    fault: &Fault,
    witnesses: &Witnesses<'_>,
    onset: Option<Timestamp>,
) -> Vec<(usize, f64)> {
    let likelihood = |seen: &Observed<'_>| {
        let direct = fault
            .predicts
            .iter()
            .fold(0.0, |q, p| either(q, placed(seat, p, seen) * p.p_each));
        let q = either(direct, victim(seat, fault, seen) * fault.trouble);
        let lead_s = onset.map_or(0.0, |onset| onset.seconds_from(seen.symptom.onset.to));
        if lead_s > TOO_EARLY_S {
            q * TOO_EARLY_FACTOR
        } else {
            q
        }
    };
    let all = witnesses.observed.iter().enumerate();
    all.map(|(o, seen)| (o, likelihood(seen)))
        .filter(|(_, q)| *q > 1e-4)
        .collect()
}

/// P(seen because something that it depends on fails), given that the trouble is felt. What shows the sign of a fault is
/// itself hurt by that, as who depends on it is.
fn victim(seat: &Seat<'_, '_>, fault: &Fault, seen: &Observed<'_>) -> f64 {
    let (graph, reach) = (seat.graph, seat.reach);
    let hurt = match seen.peer.filter(|_| seen.known.edge) {
        Some(peer) if graph.calls(seen.node, peer) => {
            // Trouble on the far end shows on the edge; trouble on this end a little.
            let own = reach.entries().get(&seen.node).copied().unwrap_or(0.0);
            reach.hurt(peer).max(own * SEEN_BY_CALLEE)
        }
        Some(peer) => reach.hurt(peer) * SEEN_BY_CALLEE,
        None if seen.node != seat.node => reach.hurt(seen.node),
        None if fault.needs_sign => 1.0,
        None => 0.0,
    };
    hurt * seen.known.victim_rate
}
