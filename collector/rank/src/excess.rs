//! The alarm's excess work, followed along the calls to where it arises.
//!
//! Work is what a caller waits for: time per request beyond the usual, times requests, or requests that failed. A
//! callee's excess is inside its caller's, so what is a component's own is the rest after its callees'.

use std::collections::{BTreeMap, BTreeSet};

use crate::family::{self, Family};
use crate::shift::{self, Search, quantile, sorted};
use crate::{Alarm, Edge, Series};

/// Excess nearer to the usual than so many of its spreads is nobody's.
pub(crate) const FAINTEST_EXCESS: f64 = 3.0;
/// A level is not known from fewer points.
const FEWEST_BEFORE: usize = 4;
/// The spread of a count of failures is never taken as less than one failure.
const LEAST_FAILURES_SPREAD: f64 = 1.0;
/// 2.5% to 97.5% of a normal distribution, in spreads.
const NEARLY_ALL_SPREADS: f64 = 4.0;
/// A share whose usual level is above this is in percent.
const LARGEST_RATIO: f64 = 1.5;

/// Excess work of a component since the onset, and how many spreads that is.
#[derive(Debug, Clone, Copy, Default)]
struct Excess {
    work: f64,
    spreads: f64,
}

/// The excess at the alarm's component, divided.
#[derive(Debug, Default)]
pub struct Divided {
    /// How many of its usual spreads the excess is.
    pub spreads: f64,
    /// Each component's own share; above zero.
    pub own: BTreeMap<String, f64>,
}

/// None: the alarm, the calls of its component or the load are not known.
pub fn divide(series: &[Series], edges: &[Edge], alarm: &Alarm) -> Option<Divided> {
    let root = alarm.component.as_deref()?;
    let signal = alarm.signal.as_deref()?;
    // Without its calls all would be its own, and whoever suffers would be blamed.
    if !edges.iter().any(|e| e.caller == root || e.callee == root) {
        return None;
    }
    let per_request = match family::of(signal) {
        Family::Latency => false,
        Family::Failures if family::is_share_of_success(signal) => true,
        _ => return None,
    };
    let at_root = find(series, root, |s| s.signal == signal)?;
    let onset = shift::strongest(&at_root.points, Search::before(alarm.time))?.since;
    let reached = reach(root, edges);
    let mut found: BTreeMap<&str, Excess> = BTreeMap::new();
    for component in &reached {
        let quality = find(series, component, |s| s.signal == signal);
        let load = find(series, component, |s| family::of(&s.signal) == Family::Load);
        if let (Some(quality), Some(load)) = (quality, load) {
            let excess = excess(&quality.points, &load.points, onset, per_request);
            found.insert(component, excess.unwrap_or_default());
        }
    }
    let Excess {
        work: whole,
        spreads,
    } = *found.get(root)?;
    if whole <= 0.0 {
        return Some(Divided {
            spreads,
            ..Divided::default()
        });
    }
    let own = |(component, excess): (&&str, &Excess)| {
        let share = (excess.work - of_callees(component, edges, &reached, &found)) / whole;
        let clear = excess.spreads >= FAINTEST_EXCESS && share > 0.0;
        clear.then(|| ((*component).to_owned(), share))
    };
    Some(Divided {
        spreads,
        own: found.iter().filter_map(own).collect(),
    })
}

fn find<'a>(
    series: &'a [Series],
    component: &str,
    wanted: impl Fn(&Series) -> bool,
) -> Option<&'a Series> {
    series
        .iter()
        .find(|s| s.component == component && wanted(s))
}

/// The root and all that it calls, directly or not.
fn reach<'a>(root: &'a str, edges: &'a [Edge]) -> BTreeSet<&'a str> {
    let mut callees: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in edges {
        callees.entry(&edge.caller).or_default().push(&edge.callee);
    }
    let mut reached = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(component) = open.pop() {
        for callee in callees.get(component).into_iter().flatten() {
            if reached.insert(callee) {
                open.push(callee);
            }
        }
    }
    reached
}

/// What the callees of a component explain of its excess; one that several call is divided among them.
fn of_callees(
    component: &str,
    edges: &[Edge],
    reached: &BTreeSet<&str>,
    found: &BTreeMap<&str, Excess>,
) -> f64 {
    let called: BTreeSet<&str> = edges
        .iter()
        .filter(|e| e.caller == component && e.callee != component)
        .map(|e| e.callee.as_str())
        .collect();
    let part = |callee: &str| {
        let callers: BTreeSet<&str> = edges
            .iter()
            .filter(|e| e.callee == callee && reached.contains(e.caller.as_str()))
            .map(|e| e.caller.as_str())
            .collect();
        found.get(callee).map_or(0.0, |e| e.work) / callers.len().max(1) as f64
    };
    called.into_iter().map(part).sum()
}

/// None: the time before is not known, or nothing was seen since.
fn excess(
    quality: &[(f64, f64)],
    load: &[(f64, f64)],
    onset: f64,
    per_request: bool,
) -> Option<Excess> {
    let requests = |time: f64| {
        let at = load.partition_point(|(t, _)| *t < time);
        load.get(at).filter(|(t, _)| *t == time).map(|(_, n)| *n)
    };
    let before = quality.partition_point(|(time, _)| *time < onset);
    let levels = sorted(&quality[..before]);
    if levels.len() < FEWEST_BEFORE {
        return None;
    }
    let level = quantile(&levels, 0.5)?;
    let full = if level > LARGEST_RATIO { 100.0 } else { 1.0 };
    let work = |(time, value): &(f64, f64)| {
        let each = if per_request {
            (full - value) / full
        } else {
            value - level
        };
        Some((*time, each * requests(*time)?))
    };
    let usual: Vec<(f64, f64)> = quality[..before].iter().filter_map(work).collect();
    let since: Vec<(f64, f64)> = quality[before..].iter().filter_map(work).collect();
    if since.is_empty() {
        return None;
    }
    let (mean, spread) = if per_request {
        let mean = usual.iter().map(|(_, w)| w).sum::<f64>() / usual.len().max(1) as f64;
        (mean, mean.max(0.0).sqrt().max(LEAST_FAILURES_SPREAD))
    } else {
        let usual = sorted(&usual);
        let width = quantile(&usual, 0.975)? - quantile(&usual, 0.025)?;
        (0.0, (width / NEARLY_ALL_SPREADS).max(f64::MIN_POSITIVE))
    };
    let total: f64 = since.iter().map(|(_, w)| w - mean).sum();
    Some(Excess {
        work: total.max(0.0),
        spreads: total / spread / (since.len() as f64).sqrt(),
    })
}
