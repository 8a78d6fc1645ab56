//! A host's clock against the collector's.

use std::collections::VecDeque;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Span, Watch};
use crate::words;

pub(crate) const SIGNALS: [&str; 1] = [names::CLOCK_OFFSET];
const OFFSET: usize = 0;

/// How far a clock may be off its time source, in seconds, before tickets and order suffer, and when it is well again.
const SKEWED_S: f64 = 0.5;
const TRUE_S: f64 = 0.1;
/// The source is asked every sixteen seconds or so.
const ASKED: Rule = Rule::new(2, 10, 60);
/// From here on the difference to the collector's clock is the clock's and no path's.
const SKEWED: Duration = Duration::from_secs(2);

/// Contacts that an estimate rests on: the fastest of them is nearest the truth.
const CONTACTS: usize = 16;
/// Offsets below this are the path's delay as likely as the clock's fault.
const DEAD_BAND_US: i64 = 500_000;
/// No clock is further off than this: ten thousand years.
const FURTHEST_US: i64 = 315_576_000_000_000_000;
/// A record may seem to come from the future by this much, through rounding.
const AHEAD_US: i64 = 1_000_000;

/// Estimated difference between the collector's clock and one host's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HostClock {
    told_us: VecDeque<i64>,
    /// From records that would else come from the future; used while the host tells no time.
    bound_us: i64,
    /// Since when every contact's word of the time differs from the collector's clock; its own time. Few contacts are no
    /// skew yet: see [`HostClock::skew`].
    skewed: Option<Span>,
    /// The last time that it told.
    last_told: Option<Timestamp>,
}

/// What a host says of its clock against its time source.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SourceClock {
    watch: Watch,
    offset_s: Option<f64>,
}

impl SourceClock {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>) {
        let Some(offset_s) = row.get(OFFSET).map(f64::abs) else {
            return;
        };
        self.offset_s = Some(offset_s);
        let reading = Reading::of(offset_s >= SKEWED_S, offset_s < TRUE_S);
        self.watch.take(at, reading, offset_s, 0.0, ASKED);
    }

    /// Never a gate: a wrong clock harms nobody by itself.
    pub fn finding(&self, host: &HostId, clock: &HostClock, now: Timestamp) -> Option<Finding> {
        let by_source = self.watch.live(now, ASKED);
        let (span, text) = match (by_source, clock.skew()) {
            (Some(run), _) => {
                let off = words::millis(run.latest * 1_000.0);
                (run.span, format!("its clock is {off} off its time source"))
            }
            (None, Some(span)) => {
                let off = words::span(clock.error());
                (span, format!("its clock is {off} off the collector's"))
            }
            (None, None) => return None,
        };
        Some(Finding {
            component: ComponentId::host(host.clone()),
            peer: None,
            kind: kinds::CLOCK_SKEW,
            family: families::CLOCK,
            span,
            severity: 0.7,
            gate: false,
            text,
            source: Source::Metric(names::CLOCK_OFFSET),
        })
    }

    /// Attested by the collector's own clock, which every contact is held against.
    pub fn health(&self, host: &HostId, clock: &HostClock, coverage: f64) -> Option<Health> {
        let well = self.watch.is_quiet() && clock.skew().is_none();
        let last = clock.last_told.filter(|_| well)?;
        let source = self.offset_s.map_or_else(String::new, |s| {
            format!(" and {} off its source", words::millis(s * 1_000.0))
        });
        Some(Health {
            component: ComponentId::host(host.clone()),
            family: families::CLOCK,
            coverage,
            last,
            text: format!(
                "{} off the collector's clock{source}, would have shown {}",
                words::span(clock.error()),
                words::span(SKEWED),
            ),
            source: Source::Metric(names::CLOCK_OFFSET),
        })
    }

    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}

impl HostClock {
    /// A contact at `received` in which the agent gave its own time.
    pub fn told(&mut self, received: Timestamp, said: Timestamp) {
        if self.told_us.len() == CONTACTS {
            self.told_us.pop_front();
        }
        let difference_us = difference_us(received, said);
        self.told_us.push_back(difference_us);
        self.last_told = self.last_told.max(Some(said));
        if Duration::from_micros(difference_us.unsigned_abs()) < SKEWED {
            self.skewed = None;
        } else {
            let span = self.skewed.get_or_insert(Span::at(said));
            span.last = span.last.max(said);
        }
    }

    /// Since when the clock is wrong, once that is known: one slow contact is no skew, so the estimate rests on the fastest
    /// of several. It is wrong since the first of them: what it hurts comes after.
    fn skew(&self) -> Option<Span> {
        let known = self.told_us.len() == CONTACTS && self.error() >= SKEWED;
        self.skewed.filter(|_| known)
    }

    /// A record received at `received` whose newest observation bears `newest`.
    pub fn bounded(&mut self, received: Timestamp, newest: Timestamp) {
        let apparent = difference_us(received, newest);
        if apparent < self.bound_us.saturating_sub(AHEAD_US) {
            self.bound_us = apparent;
        }
    }

    /// The host's clock was set: what was learned no longer holds.
    pub fn stepped(&mut self) {
        self.bound_us = 0;
        (self.skewed, self.last_told) = (None, None);
    }

    fn offset_us(&self) -> i64 {
        let offset = self
            .told_us
            .iter()
            .copied()
            .min_by_key(|o| o.unsigned_abs());
        let offset = offset.unwrap_or(self.bound_us);
        if offset.abs() < DEAD_BAND_US {
            0
        } else {
            offset
        }
    }

    /// The host's time as the collector's clock would have shown it.
    pub fn corrected(&self, own: Timestamp) -> Timestamp {
        Timestamp::from_micros(own.as_micros().saturating_add(self.offset_us()))
    }

    /// The collector's time as the host's clock would have shown it.
    pub fn own(&self, collector: Timestamp) -> Timestamp {
        Timestamp::from_micros(collector.as_micros().saturating_sub(self.offset_us()))
    }

    /// How far the host's clock is off, either way.
    pub fn error(&self) -> Duration {
        Duration::from_micros(self.offset_us().unsigned_abs())
    }
}

fn difference_us(a: Timestamp, b: Timestamp) -> i64 {
    a.as_micros()
        .saturating_sub(b.as_micros())
        .clamp(-FURTHEST_US, FURTHEST_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_fastest_contact_gives_the_offset() {
        let mut clock = HostClock::default();
        for delay in [900, 20, 4_000] {
            clock.told(at(100_000 + delay), at(70_000));
        }
        assert_eq!(clock.corrected(at(71_000)), at(101_020));
        assert_eq!(clock.own(at(101_020)), at(71_000));
    }

    #[test]
    fn small_differences_are_delay() {
        let mut clock = HostClock::default();
        clock.told(at(10_300), at(10_000));
        assert_eq!(clock.corrected(at(11_000)), at(11_000));
    }

    #[test]
    fn a_clock_is_wrong_since_the_first_contact_of_those_that_show_it() {
        let mut clock = HostClock::default();
        for second in 0..40 {
            clock.told(at(second * 1_000), at(second * 1_000));
        }
        // One slow contact, then a step ahead.
        clock.told(at(43_000), at(40_000));
        clock.told(at(43_100), at(43_100));
        for second in 44..59 {
            clock.told(at(second * 1_000), at(second * 1_000 + 300_000));
            assert_eq!(clock.skew(), None, "{second}");
        }
        clock.told(at(59_000), at(359_000));
        let skew = clock.skew().unwrap();
        assert_eq!((skew.first, skew.last), (at(344_000), at(359_000)));
        clock.told(at(60_000), at(60_000));
        assert_eq!(clock.skew(), None);
    }

    #[test]
    fn records_from_the_future_show_a_clock_that_is_ahead() {
        let mut clock = HostClock::default();
        clock.bounded(at(10_000), at(9_000));
        assert_eq!(clock.error(), Duration::ZERO);
        clock.bounded(at(10_000), at(70_000));
        assert_eq!(clock.corrected(at(70_000)), at(10_000));
    }
}
