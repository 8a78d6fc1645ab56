//! Reading: values of a range from what is recent and from the segments, as one.

mod events;
mod logs;
mod metrics;

use firstlook_model::{HostId, TimeRange};

use crate::engine::{Bytes, Table, View};
use crate::error::Corrupt;
use crate::key::{Key, Kind, scan_range};
use crate::store::Inner;

pub use events::Stored;
pub use logs::{LogFilter, StoredLog};
pub use metrics::{MetricSelector, SeriesSamples};

/// A stored value, where it is, and its key.
pub(crate) struct Found {
    pub table: Table,
    pub raw: Bytes,
    pub key: Key,
    pub value: Bytes,
}

/// Where a stored value is.
pub(crate) struct Place {
    pub table: Table,
    pub raw: Bytes,
    pub key: Key,
}

impl Inner {
    /// Values of a host that may hold observations of a range, by start. Unreadable places are counted
    /// and skipped.
    pub(crate) fn find(
        &self,
        view: &View,
        kind: Kind,
        host: &HostId,
        range: TimeRange,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        for table in self.tables_holding(range) {
            for entry in view.scan(&table, scan_range(kind, host, range)) {
                let Some((raw, value)) = self.readable(entry) else {
                    break;
                };
                match Key::decode(&raw) {
                    Ok(key) => found.push(Found {
                        table: table.clone(),
                        raw,
                        key,
                        value,
                    }),
                    Err(error) => self.quarantine(&table, &raw, &value, &error),
                }
            }
        }
        found.sort_by_key(|found| order(&found.key));
        found
    }

    /// Places of a host's values that may hold observations of a range. Not sorted.
    pub(crate) fn places(
        &self,
        view: &View,
        kind: Kind,
        host: &HostId,
        range: TimeRange,
    ) -> Vec<Place> {
        let mut places = Vec::new();
        for table in self.tables_holding(range) {
            for raw in view.scan_keys(&table, scan_range(kind, host, range)) {
                let Some(raw) = self.readable(raw) else { break };
                match Key::decode(&raw) {
                    Ok(key) => places.push(Place {
                        table: table.clone(),
                        raw,
                        key,
                    }),
                    Err(error) => self.quarantine(&table, &raw, &[], &error),
                }
            }
        }
        places
    }

    /// Reads a place and decodes it; a corrupt value is set aside.
    pub(crate) fn open<T>(
        &self,
        view: &View,
        place: &Place,
        decode: impl FnOnce(&[u8]) -> Result<T, Corrupt>,
    ) -> Option<T> {
        let value = self.readable(view.get(&place.table, &place.raw))??;
        self.intact(&place.table, &place.raw, &value, decode(&value))
    }

    /// What was decoded; a corrupt value is set aside.
    pub(crate) fn intact<T>(
        &self,
        table: &Table,
        raw: &[u8],
        value: &[u8],
        decoded: Result<T, Corrupt>,
    ) -> Option<T> {
        decoded
            .inspect_err(|error| self.quarantine(table, raw, value, error))
            .ok()
    }

    /// The hosts to look at: those asked for, else all.
    pub(crate) fn asked(&self, hosts: Option<&[HostId]>) -> Vec<HostId> {
        hosts.map_or_else(|| self.hosts.ids(), <[HostId]>::to_vec)
    }

    fn tables_holding(&self, range: TimeRange) -> Vec<Table> {
        let segments = self.segments.holding(range);
        let mut tables: Vec<_> = segments
            .iter()
            .map(|segment| segment.table.clone())
            .collect();
        tables.push(self.tables.recent.clone());
        tables
    }
}

fn order(key: &Key) -> impl Ord + use<> {
    (key.start, key.received, key.sequence)
}
