//! The daemon's pulse: the service manager's watchdog hears from us only while every part moves that should.
//!
//! A part beats whenever it has done a round of its work. One that waits on purpose, as for a disk that does not
//! answer, rests instead: to be ended and begun again would help nobody then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::notify;

/// All parts of a daemon. Cheap to clone; all clones are one pulse.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<Vec<Part>>>);

/// One part's side. Cheap to clone; may be used on any thread.
#[derive(Clone)]
pub struct Beat(Arc<Moves>);

#[derive(Default)]
struct Moves {
    count: AtomicU64,
    rests: AtomicBool,
}

struct Part {
    name: &'static str,
    patience: Duration,
    moves: Arc<Moves>,
    /// The count at the last look, and when it was first seen.
    seen: Option<(u64, Instant)>,
}

impl Pulse {
    /// A part that must beat at least once in `patience`. It rests until its first beat.
    pub fn part(&self, name: &'static str, patience: Duration) -> Beat {
        let moves = Arc::new(Moves::default());
        moves.rests.store(true, Ordering::Relaxed);
        let beat = Beat(Arc::clone(&moves));
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push(Part {
            name,
            patience,
            moves,
            seen: None,
        });
        beat
    }

    /// The first part that stood still for longer than its patience, judged from look to look.
    pub fn still(&self, now: Instant) -> Option<&'static str> {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still = None;
        for part in parts.iter_mut() {
            if part.is_still(now) {
                still = still.or(Some(part.name));
            }
        }
        still
    }

    /// Pings the service manager's watchdog until `stop`, but not while a part stands still. Does nothing
    /// where no watchdog waits.
    pub async fn watchdog(self, stop: CancellationToken) {
        let Some(interval) = notify::watchdog_interval() else {
            return stop.cancelled().await;
        };
        let mut silent = None;
        loop {
            let still = self.still(Instant::now());
            match still {
                None => notify::tell("WATCHDOG=1"),
                Some(part) if silent != still => {
                    tracing::error!(part, "part stands still, watchdog is not told");
                }
                Some(_) => {}
            }
            silent = still;
            // Both arms are cancel-safe.
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(interval) => {}
            }
        }
    }
}

impl Part {
    fn is_still(&mut self, now: Instant) -> bool {
        let count = self.moves.count.load(Ordering::Relaxed);
        if self.moves.rests.load(Ordering::Relaxed) {
            self.seen = None;
            return false;
        }
        match self.seen {
            Some((seen, since)) if seen == count => now.duration_since(since) > self.patience,
            _ => {
                self.seen = Some((count, now));
                false
            }
        }
    }
}

impl Beat {
    /// This part has done a round of its work.
    pub fn beat(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.rests.store(false, Ordering::Relaxed);
    }

    /// This part waits on purpose until its next beat.
    pub fn rest(&self) {
        self.0.rests.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_part_that_beats_is_never_still() {
        let (pulse, begun) = (Pulse::default(), Instant::now());
        let beat = pulse.part("host", PATIENCE);
        for look in 0..10 {
            beat.beat();
            assert_eq!(pulse.still(begun + PATIENCE * 2 * look), None);
        }
    }

    #[test]
    fn a_part_that_stops_is_named_after_its_patience_until_it_moves_again() {
        let (pulse, begun) = (Pulse::default(), Instant::now());
        let (host, spool) = (
            pulse.part("host", PATIENCE),
            pulse.part("spool", PATIENCE * 100),
        );
        host.beat();
        spool.beat();
        assert_eq!(pulse.still(begun), None);
        assert_eq!(pulse.still(begun + PATIENCE), None);
        let late = begun + PATIENCE + Duration::from_millis(1);
        assert_eq!(pulse.still(late), Some("host"));
        host.beat();
        assert_eq!(pulse.still(late), None);
    }

    #[test]
    fn a_part_that_rests_or_has_not_begun_is_not_judged() {
        let (pulse, begun) = (Pulse::default(), Instant::now());
        let beat = pulse.part("spool", PATIENCE);
        assert_eq!(pulse.still(begun), None);
        assert_eq!(pulse.still(begun + PATIENCE * 9), None);
        beat.beat();
        assert_eq!(pulse.still(begun + PATIENCE * 10), None);
        beat.rest();
        assert_eq!(pulse.still(begun + PATIENCE * 20), None);
        // Its patience begins anew.
        beat.beat();
        assert_eq!(pulse.still(begun + PATIENCE * 30), None);
        assert_eq!(pulse.still(begun + PATIENCE * 32), Some("spool"));
    }
}
