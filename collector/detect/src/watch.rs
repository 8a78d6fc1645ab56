//! Persistence and hysteresis: from readings to a run that counts as a symptom.

use std::time::Duration;

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

/// After this long without a reading, what was not yet raised begins anew.
const GAP: Duration = Duration::from_secs(60);

/// One judged observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Beyond the limit.
    Bad,
    /// Neither beyond the limit nor well inside: prolongs what was raised, starts nothing.
    Between,
    /// Well inside the limit.
    Clear,
}

impl Reading {
    /// `Bad` or `Clear` by the two limits' outcomes.
    pub fn of(bad: bool, clear: bool) -> Self {
        match (bad, clear) {
            (true, _) => Self::Bad,
            (false, true) => Self::Clear,
            (false, false) => Self::Between,
        }
    }
}

/// How long and how often a reading must be bad, and how long a raised run outlives the last bad one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub count: u32,
    pub span: Duration,
    pub hold: Duration,
}

impl Rule {
    pub const fn new(count: u32, span_s: u64, hold_s: u64) -> Self {
        Self {
            count,
            span: Duration::from_secs(span_s),
            hold: Duration::from_secs(hold_s),
        }
    }
}

/// When something began and was last seen, in the host's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Last time at which it was not yet so; `None` when it was so as long as we look.
    pub after: Option<Timestamp>,
    /// First observation that shows it.
    pub first: Timestamp,
    /// Last observation that shows it.
    pub last: Timestamp,
}

impl Span {
    /// One moment.
    pub fn at(time: Timestamp) -> Self {
        Self {
            after: None,
            first: time,
            last: time,
        }
    }

    pub fn length(&self) -> Duration {
        self.last.since(self.first)
    }
}

/// Consecutive bad readings.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub span: Span,
    pub count: u32,
    /// Value of the last bad reading.
    pub latest: f64,
    /// What was usual when it began.
    pub usual: f64,
    raised: bool,
}

/// One condition of one component, followed over time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Watch {
    last: Option<Timestamp>,
    last_clear: Option<Timestamp>,
    run: Option<Run>,
}

impl Watch {
    /// Takes one reading. Readings must come in order of time: older ones and duplicates are ignored.
    pub fn take(&mut self, at: Timestamp, reading: Reading, value: f64, usual: f64, rule: Rule) {
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        self.drop_stale(at, rule);
        self.last = Some(at);
        match (reading, &mut self.run) {
            (Reading::Bad, Some(run)) => {
                run.span.last = at;
                run.count = run.count.saturating_add(1);
                run.latest = value;
            }
            (Reading::Bad, none) => {
                let span = Span {
                    after: self.last_clear,
                    first: at,
                    last: at,
                };
                *none = Some(Run {
                    span,
                    count: 1,
                    latest: value,
                    usual,
                    raised: false,
                });
            }
            (Reading::Between, Some(run)) if run.raised => run.span.last = at,
            (Reading::Clear, Some(run)) if run.raised && at.since(run.span.last) <= rule.hold => {}
            (Reading::Clear, _) => {
                self.run = None;
                self.last_clear = Some(at);
            }
            // Time at which it was surely not beyond the limit, though not well inside.
            (Reading::Between, None) => self.last_clear = Some(at),
            (Reading::Between, Some(_)) => {}
        }
        if let Some(run) = &mut self.run {
            run.raised |= run.count >= rule.count && run.span.length() >= rule.span;
        }
    }

    /// Takes a reading that may not start anything, as while a baseline is learned.
    pub fn learn(&mut self, at: Timestamp, clear: bool) {
        if self.run.is_none() && self.last.is_none_or(|last| at > last) {
            self.last = Some(at);
            self.last_clear = if clear { Some(at) } else { self.last_clear };
        }
    }

    fn drop_stale(&mut self, at: Timestamp, rule: Rule) {
        let keep = |run: &Run| {
            let silence = if run.raised { rule.hold.max(GAP) } else { GAP };
            at.since(run.span.last) <= silence
        };
        if self.run.as_ref().is_some_and(|run| !keep(run)) {
            self.run = None;
        }
    }

    /// The run, if it counts and still holds at `now` of the host's data.
    pub fn live(&self, now: Timestamp, rule: Rule) -> Option<&Run> {
        self.run
            .as_ref()
            .filter(|run| run.raised && now.since(run.span.last) <= rule.hold)
    }

    /// Whether anything is beyond the limit or held, raised or not.
    pub fn is_quiet(&self) -> bool {
        self.run.is_none()
    }

    /// Last reading of any sort.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Forgets times, as after the host's clock stepped back.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reading::{Bad, Between, Clear};

    const RULE: Rule = Rule::new(3, 2, 15);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn watch(readings: &[(i64, Reading)]) -> Watch {
        let mut watch = Watch::default();
        for (secs, reading) in readings {
            watch.take(at(*secs), *reading, 1.0, 0.0, RULE);
        }
        watch
    }

    #[test]
    fn one_bad_reading_raises_nothing() {
        let watch = watch(&[(1, Clear), (2, Bad), (3, Clear), (4, Bad), (5, Bad)]);
        assert!(watch.live(at(5), RULE).is_none());
    }

    #[test]
    fn onset_lies_between_the_last_clear_and_the_first_bad_reading() {
        let watch = watch(&[(1, Clear), (2, Between), (4, Bad), (5, Bad), (6, Bad)]);
        let span = watch.live(at(6), RULE).unwrap().span;
        assert_eq!(
            (span.after, span.first, span.last),
            (Some(at(2)), at(4), at(6))
        );
    }

    #[test]
    fn a_flapping_condition_is_one_run_and_ends_after_its_hold() {
        let flapping = [
            (1, Bad),
            (2, Bad),
            (3, Bad),
            (4, Clear),
            (10, Clear),
            (12, Bad),
        ];
        let watch = watch(&flapping);
        assert_eq!(watch.live(at(27), RULE).unwrap().span.first, at(1));
        assert!(watch.live(at(28), RULE).is_none());
    }

    #[test]
    fn a_gap_is_no_persistence() {
        let watch = watch(&[(1, Bad), (2, Bad), (100, Bad)]);
        assert!(watch.live(at(100), RULE).is_none());
    }

    #[test]
    fn late_and_repeated_readings_change_nothing() {
        let watch = watch(&[
            (5, Clear),
            (6, Bad),
            (6, Bad),
            (6, Bad),
            (4, Bad),
            (9, Clear),
        ]);
        assert!(watch.live(at(9), RULE).is_none());
    }
}
