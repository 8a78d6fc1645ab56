//! What a series does at each hour of the day, as far as that has foretold it.

use serde::{Deserialize, Serialize};

/// Buckets of a day, and the length of each.
const HOURS: usize = 24;
const HOUR_US: i64 = 3_600_000_000;
/// Days that an hour remembers.
const DAYS: u8 = 8;

/// Usual distance from the level, by hour of the day in UTC: where a day begins does not matter, only that it comes again.
///
/// Nothing says beforehand which series have days. An hour's distance counts as much as such distances explained of what came
/// then: the slope of distances over what was foretold, from 0 (nothing) to 1 (all).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Season {
    usual: [f32; HOURS],
    /// Days on which each hour was met, up to [`DAYS`].
    met: [u8; HOURS],
    /// The hour of the last sample, since 1970.
    hour: i32,
    /// Mean of what was foretold times what came, and of the square of what was foretold.
    product: f64,
    square: f64,
    /// Usual distance of this hour as known when it began, and the share of it that is foretold, from 0 to 1.
    known: f32,
    share: f32,
    /// Weight of a microsecond of this hour.
    part: f64,
}

impl Season {
    /// Before the first sample.
    pub const NEW: Self = Self {
        usual: [0.0; HOURS],
        met: [0; HOURS],
        hour: i32::MIN,
        product: 0.0,
        square: 0.0,
        known: 0.0,
        share: 0.0,
        part: 0.0,
    };

    /// The distance from the level that is usual in the hour of the last sample.
    #[inline]
    pub fn foretold(&self) -> f64 {
        f64::from(self.share) * f64::from(self.known)
    }

    /// The distance from the level that is usual in this hour, as it was known when the hour began: what goes on for less is
    /// not taken for what is usual.
    #[inline]
    pub fn foretell(&mut self, at_us: i64) -> f64 {
        // Wraps after 245,000 years.
        let hour = at_us.div_euclid(HOUR_US) as i32;
        if self.hour != hour {
            self.enter(hour);
        }
        self.foretold()
    }

    fn enter(&mut self, hour: i32) {
        let at = of_day(hour);
        if self.square > 0.0 {
            self.share = (self.product / self.square).clamp(0.0, 1.0) as f32;
        }
        self.hour = hour;
        self.met[at] = (self.met[at] + 1).min(DAYS);
        self.part = 1.0 / (HOUR_US as f64 * f64::from(self.met[at]));
        self.known = self.usual[at];
    }

    /// Takes a distance from the level, at most 1e30, of the time last foretold. `step_us`: since the sample before. `weight`:
    /// of one sample in what is known of how well it foretells.
    #[inline]
    pub fn take(&mut self, step_us: i64, distance: f64, weight: f64) {
        let kept = &mut self.usual[of_day(self.hour)];
        let (usual, known) = (f64::from(*kept), f64::from(self.known));
        self.product += weight * (distance * known - self.product);
        self.square += weight * (known * known - self.square);
        // By time, not by samples, so that it means the same at every interval: one day of those that are remembered.
        let part = step_us.clamp(0, HOUR_US) as f64 * self.part;
        *kept = (usual + part * (distance - usual)) as f32;
    }
}

fn of_day(hour: i32) -> usize {
    hour.rem_euclid(HOURS as i32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_US: i64 = HOUR_US / 4;
    const DAY_US: i64 = 24 * HOUR_US;

    /// Feeds days, a sample each quarter of an hour, in which `distance` says what comes in an hour of a day.
    fn feed(season: &mut Season, days: std::ops::Range<i64>, distance: impl Fn(i64, i64) -> f64) {
        for at in days.start * 96..days.end * 96 {
            season.foretell(at * STEP_US);
            season.take(STEP_US, distance(at / 96, at % 96 / 4), 0.01);
        }
    }

    #[test]
    fn an_hour_that_comes_again_is_foretold() {
        let mut season = Season::NEW;
        assert_eq!(season.foretell(0), 0.0);
        feed(
            &mut season,
            0..8,
            |_, hour| if hour == 9 { 10.0 } else { -1.0 },
        );
        let eight = season.foretell(8 * DAY_US + 8 * HOUR_US);
        let nine = season.foretell(8 * DAY_US + 9 * HOUR_US);
        assert!((eight + 1.0).abs() < 0.1, "{eight}");
        assert!((nine - 10.0).abs() < 1.0, "{nine}");
        assert_eq!(season.foretold(), nine);
        // Times before 1970 have hours, too.
        assert_eq!(season.foretell(8 * HOUR_US - DAY_US), eight);
    }

    #[test]
    fn what_does_not_come_again_is_not_foretold() {
        let mut season = Season::NEW;
        // Each day's hour says the opposite of what the same hour of the day before said.
        feed(&mut season, 0..9, |day, _| [1.0, -1.0][day as usize % 2]);
        assert_eq!(season.foretell(9 * DAY_US), 0.0, "{season:?}");
    }

    #[test]
    fn what_goes_on_within_an_hour_is_not_foretold_before_the_next_day() {
        let mut season = Season::NEW;
        feed(&mut season, 0..4, |_, _| 1.0);
        let before = season.foretell(4 * DAY_US);
        for at in 0..3_600 {
            assert_eq!(season.foretell(4 * DAY_US + at * 1_000_000), before);
            season.take(1_000_000, 50.0, 0.01);
        }
        assert!(season.foretell(5 * DAY_US) > before);
    }

    #[test]
    fn an_hour_of_the_first_day_counts_whole_and_one_of_the_ninth_an_eighth_at_any_interval() {
        for step_us in [STEP_US, 1_000_000] {
            let mut season = Season::NEW;
            let mut hour = |day: i64, distance: f64| {
                for at in 0..HOUR_US / step_us {
                    season.foretell(day * DAY_US + at * step_us);
                    season.take(step_us, distance, 0.01);
                }
                season.foretell(day * DAY_US + HOUR_US);
                f64::from(season.usual[0])
            };
            let first = hour(0, 8.0);
            // In steps so small that it is the exponential of the time, or a little more in greater ones.
            assert!((5.0..5.5).contains(&first), "{first}");
            let before = (1..9).map(|day| hour(day, 8.0)).last().expect("days");
            let left = hour(9, 0.0) / before;
            assert!((left - (-1.0f64 / 8.0).exp()).abs() < 0.003, "{left}");
        }
    }
}
