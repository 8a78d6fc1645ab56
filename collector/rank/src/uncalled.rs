//! Who is only called less: that tells of those that call it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Evidence;
use crate::family::Family;
use crate::moved::{Strongest, WEIGHT_OF_LESS, is_less_work};
use crate::waits::Callers;

/// Takes out the evidence of those that show nothing but less work though their callers get as much as ever, and returns it as
/// those callers'; each family of theirs once, by the strongest, and shared among the callers.
///
/// It counts in full there: whose fault leaves less to do is known. Who is not reached does less, too: nothing is taken of a
/// callee that its callers wait for by as much.
pub fn take<'a>(
    strongest: &mut Strongest<'a>,
    waiting: &BTreeMap<&str, Evidence>,
    callers: &Callers<'a>,
) -> Vec<(&'a str, Evidence)> {
    let less = |(of, evidence): (&(&str, Family), &Evidence)| is_less_work(of.1, &evidence.shift);
    let idle: BTreeSet<&str> = strongest
        .iter()
        .filter(|one| one.0.1 == Family::Load && less(*one))
        .map(|((component, _), _)| *component)
        .collect();
    let mut of_callers = Strongest::new();
    for (callee, by) in callers.iter().filter(|(callee, _)| idle.contains(**callee)) {
        let own = strongest.iter().filter(|((c, _), _)| c == callee);
        let only_less = own.clone().all(less);
        let lost: f64 = own.map(|(_, evidence)| evidence.weight).sum();
        if !only_less || by.iter().any(|c| idle.contains(c)) || waits(by, waiting) >= lost {
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

/// The strongest wait of the callers, by the share of them that wait.
fn waits(by: &BTreeSet<&str>, waiting: &BTreeMap<&str, Evidence>) -> f64 {
    let waits = by.iter().filter_map(|caller| waiting.get(caller));
    let count = waits.clone().count();
    let strongest = waits.map(|w| w.weight).fold(0.0, f64::max);
    strongest * count as f64 / by.len() as f64
}

#[cfg(test)]
mod tests;
