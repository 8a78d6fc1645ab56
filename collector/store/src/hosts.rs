//! What the store knows of each host: how far it is acknowledged, and when it was heard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use firstlook_model::{Epoch, HostId, SchemaId, Sequence, Timestamp};

use crate::error::Corrupt;

/// Journals remembered per host. An agent opens a new one only when its old one is gone; the one not
/// heard for longest is forgotten.
const EPOCHS_LIMIT: usize = 8;
const VERSION: u8 = 1;

/// How far one journal of a host is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochRow {
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub received: Timestamp,
}

/// All journals of a host: the durable part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostRow(pub Vec<EpochRow>);

impl HostRow {
    pub(crate) fn acknowledged(&self, epoch: Epoch) -> Option<Sequence> {
        let row = self.0.iter().find(|row| row.epoch == epoch)?;
        Some(row.sequence)
    }

    pub(crate) fn last_received(&self) -> Option<Timestamp> {
        self.0.iter().map(|row| row.received).max()
    }

    /// This row after a commit.
    pub(crate) fn after(&self, epoch: Epoch, sequence: Sequence, received: Timestamp) -> Self {
        let mut rows = self.0.clone();
        rows.retain(|row| row.epoch != epoch);
        rows.sort_by_key(|row| row.received);
        let excess = (rows.len() + 1).saturating_sub(EPOCHS_LIMIT);
        rows.drain(..excess);
        rows.push(EpochRow {
            epoch,
            sequence,
            received,
        });
        Self(rows)
    }

    /// One version byte, then epoch, sequence and received time of each journal, 8 bytes each, little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 24 * self.0.len());
        bytes.push(VERSION);
        for row in &self.0 {
            bytes.extend(row.epoch.0.to_le_bytes());
            bytes.extend(row.sequence.0.to_le_bytes());
            bytes.extend(row.received.as_micros().to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (version, rows) = bytes.split_first().ok_or(Corrupt::Malformed("host row"))?;
        if *version != VERSION {
            return Err(Corrupt::Version(*version));
        }
        let (rows, rest) = rows.as_chunks::<24>();
        if !rest.is_empty() || rows.len() > EPOCHS_LIMIT {
            return Err(Corrupt::Malformed("host row"));
        }
        let number = |row: &[u8; 24], index: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&row[index * 8..index * 8 + 8]);
            bytes
        };
        Ok(Self(
            rows.iter()
                .map(|row| EpochRow {
                    epoch: Epoch(u64::from_le_bytes(number(row, 0))),
                    sequence: Sequence(u64::from_le_bytes(number(row, 1))),
                    received: Timestamp::from_micros(i64::from_le_bytes(number(row, 2))),
                })
                .collect(),
        ))
    }
}

/// The part of a host that lives in memory.
#[derive(Default)]
pub(crate) struct HostState {
    pub row: HostRow,
    pub contact: Option<Timestamp>,
    /// Schemas stored, and when each was last refreshed on disk.
    pub schemas: HashMap<SchemaId, Timestamp>,
}

/// One host. `turn` is held through a whole commit so that commits of one host follow one another;
/// `state` only for a look.
#[derive(Default)]
pub(crate) struct HostEntry {
    pub turn: Mutex<()>,
    state: Mutex<HostState>,
}

impl HostEntry {
    pub(crate) fn state(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a host was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostContact {
    /// Which.
    pub host: HostId,
    /// When something of it was last stored; `None` when nothing ever was.
    pub last_received: Option<Timestamp>,
    /// When it last said anything, by [`crate::Store::touch`] or a commit, since this process began.
    pub last_contact: Option<Timestamp>,
}

/// All hosts known.
#[derive(Default)]
pub(crate) struct Hosts(RwLock<HashMap<HostId, Arc<HostEntry>>>);

impl Hosts {
    /// The entry of a host, made if it is not there.
    pub(crate) fn entry(&self, host: &HostId) -> Arc<HostEntry> {
        if let Some(entry) = self.get(host) {
            return entry;
        }
        let mut hosts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(host.clone()).or_default().clone()
    }

    pub(crate) fn get(&self, host: &HostId) -> Option<Arc<HostEntry>> {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host).cloned()
    }

    /// Names, sorted.
    pub(crate) fn ids(&self) -> Vec<HostId> {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<_> = hosts.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Contacts, sorted by name.
    pub(crate) fn contacts(&self) -> Vec<HostContact> {
        self.ids()
            .into_iter()
            .map(|host| {
                let entry = self.entry(&host);
                let state = entry.state();
                HostContact {
                    host,
                    last_received: state.row.last_received(),
                    last_contact: state.contact,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_row_reads_back(rows in proptest::collection::vec(any::<(u64, u64, i64)>(), 0..8)) {
            let row = HostRow(rows.into_iter().map(|(epoch, sequence, received)| EpochRow {
                epoch: Epoch(epoch),
                sequence: Sequence(sequence),
                received: Timestamp::from_micros(received),
            }).collect());
            prop_assert_eq!(HostRow::decode(&row.encode()).unwrap(), row);
        }

        #[test]
        fn hostile_rows_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = HostRow::decode(&bytes);
        }
    }

    #[test]
    fn the_journal_unheard_for_longest_is_forgotten() {
        let mut row = HostRow::default();
        for number in 0..9 {
            let received = Timestamp::from_secs(number as i64);
            row = row.after(Epoch(number), Sequence(7), received);
        }
        assert_eq!(row.acknowledged(Epoch(0)), None);
        assert_eq!(row.acknowledged(Epoch(1)), Some(Sequence(7)));
        assert_eq!(row.acknowledged(Epoch(8)), Some(Sequence(7)));
    }
}
