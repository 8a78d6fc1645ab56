//! Which component moved: ranks components from bare recorded series around an alarm.
//!
//! For recordings that came without symptoms. Pure: no file, clock, randomness or task. It knows the general words of
//! [`family`] and no name of a component or a signal.

pub mod blame;
mod excess;
pub mod family;
mod moved;
mod onset;
mod past;
pub mod shift;
pub mod spans;
mod standing;
mod uncalled;
mod waits;
mod words;

use crate::moved::View;
pub use crate::past::Past;
use crate::shift::{Search, Shift};
pub use crate::standing::Standing;

/// What stands out scores at least so much: about one shift of forty spreads, or several lesser …
const LEAST_SCORE: f64 = 2.6;
/// … and so many times what is found in a quiet window of the time before …
const MARGIN: f64 = 1.5;
/// … and did not have more than this share of it already before the searched time, by the same moving the same way: what
/// began earlier is not what the alarm is about.
const MOST_BEFORE: f64 = 0.5;

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
    /// Whose signal it is: one who calls the component and waits for it, or one that it calls less. None: its own.
    pub of: Option<String>,
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
    /// The sum of its evidence's weights. It orders, and is no probability: that is [`Standing::probability`].
    pub score: f64,
    /// Strongest first; may be empty where the calls speak.
    pub evidence: Vec<Evidence>,
}

/// Who moved, and whether that is more than usual.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Strongest first: those with a share of the alarm's excess by it, then the others by score, then by name.
    pub suspects: Vec<Suspect>,
    /// How many of its usual spreads the alarm's excess is. None: not known.
    pub excess: Option<f64>,
    /// What the same search finds in the time before. None: too little is known of that time.
    pub past: Option<Past>,
}

impl Ranking {
    /// The first suspect, if what moved is beyond what the time before shows when searched in the same way. None:
    /// it abstains.
    ///
    /// Where the excess behind the alarm is known, that must stand out: without it nobody suffers. Who has a clear share of
    /// it need not stand out otherwise.
    pub fn verdict(&self) -> Option<&Suspect> {
        let past = self.past.as_ref()?;
        let first = self.suspects.first()?;
        let noticed = self
            .excess
            .is_none_or(|excess| excess >= excess::FAINTEST_EXCESS);
        let unusual = first.score > standing::least_score(past.quiet)
            && past.already(first) <= MOST_BEFORE * first.score;
        let stands_out = noticed && (first.own_share.is_some() || unusual);
        stands_out.then_some(first)
    }

    /// The same as if the quiet windows of the time before had shown nothing: to see what they are worth.
    pub fn without_quiet_windows(self) -> Self {
        Self {
            past: Some(Past::default()),
            ..self
        }
    }
}

/// Ranks the components whose signals shifted around the alarm.
///
/// Where the alarm names a component and the calls and their load are known, the excess work behind the alarm is followed
/// along the calls, and that goes first.
pub fn rank(series: &[Series], edges: &[Edge], alarm: &Alarm) -> Ranking {
    let search = Search::of(series, alarm);
    let whole: Vec<View<'_>> = series.iter().map(View::whole).collect();
    let mut suspects = moved::by_component(&whole, edges, search);
    let divided = excess::divide(series, edges, alarm);
    let excess = divided.as_ref().map(|d| d.spreads);
    let shares = divided.map(|d| d.own).unwrap_or_default();
    for component in shares.keys() {
        suspects.entry(component.clone()).or_default();
    }
    let mut ranked: Vec<Suspect> = suspects
        .into_iter()
        .map(|(component, evidence)| Suspect {
            own_share: shares.get(&component).copied(),
            score: moved::score(&evidence),
            component,
            evidence,
        })
        .collect();
    ranked.sort_by(|a, b| {
        order(b)
            .total_cmp(&order(a))
            .then(b.score.total_cmp(&a.score))
    });
    Ranking {
        suspects: ranked,
        excess,
        past: past::past(series, edges, search),
    }
}

fn order(suspect: &Suspect) -> f64 {
    suspect.own_share.unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
