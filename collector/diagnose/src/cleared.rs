//! Ruling out, only with power: a component is cleared when every fault that it could have would have
//! shown in something that was measured, and did not.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlook_model::{Cleared, ComponentKind, Evidence, Timestamp};

use crate::absence::{Absence, absences, is_looked_for};
use crate::catalogue::{Fault, UNKNOWN_FAULT};
use crate::compete::Outcome;
use crate::graph::Node;
use crate::hypothesis::{Hypothesis, concerns};
use crate::judge::{Inquiry, is_named};
use crate::reach::Reach;
use crate::relation::Seat;
use crate::weigh::Expectation;
use crate::witness::Observed;

/// Weight against a fault from which it counts as excluded, in decibans: it would have shown in five
/// cases of six.
const POWER_DB: f64 = -8.0;

/// Weight from which a fact is worth a line where stronger ones suffice, in decibans.
const TELLING_DB: f64 = -3.0;

/// Probability from which a component stays suspected, listed or not.
const STILL_SUSPECTED: f64 = 0.01;

/// P(seen | depends on something that fails) from which a symptom may be a victim's.
const VICTIMS_SIGN: f64 = 0.05;

/// How many times likelier than by chance the accepted faults must make a victim's symptom.
const EXPLAINED: f64 = 2.0;

/// Share of expected observations from which a place was measured well enough to clear it.
const COVERED: f64 = 0.8;

/// A culprit's own signs may show this much after its victims' (batches, polls, persistence): what was
/// measured before that clears nobody.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// From one whom a fault hurts to the next it takes no longer: what hurts later is hurt anew.
const SPREADS_WITHIN: Duration = Duration::from_secs(15);

/// Most components listed as ruled out.
const CLEARED_LIMIT: usize = 64;

/// Neighbours that are cleared, nearest first.
pub(crate) fn ruled_out(
    inquiry: &Inquiry<'_>,
    hypotheses: &[Hypothesis<'_>],
    outcome: &Outcome,
    neighbours: &[(usize, Node)],
) -> Vec<Cleared> {
    if inquiry.witnesses.observed.is_empty() {
        return Vec::new();
    }
    let mut expected = Expectation::of_nothing(&inquiry.witnesses);
    for accepted in &outcome.accepted {
        expected = expected.with(&hypotheses[*accepted]);
    }
    let bench = Bench {
        inquiry,
        hypotheses,
        outcome,
        expected,
    };
    let candidates = neighbours.iter().map(|(_, node)| *node);
    candidates
        .filter(|node| bench.may_be_cleared(*node))
        .filter_map(|node| {
            let cleared_by = bench.cleared_by(node)?;
            Some(Cleared {
                component: inquiry.graph.id(node).clone(),
                cleared_by,
            })
        })
        .take(CLEARED_LIMIT)
        .collect()
}

struct Bench<'b, 'a> {
    inquiry: &'b Inquiry<'a>,
    hypotheses: &'b [Hypothesis<'a>],
    outcome: &'b Outcome,
    expected: Expectation,
}

impl Bench<'_, '_> {
    fn may_be_cleared(&self, node: Node) -> bool {
        let graph = &self.inquiry.graph;
        let connected =
            || graph.callers(node).next().is_some() || graph.callees(node).next().is_some();
        let suspectable = match graph.kind(node) {
            ComponentKind::Service | ComponentKind::Endpoint => connected(),
            ComponentKind::Agent => false,
            _ => true,
        };
        suspectable
            && !self.inquiry.witnesses.is_silent(graph, node)
            && !self.is_suspected(node)
            && self.is_innocent_of_its_symptoms(node)
    }

    fn is_suspected(&self, node: Node) -> bool {
        let mut of_node = self
            .hypotheses
            .iter()
            .enumerate()
            .filter(|(_, h)| h.node == node);
        of_node.any(|(h, _)| {
            self.outcome.probability[h] >= STILL_SUSPECTED || self.outcome.accepted.contains(&h)
        })
    }

    /// No symptoms at all, its own or of others who complain of it; or, beside named suspects, only such as victims have,
    /// and explained.
    fn is_innocent_of_its_symptoms(&self, node: Node) -> bool {
        let id = self.inquiry.graph.id(node);
        let witnesses = &self.inquiry.witnesses;
        let symptoms = self.inquiry.situation.symptoms.iter();
        let all = symptoms.filter(|s| s.component == *id).count();
        let here = witnesses.of(node);
        let complains = |o: &usize| {
            let seen = &witnesses.observed[*o];
            seen.peer == Some(node) && seen.known.edge && seen.node != node
        };
        let complaints: Vec<usize> = (0..witnesses.observed.len()).filter(complains).collect();
        if all == 0 && complaints.is_empty() {
            return true;
        }
        // A symptom outside the scope belongs to another incident: nothing is explained of it here.
        is_named(self.outcome)
            && here.len() == all
            && here.iter().chain(&complaints).all(|o| {
                let seen = &witnesses.observed[*o];
                seen.known.victim_rate >= VICTIMS_SIGN
                    && self.expected.probability(*o) >= EXPLAINED * seen.base_rate
            })
    }

    /// The facts that exclude every fault of the component; `None` when one is not excluded.
    fn cleared_by(&self, node: Node) -> Option<Vec<Evidence>> {
        let graph = &self.inquiry.graph;
        let reach = Reach::of(graph, node);
        let seat = Seat {
            graph,
            node,
            reach: &reach,
        };
        let faults = self.inquiry.catalogue.faults();
        let possible = faults.filter(|fault| {
            fault.kind != UNKNOWN_FAULT
                && self.inquiry.can_have(node, fault)
                && self.has_change_for(node, fault)
        });
        let mut facts: BTreeMap<(String, String), Absence> = BTreeMap::new();
        // There are many faults that need a sign: the missing signs are told only where nothing else is there to tell.
        let mut signs: BTreeMap<(String, String), Absence> = BTreeMap::new();
        for fault in possible {
            let since = self.hurt_since()?;
            let mut absent = absences(&seat, fault, &self.inquiry.witnesses, since);
            let settled = since.plus(SETTLED_AFTER);
            absent.retain(|a| a.coverage >= COVERED && a.last_seen >= settled);
            let weight_db: f64 = absent.iter().map(|a| a.weight_db).sum();
            if weight_db > POWER_DB {
                // What says itself what it is, and is not looked for here, is the unknown fault's business: nobody
                // who is suspected of that is cleared.
                if fault.needs_sign && !is_looked_for(&seat, fault, &self.inquiry.witnesses, since)
                {
                    continue;
                }
                return None;
            }
            let known = if fault.needs_sign {
                &mut signs
            } else {
                &mut facts
            };
            for absence in absent {
                let said = absence
                    .measured
                    .clone()
                    .unwrap_or_else(|| format!("no sign of {}", absence.words));
                let key = (absence.at.clone(), said);
                match known.get(&key) {
                    Some(known) if known.weight_db <= absence.weight_db => {}
                    _ => {
                        known.insert(key, absence);
                    }
                }
            }
        }
        let told = if facts.is_empty() { signs } else { facts };
        let mut facts: Vec<Evidence> = told
            .into_iter()
            .map(|((at, said), absence)| Evidence {
                weight_db: absence.weight_db,
                text: format!("{at}: {said}"),
                reference: absence.reference,
            })
            .collect();
        facts.sort_by(|a, b| {
            a.weight_db
                .total_cmp(&b.weight_db)
                .then_with(|| a.text.cmp(&b.text))
        });
        let telling = facts.partition_point(|fact| fact.weight_db <= TELLING_DB);
        let weight_db: f64 = facts[..telling].iter().map(|fact| fact.weight_db).sum();
        if weight_db <= POWER_DB {
            facts.truncate(telling);
        }
        (!facts.is_empty()).then_some(facts)
    }

    /// When somebody began to be hurt anew, after a time in which nobody else did: whoever did that may show his own signs only
    /// since then. What only presses, or presses most hosts, may have done so for long. Where nothing hurts yet, when
    /// anything was seen first.
    fn hurt_since(&self) -> Option<Timestamp> {
        let observed = &self.inquiry.witnesses.observed;
        let onset = |seen: &Observed<'_>| seen.symptom.onset.from;
        let is_hurt = |seen: &&Observed<'_>| {
            let hurts = seen.symptom.gate || seen.known.victim_rate >= VICTIMS_SIGN;
            hurts && seen.widespread.is_none()
        };
        let hurts = observed.iter().filter(is_hurt);
        let mut onsets: Vec<Timestamp> = hurts.map(onset).collect();
        onsets.sort_unstable();
        let apart = |pair: &[Timestamp]| pair[1].since(pair[0]) > SPREADS_WITHIN;
        let anew = onsets.windows(2).rposition(apart).map_or(0, |gap| gap + 1);
        let first = onsets.get(anew).copied();
        first.or_else(|| observed.iter().map(onset).min())
    }

    /// Whether a fault that needs a change could have had one.
    fn has_change_for(&self, node: Node, fault: &Fault) -> bool {
        let Some(needed) = fault.change.as_ref().filter(|c| c.required) else {
            return true;
        };
        self.inquiry.changes.iter().any(|change| {
            needed.kinds.iter().any(|rate| rate.kind == change.kind)
                && concerns(&self.inquiry.graph, node, change)
        })
    }
}
