//! Competition: which set of faults explains the symptoms best, and how sure that is.
//!
//! The best fault is accepted, then the best given that one, until nothing more is gained. Then the
//! accepted set is set against its neighbours: nothing, one fault less, one more, one exchanged. The
//! share of those sets' odds in which a fault takes part is its probability.

use firstlook_model::Evidence;

use crate::graph::Graph;
use crate::hypothesis::Hypothesis;
use crate::weigh::{Expectation, Gain, gain, rounded};
use crate::witness::Witnesses;

/// Most faults at once in one incident. More at one time is one fault that we do not know.
const FAULTS_LIMIT: usize = 4;

/// Weight of a further, independent fault in the same incident, in decibans: two at once are rare.
const FURTHER_FAULT_DB: f64 = -12.0;

/// Candidates that are tried in exchange for an accepted one, by their weight alone.
const EXCHANGE_LIMIT: usize = 48;

/// Certainty is for things that we have a model of: this much is left to what we have none of.
const CERTAINTY_LIMIT: f64 = 0.99;

/// The outcome of a competition over a list of hypotheses. Numbers are places in that list.
pub(crate) struct Outcome {
    /// Accepted ones, in order of acceptance.
    pub accepted: Vec<usize>,
    /// Probability of each.
    pub probability: Vec<f64>,
    /// Probability that none of them is at work.
    pub nothing: f64,
}

/// One competition.
pub(crate) struct Contest<'c, 'a> {
    pub graph: &'c Graph<'a>,
    pub witnesses: &'c Witnesses<'a>,
    pub hypotheses: &'c [Hypothesis<'a>],
}

impl Contest<'_, '_> {
    /// Finds the best set and every hypothesis' probability.
    pub fn decide(&self) -> Outcome {
        let nothing = Expectation::of_nothing(self.witnesses);
        let alone: Vec<f64> = self
            .hypotheses
            .iter()
            .map(|h| gain(self.witnesses, &nothing, h).total_db)
            .collect();
        let accepted = self.accept(&nothing, &alone);
        let mut odds = Odds::new(self.hypotheses.len());
        odds.add(0.0, &[]);
        if !accepted.is_empty() {
            let (total, _) = self.sum(&accepted);
            odds.add(total, &accepted);
        }
        self.one_more(&accepted, &alone, &mut odds);
        self.one_exchanged(&accepted, &alone, &mut odds);
        odds.outcome(accepted)
    }

    fn accept(&self, nothing: &Expectation, alone: &[f64]) -> Vec<usize> {
        let mut accepted = Vec::new();
        let mut expected = nothing.clone();
        let mut gains = alone.to_vec();
        while accepted.len() < FAULTS_LIMIT {
            let left = (0..gains.len()).filter(|h| !accepted.contains(h));
            // The first of equals: hypotheses are sorted by component and kind.
            let Some(best) = left.max_by(|a, b| gains[*a].total_cmp(&gains[*b]).then(b.cmp(a)))
            else {
                break;
            };
            if gains[best] + further(accepted.len()) <= 0.0 {
                break;
            }
            accepted.push(best);
            expected = expected.with(&self.hypotheses[best]);
            for (h, hypothesis) in self.hypotheses.iter().enumerate() {
                gains[h] = gain(self.witnesses, &expected, hypothesis).total_db;
            }
        }
        accepted
    }

    fn one_more(&self, accepted: &[usize], alone: &[f64], odds: &mut Odds) {
        let (total, expected) = self.sum(accepted);
        for (h, hypothesis) in self.hypotheses.iter().enumerate() {
            if !accepted.contains(&h) {
                let more = if accepted.is_empty() {
                    alone[h]
                } else {
                    gain(self.witnesses, &expected, hypothesis).total_db + FURTHER_FAULT_DB
                };
                odds.add_with(total + more, accepted, h);
            }
        }
    }

    fn one_exchanged(&self, accepted: &[usize], alone: &[f64], odds: &mut Odds) {
        let mut by_weight: Vec<usize> = (0..self.hypotheses.len())
            .filter(|h| !accepted.contains(h))
            .collect();
        by_weight.sort_by(|a, b| alone[*b].total_cmp(&alone[*a]).then(a.cmp(b)));
        by_weight.truncate(EXCHANGE_LIMIT);
        for out in accepted {
            let rest: Vec<usize> = accepted.iter().copied().filter(|a| a != out).collect();
            let (total, expected) = self.sum(&rest);
            if !rest.is_empty() {
                odds.add(total, &rest);
            }
            for h in &by_weight {
                let instead = gain(self.witnesses, &expected, &self.hypotheses[*h]).total_db
                    + further(rest.len());
                odds.add_with(total + instead, &rest, *h);
            }
        }
    }

    /// Weight of a set, each fault given those before it, and what it lets expect.
    fn sum(&self, set: &[usize]) -> (f64, Expectation) {
        let mut expected = Expectation::of_nothing(self.witnesses);
        let mut total = 0.0;
        for (place, h) in set.iter().enumerate() {
            total +=
                gain(self.witnesses, &expected, &self.hypotheses[*h]).total_db + further(place);
            expected = expected.with(&self.hypotheses[*h]);
        }
        (total, expected)
    }

    /// The facts for and against one hypothesis in the best set that it takes part in. They add up
    /// to its decibans. What the rest of the set explains already is one fact against.
    pub fn facts(&self, h: usize, accepted: &[usize]) -> Vec<Evidence> {
        let hypothesis = &self.hypotheses[h];
        let rest = self.best_company(h, accepted);
        let alone = gain(
            self.witnesses,
            &Expectation::of_nothing(self.witnesses),
            hypothesis,
        );
        let (_, expected) = self.sum(&rest);
        let beside = gain(self.witnesses, &expected, hypothesis).total_db;
        let mut facts = hypothesis.fixed.clone();
        facts.extend(self.seen(&alone));
        let explained_db = rounded(beside - alone.total_db);
        if explained_db.abs() >= 0.1 {
            let names = rest.iter().map(|r| {
                let other = &self.hypotheses[*r];
                format!(
                    "{} of {}",
                    other.fault.kind,
                    self.graph.id(other.node).label()
                )
            });
            let text = format!(
                "explained already by {}",
                names.collect::<Vec<_>>().join(" and ")
            );
            facts.push(Evidence {
                weight_db: explained_db,
                text,
                reference: None,
            });
        }
        if !rest.is_empty() {
            let text = "beside another fault: two at once are rare".to_owned();
            facts.push(Evidence {
                weight_db: FURTHER_FAULT_DB,
                text,
                reference: None,
            });
        }
        facts
    }

    fn seen<'g>(&'g self, gain: &'g Gain) -> impl Iterator<Item = Evidence> + 'g {
        gain.symptoms
            .iter()
            .filter(|(_, weight_db)| weight_db.abs() >= 0.1)
            .map(|(o, weight_db)| {
                let seen = &self.witnesses.observed[*o];
                Evidence {
                    weight_db: *weight_db,
                    text: seen.says(self.graph),
                    reference: Some(seen.symptom.reference.clone()),
                }
            })
    }

    /// The accepted faults beside which a hypothesis stands best: all others, or all but one.
    fn best_company(&self, h: usize, accepted: &[usize]) -> Vec<usize> {
        let others: Vec<usize> = accepted.iter().copied().filter(|a| *a != h).collect();
        if others.len() < accepted.len() {
            return others;
        }
        let without = accepted.iter().map(|out| {
            accepted
                .iter()
                .copied()
                .filter(|a| a != out)
                .collect::<Vec<_>>()
        });
        let weight = |rest: &Vec<usize>| {
            let (total, expected) = self.sum(rest);
            let gain = gain(self.witnesses, &expected, &self.hypotheses[h]).total_db;
            total + gain + further(rest.len())
        };
        let mut best = (weight(&others), others);
        for rest in without {
            let weight = weight(&rest);
            if weight > best.0 {
                best = (weight, rest);
            }
        }
        best.1
    }
}

/// Weight of one more fault beside `others`.
fn further(others: usize) -> f64 {
    if others == 0 { 0.0 } else { FURTHER_FAULT_DB }
}

/// Odds of sets of hypotheses, kept as logarithms until the end.
struct Odds {
    sets: Vec<(f64, Vec<usize>)>,
    hypotheses: usize,
}

impl Odds {
    fn new(hypotheses: usize) -> Self {
        Self {
            sets: Vec::new(),
            hypotheses,
        }
    }

    fn add(&mut self, total_db: f64, set: &[usize]) {
        self.sets.push((total_db, set.to_vec()));
    }

    fn add_with(&mut self, total_db: f64, set: &[usize], one: usize) {
        let mut set = set.to_vec();
        set.push(one);
        self.sets.push((total_db, set));
    }

    fn outcome(self, accepted: Vec<usize>) -> Outcome {
        let top = self
            .sets
            .iter()
            .map(|(total, _)| *total)
            .fold(f64::NEG_INFINITY, f64::max);
        let odds = |total_db: f64| 10f64.powf((total_db - top) / 10.0);
        let all: f64 = self.sets.iter().map(|(total, _)| odds(*total)).sum();
        let mut probability = vec![0.0; self.hypotheses];
        let mut nothing = 0.0;
        for (total, set) in &self.sets {
            for h in set {
                probability[*h] += odds(*total) / all * CERTAINTY_LIMIT;
            }
            if set.is_empty() {
                nothing += odds(*total) / all;
            }
        }
        for p in &mut probability {
            *p = p.clamp(0.0, CERTAINTY_LIMIT);
        }
        Outcome {
            accepted,
            probability,
            nothing,
        }
    }
}
