//! Level one: every series' usual level, and which of them left it. It only nominates.

use std::collections::HashMap;
use std::sync::Arc;

use firstlook_model::{ComponentId, Series, SignalKind, Timestamp, Unit};

use crate::baseline::Baseline;

/// Scales from the usual level at which a sample is strange.
pub(crate) const STRANGE: f64 = 8.0;
/// Strange samples in a row that nominate.
const PERSISTENT: u8 = 3;
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
    /// The usual deviation, not under the smallest that means anything; above 0.
    pub scale: f64,
}

/// One series' running state.
#[derive(Clone, Debug)]
pub struct Level {
    last_us: i64,
    /// Last raw value; NaN before the first.
    last: f64,
    value: f64,
    usual: Baseline,
    /// Smallest scale that means anything.
    floor: f64,
    counter: bool,
    strange: u8,
}

impl Level {
    /// Before the first sample of a series.
    pub fn new(unit: Unit, kind: SignalKind) -> Self {
        Self {
            last_us: i64::MIN,
            last: f64::NAN,
            value: f64::NAN,
            usual: Baseline::NEW,
            floor: floor(unit, kind),
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
        let departure = Departure {
            distance: self.value - self.usual.location(),
            scale: self.usual.scale(self.floor),
        };
        let warm = self.usual.is_warm();
        if warm && departure.distance.abs() > STRANGE * departure.scale {
            self.strange = self.strange.saturating_add(1);
        } else {
            self.strange = 0;
        }
        self.usual.feed(self.value, self.floor);
        warm.then_some(departure)
    }

    fn is_nominated(&self) -> bool {
        self.strange >= PERSISTENT
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
#[derive(Debug, Default)]
pub(crate) struct Levels {
    slots: HashMap<Arc<Series>, u32>,
    series: Vec<Arc<Series>>,
    levels: Vec<Level>,
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
        assert_eq!(level.feed(17, 0.9), None, "repeated");
        assert_eq!(level.feed(18, f64::NAN), None, "missing");
    }
}
