//! What speaks for each component: the shifts of its signals, and what those that call it say of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::family::{self, Family};
use crate::shift::{self, Search};
use crate::{Edge, Evidence, Series};

/// A shift weaker than this many spreads says nothing for or against.
const FAINTEST_SHIFT: f64 = 1.0;
/// A shift of so many spreads is one clear reason: weights are logarithms beyond it.
const CLEAR_SHIFT: f64 = 3.0;
/// Less work, or quicker, is more often what a fault elsewhere leaves over than what a fault is: it counts less.
const WEIGHT_OF_LESS: f64 = 0.7;

/// A series up to some moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    component: &'a str,
    signal: &'a str,
    points: &'a [(f64, f64)],
}

impl<'a> View<'a> {
    /// The points until `end`, itself included.
    pub fn until(series: &'a Series, end: f64) -> Self {
        let until = series.points.partition_point(|(time, _)| *time <= end);
        Self {
            points: &series.points[..until],
            ..Self::whole(series)
        }
    }

    /// All points.
    pub fn whole(series: &'a Series) -> Self {
        Self {
            component: &series.component,
            signal: &series.signal,
            points: &series.points,
        }
    }
}

/// The evidence by component, strongest first.
pub type Moved = BTreeMap<String, Vec<Evidence>>;

/// Weighs what moved around an alarm.
///
/// Each family of a component's signals counts once, by its strongest shift, and by the logarithm: a signal that
/// moved a thousandfold is not a hundred reasons. Where the calls are known, what a component waits for is evidence about
/// those that it calls, and explains its own slowness.
pub fn by_component(series: &[View<'_>], edges: &[Edge], search: Search) -> Moved {
    let mut strongest: BTreeMap<(&str, Family), Evidence> = BTreeMap::new();
    for one in series {
        let family = family::of(one.signal);
        let Some(evidence) = weigh(one, family, search) else {
            continue;
        };
        let key = (one.component, family);
        let held = strongest.entry(key).or_insert_with(|| evidence.clone());
        if evidence.weight > held.weight {
            *held = evidence;
        }
    }
    let waiting = if edges.is_empty() {
        BTreeMap::new()
    } else {
        take_waiting(&mut strongest)
    };
    let mut moved = Moved::new();
    for ((component, family), mut evidence) in strongest {
        if family == Family::Latency {
            evidence.weight -= waiting.get(component).map_or(0.0, |w| w.weight);
        }
        if evidence.weight > 0.0 {
            moved
                .entry(component.to_owned())
                .or_default()
                .push(evidence);
        }
    }
    for (callee, evidence) in told_by_callers(&waiting, edges) {
        moved.entry(callee.to_owned()).or_default().push(evidence);
    }
    for evidence in moved.values_mut() {
        evidence.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    }
    moved
}

/// The sum of a component's evidence.
pub fn score(evidence: &[Evidence]) -> f64 {
    evidence.iter().map(|e| e.weight).sum()
}

fn weigh(series: &View<'_>, family: Family, search: Search) -> Option<Evidence> {
    let shift = shift::strongest(series.points, search)?;
    let less = shift.after < shift.before && counts_work(family);
    let factor = if less { WEIGHT_OF_LESS } else { 1.0 };
    let enough = shift.spreads >= FAINTEST_SHIFT;
    enough.then(|| Evidence {
        caller: None,
        signal: series.signal.to_owned(),
        weight: factor * (shift.spreads / CLEAR_SHIFT).ln_1p(),
        shift,
    })
}

/// Whether a family's signals go down where less is done.
fn counts_work(family: Family) -> bool {
    !matches!(family, Family::Memory | Family::Failures)
}

/// Takes out what components wait for; what they wait less for tells nothing of others.
fn take_waiting<'a>(
    strongest: &mut BTreeMap<(&'a str, Family), Evidence>,
) -> BTreeMap<&'a str, Evidence> {
    let (waiting, own) = std::mem::take(strongest)
        .into_iter()
        .partition(|((_, family), _)| *family == Family::Waiting);
    *strongest = own;
    let waiting: BTreeMap<(&str, Family), Evidence> = waiting;
    waiting
        .into_iter()
        .filter(|(_, evidence)| evidence.shift.after > evidence.shift.before)
        .map(|((component, _), evidence)| (component, evidence))
        .collect()
}

/// For each callee the strongest wait of its callers, by the share of them that wait: who is slow is slow for all.
fn told_by_callers<'a>(
    waiting: &BTreeMap<&str, Evidence>,
    edges: &'a [Edge],
) -> Vec<(&'a str, Evidence)> {
    let mut callers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges.iter().filter(|e| e.caller != e.callee) {
        callers
            .entry(&edge.callee)
            .or_default()
            .insert(&edge.caller);
    }
    let told = |(callee, callers): (&'a str, BTreeSet<&str>)| {
        let waits = callers.iter().filter_map(|c| Some((*c, waiting.get(c)?)));
        let count = waits.clone().count();
        let (caller, evidence) = waits.max_by(|a, b| a.1.weight.total_cmp(&b.1.weight))?;
        let evidence = Evidence {
            caller: Some(caller.to_owned()),
            weight: evidence.weight * count as f64 / callers.len() as f64,
            ..evidence.clone()
        };
        Some((callee, evidence))
    };
    callers.into_iter().filter_map(told).collect()
}
