//! Which change is at fault, if any: by when it came, where, and by the words it shares with what went wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::onset::{self, Onset};
use crate::words;
use crate::{Alarm, Edge, Series};

/// A change so many seconds before the onset is half as likely as one right before it.
const HALF_LIFE_SECONDS: f64 = 300.0;
/// What speaks against one on a component that shows nothing itself.
const WEIGHT_OF_NO_SIGN: f64 = 1.5;
/// What speaks against one that touches nothing that runs.
const WEIGHT_OF_INERT: f64 = 3.0;
/// What speaks for no change at all, before anything is known …
const WEIGHT_OF_NONE: f64 = -0.7;
/// … for a reason outside, as an expired certificate …
const WEIGHT_OF_OUTSIDE: f64 = 2.0;
/// … and for having ended though nothing was changed.
const WEIGHT_OF_RECOVERY: f64 = 1.5;
/// A change is named only where it is ahead of no change by so much (three to two) …
const LEAD_OVER_NONE: f64 = 0.4;
/// … and of any other change by so much (three to one): of two that came before one onset, words tell only so well.
const LEAD_OVER_OTHER: f64 = 1.1;

/// Something that was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is called by.
    pub id: String,
    /// Where.
    pub component: String,
    /// When, Unix seconds.
    pub time: f64,
    /// What is written about it, and in it.
    pub text: String,
    /// The files it touches; empty: not known.
    pub files: Vec<String>,
}

/// A line that a component wrote, or the error of a failed span.
#[derive(Debug, Clone)]
pub struct Note {
    /// Whose.
    pub component: String,
    /// When, Unix seconds.
    pub time: f64,
    /// What it says.
    pub text: String,
    /// Whether it is a complaint: a warning or worse.
    pub bad: bool,
    /// Whether it is about a peer that is no component of ours.
    pub outside: bool,
}

/// What is known beside series and calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// In any order.
    pub changes: &'a [Change],
    /// In any order.
    pub notes: &'a [Note],
    /// Names of operations: said of any complaint about them, so they tell nothing of its reason.
    pub operations: &'a [String],
}

/// What is at fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Blame<'a> {
    /// This change.
    Change(&'a Change),
    /// No change that is known.
    NoChange,
    /// It cannot be told.
    Undecided,
}

/// Weighs the changes of the components around the alarm.
///
/// `suspect` stands for the alarm's component where the alarm names none. None: there is no onset to hold the changes
/// against, or no change is known.
pub fn blame<'a>(
    series: &[Series],
    edges: &[Edge],
    alarm: &Alarm,
    suspect: Option<&str>,
    told: Told<'a>,
) -> Option<Blame<'a>> {
    let Told { changes, notes, .. } = told;
    let root = alarm.component.as_deref().or(suspect)?;
    let near = around(root, edges, series);
    let onset = onset::find(series, notes, &near, alarm.time)?;
    if changes.is_empty() {
        return None;
    }
    let signs = words::Signs::of(&onset, told, alarm);
    let rarity = words::rarity(changes);
    let mut best: Option<(f64, &Change)> = None;
    let mut second = f64::NEG_INFINITY;
    for change in changes
        .iter()
        .filter(|c| near.contains(c.component.as_str()))
    {
        let Some(weight) = weigh(change, &onset, &signs, &rarity) else {
            continue;
        };
        if best.is_none_or(|(most, _)| weight > most) {
            second = best.map_or(second, |(most, _)| most);
            best = Some((weight, change));
        } else {
            second = second.max(weight);
        }
    }
    let none = none(series, &onset, &near, notes);
    Some(match best {
        Some((weight, _)) if none < weight + LEAD_OVER_NONE => {
            let clear = weight >= none + LEAD_OVER_NONE && weight >= second + LEAD_OVER_OTHER;
            let named = best.filter(|_| clear);
            named.map_or(Blame::Undecided, |(_, change)| Blame::Change(change))
        }
        _ => Blame::NoChange,
    })
}

/// The component, all that it calls, and those that call it: who is called hands slowness up, and a caller hands load down.
/// Everybody where its calls are not known.
fn around<'a>(root: &'a str, edges: &'a [Edge], series: &'a [Series]) -> BTreeSet<&'a str> {
    if !edges.iter().any(|e| e.caller == root || e.callee == root) {
        let ends = edges.iter().flat_map(|e| [&e.caller, &e.callee]);
        let all = ends.chain(series.iter().map(|s| &s.component));
        return all.map(String::as_str).chain([root]).collect();
    }
    let mut near = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(component) = open.pop() {
        for edge in edges.iter().filter(|e| e.caller == component) {
            if near.insert(&edge.callee) {
                open.push(&edge.callee);
            }
        }
    }
    let callers = edges.iter().filter(|e| e.callee == root);
    near.extend(callers.map(|e| e.caller.as_str()));
    near
}

/// None: it came after the onset.
fn weigh(
    change: &Change,
    onset: &Onset<'_>,
    signs: &words::Signs,
    rarity: &BTreeMap<String, f64>,
) -> Option<f64> {
    let before = onset.time + onset.coarseness - change.time;
    if before < 0.0 {
        return None;
    }
    let early = (onset.time - change.time).max(0.0);
    let mut weight = -(1.0 + early / HALF_LIFE_SECONDS).ln();
    if !onset.moved.contains(change.component.as_str()) {
        weight -= WEIGHT_OF_NO_SIGN;
    }
    if !change.files.is_empty() && change.files.iter().all(|file| words::is_inert(file)) {
        weight -= WEIGHT_OF_INERT;
    }
    Some(weight + signs.shared_with(change, rarity).ln_1p())
}

fn none(series: &[Series], onset: &Onset<'_>, near: &BTreeSet<&str>, notes: &[Note]) -> f64 {
    let mut weight = WEIGHT_OF_NONE;
    let since = |n: &&Note| n.bad && n.time >= onset.time - onset.coarseness;
    if notes
        .iter()
        .filter(since)
        .any(|n| n.outside || words::is_outside(&n.text))
    {
        weight += WEIGHT_OF_OUTSIDE;
    }
    if onset::has_ended(series, onset, near) {
        weight += WEIGHT_OF_RECOVERY;
    }
    weight
}

#[cfg(test)]
mod tests;
