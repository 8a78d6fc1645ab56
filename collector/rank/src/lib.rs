//! Which component moved: ranks components from bare recorded series around an alarm.
//!
//! For recordings that came without symptoms. Pure: no file, clock, randomness or task. It knows the general words of
//! [`family`] and no name of a component or a signal.

mod excess;
pub mod family;
pub mod shift;

use std::collections::BTreeMap;

use crate::family::Family;
use crate::shift::Shift;

/// A shift weaker than this many spreads says nothing for or against.
const FAINTEST_SHIFT: f64 = 1.0;
/// A shift of so many spreads is one clear reason: weights are logarithms beyond it.
const CLEAR_SHIFT: f64 = 3.0;
/// What stands out moved by at least so many spreads …
const LEAST_VERDICT: f64 = 6.0;
/// … and by so many times the most that the same search finds in the time before. Chosen by normal windows, of which two times
/// still blamed one in thirty, with the scores of the faults in view.
const MARGIN: f64 = 3.0;
/// How many earlier windows are searched for comparison, and from which share of the time before on.
const EARLIER_WINDOWS: usize = 5;
const EARLIEST_WINDOW: f64 = 0.6;
/// A window of fewer points shows nothing.
const FEWEST_IN_WINDOW: usize = 8;

/// One recorded signal of one component. Times are Unix seconds and ascend; what was not observed is absent.
#[derive(Debug, Clone)]
pub struct Series {
    /// Whose signal.
    pub component: String,
    /// What the recording calls it.
    pub signal: String,
    /// Time and value; values that are not finite are passed over.
    pub points: Vec<(f64, f64)>,
}

/// One component calls another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Who asks.
    pub caller: String,
    /// Who answers.
    pub callee: String,
}

/// What was noticed.
#[derive(Debug, Clone, Default)]
pub struct Alarm {
    /// When, Unix seconds; the onset is earlier.
    pub time: f64,
    /// At whom, where that is known.
    pub component: Option<String>,
    /// Of which signal, where that is known.
    pub signal: Option<String>,
}

/// What speaks for a component: the strongest shift of one family of its signals.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The signal that shifted.
    pub signal: String,
    /// What it adds to the component's score; above zero.
    pub weight: f64,
    /// The shift itself.
    pub shift: Shift,
}

/// A component that moved, with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Which.
    pub component: String,
    /// Its own part of the alarm's excess work, what its callees explain taken off. None: the calls do not say.
    pub own_share: Option<f64>,
    /// The sum of its evidence's weights. It orders, and is no probability.
    pub score: f64,
    /// Strongest first; may be empty where the calls speak.
    pub evidence: Vec<Evidence>,
}

/// Who moved, and whether that is more than usual.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Strongest first: those with a share of the alarm's excess by it, then the others by score, then by name.
    pub suspects: Vec<Suspect>,
    /// The strongest shift, in spreads; 0 where nothing could be searched.
    pub strongest: f64,
    /// The strongest that the same search finds in the time before. None: too little is known of that time.
    pub usual: Option<f64>,
}

impl Ranking {
    /// The first suspect, if what moved is beyond what the time before shows when searched in the same way. None:
    /// it abstains.
    ///
    /// A search over hundreds of signals and moments always finds something: only the same search on normal time
    /// says how much of that is chance.
    pub fn verdict(&self) -> Option<&Suspect> {
        let needed = (MARGIN * self.usual?).max(LEAST_VERDICT);
        self.suspects.first().filter(|_| self.strongest > needed)
    }
}

/// Ranks the components whose signals shifted around the alarm.
///
/// Each family of a component's signals counts once, by its strongest shift, and by the logarithm: a signal that
/// moved a thousandfold is not a hundred reasons. Where the alarm names a component and the calls and their load are
/// known, the excess work behind the alarm is followed along the calls, and that goes first.
pub fn rank(series: &[Series], edges: &[Edge], alarm: &Alarm) -> Ranking {
    let mut strongest: BTreeMap<(&str, Family), Evidence> = BTreeMap::new();
    for one in series {
        let Some(evidence) = weigh(one, alarm.time) else {
            continue;
        };
        let key = (one.component.as_str(), family::of(&one.signal));
        let held = strongest.entry(key).or_insert_with(|| evidence.clone());
        if evidence.weight > held.weight {
            *held = evidence;
        }
    }
    let most = strongest.values().map(|e| e.shift.spreads);
    let most = most.fold(0.0, f64::max);
    let mut suspects: BTreeMap<&str, Vec<Evidence>> = BTreeMap::new();
    for ((component, _), evidence) in strongest {
        suspects.entry(component).or_default().push(evidence);
    }
    let shares = excess::own_shares(series, edges, alarm);
    for component in shares.keys() {
        suspects.entry(component).or_default();
    }
    let mut ranked: Vec<Suspect> = suspects
        .into_iter()
        .map(|entry| Suspect {
            own_share: shares.get(entry.0).copied(),
            ..suspect(entry)
        })
        .collect();
    ranked.sort_by(|a, b| {
        order(b)
            .total_cmp(&order(a))
            .then(b.score.total_cmp(&a.score))
    });
    Ranking {
        suspects: ranked,
        strongest: most,
        usual: usual(series, alarm.time),
    }
}

fn order(suspect: &Suspect) -> f64 {
    suspect.own_share.unwrap_or(0.0)
}

/// The strongest shift in windows that end before the searched one begins.
fn usual(series: &[Series], alarm: f64) -> Option<f64> {
    let longest = series.iter().max_by_key(|s| s.points.len())?;
    let times: Vec<f64> = longest.points.iter().map(|(time, _)| *time).collect();
    let first = shift::first_candidate(&times, alarm).min(times.len());
    let earliest = ((first as f64 * EARLIEST_WINDOW) as usize).max(FEWEST_IN_WINDOW);
    let width = first.checked_sub(earliest)?;
    let mut most = None;
    for window in 0..EARLIER_WINDOWS {
        let length = earliest + width * window / (EARLIER_WINDOWS - 1);
        let Some(end) = length.checked_sub(1).and_then(|last| times.get(last)) else {
            continue;
        };
        let found = series.iter().filter_map(|one| {
            let until = one.points.partition_point(|(time, _)| time <= end);
            shift::strongest(&one.points[..until], *end)
        });
        most = found.map(|s| s.spreads).chain(most).reduce(f64::max);
    }
    most
}

fn weigh(series: &Series, alarm: f64) -> Option<Evidence> {
    let shift = shift::strongest(&series.points, alarm)?;
    let enough = shift.spreads >= FAINTEST_SHIFT;
    enough.then(|| Evidence {
        signal: series.signal.clone(),
        weight: (shift.spreads / CLEAR_SHIFT).ln_1p(),
        shift,
    })
}

fn suspect((component, mut evidence): (&str, Vec<Evidence>)) -> Suspect {
    evidence.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    Suspect {
        component: component.to_owned(),
        own_share: None,
        score: evidence.iter().map(|e| e.weight).sum(),
        evidence,
    }
}

#[cfg(test)]
mod tests;
