//! Level one: every series' usual level, and which of them left it. It only nominates.

use std::collections::HashMap;
use std::sync::Arc;

use firstlook_model::{ComponentId, Series, SignalKind, Timestamp, Unit};
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;

/// Times what its distances from the usual level came to before at which a sample is strange: what a series does every day is no
/// news, however far from its usual level it leads.
pub(crate) const STRANGE: f64 = 8.0;
/// Most that one sample's square counts for in that past, in mean squares.
const FARTHEST: f64 = 1_024.0;
/// Weight of one sample in that past once it is long: three days of samples once a second.
const FADING: f64 = 1.0 / 262_144.0;
/// Strange samples in a row that nominate.
const PERSISTENT: u8 = 3;
/// Smallest deviation where the unit is not known: a thousandth of what a share can be.
const UNITLESS: f64 = 1e-3;
/// Longest step between samples from which a counter's rate is taken, in microseconds.
const STEP_LIMIT_US: i64 = 60_000_000;

/// A series that left its usual level.
#[derive(Clone, Debug, PartialEq)]
pub struct Nominee<'a> {
    /// Of what.
    pub component: &'a ComponentId,
    /// Name of the signal.
    pub signal: &'a str,
    /// Last sample; for a counter its rate per second.
    pub value: f64,
    /// The usual level.
    pub usual: f64,
}

/// Where one sample lay, seen from the usual level before it, in the series' own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Departure {
    /// Signed distance from the usual level; for a counter its rate's.
    pub distance: f64,
    /// The usual deviation of late, not under the smallest that means anything; above 0.
    pub scale: f64,
    /// Mean square of the distances that the series had before, over days, not under the smallest that means anything; above 0.
    pub past_square: f64,
}

impl Departure {
    /// How strange the sample is: from 1 on it counts towards a nomination.
    pub fn strangeness(&self) -> f64 {
        self.distance.abs() / (STRANGE * self.past_square.sqrt())
    }
}

/// One series' running state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Level {
    last_us: i64,
    /// Last raw value; NaN before the first.
    last: f64,
    value: f64,
    usual: Baseline,
    past: Past,
    /// What `past` was when the departure under way began, or is: one that goes on does not become its own measure.
    before: f64,
    /// Smallest scale that means anything.
    floor: f64,
    counter: bool,
    strange: u8,
}

impl Level {
    /// Before the first sample of a series.
    pub fn new(unit: Unit, kind: SignalKind) -> Self {
        Self::with_floor(floor(unit, kind), kind)
    }

    /// Of a recorded gauge whose unit nobody knows: hardly a deviation is too small to mean anything.
    pub fn unitless() -> Self {
        Self::with_floor(UNITLESS, SignalKind::Gauge)
    }

    fn with_floor(floor: f64, kind: SignalKind) -> Self {
        Self {
            last_us: i64::MIN,
            last: f64::NAN,
            value: f64::NAN,
            usual: Baseline::NEW,
            past: Past::default(),
            before: 0.0,
            floor,
            counter: kind == SignalKind::Counter,
            strange: 0,
        }
    }

    /// Takes one sample. Missing, repeated and late ones change nothing. `None` for those, and while there
    /// are too few samples to judge by.
    #[inline]
    pub fn feed(&mut self, at_us: i64, sample: f64) -> Option<Departure> {
        if !sample.is_finite() || at_us <= self.last_us {
            return None;
        }
        let (before, before_us) = (self.last, self.last_us);
        (self.last, self.last_us) = (sample, at_us);
        self.value = sample;
        if self.counter {
            let step_us = at_us.saturating_sub(before_us);
            // Written so that a first sample (NaN) falls out too.
            if !(sample >= before && step_us <= STEP_LIMIT_US) {
                return None;
            }
            self.value = (sample - before) * 1e6 / step_us as f64;
        }
        let warm = self.usual.is_warm();
        let distance = self.value - self.usual.location();
        let scale = self.usual.scale(self.floor);
        let least = self.usual.least(self.floor);
        self.usual.feed(self.value, self.floor);
        if !warm {
            return None;
        }
        if self.strange == 0 {
            self.before = self.past.mean_square(scale).max(least * least);
        }
        let departure = Departure {
            distance,
            scale,
            past_square: self.before,
        };
        // As `strangeness` has it, without a root.
        let strange = distance * distance > STRANGE * STRANGE * departure.past_square;
        self.strange = if strange {
            self.strange.saturating_add(1)
        } else {
            0
        };
        self.past.take(distance, scale);
        Some(departure)
    }

    fn is_nominated(&self) -> bool {
        self.strange >= PERSISTENT
    }
}

/// How far from its usual level a series went before.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Past {
    mean_square: f64,
    /// Distances in it.
    count: f64,
}

impl Past {
    /// Of a series that has none its deviation stands for it.
    #[inline]
    fn mean_square(&self, scale: f64) -> f64 {
        if self.count > 0.0 {
            self.mean_square
        } else {
            scale * scale
        }
    }

    #[inline]
    fn take(&mut self, distance: f64, scale: f64) {
        if self.count == 0.0 {
            (self.mean_square, self.count) = (scale * scale, 1.0);
        }
        let weight = if self.count * FADING < 1.0 {
            self.count += 1.0;
            1.0 / self.count
        } else {
            FADING
        };
        // One absurd sample must not make the series blind for days.
        let most = FARTHEST * self.mean_square.max(scale * scale);
        self.mean_square += weight * ((distance * distance).min(most) - self.mean_square);
    }
}

/// Smallest scale that means anything: what a bystander does at any time.
fn floor(unit: Unit, kind: SignalKind) -> f64 {
    match (unit, kind) {
        (Unit::Count, SignalKind::Gauge) => 1.0,
        (Unit::Count, SignalKind::Counter) => 5.0,
        (Unit::Bytes, _) => 256.0 * 1024.0,
        (Unit::Seconds, _) | (Unit::Ratio, _) => 0.02,
    }
}

/// All series of one host, by slot. Slots are never reused.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub(crate) struct Levels {
    #[serde(skip_serializing)]
    slots: HashMap<Arc<Series>, u32>,
    series: Vec<Arc<Series>>,
    levels: Vec<Level>,
}

/// What is kept of them.
#[derive(Deserialize)]
struct Kept {
    series: Vec<Arc<Series>>,
    levels: Vec<Level>,
}

impl From<Kept> for Levels {
    fn from(kept: Kept) -> Self {
        let mut all = Self::default();
        for (series, level) in kept.series.into_iter().zip(kept.levels) {
            let slot = all.levels.len() as u32;
            all.slots.insert(Arc::clone(&series), slot);
            all.series.push(series);
            all.levels.push(level);
        }
        all
    }
}

impl Levels {
    /// The slot of a series, new or known; `None` when there are `limit` already.
    pub fn slot(&mut self, series: &Series, limit: usize) -> Option<u32> {
        if let Some(slot) = self.slots.get(series) {
            return Some(*slot);
        }
        if self.levels.len() >= limit {
            return None;
        }
        let slot = u32::try_from(self.levels.len()).ok()?;
        let (level, series) = (
            Level::new(series.unit, series.kind),
            Arc::new(series.clone()),
        );
        self.slots.insert(Arc::clone(&series), slot);
        self.series.push(series);
        self.levels.push(level);
        Some(slot)
    }

    /// The series of a slot.
    pub fn series(&self, slot: u32) -> Option<&Series> {
        self.series.get(slot as usize).map(AsRef::as_ref)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Feeds one column into its slot.
    #[inline]
    pub fn feed(&mut self, slot: u32, times: &[Timestamp], column: &[f64]) {
        let level = &mut self.levels[slot as usize];
        for (at, sample) in times.iter().zip(column) {
            level.feed(at.as_micros(), *sample);
        }
    }

    /// Series that left their usual level, of those sampled at or after `from`.
    pub fn nominees(&self, from: Timestamp) -> impl Iterator<Item = Nominee<'_>> {
        let strange = self
            .series
            .iter()
            .zip(&self.levels)
            .filter(move |(_, level)| level.is_nominated() && level.last_us >= from.as_micros());
        strange.map(|(series, level)| Nominee {
            component: &series.component,
            signal: &series.signal,
            value: level.value,
            usual: level.usual.location(),
        })
    }

    /// The host's clock was set back: levels stay, times start anew.
    pub fn stepped(&mut self) {
        for level in &mut self.levels {
            (level.last_us, level.last) = (i64::MIN, f64::NAN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_is_seen_from_the_level_before_the_sample() {
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        for at in 1..=16 {
            assert_eq!(level.feed(at, 0.5), None, "too few samples at {at}");
        }
        let departure = level.feed(17, 0.9).expect("warm");
        assert!((departure.distance - 0.4).abs() < 1e-9, "{departure:?}");
        assert_eq!(departure.scale, 0.02);
        assert!((departure.past_square - 0.000_4).abs() < 1e-12);
        assert!((departure.strangeness() - 2.5).abs() < 1e-9);
        assert_eq!(level.feed(17, 0.9), None, "repeated");
        assert_eq!(level.feed(18, f64::NAN), None, "missing");
    }

    /// How often it is nominated within a wave of so many samples, up for the last tenth.
    fn nominated(level: &mut Level, from: i64, length: i64) -> usize {
        let up = |at: i64| at % length >= length * 9 / 10;
        let each = from..from + length;
        each.filter(|at| {
            level.feed(*at, if up(*at) { 0.9 } else { 0.1 });
            level.is_nominated()
        })
        .count()
    }

    #[test]
    fn what_a_series_does_each_day_is_no_news_and_more_than_ever_is() {
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        assert!(nominated(&mut level, 0, 1_000) > 0, "the first time");
        for day in 1..6 {
            nominated(&mut level, day * 1_000, 1_000);
        }
        assert_eq!(nominated(&mut level, 6_000, 1_000), 0, "every day");
        let more = (7_000..7_010).filter(|at| {
            level.feed(*at, 6.0);
            level.is_nominated()
        });
        assert!(more.count() > 0, "more than ever");
    }

    #[test]
    fn the_past_fades() {
        let mut past = Past::default();
        (0..1_000_000).for_each(|_| past.take(1_000.0, 0.1));
        assert!(past.mean_square(0.1) > 0.99e6);
        // As many again: half of it would be left in the mean of all.
        (0..1_000_000).for_each(|_| past.take(0.0, 0.1));
        assert!(past.mean_square(0.1) < 0.05e6, "{past:?}");
    }

    #[test]
    fn a_departure_that_goes_on_is_no_measure_of_itself() {
        for quiet in [40, 1_000] {
            let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
            (0..quiet).for_each(|at| {
                level.feed(at, 0.1);
            });
            let nominated = (quiet..quiet + 40).filter(|at| {
                level.feed(*at, 0.9);
                level.is_nominated()
            });
            assert!(nominated.count() >= 30, "after {quiet} samples");
        }
    }

    #[test]
    fn one_absurd_sample_makes_nobody_blind() {
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        (0..1_000).for_each(|at| {
            level.feed(at, 0.1);
        });
        level.feed(1_000, 1e300);
        (1_001..1_100).for_each(|at| {
            level.feed(at, 0.1);
        });
        let nominated = (1_100..1_110).filter(|at| {
            level.feed(*at, 2.0);
            level.is_nominated()
        });
        assert!(nominated.count() > 0);
    }
}
