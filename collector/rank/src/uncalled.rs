//! Who is only called less: that tells of those that call it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Evidence;
use crate::family::Family;
use crate::moved::{Strongest, WEIGHT_OF_LESS, is_less_work};
use crate::waits::{Callers, Loads};

/// What is known of callers.
#[derive(Clone, Copy)]
pub struct Known<'k, 'a> {
    pub callers: &'k Callers<'a>,
    pub loads: &'k Loads<'a>,
    /// What they wait for longer.
    pub waiting: &'k BTreeMap<&'a str, Evidence>,
    /// Whose waits are recorded at all.
    pub waits: &'k BTreeSet<&'a str>,
}

/// Takes out the evidence of those that show nothing but less work though their callers get as much as ever, and returns it as
/// those callers'; each family of theirs once, by the strongest, and shared among the callers.
///
/// It counts in full there: whose fault leaves less to do is known. Who is not reached does less, too: nothing is taken of a
/// callee that its callers wait for by as much, or fail or are slow by as much where nobody records their waits.
pub fn take<'a>(strongest: &mut Strongest<'a>, known: Known<'_, 'a>) -> Vec<(&'a str, Evidence)> {
    let less = |(of, evidence): (&(&str, Family), &Evidence)| is_less_work(of.1, &evidence.shift);
    let idle: BTreeSet<&str> = strongest
        .iter()
        .filter(|one| one.0.1 == Family::Load && less(*one))
        .map(|((component, _), _)| *component)
        .collect();
    let mut of_callers = Strongest::new();
    let busy = |caller: &&str| known.loads.contains_key(caller) && !idle.contains(caller);
    let callees = known.callers.iter();
    for (callee, by) in callees.filter(|(callee, _)| idle.contains(**callee)) {
        let own = strongest.iter().filter(|((c, _), _)| c == callee);
        let only_less = own.clone().all(less);
        let lost: f64 = own.map(|(_, evidence)| evidence.weight).sum();
        if !only_less || !by.iter().all(busy) || known.waits(by, strongest) >= lost {
            continue;
        }
        let (own, rest): (Strongest<'_>, Strongest<'_>) = std::mem::take(strongest)
            .into_iter()
            .partition(|((component, _), _)| component == callee);
        *strongest = rest;
        for ((_, family), mut evidence) in own {
            evidence.of = Some((*callee).to_owned());
            evidence.weight /= WEIGHT_OF_LESS * by.len() as f64;
            for caller in by {
                let held = of_callers.entry((*caller, family));
                let held = held.or_insert_with(|| evidence.clone());
                if evidence.weight > held.weight {
                    *held = evidence.clone();
                }
            }
        }
    }
    let all = of_callers.into_iter();
    all.map(|((caller, _), evidence)| (caller, evidence))
        .collect()
}

impl Known<'_, '_> {
    /// The strongest wait of the callers, by the share of them that wait.
    fn waits(&self, by: &BTreeSet<&str>, strongest: &Strongest<'_>) -> f64 {
        let waits: Vec<f64> = by.iter().filter_map(|c| self.wait(c, strongest)).collect();
        waits.iter().copied().fold(0.0, f64::max) * waits.len() as f64 / by.len() as f64
    }

    fn wait(&self, caller: &str, strongest: &Strongest<'_>) -> Option<f64> {
        if self.waits.contains(caller) {
            return self.waiting.get(caller).map(|wait| wait.weight);
        }
        let signs = [Family::Latency, Family::Failures].into_iter();
        let shown = signs.filter_map(|family| strongest.get(&(caller, family)));
        let worse = shown.filter(|e| e.shift.after > e.shift.before);
        worse.map(|e| e.weight).reduce(f64::max)
    }
}

#[cfg(test)]
mod tests;
