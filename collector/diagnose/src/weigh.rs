//! Weights of evidence: decibans, caps, discounts, and what one fault adds where others are accepted.
//!
//! Faults combine by noisy-or: with the accepted ones making a symptom likely already, another that
//! predicts it too gains little by it. That is explaining away, with no rule of its own.

use crate::hypothesis::Hypothesis;
use crate::reach::either;
use crate::witness::{Witnesses, unit};

/// Largest weight of a single fact for a fault, in decibans.
const CAP_FOR_DB: f64 = 25.0;

/// Largest weight of a single fact against a fault: what is running is not down.
const CAP_AGAINST_DB: f64 = 30.0;

/// What each further symptom of the same component and witness counts for, beside the strongest.
const SAME_WITNESS: f64 = 0.3;

/// A weight cut to what one fact may say.
pub(crate) fn capped(weight_db: f64) -> f64 {
    if weight_db.is_nan() {
        0.0
    } else {
        weight_db.clamp(-CAP_AGAINST_DB, CAP_FOR_DB)
    }
}

/// A weight to a tenth of a deciban, as it is shown: shown weights add up to shown sums.
pub(crate) fn rounded(weight_db: f64) -> f64 {
    (weight_db * 10.0).round() / 10.0
}

/// P(each symptom seen | a set of accepted faults, and base rates).
#[derive(Clone)]
pub(crate) struct Expectation(Vec<f64>);

impl Expectation {
    /// With no fault accepted: base rates.
    pub fn of_nothing(witnesses: &Witnesses<'_>) -> Self {
        Self(
            witnesses
                .observed
                .iter()
                .map(|seen| seen.base_rate)
                .collect(),
        )
    }

    /// P(seen) of one symptom.
    pub fn probability(&self, o: usize) -> f64 {
        self.0[o]
    }

    /// With one more fault accepted.
    pub fn with(&self, hypothesis: &Hypothesis<'_>) -> Self {
        let mut more = self.clone();
        for (o, q) in &hypothesis.explains {
            more.0[*o] = either(more.0[*o], *q);
        }
        more
    }
}

/// What a fault adds to a set of accepted ones.
pub(crate) struct Gain {
    /// Weight of each symptom that it explains, in decibans, discounted and rounded. By number.
    pub symptoms: Vec<(usize, f64)>,
    /// Sum of those and of what is fixed.
    pub total_db: f64,
}

/// Weighs a fault where others are accepted already.
pub(crate) fn gain(
    witnesses: &Witnesses<'_>,
    expected: &Expectation,
    hypothesis: &Hypothesis<'_>,
) -> Gain {
    let weight = |o: usize, q: f64| {
        let before = expected.0[o];
        let severity = 0.5 + 0.5 * unit(witnesses.observed[o].symptom.severity);
        capped(10.0 * (either(before, q) / before).log10()) * severity
    };
    let explained = hypothesis.explains.iter();
    let mut symptoms: Vec<(usize, f64)> = explained.map(|(o, q)| (*o, weight(*o, *q))).collect();
    let group = |o: usize| witnesses.observed[o].group;
    symptoms.sort_by(|a, b| {
        group(a.0)
            .cmp(&group(b.0))
            .then(b.1.total_cmp(&a.1))
            .then(a.0.cmp(&b.0))
    });
    let mut last = None;
    for (o, weight_db) in &mut symptoms {
        if last == Some(group(*o)) {
            *weight_db *= SAME_WITNESS;
        }
        last = Some(group(*o));
        *weight_db = rounded(*weight_db);
    }
    symptoms.sort_by_key(|(o, _)| *o);
    let total_db = hypothesis.fixed_db() + symptoms.iter().map(|(_, w)| w).sum::<f64>();
    Gain { symptoms, total_db }
}
