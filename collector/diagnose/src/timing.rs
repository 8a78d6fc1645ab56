//! Time as evidence: what began first, and what changed just before.

use std::collections::BTreeSet;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{Change, ChangeKind, Evidence, Reference, TimeRange, Timestamp};

use crate::catalogue::NeededChange;
use crate::graph::{Graph, Node};
use crate::hypothesis::concerns;
use crate::weigh::rounded;
use crate::witness::Witnesses;

/// Seconds by which an effect may precede its cause through errors of clocks and of onsets.
const CLOCK_ERROR_S: f64 = 2.0;

/// Time alone never decides: what order may add and take away at most, in decibans.
const ORDER_FOR_DB: f64 = 3.0;
const ORDER_AGAINST_DB: f64 = 10.0;

/// What a component that was hurt before the cause showed takes away, the first and each further.
const FIRST_EARLIER_DB: f64 = 4.0;
const FURTHER_EARLIER_DB: f64 = 2.0;

/// P(effect | fault) from which a symptom takes part in the order.
const CLEAR_EFFECT: f64 = 0.1;

/// Changes do not come evenly: none is rarer than one in this many seconds of its rate.
const SHORTEST_GAP_S: f64 = 30.0;

/// Largest weight of a change. A lone change decides nothing: most are innocent.
const CHANGE_CAP_DB: f64 = 20.0;

/// What a change of the host counts for, of a service on it: it concerns others as well.
const CHANGE_OF_HOST: f64 = 0.7;

/// What each further change counts for beside the strongest.
const FURTHER_CHANGE: f64 = 0.2;

/// What the absence of any change takes from a theory that needs one.
const NO_CHANGE_DB: f64 = -20.0;

/// Earliest possible onset of some symptoms.
pub(crate) fn earliest(
    witnesses: &Witnesses<'_>,
    symptoms: impl Iterator<Item = usize>,
) -> Option<Timestamp> {
    symptoms
        .map(|o| witnesses.observed[o].symptom.onset.from)
        .min()
}

/// Whether the fault's own symptoms came before those of the components that it hurts.
pub(crate) fn order(
    graph: &Graph<'_>,
    witnesses: &Witnesses<'_>,
    own: &[usize],
    explains: &[(usize, f64)],
) -> Option<Evidence> {
    let onset = |o: usize| witnesses.observed[o].symptom.onset;
    let first = own
        .iter()
        .copied()
        .min_by_key(|o| (onset(*o).from, onset(*o).to))?;
    let cause = onset(first);
    let (mut earlier, mut later) = (BTreeSet::new(), BTreeSet::new());
    for (o, q) in explains {
        if *q < CLEAR_EFFECT || own.contains(o) {
            continue;
        }
        let node = witnesses.observed[*o].node;
        if cause.from.seconds_from(onset(*o).to) > CLOCK_ERROR_S {
            earlier.insert(node);
        } else if onset(*o).from >= cause.from {
            later.insert(node);
        }
    }
    let label = graph.id(witnesses.observed[first].node).label();
    let (weight_db, text) = if let Some(early) = earlier.iter().next() {
        let further = (earlier.len() - 1) as f64;
        let weight = FIRST_EARLIER_DB + FURTHER_EARLIER_DB * further;
        let text = format!(
            "{} was hurt before {label} showed anything",
            graph.id(*early).label()
        );
        (-weight.min(ORDER_AGAINST_DB), text)
    } else if later.is_empty() {
        return None;
    } else {
        let weight = (later.len() as f64).min(ORDER_FOR_DB);
        (
            weight,
            format!(
                "{label} showed it first, at {}; what it hurts came after",
                cause.from
            ),
        )
    };
    let reference = Some(witnesses.observed[first].symptom.reference.clone());
    Some(Evidence {
        weight_db,
        text,
        reference,
    })
}

/// What the changes say, and the one that is blamed.
pub(crate) struct WeighedChanges<'a> {
    pub evidence: Vec<Evidence>,
    pub blamed: Option<&'a Change>,
}

/// Weighs the changes of a component that lie shortly before a symptom of its own.
pub(crate) fn changes<'a>(
    graph: &Graph<'_>,
    node: Node,
    needed: &NeededChange,
    witnesses: &Witnesses<'_>,
    own: &[usize],
    changes: &[&'a Change],
) -> WeighedChanges<'a> {
    let concerning = changes.iter().copied().filter(|c| concerns(graph, node, c));
    let concerning = concerning.filter(|c| !may_be_an_effect(witnesses, own, c));
    let mut found: Vec<(f64, f64, &Change)> = concerning
        .filter_map(|change| {
            let lead_s = lead_s(witnesses, own, change, needed.window_s)?;
            let of_host = change.component != *graph.id(node);
            let factor = if of_host { CHANGE_OF_HOST } else { 1.0 };
            let weight_db = factor * weight(needed, change, lead_s)?;
            Some((weight_db, lead_s, change))
        })
        .collect();
    found.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then(b.2.time.cmp(&a.2.time))
            .then_with(|| a.2.id.cmp(&b.2.id))
    });
    let Some(strongest) = found.first() else {
        let minutes = needed.window_s / 60.0;
        let text = format!(
            "no change of {} is recorded in the {minutes:.0} minutes before its first symptom",
            graph.id(node).label()
        );
        let evidence = vec![Evidence {
            weight_db: NO_CHANGE_DB,
            text,
            reference: None,
        }];
        return WeighedChanges {
            evidence,
            blamed: None,
        };
    };
    let blamed = Some(strongest.2);
    let evidence = found
        .iter()
        .enumerate()
        .filter_map(|(place, (weight_db, lead_s, change))| {
            let factor = if place == 0 { 1.0 } else { FURTHER_CHANGE };
            let weight_db = rounded(weight_db * factor);
            (weight_db >= 0.1).then(|| Evidence {
                weight_db,
                text: format!("{}, {lead_s:.0} s before its first symptom", change.text),
                reference: Some(reference(change, witnesses.reference_time)),
            })
        });
    WeighedChanges {
        evidence: evidence.collect(),
        blamed,
    }
}

/// A restart that may have followed the failure is its effect: the service manager's or a person's.
fn may_be_an_effect(witnesses: &Witnesses<'_>, own: &[usize], change: &Change) -> bool {
    let failures = own.iter().map(|o| witnesses.observed[*o].symptom);
    let mut failures = failures.filter(|s| s.family == families::UNIT);
    change.kind == ChangeKind::Restart
        && failures.any(|s| s.kind == kinds::UNIT_RESTARTING || s.onset.from <= change.time)
}

/// Seconds from the change to the first own symptom after it; `None` when none follows in time.
fn lead_s(witnesses: &Witnesses<'_>, own: &[usize], change: &Change, window_s: f64) -> Option<f64> {
    own.iter()
        .map(|o| witnesses.observed[*o].symptom.onset)
        .filter(|onset| change.time.seconds_from(onset.to.max(onset.from)) <= CLOCK_ERROR_S)
        .map(|onset| onset.from.seconds_from(change.time).max(0.0))
        .filter(|lead| *lead <= window_s)
        .min_by(f64::total_cmp)
}

fn weight(needed: &NeededChange, change: &Change, lead_s: f64) -> Option<f64> {
    let rate = needed.kinds.iter().find(|rate| rate.kind == change.kind)?;
    let by_fault = rate.p * (-lead_s / needed.decay_s).exp();
    let by_chance = -(-rate.per_hour * lead_s.max(SHORTEST_GAP_S) / 3_600.0).exp_m1();
    Some((10.0 * (by_fault / by_chance).log10()).clamp(0.0, CHANGE_CAP_DB))
}

/// Where a change can be opened.
pub(crate) fn reference(change: &Change, now: Timestamp) -> Reference {
    Reference::Change {
        component: change.component.clone(),
        id: change.id.clone(),
        range: TimeRange::new(change.time, now.max(change.time)),
    }
}
