//! How far, and when, a signal's level moved near an alarm.

use crate::{Alarm, Series};

/// How long before the alarm a level may have moved, in seconds; in sparse recordings [`SPARSE_POINTS`] points.
const LOOK_BACK_SECONDS: f64 = 240.0;
/// Never fewer candidates than this before the alarm, however sparse the recording.
const SPARSE_POINTS: usize = 4;
/// At most so many moments are tried: with one point a second, every few seconds.
const MOST_CANDIDATES: usize = 32;
/// A level is not known from fewer points before.
const FEWEST_BEFORE: usize = 4;
/// Nor from fewer after: the median of three is not moved by one stray point.
const FEWEST_AFTER: usize = 3;
/// From so many points before the alarm on, no level is taken from fewer than half of them: the spread of a few
/// neighbouring points is far under that of the signal, and everything would stand out from it.
const HALVED_FROM: usize = 16;
/// A spread seen in few points is too small by about this many over their number.
const WIDENED_BY: f64 = 2.0;
/// The middle half of a normal distribution, in spreads.
const MIDDLE_HALF_SPREADS: f64 = 1.35;
/// The scale's floor, as a share of the level: what moves less is of no interest, and units cancel.
const FLOOR_OF_LEVEL: f64 = 0.05;
/// Where even that is nothing (a flat zero), the shift counts as this many spreads.
const FROM_FLAT_ZERO: f64 = 100.0;

/// An alarm's own signal tells when it began where it moved by so many spreads …
const OWN_SPREADS: f64 = 6.0;
/// … and at most so long before, in seconds.
const LONGEST_BEFORE_SECONDS: f64 = 1_800.0;

/// Where levels are searched that moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// When the alarm came, Unix seconds.
    pub alarm: f64,
    /// How long before it a level may have moved, in seconds.
    pub back: f64,
}

impl Search {
    /// Before an alarm of which no more than its time is known.
    pub fn before(alarm: f64) -> Self {
        Self {
            alarm,
            back: LOOK_BACK_SECONDS,
        }
    }

    /// Before an alarm that may name its signal. Where that began to move long before the alarm came, so did what moved it.
    pub fn of(series: &[Series], alarm: &Alarm) -> Self {
        let usual = Self::before(alarm.time);
        let own = || {
            let component = alarm.component.as_deref()?;
            let signal = alarm.signal.as_deref()?;
            let mut all = series.iter();
            let own = all.find(|s| s.component == component && s.signal == signal)?;
            let longest = Self {
                back: LONGEST_BEFORE_SECONDS,
                ..usual
            };
            strongest(&own.points, longest)
        };
        let began = own().filter(|shift| shift.spreads >= OWN_SPREADS);
        let late = began.map_or(0.0, |shift| (alarm.time - shift.since).max(0.0));
        Self {
            back: (usual.back + late).min(LONGEST_BEFORE_SECONDS),
            ..usual
        }
    }
}

/// A level that moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The first point after the move, Unix seconds.
    pub since: f64,
    /// Median before.
    pub before: f64,
    /// Median after.
    pub after: f64,
    /// The move in robust standard deviations of the time before; not negative.
    pub spreads: f64,
}

/// The strongest shift between the look-back before the alarm and the last point with enough after it. None: too few
/// points to know.
///
/// Nobody is told the onset, so each moment is tried: with the onset taken as the alarm's time, a late alarm puts the
/// fault into the baseline and hides it.
pub fn strongest(points: &[(f64, f64)], search: Search) -> Option<Shift> {
    let seen: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(time, value)| time.is_finite() && value.is_finite())
        .collect();
    let times: Vec<f64> = seen.iter().map(|(time, _)| *time).collect();
    let at = times.partition_point(|time| *time < search.alarm);
    let last = at.min(seen.len().checked_sub(FEWEST_AFTER)?);
    let first = first_candidate(&times, search);
    let step = last.saturating_sub(first) / MOST_CANDIDATES + 1;
    let mut sides = Sides::at(&seen, first)?;
    (first..=last)
        .step_by(step)
        .filter_map(|split| sides.move_to(split).and_then(|()| sides.shift()))
        .max_by(|a, b| a.spreads.total_cmp(&b.spreads))
        .map(|shift| Shift {
            since: onset(&seen, first, &shift),
            ..shift
        })
}

/// When the level came past half of the move: back from the split for as long as no three points in turn are short of it.
/// The strongest split itself may be late, since a few points of the new level do not spoil the old one.
fn onset(seen: &[(f64, f64)], first: usize, shift: &Shift) -> f64 {
    let half = (shift.before + shift.after) / 2.0;
    let is_past = |value: f64| (value > half) == (shift.after > shift.before);
    let split = seen.partition_point(|(time, _)| *time < shift.since);
    let mut since = None;
    let mut short = 0;
    for (time, value) in seen.get(first..=split).unwrap_or_default().iter().rev() {
        if is_past(*value) {
            since = Some(*time);
            short = 0;
        } else {
            short += 1;
        }
        if short == FEWEST_AFTER {
            break;
        }
    }
    let later = || seen.get(split..)?.iter().find(|(_, v)| is_past(*v));
    since
        .or_else(|| later().map(|(time, _)| *time))
        .unwrap_or(shift.since)
}

/// The first of the ascending times after which a level may have moved.
pub(crate) fn first_candidate(times: &[f64], search: Search) -> usize {
    let at = times.partition_point(|time| *time < search.alarm);
    let by_time = times.partition_point(|time| *time < search.alarm - search.back);
    let half = if at >= HALVED_FROM { at / 2 } else { 0 };
    by_time
        .min(at.saturating_sub(SPARSE_POINTS))
        .max(FEWEST_BEFORE)
        .max(half)
}

/// The points before and after a split that only moves on, both sorted: to sort them at each split anew would be most
/// of the work.
struct Sides<'a> {
    seen: &'a [(f64, f64)],
    split: usize,
    before: Vec<f64>,
    after: Vec<f64>,
}

impl<'a> Sides<'a> {
    fn at(seen: &'a [(f64, f64)], split: usize) -> Option<Self> {
        let (before, after) = seen.split_at_checked(split)?;
        Some(Self {
            seen,
            split,
            before: sorted(before),
            after: sorted(after),
        })
    }

    /// Moves on to a later split.
    fn move_to(&mut self, split: usize) -> Option<()> {
        for (_, value) in self.seen.get(self.split..split)? {
            let place = |side: &[f64]| side.partition_point(|v| v.total_cmp(value).is_lt());
            self.before.insert(place(&self.before), *value);
            self.after.remove(place(&self.after));
        }
        self.split = split;
        Some(())
    }

    fn shift(&self) -> Option<Shift> {
        let (low, high) = (quantile(&self.before, 0.5)?, quantile(&self.after, 0.5)?);
        Some(Shift {
            since: self.seen.get(self.split)?.0,
            before: low,
            after: high,
            spreads: spreads(high - low, scale(&self.before, low)?),
        })
    }
}

fn spreads(moved: f64, scale: f64) -> f64 {
    if moved == 0.0 {
        0.0
    } else if scale > 0.0 {
        (moved / scale).abs()
    } else {
        FROM_FLAT_ZERO
    }
}

/// A robust standard deviation, of the middle half, and never under the floor. The middle half alone: earlier faults lie in
/// the time before, and a level that was reached in them is still not the usual one.
pub(crate) fn scale(sorted: &[f64], level: f64) -> Option<f64> {
    let middle = (quantile(sorted, 0.75)? - quantile(sorted, 0.25)?) / MIDDLE_HALF_SPREADS;
    let widened = middle * (1.0 + WIDENED_BY / sorted.len() as f64);
    Some(widened.max(FLOOR_OF_LEVEL * level.abs()))
}

pub(crate) fn sorted(points: &[(f64, f64)]) -> Vec<f64> {
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Between the two nearest by proportion. None of an empty slice.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let below = sorted.get(place.floor() as usize)?;
    let above = sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}
