//! Time as evidence: what began first.

use std::collections::BTreeSet;

use firstlook_model::{Evidence, Timestamp};

use crate::graph::Graph;
use crate::witness::Witnesses;

/// Seconds by which an effect may precede its cause through errors of clocks and of onsets.
pub(crate) const CLOCK_ERROR_S: f64 = 2.0;

/// Time alone never decides: what order may add and take away at most, in decibans.
const ORDER_FOR_DB: f64 = 3.0;
const ORDER_AGAINST_DB: f64 = 10.0;

/// What a component that was hurt before the cause showed takes away, the first and each further.
const FIRST_EARLIER_DB: f64 = 4.0;
const FURTHER_EARLIER_DB: f64 = 2.0;

/// P(effect | fault) from which a symptom takes part in the order.
const CLEAR_EFFECT: f64 = 0.1;

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
