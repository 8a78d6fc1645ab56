//! Sums over the last seconds, and rates of counters.

use std::collections::VecDeque;

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Most observations held, however fast they come.
const ITEMS_LIMIT: usize = 64;

/// Pairs of numbers over the last `span`: a part and its whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Window {
    // Microseconds: this runs on every sample, and a Duration costs two divisions.
    span_us: i64,
    items: VecDeque<(Timestamp, f64, f64)>,
}

impl Window {
    pub fn seconds(span_s: u64) -> Self {
        Self {
            span_us: i64::try_from(span_s)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000),
            items: VecDeque::new(),
        }
    }

    /// Takes a pair. Times must not fall.
    pub fn push(&mut self, at: Timestamp, part: f64, whole: f64) {
        if self.items.back().is_some_and(|(last, ..)| at <= *last) {
            return;
        }
        self.items.push_back((at, part, whole));
        let from = at.as_micros().saturating_sub(self.span_us);
        while self.items.len() > ITEMS_LIMIT
            || self
                .items
                .front()
                .is_some_and(|(first, ..)| first.as_micros() <= from)
        {
            self.items.pop_front();
        }
    }

    /// Sums of parts and wholes.
    pub fn sums(&self) -> (f64, f64) {
        self.items
            .iter()
            .fold((0.0, 0.0), |(a, b), (_, part, whole)| (a + part, b + whole))
    }

    /// Sum of the parts at or after `from`.
    pub fn parts_since(&self, from: Timestamp) -> f64 {
        self.items
            .iter()
            .filter(|(at, ..)| *at >= from)
            .map(|(_, part, _)| part)
            .sum()
    }

    /// Sum of parts over sum of wholes; `None` while there is no whole.
    pub fn ratio(&self) -> Option<f64> {
        let (part, whole) = self.sums();
        (whole > 0.0).then(|| part / whole)
    }

    /// In how many observations the part was above zero.
    pub fn stirred(&self) -> usize {
        self.items.iter().filter(|(_, part, _)| *part > 0.0).count()
    }

    /// Last observation.
    pub fn last(&self) -> Option<Timestamp> {
        self.items.back().map(|(at, ..)| *at)
    }

    pub fn clear(&mut self) {
        self.items.clear();
    }
}

/// A counter's increments. A fall is a reset, a long gap starts anew: neither is an increment.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Meter(Option<(Timestamp, f64)>);

/// Longest time over which an increment still says something of now.
const METER_GAP_US: i64 = 60_000_000;

impl Meter {
    /// The increment since the last observation and its length in seconds.
    pub fn step(&mut self, at: Timestamp, value: Option<f64>) -> Option<(f64, f64)> {
        let value = value?;
        let before = self.0.replace((at, value));
        let (then, old) = before?;
        if at <= then {
            self.0 = before;
            return None;
        }
        let length_us = at.as_micros().saturating_sub(then.as_micros());
        (value >= old && length_us <= METER_GAP_US).then_some((value - old, length_us as f64 / 1e6))
    }

    pub fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_window_forgets_what_is_older_than_its_span() {
        let mut window = Window::seconds(10);
        (0..30).for_each(|i| window.push(at(i), 1.0, 2.0));
        assert_eq!(window.sums(), (10.0, 20.0));
        assert_eq!(window.parts_since(at(27)), 3.0);
    }

    #[test]
    fn a_counter_that_falls_was_reset() {
        let mut meter = Meter::default();
        assert_eq!(meter.step(at(1), Some(100.0)), None);
        assert_eq!(meter.step(at(2), Some(104.0)), Some((4.0, 1.0)));
        assert_eq!(meter.step(at(3), None), None);
        assert_eq!(meter.step(at(4), Some(110.0)), Some((6.0, 2.0)));
        assert_eq!(meter.step(at(5), Some(3.0)), None);
        assert_eq!(meter.step(at(6), Some(5.0)), Some((2.0, 1.0)));
        assert_eq!(meter.step(at(6), Some(9.0)), None);
        assert_eq!(meter.step(at(900), Some(9.0)), None);
    }
}
