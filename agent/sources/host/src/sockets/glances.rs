//! Glances: some more looks between two dumps, for a caller that every dump misses.
//!
//! What calls in step with our clock, a few milliseconds each time, is never met by dumps a whole number of seconds
//! apart: its connections are known by their ends alone, and the kernel no longer says then whose they were. So
//! where somebody unknown calls, we look a few times more, at moments that fall in step with nothing.

use std::time::Duration;

/// Looks after one dump.
const LOOKS: u32 = 8;
/// Longest time between two of them.
const LONGEST: Duration = Duration::from_millis(30);
/// A dump that costs more is not repeated: where there are many sockets, other connections of the caller stay.
const CHEAP: Duration = Duration::from_micros(1_500);
/// After so many dumps in a row with looks in vain, there is a pause.
const VAIN_LIMIT: u32 = 30;
const PAUSE: Duration = Duration::from_secs(60);
/// The golden ratio's fraction: its multiples spread over the unit evenly, whatever the period of others.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// When to look, and when to give up.
#[derive(Debug, Default)]
pub(crate) struct Glances {
    phase: f64,
    vain: u32,
    paused_until: Duration,
}

impl Glances {
    /// How often to look after a dump of this cost, at most: each time after the pause that [`Self::wait`] gives.
    pub(crate) fn looks(&self, cost: Duration, now: Duration) -> u32 {
        if cost <= CHEAP && now >= self.paused_until {
            LOOKS
        } else {
            0
        }
    }

    /// The time to wait before the next look.
    pub(crate) fn wait(&mut self) -> Duration {
        self.phase = (self.phase + GOLDEN).fract();
        LONGEST.mul_f64(self.phase)
    }

    /// Notes whether somebody was found after a dump.
    pub(crate) fn found(&mut self, found: bool, now: Duration) {
        self.vain = if found { 0 } else { self.vain + 1 };
        if self.vain >= VAIN_LIMIT {
            (self.vain, self.paused_until) = (0, now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: f64 = 0.004;

    /// Share of dumps, of 100, after which a caller is met that calls once in `period` seconds, in step with us.
    fn met(period: f64) -> f64 {
        let mut glances = Glances::default();
        let mut met = 0;
        for _ in 0..100 {
            // Its calls begin just after each dump's moment.
            let mut since = -0.001;
            let mut seen = false;
            for _ in 0..glances.looks(Duration::ZERO, Duration::ZERO) {
                since += glances.wait().as_secs_f64();
                seen |= since >= 0.0 && since.rem_euclid(period) < CALL;
            }
            met += u32::from(seen);
        }
        f64::from(met) / 100.0
    }

    #[test]
    fn a_caller_in_step_with_our_clock_is_met_within_some_dumps() {
        for period in [0.01, 0.02, 0.05, 0.1, 0.125] {
            let met = met(period);
            assert!(met >= 0.1, "every {period} s: {met}");
        }
    }

    #[test]
    fn looks_in_vain_and_dear_ones_come_to_an_end() {
        let mut glances = Glances::default();
        let now = Duration::from_secs(100);
        assert_eq!(glances.looks(CHEAP * 2, now), 0);
        for _ in 0..VAIN_LIMIT {
            assert_eq!(glances.looks(CHEAP, now), LOOKS);
            glances.found(false, now);
        }
        assert_eq!(glances.looks(CHEAP, now), 0);
        assert_eq!(glances.looks(CHEAP, now + PAUSE), LOOKS);
    }
}
