//! The sources' only ways out: a sink for what they saw, checkpoints to go on from, blind spots.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::{Lines, Observation};

/// Takes what sources see. The pipeline implements it.
pub trait EventSink: Send + Sync {
    /// Takes a fact: units, changes, losses. Never blocks; what does not fit is dropped and counted by
    /// the sink, under `source`.
    fn offer(&self, source: &'static str, observation: Observation);

    /// Takes log lines and the positions that they reach. Waits while the pipeline is full, so that
    /// the reader stops reading; ready once the pipeline owns the lines, durable or not.
    fn deliver<'a>(&'a self, lines: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Positions that are already durable: asked when a reader starts.
pub trait Checkpoints: Send + Sync {
    /// The last durable [`Checkpoint::position`](firstlook_model::Checkpoint) of this reader, if it has
    /// one. May block on the disk: called from readers' own threads or once at start.
    fn load(&self, reader: &str) -> Option<Vec<u8>>;
}

/// Why sources cannot see at present: one reason each. Cheap to clone; all clones are one list.
#[derive(Clone, Debug, Default)]
pub struct BlindSpots(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl BlindSpots {
    /// One line per blind source, as `units: no system bus at /run/dbus/system_bus_socket`, sorted.
    /// Empty when all see.
    pub fn list(&self) -> Vec<String> {
        let spots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spots
            .iter()
            .map(|(source, reason)| format!("{source}: {reason}"))
            .collect()
    }

    /// Says that `source` is blind. Logged when the reason is new.
    pub fn set(&self, source: &'static str, reason: impl Into<String>) {
        let reason = reason.into();
        let mut spots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spots.get(source) != Some(&reason) {
            tracing::warn!(source, reason, "source is blind");
            spots.insert(source, reason);
        }
    }

    /// Says that `source` sees again.
    pub fn clear(&self, source: &'static str) {
        let mut spots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spots.remove(source).is_some() {
            tracing::info!(source, "source sees again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_one_reason_per_blind_source_until_it_sees_again() {
        let spots = BlindSpots::default();
        spots.set("units", "no bus");
        spots.clone().set("kmsg", "permission denied");
        spots.set("units", "bus is gone");
        assert_eq!(
            spots.list(),
            ["kmsg: permission denied", "units: bus is gone"]
        );
        spots.clear("units");
        assert_eq!(spots.list(), ["kmsg: permission denied"]);
    }
}
