//! The clocks. Rooms that must not know them are handed times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use firstlook_model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Wall-clock time.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Time since boot, suspended time included; never goes back.
pub fn monotonic() -> Duration {
    let at = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(at.tv_sec).unwrap_or(0),
        u32::try_from(at.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic();
        assert!(monotonic() >= first && first > Duration::ZERO);
    }
}
