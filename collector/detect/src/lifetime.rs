//! How long what was seen of a component is remembered after its end.

use std::time::Duration;

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

/// What lived shorter is remembered this long all the same: a restart takes a while.
const LEAST: Duration = Duration::from_secs(60);

/// The first and the last sign of a component.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lifetime(Option<(Timestamp, Timestamp)>);

impl Lifetime {
    /// A sign of it.
    pub fn seen(&mut self, at: Timestamp) {
        let (first, last) = self.0.unwrap_or((at, at));
        self.0 = Some((first.min(at), last.max(at)));
    }

    /// The last sign of it.
    pub fn last(&self) -> Option<Timestamp> {
        self.0.map(|(_, last)| last)
    }

    /// Whether it is over and forgotten: nothing was seen of it for as long as it lived, or for a minute where that is
    /// longer. A command that ran for seconds is soon gone; a database that died after months is missed.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.0
            .is_some_and(|(first, last)| now.since(last) > last.since(first).max(LEAST))
    }

    /// The clock was set back: its times mean nothing.
    pub fn stepped(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn what_ended_is_remembered_as_long_as_it_lived_and_a_minute_at_least() {
        for (lived, remembered) in [(0, 60), (5, 60), (60, 60), (90, 90), (3_000, 3_000)] {
            let mut life = Lifetime::default();
            assert!(!life.is_forgotten(at(0)), "nothing is known of it");
            for second in [lived, 0] {
                life.seen(at(second));
            }
            assert_eq!(life.last(), Some(at(lived)));
            assert!(!life.is_forgotten(at(lived + remembered)), "{lived}");
            assert!(life.is_forgotten(at(lived + remembered + 1)), "{lived}");
        }
    }
}
