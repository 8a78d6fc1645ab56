//! When each host was last heard, and how far its clock is off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use firstlook_model::{HostId, Timestamp};

#[derive(Default)]
struct Inner {
    heard: BTreeMap<HostId, Timestamp>,
    offsets: BTreeMap<HostId, i64>,
}

/// Cheap to clone; all clones are one table.
#[derive(Clone, Default)]
pub struct Contacts(Arc<Mutex<Inner>>);

impl Contacts {
    /// Notes that a host was heard; `said` is its own clock.
    pub fn note(&self, host: &HostId, received: Timestamp, said: Option<Timestamp>) {
        let mut inner = self.inner();
        inner.heard.insert(host.clone(), received);
        if let Some(said) = said {
            let offset = said.as_micros().saturating_sub(received.as_micros());
            inner.offsets.insert(host.clone(), offset);
        }
    }

    /// Last contact of each host.
    pub fn heard(&self) -> BTreeMap<HostId, Timestamp> {
        self.inner().heard.clone()
    }

    /// Clock of each host minus ours when it last said it, in microseconds, the way here included.
    pub fn offsets(&self) -> BTreeMap<HostId, i64> {
        self.inner().offsets.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change is one insert: a panic elsewhere leaves the table whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
