//! Counters that may begin anew, made ones that only rise.

/// A counter that only rises, whatever the one behind it does. Begins at that one's first value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rising {
    last: f64,
    total: f64,
}

impl Rising {
    /// Takes a reading of a counter that begins at nothing when it begins anew: all of it is new then.
    pub(crate) fn rise(&mut self, now: f64) -> f64 {
        let risen = now - self.last;
        self.add(now, if risen >= 0.0 { risen } else { now })
    }

    /// Takes a reading of a sum that falls when a part of it goes away: nothing is new then.
    pub(crate) fn rise_of_sum(&mut self, now: f64) -> f64 {
        self.add(now, (now - self.last).max(0.0))
    }

    fn add(&mut self, now: f64, risen: f64) -> f64 {
        self.total += risen;
        self.last = now;
        self.total
    }

    /// What it has come to.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_counter_that_begins_anew_goes_on_rising() {
        let mut counter = Rising::default();
        let seen = [5.0, 7.0, 2.0, 3.0].map(|now| counter.rise(now));
        assert_eq!(seen, [5.0, 7.0, 9.0, 10.0]);
        assert_eq!(counter.total(), 10.0);
    }

    #[test]
    fn a_sum_that_loses_a_part_stands_still() {
        let mut sum = Rising::default();
        let seen = [100.0, 110.0, 60.0, 65.0].map(|now| sum.rise_of_sum(now));
        assert_eq!(seen, [100.0, 110.0, 110.0, 115.0]);
    }

    proptest! {
        #[test]
        fn never_falls(readings in proptest::collection::vec(0u32..1_000, 1..20)) {
            let (mut counter, mut sum) = (Rising::default(), Rising::default());
            let (mut before, mut sum_before) = (0.0, 0.0);
            for reading in readings {
                let (now, sum_now) = (counter.rise(f64::from(reading)), sum.rise_of_sum(f64::from(reading)));
                prop_assert!(now >= before && sum_now >= sum_before);
                (before, sum_before) = (now, sum_now);
            }
        }
    }
}
