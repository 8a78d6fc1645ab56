//! What the same search finds in the time before: a search over hundreds of signals and moments always finds something.

use crate::family;
use crate::moved::{self, Moved, View};
use crate::shift::{self, Search};
use crate::{Edge, Evidence, Series, Suspect};

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
    /// What moved in the last window before the searched time.
    pub(crate) latest: Moved,
}

impl Past {
    /// How much of what speaks for a suspect was there already before the searched time: the same of it, moving the same way.
    pub fn already(&self, suspect: &Suspect) -> f64 {
        let before = self.latest.get(&suspect.component);
        let before = before.map(Vec::as_slice).unwrap_or_default();
        let held = |now: &Evidence| {
            let same = before.iter().filter(|earlier| is_same(earlier, now));
            same.map(|e| e.weight.min(now.weight)).fold(0.0, f64::max)
        };
        suspect.evidence.iter().map(held).sum()
    }
}

/// Whether two shifts of one component say the same: the family, who sees it, and the direction.
fn is_same(a: &Evidence, b: &Evidence) -> bool {
    let rose = |e: &Evidence| e.shift.after > e.shift.before;
    family::of(&a.signal) == family::of(&b.signal)
        && a.of.is_some() == b.of.is_some()
        && rose(a) == rose(b)
}

/// Searches windows that end before the searched time begins. None: too little is known of that time.
pub fn past(series: &[Series], edges: &[Edge], search: Search) -> Option<Past> {
    let longest = series.iter().max_by_key(|s| s.points.len())?;
    let times: Vec<f64> = longest.points.iter().map(|(time, _)| *time).collect();
    let first = shift::first_candidate(&times, search).min(times.len());
    let earliest = ((first as f64 * EARLIEST_WINDOW) as usize).max(FEWEST_IN_WINDOW);
    let width = first.checked_sub(earliest)?;
    let mut tops = Vec::new();
    let mut latest = Moved::new();
    for window in 0..EARLIER_WINDOWS {
        let length = earliest + width * window / (EARLIER_WINDOWS - 1);
        let end = *times.get(length.checked_sub(1)?)?;
        let until: Vec<View<'_>> = series.iter().map(|s| View::until(s, end)).collect();
        latest = moved::by_component(&until, edges, Search::before(end));
        tops.push(
            latest
                .values()
                .map(|of| moved::score(of))
                .fold(0.0, f64::max),
        );
    }
    tops.sort_by(f64::total_cmp);
    Some(Past {
        quiet: *tops.get(QUIET_PLACE)?,
        latest,
    })
}
