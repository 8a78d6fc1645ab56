//! What speaks for each component: the shifts of its signals, and what those that call it say of it.

use std::collections::BTreeMap;

use crate::family::{self, Family};
use crate::shift::{self, Search, Shift};
use crate::{Edge, Evidence, Series, uncalled, waits};

/// A shift weaker than this many spreads says nothing for or against.
const FAINTEST_SHIFT: f64 = 1.0;
/// A shift of so many spreads is one clear reason: weights are logarithms beyond it.
const CLEAR_SHIFT: f64 = 3.0;
/// Less work, or quicker, is more often what a fault elsewhere leaves over than what a fault is: it counts less.
pub(crate) const WEIGHT_OF_LESS: f64 = 0.7;

/// A series up to some moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub component: &'a str,
    pub signal: &'a str,
    pub points: &'a [(f64, f64)],
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

/// The strongest shift of each family of a component's signals.
pub(crate) type Strongest<'a> = BTreeMap<(&'a str, Family), Evidence>;

/// Weighs what moved around an alarm.
///
/// Each family of a component's signals counts once, by its strongest shift, and by the logarithm: a signal that
/// moved a thousandfold is not a hundred reasons. Where the calls are known, what a component waits for is evidence about
/// those that it calls, and explains its own slowness; and who is only called less tells of those that call it.
pub fn by_component(series: &[View<'_>], edges: &[Edge], search: Search) -> Moved {
    let mut strongest = Strongest::new();
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
    let callers = waits::callers(edges);
    let waiting = if edges.is_empty() {
        BTreeMap::new()
    } else {
        waits::take(&mut strongest)
    };
    let loads = waits::loads(series);
    let known = uncalled::Known {
        callers: &callers,
        loads: &loads,
        waiting: &waiting,
        waits: &waits::recorded(series),
    };
    let mut moved = Moved::new();
    for (caller, evidence) in uncalled::take(&mut strongest, known) {
        moved.entry(caller.to_owned()).or_default().push(evidence);
    }
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
    for (callee, evidence) in waits::told(&waiting, &callers, &loads) {
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
    let factor = if is_less_work(family, &shift) {
        WEIGHT_OF_LESS
    } else {
        1.0
    };
    let enough = shift.spreads >= FAINTEST_SHIFT;
    enough.then(|| Evidence {
        of: None,
        signal: series.signal.to_owned(),
        weight: factor * (shift.spreads / CLEAR_SHIFT).ln_1p(),
        shift,
    })
}

/// Whether a shift says that less is done, or quicker.
pub(crate) fn is_less_work(family: Family, shift: &Shift) -> bool {
    shift.after < shift.before && !matches!(family, Family::Memory | Family::Failures)
}
