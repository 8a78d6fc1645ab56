//! How far, and when, a signal's level moved near an alarm.

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
/// The scale's floor, as a share of the level: what moves less is of no interest, and units cancel.
const FLOOR_OF_LEVEL: f64 = 0.05;
/// Where even that is nothing (a flat zero), the shift counts as this many spreads.
const FROM_FLAT_ZERO: f64 = 100.0;

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

/// The strongest shift between the look-back before `alarm` and the last point with enough after it. None: too few
/// points to know.
///
/// Nobody is told the onset, so each moment is tried: with the onset taken as the alarm's time, a late alarm puts the
/// fault into the baseline and hides it.
pub fn strongest(points: &[(f64, f64)], alarm: f64) -> Option<Shift> {
    let seen: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(time, value)| time.is_finite() && value.is_finite())
        .collect();
    let times: Vec<f64> = seen.iter().map(|(time, _)| *time).collect();
    let at = times.partition_point(|time| *time < alarm);
    let last = at.min(seen.len().checked_sub(FEWEST_AFTER)?);
    let first = first_candidate(&times, alarm);
    let step = last.saturating_sub(first) / MOST_CANDIDATES + 1;
    (first..=last)
        .step_by(step)
        .filter_map(|split| shift_at(&seen, split))
        .max_by(|a, b| a.spreads.total_cmp(&b.spreads))
}

/// The first of the ascending times after which a level may have moved.
pub(crate) fn first_candidate(times: &[f64], alarm: f64) -> usize {
    let at = times.partition_point(|time| *time < alarm);
    let by_time = times.partition_point(|time| *time < alarm - LOOK_BACK_SECONDS);
    let half = if at >= HALVED_FROM { at / 2 } else { 0 };
    by_time
        .min(at.saturating_sub(SPARSE_POINTS))
        .max(FEWEST_BEFORE)
        .max(half)
}

fn shift_at(seen: &[(f64, f64)], split: usize) -> Option<Shift> {
    let (before, after) = seen.split_at_checked(split)?;
    let since = after.first()?.0;
    let (before, after) = (sorted(before), sorted(after));
    let (low, high) = (quantile(&before, 0.5)?, quantile(&after, 0.5)?);
    Some(Shift {
        since,
        before: low,
        after: high,
        spreads: spreads(high - low, scale(&before, low)?),
    })
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

/// A robust standard deviation: of the middle half, or of nearly all where that is wider, and never under the floor.
fn scale(sorted: &[f64], level: f64) -> Option<f64> {
    let middle = (quantile(sorted, 0.75)? - quantile(sorted, 0.25)?) / 1.35;
    let nearly_all = (quantile(sorted, 0.98)? - quantile(sorted, 0.02)?) / 4.1;
    let widened = middle.max(nearly_all) * (1.0 + WIDENED_BY / sorted.len() as f64);
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
