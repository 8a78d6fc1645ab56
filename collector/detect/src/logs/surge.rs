//! Counts of lines per second, and when there are more of them than is usual.

use std::time::Duration;

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::watch::Span;

/// Seconds that are remembered.
const SECONDS: usize = 64;
/// Window in which lines are compared with the usual, in seconds.
const WINDOW: i64 = 10;
/// Weight of one second in the usual rate: it remembers two minutes, in the warm-up ten seconds.
const WEIGHT: f64 = 1.0 / 120.0;
const LEARNING_WEIGHT: f64 = 0.1;
/// Times the usual number, and deviations of a Poisson count beyond.
const ABOVE_USUAL: f64 = 4.0;
const DEVIATIONS: f64 = 3.0;
/// How long a surge outlives its last line.
const HOLD: Duration = Duration::from_secs(20);

/// Lines per second of the last minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tally {
    #[serde(with = "seconds")]
    counts: [u16; SECONDS],
    second: i64,
}

/// An array too long for serde's own.
mod seconds {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::SECONDS;

    pub fn serialize<S: Serializer>(counts: &[u16; SECONDS], to: S) -> Result<S::Ok, S::Error> {
        counts.as_slice().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u16; SECONDS], D::Error> {
        let counts = Vec::<u16>::deserialize(from)?;
        let long = counts.len();
        counts
            .try_into()
            .map_err(|_| D::Error::custom(format!("{long} counts, not {SECONDS}")))
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: [0; SECONDS],
            second: i64::MIN,
        }
    }
}

fn second(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

fn bucket(second: i64) -> usize {
    second.rem_euclid(SECONDS as i64) as usize
}

impl Tally {
    /// Counts a line. One that is older than what is remembered is not counted.
    pub fn add(&mut self, at: Timestamp) {
        let now = second(at);
        self.advance(now, |_| ());
        if self.second.saturating_sub(now) < SECONDS as i64 {
            let count = &mut self.counts[bucket(now)];
            *count = count.saturating_add(1);
        }
    }

    /// Moves on to a second, handing each finished second's count to `finished`, at most [`SECONDS`] of them.
    fn advance(&mut self, now: i64, mut finished: impl FnMut(u16)) {
        if self.second == i64::MIN {
            self.second = now;
        }
        let steps = now.saturating_sub(self.second).min(SECONDS as i64);
        for step in 1..=steps {
            let done = self.second.saturating_add(step - 1);
            finished(self.counts[bucket(done)]);
            self.counts[bucket(done.saturating_add(1))] = 0;
        }
        if now > self.second {
            if steps == SECONDS as i64 {
                self.counts = [0; SECONDS];
            }
            self.second = now;
        }
    }

    /// Lines of the last `seconds` before and in the second of `now`.
    pub fn sum(&self, now: Timestamp, seconds: i64) -> u32 {
        let now = second(now);
        let within = |s: i64| now.saturating_sub(s) < seconds && s <= now;
        self.each()
            .filter(|(s, _)| within(*s))
            .map(|(_, count)| u32::from(count))
            .sum()
    }

    /// Seconds and their counts, the oldest first.
    fn each(&self) -> impl Iterator<Item = (i64, u16)> {
        let from = self.second.saturating_sub(SECONDS as i64 - 1);
        (from..=self.second).map(|s| (s, self.counts[bucket(s)]))
    }
}

/// When a number of lines within the window is too many, however few are usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub least: u32,
    /// In how many different seconds.
    pub seconds: usize,
}

/// More lines than usual.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SurgeRun {
    pub span: Span,
    pub count: u32,
    /// Lines per second before.
    pub usual: f64,
}

/// One sort of line of one component.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Surge {
    tally: Tally,
    usual: f64,
    run: Option<SurgeRun>,
    last: Option<Timestamp>,
}

impl Surge {
    /// Counts a line.
    pub fn take(&mut self, at: Timestamp, limits: Limits, learning: bool) {
        if self.run.is_some_and(|run| at.since(run.span.last) > HOLD) {
            self.run = None;
        }
        self.advance(at, learning);
        self.tally.add(at);
        self.last = self.last.max(Some(at));
        if learning {
            return;
        }
        let many = f64::from(self.tally.sum(at, WINDOW));
        let expected = self.usual * WINDOW as f64;
        if let Some(run) = &mut self.run {
            if many >= 2.0 * expected {
                run.span.last = run.span.last.max(at);
            }
            run.count = run.count.saturating_add(1);
        } else if many >= f64::from(limits.least)
            && many >= ABOVE_USUAL * expected + DEVIATIONS * expected.sqrt()
        {
            self.raise(at, limits);
        }
    }

    /// Raises, from the first of the window's seconds that is above the usual.
    fn raise(&mut self, at: Timestamp, limits: Limits) {
        let now = second(at);
        let above = |count: u16| f64::from(count) > (3.0 * self.usual).max(0.5);
        let stirred = || {
            self.tally
                .each()
                .filter(|(s, c)| now.saturating_sub(*s) < WINDOW && *s <= now && above(*c))
        };
        let Some((first, _)) = stirred().next() else {
            return;
        };
        if stirred().count() < limits.seconds {
            return;
        }
        let first = Timestamp::from_secs(first);
        self.run = Some(SurgeRun {
            span: Span {
                after: Some(first.minus(Duration::from_secs(1))),
                first: first.min(at),
                last: at,
            },
            count: self.tally.sum(at, WINDOW),
            usual: self.usual,
        });
    }

    fn advance(&mut self, at: Timestamp, learning: bool) {
        let now = second(at);
        let skipped = now.saturating_sub(self.tally.second);
        let weight = if learning { LEARNING_WEIGHT } else { WEIGHT };
        let (usual, frozen) = (&mut self.usual, self.run.is_some());
        self.tally.advance(now, |count| {
            if !frozen {
                // A burst is no new usual: it counts at most a little above what is known.
                let most = if learning {
                    f64::MAX
                } else {
                    3.0 * *usual + 0.2
                };
                *usual += weight * (f64::from(count).min(most) - *usual);
            }
        });
        if skipped > SECONDS as i64 && self.tally.second != i64::MIN && !frozen {
            *usual *= (1.0 - WEIGHT).powi(i32::try_from(skipped).unwrap_or(i32::MAX));
        }
    }

    /// The surge, if it still holds.
    pub fn live(&self, now: Timestamp) -> Option<&SurgeRun> {
        self.run
            .as_ref()
            .filter(|run| now.since(run.span.last) <= HOLD)
    }

    /// Usual lines per second.
    pub fn usual(&self) -> f64 {
        self.usual
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Last line of the sort.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// The usual rate is forgotten, and that there is more of it is over.
    pub fn forget_usual(&mut self) {
        (self.usual, self.run) = (0.0, None);
    }

    /// The host's clock was set back: the usual rate stays, times start anew.
    pub fn stepped(&mut self) {
        *self = Self {
            usual: self.usual,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        least: 5,
        seconds: 2,
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// One line every `every` ms from second `from` to `to`.
    fn lines(surge: &mut Surge, from: i64, to: i64, every: i64, learning: bool) {
        let mut millis = from * 1_000;
        while millis < to * 1_000 {
            surge.take(at(millis), LIMITS, learning);
            millis += every;
        }
    }

    #[test]
    fn a_steady_stream_of_errors_is_usual_and_a_jump_is_not() {
        let mut surge = Surge::default();
        lines(&mut surge, 0, 20, 1_000, true);
        lines(&mut surge, 20, 300, 1_000, false);
        assert!(surge.live(at(300_000)).is_none());
        lines(&mut surge, 300, 310, 100, false);
        let run = surge.live(at(310_000)).unwrap();
        assert!((run.usual - 1.0).abs() < 0.2, "{}", run.usual);
        let onset = run.span.first.as_millis();
        assert!((299_000..302_000).contains(&onset), "{onset}");
    }

    #[test]
    fn one_burst_within_a_second_is_not_enough() {
        let mut surge = Surge::default();
        (0..50).for_each(|i| surge.take(at(100_000 + i), LIMITS, false));
        assert!(surge.live(at(100_100)).is_none());
    }

    #[test]
    fn times_at_the_ends_of_the_range_are_survived() {
        let mut surge = Surge::default();
        for micros in [i64::MIN, i64::MAX, 0, i64::MIN, 1, i64::MAX - 1] {
            surge.take(Timestamp::from_micros(micros), LIMITS, false);
            let _ = surge.tally().sum(Timestamp::from_micros(micros), 30);
        }
    }
}
