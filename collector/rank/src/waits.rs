//! What callers wait for: evidence about those that they call.

use std::collections::{BTreeMap, BTreeSet};

use crate::family::{self, Family};
use crate::moved::{Strongest, View};
use crate::{Edge, Evidence, shift};

/// Who calls each callee.
pub type Callers<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;
/// Each component's usual load, and by which signal that is told.
pub type Loads<'a> = BTreeMap<&'a str, (&'a str, f64)>;

/// Nobody calls itself.
pub fn callers(edges: &[Edge]) -> Callers<'_> {
    let mut callers = Callers::new();
    for edge in edges.iter().filter(|e| e.caller != e.callee) {
        callers
            .entry(&edge.callee)
            .or_default()
            .insert(&edge.caller);
    }
    callers
}

/// Takes out what components wait for; what they wait less for tells nothing of others.
pub fn take<'a>(strongest: &mut Strongest<'a>) -> BTreeMap<&'a str, Evidence> {
    let (waiting, own): (Strongest<'_>, _) = std::mem::take(strongest)
        .into_iter()
        .partition(|((_, family), _)| *family == Family::Waiting);
    *strongest = own;
    waiting
        .into_iter()
        .filter(|(_, evidence)| evidence.shift.after > evidence.shift.before)
        .map(|((component, _), evidence)| (component, evidence))
        .collect()
}

/// Whose waits are recorded.
pub fn recorded<'a>(series: &[View<'a>]) -> BTreeSet<&'a str> {
    let all = series.iter();
    let waits = all.filter(|s| family::of(s.signal) == Family::Waiting);
    waits.map(|s| s.component).collect()
}

/// The median of each component's load.
pub fn loads<'a>(series: &[View<'a>]) -> Loads<'a> {
    let mut loads = Loads::new();
    let all = series.iter();
    for one in all.filter(|s| family::of(s.signal) == Family::Load) {
        if let Some(usual) = shift::quantile(&shift::sorted(one.points), 0.5) {
            loads.entry(one.component).or_insert((one.signal, usual));
        }
    }
    loads
}

/// For each callee the strongest wait of its callers that it could make, by the share of them that wait: who is slow is slow
/// for all.
pub fn told<'a>(
    waiting: &BTreeMap<&str, Evidence>,
    callers: &Callers<'a>,
    loads: &Loads<'_>,
) -> Vec<(&'a str, Evidence)> {
    let told = |(callee, by): (&&'a str, &BTreeSet<&str>)| {
        let waits = by.iter().filter_map(|c| Some((*c, waiting.get(c)?)));
        let waits = waits.filter(|(caller, e)| could_make(callee, caller, e, callers, loads));
        let count = waits.clone().count();
        let (caller, evidence) = waits.max_by(|a, b| a.1.weight.total_cmp(&b.1.weight))?;
        let evidence = Evidence {
            of: Some(caller.to_owned()),
            weight: evidence.weight * count as f64 / by.len() as f64,
            ..evidence.clone()
        };
        Some((*callee, evidence))
    };
    callers.iter().filter_map(told).collect()
}

/// Whether a callee gets enough of a caller's calls for this wait: the longest one in a hundred are not those of who gets one in
/// a thousand. Where it is not known how many those are, it could.
///
/// All that a caller calls is at least what goes to those that nobody else calls.
fn could_make(
    callee: &str,
    caller: &str,
    wait: &Evidence,
    callers: &Callers<'_>,
    loads: &Loads<'_>,
) -> bool {
    let (Some(quantile), Some((signal, load))) =
        (family::quantile_of(&wait.signal), loads.get(callee))
    else {
        return true;
    };
    let alone = callers
        .iter()
        .filter(|(other, by)| **other != callee && by.len() == 1 && by.contains(caller));
    let others = alone.filter_map(|(other, _)| loads.get(other));
    let others: f64 = others.filter(|(s, _)| s == signal).map(|(_, l)| l).sum();
    *load >= (1.0 - quantile) * (load + others)
}

#[cfg(test)]
mod tests;
