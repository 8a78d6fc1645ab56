//! Where a series has ever been, in the last one or two weeks: a value near none that it showed before is news, however usual
//! its distance from the usual level is.
//!
//! Kept are the few spans of values between which the widest gaps lie. What lies in none of them is unseen by its distance to
//! the nearest: beyond all of them, or in a gap.

use serde::{Deserialize, Serialize};

/// Spans of one week.
const SPANS: usize = 6;
/// A week begins anew after so long and so many samples; the one before is kept until then.
const WEEK_US: i64 = 7 * 86_400_000_000;
const WEEK_SAMPLES: u32 = 2_048;
/// Samples before which hardly anything was shown, so that nothing is news.
const KNOWN: u32 = 32;

/// What a series showed in this week and the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sightings {
    /// The span of this week that the last value lay in.
    low: f32,
    high: f32,
    /// Samples of this week.
    count: u32,
    // Apart, as what each sample needs should be near: this is hardly ever needed.
    kept: Box<Kept>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    now: Spans,
    before: Spans,
    began_us: i64,
}

/// Before the first sample.
impl Default for Sightings {
    fn default() -> Self {
        Self {
            low: f32::INFINITY,
            high: f32::INFINITY,
            count: 0,
            kept: Box::new(Kept {
                now: Spans::NONE,
                before: Spans::NONE,
                began_us: i64::MIN,
            }),
        }
    }
}

impl Sightings {
    /// Takes a value; gives its distance from the nearest shown before, 0 while these are few.
    #[inline]
    pub fn take(&mut self, at_us: i64, value: f64) -> f64 {
        // As all that is kept is rounded alike, what was shown is found again.
        let value = (value as f32).clamp(f32::MIN, f32::MAX);
        self.count = self.count.saturating_add(1);
        // Mostly it lies where the last one lay.
        if self.low <= value && value <= self.high && self.count < WEEK_SAMPLES {
            return 0.0;
        }
        self.look(at_us, value)
    }

    /// The rarer case.
    fn look(&mut self, at_us: i64, value: f32) -> f64 {
        let kept = &mut *self.kept;
        // Also where the clock was set back since.
        if kept.began_us == i64::MIN || at_us < kept.began_us {
            kept.began_us = at_us;
        }
        if self.count >= WEEK_SAMPLES && at_us.saturating_sub(kept.began_us) >= WEEK_US {
            kept.before = std::mem::replace(&mut kept.now, Spans::NONE);
            (kept.began_us, self.count) = (at_us, KNOWN + 1);
        }
        if let Some(span) = kept.now.holding(value) {
            (self.low, self.high) = span;
            return 0.0;
        }
        let distance = kept.now.distance(value).min(kept.before.distance(value));
        (self.low, self.high) = kept.now.add(value);
        if self.count > KNOWN && distance.is_finite() {
            f64::from(distance)
        } else {
            0.0
        }
    }
}

/// Spans of values, in order; those not in use hold nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spans {
    low: [f32; SPANS],
    high: [f32; SPANS],
}

impl Spans {
    const NONE: Self = Self {
        low: [f32::INFINITY; SPANS],
        high: [f32::INFINITY; SPANS],
    };

    /// The span that holds it.
    fn holding(&self, value: f32) -> Option<(f32, f32)> {
        let spans = self.low.iter().copied().zip(self.high);
        let mut holding = spans.filter(|(low, high)| *low <= value && value <= *high);
        holding.next()
    }

    /// From the nearest value; infinite where there is none.
    fn distance(&self, value: f32) -> f32 {
        let spans = self.low.iter().zip(&self.high);
        spans.fold(f32::INFINITY, |nearest, (low, high)| {
            let outside = (low - value).max(value - high).max(0.0);
            nearest.min(outside)
        })
    }

    /// Takes in a value that lies in none; gives the span that holds it now.
    fn add(&mut self, value: f32) -> (f32, f32) {
        let at = self.low.partition_point(|low| *low < value);
        let (mut low, mut high) = ([f32::INFINITY; SPANS + 1], [f32::INFINITY; SPANS + 1]);
        low[..at].copy_from_slice(&self.low[..at]);
        high[..at].copy_from_slice(&self.high[..at]);
        (low[at], high[at]) = (value, value);
        low[at + 1..].copy_from_slice(&self.low[at..]);
        high[at + 1..].copy_from_slice(&self.high[at..]);
        if low[SPANS].is_finite() {
            // One too many: the narrowest gap is closed.
            let gaps = (0..SPANS).map(|i| (i, low[i + 1] - high[i]));
            let narrowest = gaps.min_by(|a, b| a.1.total_cmp(&b.1));
            let at = narrowest.map_or(0, |(at, _)| at);
            high[at] = high[at + 1];
            low.copy_within(at + 2.., at + 1);
            high.copy_within(at + 2.., at + 1);
        }
        self.low.copy_from_slice(&low[..SPANS]);
        self.high.copy_from_slice(&high[..SPANS]);
        self.holding(value).unwrap_or((value, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    /// Distances of values taken a second apart.
    fn distances(seen: &mut Sightings, from: i64, values: &[f64]) -> Vec<f64> {
        let each = values.iter().zip(from..);
        each.map(|(value, at)| seen.take(at * SECOND_US, *value))
            .collect()
    }

    #[test]
    fn what_was_never_shown_is_so_far_from_what_was() {
        let mut seen = Sightings::default();
        let known: Vec<f64> = (0..KNOWN).map(|i| f64::from(i % 2) * 10.0).collect();
        assert!(distances(&mut seen, 0, &known).iter().all(|d| *d == 0.0));
        // Beyond all, in a gap, and both again.
        let news = distances(&mut seen, 100, &[25.0, 4.0, 25.0, 4.0, -1.0]);
        assert_eq!(news, [15.0, 4.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_young_series_shows_no_news() {
        let mut seen = Sightings::default();
        let rising: Vec<f64> = (0..=KNOWN).map(f64::from).collect();
        let told = distances(&mut seen, 0, &rising);
        let (last, before) = told.split_last().expect("some");
        assert!(before.iter().all(|d| *d == 0.0), "{told:?}");
        assert_eq!(*last, 1.0);
    }

    #[test]
    fn of_many_values_the_widest_gaps_are_remembered() {
        let mut seen = Sightings::default();
        // Twenty values a hundred apart, with one gap of a thousand.
        let each = (0..20).map(|i| f64::from(i) * 100.0 + if i < 10 { 0.0 } else { 1_000.0 });
        let values: Vec<f64> = each.cycle().take(100).collect();
        distances(&mut seen, 0, &values);
        assert_eq!(distances(&mut seen, 100, &[1_400.0]), [500.0]);
        // Narrow gaps were closed to make room: of eighteen as many are left as there are spans for.
        let between = (0..18).map(|i| f64::from(i) * 100.0 + if i < 9 { 50.0 } else { 1_150.0 });
        let open = between.filter(|value| seen.clone().take(101 * SECOND_US, *value) > 0.0);
        assert!((1..SPANS).contains(&open.count()), "{seen:?}");
    }

    #[test]
    fn what_was_shown_is_remembered_for_a_week_and_not_for_three() {
        let day = 86_400;
        let again = |days: i64| {
            let mut seen = Sightings::default();
            distances(&mut seen, 0, &[1.0; 100]);
            distances(&mut seen, 100, &[50.0]);
            // Once a minute.
            for at in 1..days * 1_440 {
                seen.take((at * 60 + 200) * SECOND_US, 1.0);
            }
            seen.take(days * day * SECOND_US + 300 * SECOND_US, 50.0)
        };
        assert_eq!(again(6), 0.0);
        assert_eq!(again(13), 0.0, "in the week before");
        assert_eq!(again(21), 49.0);
    }

    #[test]
    fn a_clock_set_back_makes_no_week_longer() {
        let day = 86_400;
        let mut seen = Sightings::default();
        distances(&mut seen, 400 * day, &[1.0; 100]);
        distances(&mut seen, 400 * day + 100, &[50.0]);
        for at in 0..21 * 1_440 {
            seen.take(at * 60 * SECOND_US, 1.0);
        }
        assert_eq!(seen.take(21 * day * SECOND_US, 50.0), 49.0);
    }

    #[test]
    fn an_absurd_value_costs_one_span() {
        let mut seen = Sightings::default();
        let values: Vec<f64> = (0..100).map(|i| f64::from(i % 5)).collect();
        distances(&mut seen, 0, &values);
        let absurd = distances(&mut seen, 100, &[1e300, -1e300, f64::MAX])[0];
        assert!(absurd.is_finite() && absurd > 1e30, "{absurd}");
        assert_eq!(distances(&mut seen, 103, &[9.0]), [5.0]);
    }

    proptest! {
        /// A value is no news where it was shown before; otherwise it is no farther than the nearest that was.
        #[test]
        fn no_value_is_farther_than_the_nearest_shown(
            values in prop::collection::vec(-1_000i16..1_000, 40..200)
        ) {
            let mut seen = Sightings::default();
            for (at, value) in values.iter().enumerate() {
                let value = f64::from(*value);
                let told = seen.take(at as i64, value);
                let before = values[..at].iter().map(|b| (f64::from(*b) - value).abs());
                let nearest = before.fold(f64::INFINITY, f64::min);
                prop_assert!(told <= nearest, "{told} of {nearest} at {at}");
            }
        }

        /// Spans stay in order and apart, whatever comes.
        #[test]
        fn spans_are_in_order(values in prop::collection::vec(any::<f32>(), 0..100)) {
            let mut seen = Sightings::default();
            let finite = values.iter().filter(|value| value.is_finite());
            for (value, at) in finite.zip(0..) {
                seen.take(at, f64::from(*value));
                let ends = seen.kept.now.low.iter().zip(&seen.kept.now.high);
                let ends: Vec<f32> = ends.flat_map(|(low, high)| [*low, *high]).collect();
                prop_assert!(ends.is_sorted(), "{ends:?}");
                prop_assert!(seen.kept.now.holding(*value).is_some(), "{value} in {ends:?}");
            }
        }
    }
}
