//! Level one: every series' usual level, and which of them left it. It only nominates.

use std::collections::HashMap;
use std::sync::Arc;

use firstlook_model::{ComponentId, Series, SignalKind, Timestamp, Unit};
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::looks::{Looks, Shown};
use crate::season::Season;
use crate::sightings::Sightings;

/// Norms of what a series showed before at which a sample is strange: what it does every day is no news, however far from its
/// usual level that leads.
pub(crate) const STRANGE: f64 = 3.0;
/// The usual level is that of so many samples, or of four hours where these are more.
const MEMORY_SAMPLES: f64 = 256.0;
const MEMORY_US: f64 = 4.0 * 3_600e6;
/// Strange samples in a row that nominate.
const PERSISTENT: u8 = 3;
/// Smallest deviation where the unit is not known: a thousandth of what a share can be.
const UNITLESS: f64 = 1e-3;
/// Longest step between samples from which a counter's rate is taken, in microseconds.
const STEP_LIMIT_US: i64 = 60_000_000;
/// No distance is taken for more, so that its powers are numbers.
const LARGEST: f64 = 1e30;

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

/// Where one sample lay, seen from what was usual before it, in the series' own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Departure {
    /// Signed distance from what is usual at this hour; for a counter its rate's.
    pub distance: f64,
    /// The usual deviation of late, not under the smallest that means anything; above 0.
    pub scale: f64,
    shown: Shown,
}

impl Departure {
    /// How strange the sample is: from 1 on it counts towards a nomination.
    pub fn strangeness(&self) -> f64 {
        self.shown.norms() / STRANGE
    }
}

/// One series' running state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Level {
    last_us: i64,
    /// Last raw value; NaN before the first.
    last: f64,
    value: f64,
    /// Without what the hour foretells.
    usual: Baseline,
    #[serde(default = "new_season")]
    season: Season,
    #[serde(default = "new_looks")]
    looks: Looks,
    #[serde(default)]
    seen: Sightings,
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
            season: Season::NEW,
            looks: Looks::NEW,
            seen: Sightings::default(),
            floor,
            counter: kind == SignalKind::Counter,
            strange: 0,
        }
    }

    /// Takes one sample. Missing, repeated and late ones change nothing. `None` for those, and while there
    /// are too few samples to judge by.
    #[inline(always)]
    pub fn feed(&mut self, at_us: i64, sample: f64) -> Option<Departure> {
        if !sample.is_finite() || at_us <= self.last_us {
            return None;
        }
        let (before, before_us) = (self.last, self.last_us);
        (self.last, self.last_us) = (sample, at_us);
        self.value = sample;
        let step_us = at_us.saturating_sub(before_us);
        if self.counter {
            // Written so that a first sample (NaN) falls out too.
            if !(sample >= before && step_us <= STEP_LIMIT_US) {
                return None;
            }
            self.value = (sample - before) * 1e6 / step_us as f64;
        }
        // How long a first sample stands for is not known.
        let step_us = if before_us == i64::MIN { 0 } else { step_us };
        self.judge(at_us, step_us)
    }

    /// Sees how far the value lies from what is usual, and learns from it.
    #[inline(always)]
    fn judge(&mut self, at_us: i64, step_us: i64) -> Option<Departure> {
        let foretold = self.season.foretell(at_us);
        let distance = self.value - self.usual.location() - foretold;
        let distance = distance.clamp(-LARGEST, LARGEST);
        let (scale, least) = (self.usual.scale(self.floor), self.usual.least(self.floor));
        let warm = self.usual.is_warm();
        let passed = (step_us as f64 * (1.0 / MEMORY_US)).min(1.0 / MEMORY_SAMPLES);
        // A young series' level is the mean of all that it has.
        let weight = passed.max(1.0 / f64::from(Baseline::WARM + self.looks.count()));
        let level = self.value - foretold;
        self.usual.feed_weighted(level, self.floor, weight);
        let unseen = self
            .seen
            .take(at_us, self.value.clamp(-LARGEST, LARGEST), least);
        if !warm {
            return None;
        }
        self.looks.begin(scale);
        let known = self.looks.weight();
        let (shown, counted) = self.looks.take(distance, least, passed, unseen);
        self.season.take(step_us, counted + foretold, known);
        let departure = Departure {
            distance,
            scale,
            shown,
        };
        self.strange = if departure.shown.reaches(STRANGE) {
            self.strange.saturating_add(1)
        } else {
            0
        };
        Some(departure)
    }

    /// The usual level at the last sample's time.
    fn usual(&self) -> f64 {
        self.usual.location() + self.season.foretold()
    }

    fn is_nominated(&self) -> bool {
        self.strange >= PERSISTENT
    }
}

fn new_season() -> Season {
    Season::NEW
}

fn new_looks() -> Looks {
    Looks::NEW
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
            usual: level.usual(),
        })
    }

    /// Forgets the usual levels of components that `is_meant` names.
    pub fn forget(&mut self, is_meant: impl Fn(&ComponentId) -> bool) {
        for (series, level) in self.series.iter().zip(&mut self.levels) {
            if is_meant(&series.component) {
                *level = Level::new(series.unit, series.kind);
            }
        }
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
        // Twenty times the smallest that means anything; a sixth of that over the last few; and all of it since the last.
        let norms = (20.0 + 20.0 / 6.0 + 20.0) / 3.0;
        let strangeness = departure.strangeness();
        assert!((strangeness - norms / 3.0).abs() < 1e-9, "{strangeness}");
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

    /// How strange it gets in a day of samples each ten minutes, at 0.9 from nine to five where that is a working day.
    fn strangest(level: &mut Level, day: i64, works: bool) -> f64 {
        let each = (day * 144..(day + 1) * 144).filter_map(|at| {
            let up = works && (54..102).contains(&(at % 144));
            // Noise that does not come again with the day.
            let noise = (at * 7_919 % 101) as f64 / 1_000.0;
            level.feed(at * 600_000_000, noise + if up { 0.9 } else { 0.1 })
        });
        each.map(|departure| departure.strangeness())
            .fold(0.0, f64::max)
    }

    #[test]
    fn what_does_not_come_at_its_hour_is_strange() {
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        let days = (0..20).map(|day| strangest(&mut level, day, true));
        let as_every_day = days.last().expect("days");
        assert!(as_every_day < 0.5, "{as_every_day}");
        let nothing_came = strangest(&mut level, 20, false);
        assert!(nothing_came > 1.0, "{nothing_came}");
    }

    #[test]
    fn a_value_among_all_others_that_it_never_showed_is_strange_also_after_a_restart() {
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        for at in 0..2_000 {
            level.feed(at, if at % 2 == 0 { 0.1 } else { 0.9 });
        }
        let kept = rmp_serde::to_vec_named(&level).expect("written");
        let restarted: Level = rmp_serde::from_slice(&kept).expect("read");
        for mut level in [level, restarted] {
            // In the very middle, where the usual level is.
            let departure = level.feed(2_000, 0.5).expect("warm");
            assert!(departure.distance.abs() < 0.05, "{departure:?}");
            assert!(departure.strangeness() > 2.0, "{departure:?}");
            level.feed(2_001, 0.1);
            let again = level.feed(2_002, 0.5).expect("warm").strangeness();
            assert!(again < 1.0, "{again}");
        }
    }

    #[test]
    fn what_is_usual_is_that_of_hours_however_often_it_is_sampled() {
        // Ten minutes of a second each are not long enough to be usual, and ten hours are.
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        let mut feed = |seconds: std::ops::Range<i64>, sample: f64| {
            for at in seconds {
                level.feed(at * 1_000_000, sample);
            }
            level.usual.location()
        };
        feed(0..20_000, 0.1);
        assert!(feed(20_000..20_600, 0.9) < 0.2);
        assert!(feed(20_600..56_600, 0.9) > 0.7);
    }

    #[test]
    fn a_young_series_has_its_level_from_all_that_it_showed() {
        let mut level = Level::new(Unit::Ratio, SignalKind::Gauge);
        for at in 0..400 {
            level.feed(at * 1_000_000, if at < 20 { 0.5 } else { 0.4 });
        }
        let usual = level.usual.location();
        assert!((usual - 0.4).abs() < 0.02, "{usual}");
    }

    #[test]
    fn a_series_costs_seven_hundred_and_twenty_eight_bytes_at_most() {
        let all = size_of::<Level>() + Sightings::APART;
        assert!(all <= 728, "{} of {all}", Sightings::APART);
    }

    #[test]
    fn a_level_without_season_looks_and_sightings_is_taken_up() {
        // As kept by versions that had none of them.
        #[derive(Serialize)]
        struct Before {
            last_us: i64,
            last: f64,
            value: f64,
            usual: Baseline,
            floor: f64,
            counter: bool,
            strange: u8,
        }
        let mut usual = Baseline::NEW;
        (0..100).for_each(|_| usual.feed(0.5, 0.02));
        let kept = rmp_serde::to_vec_named(&Before {
            last_us: 100,
            last: 0.5,
            value: 0.5,
            usual,
            floor: 0.02,
            counter: false,
            strange: 0,
        });
        let mut level: Level = rmp_serde::from_slice(&kept.expect("written")).expect("read");
        let departure = level.feed(101, 0.9).expect("warm");
        assert!(departure.strangeness() > 1.0, "{departure:?}");
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
        let absurd = level.feed(1_000, 1e300).expect("warm");
        assert!(absurd.strangeness().is_finite(), "{absurd:?}");
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
