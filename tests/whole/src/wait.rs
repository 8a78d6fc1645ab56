//! Waiting for what another process does: by looking again, never by trusting a length of time.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long something may take that should take a second or two: the machine may be busy.
pub const LONG: Duration = Duration::from_secs(60);

/// Looks until `look` finds something, and gives it.
///
/// # Panics
/// When nothing was found within [`LONG`]: `what` says what was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}
