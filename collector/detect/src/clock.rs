//! A host's clock against the collector's.

use std::collections::VecDeque;
use std::time::Duration;

use firstlook_model::Timestamp;

/// Contacts that an estimate rests on: the fastest of them is nearest the truth.
const CONTACTS: usize = 16;
/// Offsets below this are the path's delay as likely as the clock's fault.
const DEAD_BAND_US: i64 = 500_000;
/// No clock is further off than this: ten thousand years.
const FURTHEST_US: i64 = 315_576_000_000_000_000;
/// A record may seem to come from the future by this much, through rounding.
const AHEAD_US: i64 = 1_000_000;

/// Estimated difference between the collector's clock and one host's.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostClock {
    told_us: VecDeque<i64>,
    /// From records that would else come from the future; used while the host tells no time.
    bound_us: i64,
}

impl HostClock {
    /// A contact at `received` in which the agent gave its own time.
    pub fn told(&mut self, received: Timestamp, said: Timestamp) {
        if self.told_us.len() == CONTACTS {
            self.told_us.pop_front();
        }
        self.told_us.push_back(difference_us(received, said));
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
    fn records_from_the_future_show_a_clock_that_is_ahead() {
        let mut clock = HostClock::default();
        clock.bounded(at(10_000), at(9_000));
        assert_eq!(clock.error(), Duration::ZERO);
        clock.bounded(at(10_000), at(70_000));
        assert_eq!(clock.corrected(at(70_000)), at(10_000));
    }
}
