//! What the same search finds in the time before: a search over hundreds of signals and moments always finds something.

use crate::moved::{self, View};
use crate::{Alarm, Edge, Series, shift};

/// How many earlier windows are searched for comparison, and from which share of the time before on.
const EARLIER_WINDOWS: usize = 8;
const EARLIEST_WINDOW: f64 = 0.6;
/// The window of this place from the quietest says what is usual. Not the loudest: other faults may lie in the time before,
/// and they are no measure of chance.
const QUIET_PLACE: usize = 1;
/// A window of fewer points shows nothing.
const FEWEST_IN_WINDOW: usize = 8;

/// What the windows before showed. By default nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// The highest score in a quiet window.
    pub quiet: f64,
    /// The scores in the last window before the searched time.
    pub(crate) latest: Vec<(String, f64)>,
}

impl Past {
    /// How strongly a component was moving already before the searched time.
    pub fn latest(&self, component: &str) -> f64 {
        let held = self.latest.iter().find(|(name, _)| name == component);
        held.map_or(0.0, |(_, score)| *score)
    }
}

/// Searches windows that end before the searched time begins. None: too little is known of that time.
pub fn past(series: &[Series], edges: &[Edge], alarm: &Alarm) -> Option<Past> {
    let longest = series.iter().max_by_key(|s| s.points.len())?;
    let times: Vec<f64> = longest.points.iter().map(|(time, _)| *time).collect();
    let first = shift::first_candidate(&times, alarm.time).min(times.len());
    let earliest = ((first as f64 * EARLIEST_WINDOW) as usize).max(FEWEST_IN_WINDOW);
    let width = first.checked_sub(earliest)?;
    let mut tops = Vec::new();
    let mut latest = Vec::new();
    for window in 0..EARLIER_WINDOWS {
        let length = earliest + width * window / (EARLIER_WINDOWS - 1);
        let end = *times.get(length.checked_sub(1)?)?;
        let until: Vec<View<'_>> = series.iter().map(|s| View::until(s, end)).collect();
        latest = moved::scores(&moved::by_component(&until, edges, end));
        tops.push(latest.iter().map(|(_, score)| *score).fold(0.0, f64::max));
    }
    tops.sort_by(f64::total_cmp);
    Some(Past {
        quiet: *tops.get(QUIET_PLACE)?,
        latest,
    })
}
