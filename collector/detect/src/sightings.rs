//! What a series ever showed, in the last ten or twenty days: what it never showed before is news, however usual its distance
//! from the usual level is.
//!
//! Four things are looked at: the sample, the mean of the last three, the step to it from the mean of the three before, and the
//! range over the last day. What is news in more of them is greater news.

use serde::{Deserialize, Serialize};

use crate::cells::Cells;

const DAY_US: i64 = 86_400_000_000;
/// What was shown is remembered for so long and so many samples, and as long again.
const PERIOD_US: i64 = 10 * DAY_US;
const PERIOD_SAMPLES: u32 = 2_880;
/// The range is over so many parts of a day, each of so many samples at least, and the part under way.
const PARTS: usize = 4;
const PART_US: i64 = DAY_US / PARTS as i64;
const PART_SAMPLES: u32 = 60;
/// Samples before which hardly anything was shown, so that nothing is news.
const KNOWN: u32 = 32;
/// Weight of one sample in a mean once many are known: three days of samples once a second.
const SAMPLES: u32 = 262_144;
/// Deviations beyond which nothing lies farther.
const FARTHEST: f64 = 16.0;
/// The sample, the mean, the step and the range.
const LOOKS: usize = 4;
const RANGE: usize = 3;
/// What they count for.
const WEIGHTS: [f64; LOOKS] = [1.0, 0.45, 0.45, 0.25];
/// News grows no greater than this, and half of that where it would be as great.
const GREATEST: f64 = 0.3;
/// Where what was shown lies far apart, so much of that counts for no news; and so much of the distance from the mean.
const GAP_PART: f64 = 0.5;
const FAR_PART: f64 = 0.2;
/// No width is under this part of the smallest deviation that means anything.
const FINEST: f64 = 1.0 / 16.0;

/// What a series showed so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sightings {
    // Apart, as many series are moved about when they are made.
    kept: Box<Kept>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// What each look showed in this period, and in the one before.
    lately: [Cells; LOOKS],
    before: [Cells; LOOKS],
    /// Mean of each, and mean square of the distance from it.
    mean: [f64; LOOKS],
    square: [f64; LOOKS],
    /// The last samples, the newest first.
    last: [f64; 5],
    /// Least and greatest sample of the part of the day under way, of those before it together, and of each, the newest first.
    part: (f64, f64),
    earlier: (f64, f64),
    parts: [(f64, f64); PARTS],
    part_began_us: i64,
    part_samples: u32,
    began_us: i64,
    /// Samples of the period under way.
    samples: u32,
    /// Samples in all, up to where they are many; of the range, once there is one.
    known: u32,
    ranges: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            lately: [Cells::default(); LOOKS],
            before: [Cells::default(); LOOKS],
            mean: [0.0; LOOKS],
            square: [0.0; LOOKS],
            last: [0.0; 5],
            part: NOTHING,
            earlier: NOTHING,
            parts: [NOTHING; PARTS],
            part_began_us: i64::MIN,
            part_samples: 0,
            began_us: i64::MIN,
            samples: 0,
            known: 0,
            ranges: 0,
        }
    }
}

const NOTHING: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

impl Sightings {
    /// Bytes that are kept apart.
    #[cfg(test)]
    pub const APART: usize = size_of::<Kept>();

    /// Takes a value of at most 1e30; gives how great news it is, from 0 to [`GREATEST`]: its distance from what was shown, in the
    /// usual deviation of that. `least`: the smallest deviation that means anything, above 0.
    #[inline]
    pub fn take(&mut self, at_us: i64, value: f64, least: f64) -> f64 {
        self.kept.take(at_us, value, least)
    }
}

impl Kept {
    fn take(&mut self, at_us: i64, value: f64, least: f64) -> f64 {
        if self.known == 0 {
            self.last = [value; 5];
        }
        self.begin_period(at_us);
        let range = self.range(at_us, value);
        let [first, second, third, fourth, fifth] = self.last;
        let mean = (value + first + second) / 3.0;
        let before = (third + fourth + fifth) / 3.0;
        self.last = [value, first, second, third, fourth];
        self.known = (self.known + 1).min(SAMPLES);
        self.ranges = (self.ranges + u32::from(range.is_some())).min(SAMPLES);
        // While there is no range, it is what it always was, and of no weight.
        let now = [
            value,
            mean,
            mean - before,
            range.unwrap_or(self.mean[RANGE]),
        ];
        let weight = 1.0 / f64::from(self.known);
        let of_range = range.map_or(0.0, |_| 1.0 / f64::from(self.ranges));
        let off = self.off(now, least);
        let mut news = 0.0;
        for at in 0..LOOKS - usize::from(range.is_none()) {
            // Mostly it was shown.
            if !self.lately[at].holds(now[at]) {
                news += WEIGHTS[at] * self.look(at, self.mean[at] + off[at], least);
            }
        }
        self.learn(off, [weight, weight, weight, of_range]);
        if self.known > KNOWN && news > 0.0 {
            news * GREATEST / (news + GREATEST)
        } else {
            0.0
        }
    }

    /// How far the looks lie from their means, none farther than anything does once these are known.
    #[inline(always)]
    fn off(&self, now: [f64; LOOKS], least: f64) -> [f64; LOOKS] {
        let (mut off, mut most) = ([0.0; LOOKS], [0.0; LOOKS]);
        let mut any = false;
        for at in 0..LOOKS {
            off[at] = now[at] - self.mean[at];
            most[at] = FARTHEST * FARTHEST * self.square[at].max(least * least);
            any |= off[at] * off[at] > most[at];
        }
        if any {
            for at in 0..LOOKS {
                let known = if at == RANGE { self.ranges } else { self.known };
                if known > KNOWN && off[at] * off[at] > most[at] {
                    off[at] = most[at].sqrt().copysign(off[at]);
                }
            }
        }
        off
    }

    #[inline(always)]
    fn learn(&mut self, off: [f64; LOOKS], weights: [f64; LOOKS]) {
        for at in 0..LOOKS {
            let moved = weights[at] * off[at];
            self.mean[at] += moved;
            self.square[at] += weights[at] * (off[at] * (off[at] - moved) - self.square[at]);
        }
    }

    /// Takes in what a look did not show lately; gives its distance from what it showed in the usual deviation, less where that
    /// is little for the series.
    #[inline(never)]
    fn look(&mut self, at: usize, value: f64, least: f64) -> f64 {
        let both = [self.lately[at].apart(value), self.before[at].apart(value)];
        self.lately[at].add(value, least * FINEST);
        let both = both.into_iter().flatten();
        let Some(apart) = both.min_by(|a, b| a.distance.total_cmp(&b.distance)) else {
            return 0.0;
        };
        let usual = self.square[at].sqrt() + GAP_PART * apart.gap;
        apart.distance / (usual + FAR_PART * (value - self.mean[at]).abs()).max(least)
    }

    /// After a period what was shown in the one before it is forgotten.
    fn begin_period(&mut self, at_us: i64) {
        // Also where the clock was set back since.
        if self.began_us == i64::MIN || at_us < self.began_us {
            self.began_us = at_us;
        }
        if self.samples >= PERIOD_SAMPLES && at_us.saturating_sub(self.began_us) >= PERIOD_US {
            self.before = std::mem::take(&mut self.lately);
            (self.began_us, self.samples) = (at_us, 0);
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// Between the least and the greatest of a day, once there is one.
    fn range(&mut self, at_us: i64, value: f64) -> Option<f64> {
        if self.part_began_us == i64::MIN || at_us < self.part_began_us {
            self.part_began_us = at_us;
        }
        if self.part_samples >= PART_SAMPLES && at_us.saturating_sub(self.part_began_us) >= PART_US
        {
            self.parts.rotate_right(1);
            self.parts[0] = std::mem::replace(&mut self.part, NOTHING);
            self.earlier = self.parts.iter().copied().fold(NOTHING, both);
            (self.part_began_us, self.part_samples) = (at_us, 0);
        }
        self.part_samples = self.part_samples.saturating_add(1);
        self.part = both(self.part, (value, value));
        let (low, high) = both(self.part, self.earlier);
        (self.parts[PARTS - 1] != NOTHING).then_some(high - low)
    }
}

/// The least and the greatest of both.
fn both(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    (one.0.min(other.0), one.1.max(other.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_US: i64 = 60_000_000;
    const FIVE_US: i64 = 5 * MINUTE_US;
    const DAY_FIVES: i64 = DAY_US / FIVE_US;

    /// News of each value, one each five minutes from the first such on.
    fn news(seen: &mut Sightings, from: i64, values: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let each = values.into_iter().zip(from..);
        each.map(|(value, at)| seen.take(at * FIVE_US, value, 0.01))
            .collect()
    }

    fn most(news: &[f64]) -> f64 {
        news.iter().copied().fold(0.0, f64::max)
    }

    /// Of a series that shows two values by turns, with a third in between now and then.
    fn waves(count: i64) -> impl Iterator<Item = f64> {
        (0..count).map(|at| if at % 2 == 0 { 0.0 } else { 10.0 })
    }

    #[test]
    fn a_value_among_those_that_were_shown_is_news_once() {
        let mut seen = Sightings::default();
        assert_eq!(most(&news(&mut seen, 0, waves(100))[10..]), 0.0);
        // In the very middle, five from either, where the usual deviation is five.
        let told = news(&mut seen, 100, [5.0, 0.0, 10.0, 0.0, 10.0, 0.0, 10.0, 5.0]);
        assert!(told[0] > 0.18, "{told:?}");
        // The same steps and means, too.
        assert_eq!(told[7], 0.0, "{told:?}");
    }

    #[test]
    fn a_young_series_shows_no_news() {
        let mut seen = Sightings::default();
        let told = news(&mut seen, 0, (0..40).map(|at| f64::from(at * at)));
        let (young, older) = told.split_at(KNOWN as usize);
        assert_eq!(most(young), 0.0);
        assert!(older.iter().all(|news| *news > 0.0), "{told:?}");
    }

    #[test]
    fn a_mean_that_was_never_shown_is_news_where_its_samples_are_none() {
        let mut seen = Sightings::default();
        news(&mut seen, 0, waves(1_000));
        // The last one was that, too.
        let told = news(&mut seen, 1_000, [10.0, 10.0]);
        assert_eq!(told[0], 0.0, "{told:?}");
        assert!(told[1] > 0.07, "{told:?}");
    }

    #[test]
    fn a_step_that_was_never_shown_is_news_where_its_ends_are_none() {
        let mut seen = Sightings::default();
        // Up and down a hundred stairs.
        let stairs = (0..2_000).map(|at: i32| f64::from((at % 200 - 100).abs()));
        news(&mut seen, 0, stairs);
        let told = news(&mut seen, 2_000, [100.0, 50.0]);
        assert_eq!(told[0], 0.0, "{told:?}");
        assert!(told[1] > 0.2, "{told:?}");
    }

    #[test]
    fn a_day_on_which_a_series_does_not_reach_what_it_did_each_day_is_news() {
        let day =
            |peak: f64| (0..DAY_FIVES).map(move |at| if at < 36 { peak } else { (at % 3) as f64 });
        let mut seen = Sightings::default();
        for at in 0..8 {
            news(&mut seen, at * DAY_FIVES, day(50.0));
        }
        assert_eq!(most(&news(&mut seen, 8 * DAY_FIVES, day(50.0))), 0.0);
        // All that this day shows was shown on the days before.
        let quiet = news(&mut seen, 9 * DAY_FIVES, day(1.0));
        let more = news(&mut seen, 10 * DAY_FIVES, day(1.0));
        assert!(most(&quiet).max(most(&more)) > 0.18, "{quiet:?} {more:?}");
    }

    #[test]
    fn what_was_shown_is_remembered_for_ten_days_and_not_for_thirty() {
        let again = |days: i64| {
            let mut seen = Sightings::default();
            news(&mut seen, 0, waves(100).chain([50.0]).chain(waves(100)));
            let after = 201 + days * DAY_FIVES;
            news(&mut seen, 201, waves(days * DAY_FIVES));
            most(&news(&mut seen, after, [50.0]))
        };
        assert_eq!(again(9), 0.0);
        assert_eq!(again(19), 0.0);
        assert!(again(30) > 0.18);
    }

    #[test]
    fn a_clock_set_back_makes_no_period_longer() {
        let mut seen = Sightings::default();
        let late = 400 * DAY_FIVES;
        news(&mut seen, late, waves(100).chain([50.0]).chain(waves(100)));
        news(&mut seen, 0, waves(30 * DAY_FIVES));
        assert!(most(&news(&mut seen, 30 * DAY_FIVES, [50.0])) > 0.18);
        // Nor a part of a day.
        assert!(seen.kept.ranges > 28 * DAY_FIVES as u32, "{seen:?}");
    }

    #[test]
    fn the_farther_out_all_lies_the_less_a_step_farther_is_news() {
        let mut kept = Kept {
            square: [1.0; LOOKS],
            ..Kept::default()
        };
        (0..4).for_each(|at| kept.lately[0].add(100.0 + f64::from(at), 1.0));
        // Nine beyond the last cell, of which the third beyond is three away.
        let told = kept.look(0, 113.0, 0.01);
        let expected = 9.0 / (1.0 + 1.5 + 22.6);
        assert!((told - expected).abs() < 1e-9, "{told} {expected}");
    }

    #[test]
    fn what_another_version_kept_is_learned_anew() {
        #[derive(Serialize)]
        struct Before {
            count: u32,
            began_us: i64,
        }
        let before = Before {
            count: 7,
            began_us: 1,
        };
        let kept = rmp_serde::to_vec_named(&before).expect("written");
        let mut seen: Sightings = rmp_serde::from_slice(&kept).expect("read");
        assert_eq!(most(&news(&mut seen, 0, waves(100))[10..]), 0.0);
    }

    #[test]
    fn the_usual_deviation_is_that_of_days() {
        let mut seen = Sightings::default();
        let mut feed = |from: i64, value: f64| {
            (0..1_000_000).for_each(|at| {
                seen.take((from + at) * 1_000_000, value, 0.01);
            });
            seen.kept.mean[0]
        };
        assert_eq!(feed(0, 0.0), 0.0);
        // As many again: half of it would be left in the mean of all.
        assert!(feed(1_000_000, 100.0) > 95.0);
    }

    #[test]
    fn one_absurd_value_hides_little_of_what_is_news() {
        let mut seen = Sightings::default();
        let stairs = |count: i64| (0..count).map(|at| (at % 10 + at % 10 / 5 * 5) as f64);
        news(&mut seen, 0, stairs(1_000));
        let told = news(&mut seen, 1_000, [1e30, 0.0, -1e30]);
        assert!(told[0] > 0.2, "{told:?}");
        assert!(told.iter().all(|n| (0.0..0.3).contains(n)), "{told:?}");
        news(&mut seen, 1_003, stairs(1_000));
        // Three deviations beyond the rest.
        assert!(most(&news(&mut seen, 2_003, [30.0])) > 0.18);
    }

    proptest! {
        /// Nothing is no number, and what came a moment ago is no news.
        #[test]
        fn news_is_a_number(
            values in prop::collection::vec(-1e30_f64..1e30, 1..100),
            least in 1e-6_f64..1e6,
        ) {
            let mut seen = Sightings::default();
            for (value, at) in values.iter().zip(0..) {
                let told = seen.take(at, *value, least);
                prop_assert!(told.is_finite() && told >= 0.0, "{told}");
                prop_assert!(seen.kept.lately[0].holds(*value) || at >= 32);
            }
            let last = *values.last().expect("some");
            (0..6).for_each(|at| { seen.take(1_000 + at, last, least); });
            prop_assert_eq!(seen.take(2_000, last, least), 0.0);
        }
    }
}
