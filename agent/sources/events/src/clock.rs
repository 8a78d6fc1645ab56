//! The host's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use firstlook_model::Timestamp;

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    from_system(SystemTime::now())
}

/// A file's time as ours.
pub(crate) fn from_system(time: SystemTime) -> Timestamp {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    })
}

/// Time since boot by the clock that stamps kernel messages (it stands still while suspended).
pub(crate) fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
