//! What changed just before, as evidence.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{Change, ChangeKind, Evidence, Reference, TimeRange, Timestamp};

use crate::catalogue::{ChangeRate, NeededChange};
use crate::graph::{Graph, Node};
use crate::hypothesis::concerns;
use crate::timing::CLOCK_ERROR_S;
use crate::weigh::rounded;
use crate::witness::Witnesses;

/// Changes do not come evenly: none is rarer than one in this many seconds of its rate.
const SHORTEST_GAP_S: f64 = 30.0;

/// Largest weight of a change. A lone change decides nothing: most are innocent.
const CHANGE_CAP_DB: f64 = 20.0;

/// What a change of the host counts for, of a service on it: it concerns others as well.
const CHANGE_OF_HOST: f64 = 0.7;

/// What each further change counts for beside the strongest, and all of them together at most: a deployment is
/// a file, a program and a restart, and one act.
const FURTHER_CHANGE: f64 = 0.2;
const FURTHER_CAP_DB: f64 = 5.0;

/// What the absence of any change takes from a theory that needs one.
const NO_CHANGE_DB: f64 = -20.0;

/// What speaks for going back to what was there before, and worked.
const BACK_AS_IT_WAS_DB: f64 = -10.0;

/// What is known of how often this component changes: what the catalogue says counts as one change seen in the time
/// in which one is usual, and what changed in the hours before the symptom is added to it.
const HISTORY_H: f64 = 2.0;

/// How a detail says that it was cut, or that something in it is not shown.
const HIDDEN: [&str; 2] = ["\u{2026} cut here", "[redacted]"];

/// What the changes say, and the one that is blamed.
pub(crate) struct WeighedChanges<'a> {
    pub evidence: Vec<Evidence>,
    pub blamed: Option<&'a Change>,
}

/// Weighs the changes of a component that lie shortly before a symptom of its own.
pub(crate) fn weigh<'a>(
    graph: &Graph<'_>,
    node: Node,
    needed: &NeededChange,
    witnesses: &Witnesses<'_>,
    own: &[usize],
    changes: &[&'a Change],
) -> WeighedChanges<'a> {
    let all: Vec<&Change> = changes
        .iter()
        .copied()
        .filter(|c| concerns(graph, node, c))
        .collect();
    let mut found: Vec<(f64, f64, &Change)> = all
        .iter()
        .copied()
        .filter(|change| !may_be_an_effect(witnesses, own, change))
        .filter_map(|change| {
            let onset = shown(witnesses, own, change, needed.window_s)?;
            if all
                .iter()
                .any(|later| later.time <= onset && undoes(later, change))
            {
                return None;
            }
            let rate = needed.kinds.iter().find(|rate| rate.kind == change.kind)?;
            let lead_s = onset.seconds_from(change.time).max(0.0);
            let by_fault = rate.p * (-lead_s / needed.decay_s).exp();
            let by_chance = by_chance(rate, &all, change, onset, lead_s);
            let weight_db = (10.0 * (by_fault / by_chance).log10()).min(CHANGE_CAP_DB);
            let restores = all.iter().any(|earlier| undoes(change, earlier));
            let weight_db = weight_db + if restores { BACK_AS_IT_WAS_DB } else { 0.0 };
            let of_host = change.component != *graph.id(node);
            let factor = if of_host { CHANGE_OF_HOST } else { 1.0 };
            Some((factor * weight_db.max(0.0), lead_s, change))
        })
        .collect();
    found.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then(b.2.time.cmp(&a.2.time))
            .then_with(|| a.2.id.cmp(&b.2.id))
    });
    let Some(strongest) = found.first() else {
        let missed = needed.required.then(|| none_recorded(graph, node, needed));
        return WeighedChanges {
            evidence: missed.into_iter().collect(),
            blamed: None,
        };
    };
    let blamed = Some(strongest.2);
    let mut further_db = FURTHER_CAP_DB;
    let mut evidence = Vec::new();
    for (place, (weight_db, lead_s, change)) in found.iter().enumerate() {
        let weight_db = if place == 0 {
            *weight_db
        } else {
            let counted = (weight_db * FURTHER_CHANGE).min(further_db);
            further_db -= counted;
            counted
        };
        if rounded(weight_db) >= 0.1 {
            evidence.push(Evidence {
                weight_db: rounded(weight_db),
                text: format!("{}, {lead_s:.0} s before its first symptom", change.text),
                reference: Some(reference(change, witnesses.reference_time)),
            });
        }
    }
    WeighedChanges { evidence, blamed }
}

fn none_recorded(graph: &Graph<'_>, node: Node, needed: &NeededChange) -> Evidence {
    let minutes = needed.window_s / 60.0;
    Evidence {
        weight_db: NO_CHANGE_DB,
        text: format!(
            "no change of {} is recorded in the {minutes:.0} minutes before its first symptom",
            graph.id(node).label()
        ),
        reference: None,
    }
}

/// A restart that may have followed the failure is its effect: the service manager's or a person's.
fn may_be_an_effect(witnesses: &Witnesses<'_>, own: &[usize], change: &Change) -> bool {
    let failures = own.iter().map(|o| witnesses.observed[*o].symptom);
    let mut failures = failures.filter(|s| s.family == families::UNIT);
    change.kind == ChangeKind::Restart
        && failures.any(|s| s.kind == kinds::UNIT_RESTARTING || s.onset.from <= change.time)
}

/// When the first own symptom after the change began; `None` when none follows in time.
fn shown(
    witnesses: &Witnesses<'_>,
    own: &[usize],
    change: &Change,
    window_s: f64,
) -> Option<Timestamp> {
    own.iter()
        .map(|o| witnesses.observed[*o].symptom.onset)
        .filter(|onset| change.time.seconds_from(onset.to.max(onset.from)) <= CLOCK_ERROR_S)
        .map(|onset| onset.from)
        .filter(|from| from.seconds_from(change.time) <= window_s)
        .min()
}

/// P(a change of this kind lies as near before the onset by chance), with what is known of this component.
fn by_chance(
    rate: &ChangeRate,
    all: &[&Change],
    change: &Change,
    onset: Timestamp,
    lead_s: f64,
) -> f64 {
    let others = all.iter().filter(|other| {
        let before_s = onset.seconds_from(other.time);
        other.kind == change.kind
            && other.id != change.id
            && (0.0..=HISTORY_H * 3_600.0).contains(&before_s)
    });
    let per_hour = (1.0 + others.count() as f64) / (1.0 / rate.per_hour + HISTORY_H);
    -(-per_hour * lead_s.max(SHORTEST_GAP_S) / 3_600.0).exp_m1()
}

/// Whether a change took back, line for line, what an earlier one did to the same file.
fn undoes(later: &Change, earlier: &Change) -> bool {
    fn lines(change: &Change, sign: char) -> impl Iterator<Item = &str> {
        change
            .detail
            .lines()
            .filter_map(move |line| line.strip_prefix(sign))
    }
    later.time > earlier.time
        && later.component == earlier.component
        && later.kind == earlier.kind
        && later.text == earlier.text
        && !later.detail.is_empty()
        && HIDDEN.iter().all(|mark| !later.detail.contains(mark))
        && lines(later, '+').eq(lines(earlier, '-'))
        && lines(later, '-').eq(lines(earlier, '+'))
}

/// Where a change can be opened.
pub(crate) fn reference(change: &Change, now: Timestamp) -> Reference {
    Reference::Change {
        component: change.component.clone(),
        id: change.id.clone(),
        range: TimeRange::new(change.time, now.max(change.time)),
    }
}
