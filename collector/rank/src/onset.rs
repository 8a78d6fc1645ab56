//! When something first went wrong near a component: hours may lie between that and the alarm.

use std::collections::{BTreeMap, BTreeSet};

use crate::blame::Note;
use crate::{Series, shift, words};

/// The share of the time before the alarm that is taken as usual.
const USUAL_SHARE: f64 = 0.4;
/// A level is not known from fewer points.
const FEWEST_USUAL: usize = 6;
/// A signal has moved once so many points in turn …
const IN_TURN: usize = 3;
/// … are so many spreads away.
const CLEAR_SPREADS: f64 = 5.0;
/// It has come back when the median of its last points, this share of those since, is nearer than that again.
const LAST_SHARE: f64 = 0.2;

/// The first sign.
#[derive(Debug, Default)]
pub struct Onset<'a> {
    /// When, Unix seconds.
    pub time: f64,
    /// How much later it may have been.
    pub coarseness: f64,
    /// Who has shown a sign at all.
    pub moved: BTreeSet<&'a str>,
    /// The signals that moved.
    pub signals: BTreeSet<&'a str>,
}

/// One signal that left its usual level.
struct Left {
    time: f64,
    step: f64,
}

/// None: no sign.
pub fn find<'a>(
    series: &'a [Series],
    notes: &'a [Note],
    near: &BTreeSet<&str>,
    alarm: f64,
) -> Option<Onset<'a>> {
    let mut onset = Onset {
        time: f64::INFINITY,
        ..Onset::default()
    };
    for one in series
        .iter()
        .filter(|s| near.contains(s.component.as_str()))
    {
        let Some(left) = left(&one.points, alarm) else {
            continue;
        };
        onset.moved.insert(&one.component);
        onset.signals.insert(&one.signal);
        if left.time < onset.time {
            (onset.time, onset.coarseness) = (left.time, left.step);
        }
    }
    for note in new_complaints(notes, alarm) {
        if !near.contains(note.component.as_str()) {
            continue;
        }
        onset.moved.insert(&note.component);
        if note.time < onset.time {
            (onset.time, onset.coarseness) = (note.time, 0.0);
        }
    }
    onset.time.is_finite().then_some(onset)
}

/// Complaints of a kind that the usual time does not show.
fn new_complaints(notes: &[Note], alarm: f64) -> Vec<&Note> {
    let first = notes.iter().map(|n| n.time).fold(f64::INFINITY, f64::min);
    let usual_until = first + (alarm - first) * USUAL_SHARE;
    let kind = |note: &Note| (note.component.clone(), words::kind(&note.text));
    let mut earliest: BTreeMap<(String, String), f64> = BTreeMap::new();
    for note in notes {
        let held = earliest.entry(kind(note)).or_insert(note.time);
        *held = held.min(note.time);
    }
    notes
        .iter()
        .filter(|n| n.bad && earliest.get(&kind(n)).is_some_and(|t| *t >= usual_until))
        .collect()
}

fn left(points: &[(f64, f64)], alarm: f64) -> Option<Left> {
    let (usual, scale) = usual(points, alarm)?;
    let is_away = |(_, value): &(f64, f64)| (value - usual).abs() > CLEAR_SPREADS * scale;
    let at = points
        .windows(IN_TURN)
        .position(|w| w.iter().all(is_away))?;
    let before = points.get(at.checked_sub(1)?)?.0;
    let time = points.get(at)?.0;
    Some(Left {
        time,
        step: time - before,
    })
}

/// The level and the spread of the usual time.
fn usual(points: &[(f64, f64)], alarm: f64) -> Option<(f64, f64)> {
    let first = points.first()?.0;
    let until = points.partition_point(|(time, _)| *time < first + (alarm - first) * USUAL_SHARE);
    if until < FEWEST_USUAL {
        return None;
    }
    let sorted = shift::sorted(&points[..until]);
    let level = shift::quantile(&sorted, 0.5)?;
    Some((level, shift::scale(&sorted, level)?.max(f64::MIN_POSITIVE)))
}

/// Whether all signals that left their usual level are back in the last part of the recording.
pub fn has_ended(series: &[Series], onset: &Onset<'_>, near: &BTreeSet<&str>) -> bool {
    let moved = |s: &&Series| {
        near.contains(s.component.as_str()) && onset.signals.contains(s.signal.as_str())
    };
    let mut ended = series.iter().filter(moved).filter_map(|s| {
        let since = s.points.partition_point(|(time, _)| *time < onset.time);
        let since = s.points.get(since..)?;
        let last = (since.len() as f64 * LAST_SHARE) as usize;
        let last = since
            .get(since.len() - last..)
            .filter(|l| l.len() >= IN_TURN)?;
        let (usual, scale) = usual(&s.points, onset.time)?;
        let now = shift::quantile(&shift::sorted(last), 0.5)?;
        Some((now - usual).abs() <= CLEAR_SPREADS * scale)
    });
    ended.next().is_some_and(|back| back) && ended.all(|back| back)
}
