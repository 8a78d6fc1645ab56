//! Edges as one host sees them, before their far ends are named.

mod judge;
mod track;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use firstlook_model::{Calls, ComponentId, Direction, EdgeObservation, Timestamp};
use serde::{Deserialize, Serialize};

use crate::service::Backlog;

pub(crate) use judge::{Far, Judged, Tries, ended, lost, power, tries_from};
pub(crate) use track::Track;

/// How long an edge without a connection or attempt is remembered.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Dumps of connections come every few seconds; one this old says nothing of now.
const FRESH: Duration = Duration::from_secs(30);

/// One edge from one end. Addresses are canonical.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct EdgeKey {
    pub local: ComponentId,
    pub direction: Direction,
    pub remote: IpAddr,
    pub port: u16,
}

/// All edges of one host.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Edges {
    tracks: BTreeMap<EdgeKey, Track>,
    /// Time of the last dump.
    batch: Option<Timestamp>,
    interval: Duration,
}

/// What taking a batch came to.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub over_budget: u64,
    pub late: u64,
    /// Callers' bytes and hang-ups that wait at each service.
    pub backlogs: BTreeMap<ComponentId, Backlog>,
}

impl Edges {
    /// Takes what one dump saw. All observations of one dump bear one time; what is missing in it had
    /// neither connections nor attempts.
    pub fn take<'a>(
        &mut self,
        observations: impl Iterator<Item = &'a EdgeObservation>,
        limit: usize,
        warm: impl Fn(Timestamp) -> bool,
    ) -> Taken {
        let mut taken = Taken::default();
        for seen in observations {
            let key = EdgeKey {
                local: seen.local.clone(),
                direction: seen.direction,
                remote: seen.remote.to_canonical(),
                port: seen.port,
            };
            if self
                .batch
                .is_some_and(|batch| batch.since(seen.time) > FRESH)
            {
                taken.late += 1;
                continue;
            }
            if self.tracks.len() >= limit && !self.tracks.contains_key(&key) {
                self.evict();
                if self.tracks.len() >= limit {
                    taken.over_budget += 1;
                    continue;
                }
            }
            if seen.direction == Direction::Inbound {
                let waiting = taken.backlogs.entry(seen.local.clone()).or_default();
                waiting.unread_bytes += seen.stats.receive_queue_bytes as f64;
                waiting.close_wait += f64::from(seen.stats.close_wait);
                waiting.sent_bytes += seen.stats.bytes_received as f64;
            }
            self.interval = Duration::from_millis(u64::from(seen.interval_ms));
            self.batch = self.batch.max(Some(seen.time));
            let track = self
                .tracks
                .entry(key)
                .or_insert_with(|| Track::new(seen.time));
            track.take(seen, warm(seen.time));
        }
        if let Some(batch) = self.batch {
            self.tracks
                .retain(|_, track| batch.since(track.last_live()) <= REMEMBERED);
        }
        taken
    }

    /// What was usual of these edges is forgotten.
    pub fn forget_usual(&mut self, keys: &[EdgeKey], now: Timestamp) {
        for key in keys {
            if let Some(track) = self.tracks.get_mut(key) {
                track.forget_usual(now);
            }
        }
    }

    /// Makes room by forgetting the edges that are not there now.
    fn evict(&mut self) {
        let Some(batch) = self.batch else { return };
        self.tracks
            .retain(|_, track| batch.since(track.last_live()) <= FRESH);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&EdgeKey, &Track)> {
        self.tracks.iter()
    }

    /// Time of the last dump, and the interval that it covered.
    pub fn batch(&self) -> Option<(Timestamp, Duration)> {
        self.batch.map(|at| (at, self.interval))
    }

    /// Whether the edge was in the last dump.
    pub fn is_present(&self, track: &Track) -> bool {
        self.is_of_batch(track.last())
    }

    /// What spans told of the edge with the last dump.
    pub fn calls(&self, track: &Track) -> Option<Calls> {
        let told = track.called.filter(|(at, _)| self.is_of_batch(*at));
        told.map(|(_, calls)| calls)
    }

    fn is_of_batch(&self, at: Timestamp) -> bool {
        self.batch
            .is_some_and(|batch| batch.since(at) < self.interval / 2 + Duration::from_millis(500))
    }

    /// Whether the last dump is recent, by the host's own `now`.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.batch.is_some_and(|batch| now.since(batch) <= FRESH)
    }

    pub fn stepped(&mut self) {
        self.batch = None;
        self.tracks.clear();
    }
}
