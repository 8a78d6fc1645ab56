//! The ledger of ingest: the store, then the analysis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use firstlook_desk::{Desk, HostReport};
use firstlook_forward::Tap;
use firstlook_ingest::{Incoming, Ledger, LedgerError};
use firstlook_model::{
    Change, ConfigReport, Epoch, HostId, Loss, Record, Sequence, Timestamp, WantedConfig,
};
use firstlook_store::{Incoming as Stored, Store};

use crate::contacts::Contacts;

/// What the analysis hears, in order of arrival.
pub enum Heard {
    /// Records that are durable.
    Records {
        /// Of whom.
        host: HostId,
        /// When they came.
        received: Timestamp,
        /// In order of sequence.
        records: Vec<Record>,
    },
    /// A host said that it lives.
    Contact {
        /// Who.
        host: HostId,
        /// When.
        received: Timestamp,
        /// Its own clock.
        said: Option<Timestamp>,
    },
    /// Somebody announced a change of a host.
    Announced {
        /// Of which.
        host: HostId,
        /// What.
        change: Change,
    },
    /// A host was shut out: what it says no more means nothing.
    Revoked {
        /// Who.
        host: HostId,
    },
}

/// Batches waiting for the analysis. When it is full ingest waits, and so the agents.
pub const HEARD_CAPACITY: usize = 4_096;

/// Stores, then tells the analysis.
pub struct StoreLedger {
    store: Store,
    desk: Desk,
    contacts: Contacts,
    heard: SyncSender<Heard>,
    contacts_dropped: Arc<AtomicU64>,
    tap: Option<Tap>,
}

impl StoreLedger {
    /// Stores into `store`; admits whom `desk` knows; shows `tap` what is durable.
    pub fn new(
        store: Store,
        desk: Desk,
        contacts: Contacts,
        heard: SyncSender<Heard>,
        tap: Option<Tap>,
    ) -> Self {
        Self {
            store,
            desk,
            contacts,
            heard,
            contacts_dropped: Arc::default(),
            tap,
        }
    }

    /// Contacts that the analysis was too busy to hear.
    pub fn contacts_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.contacts_dropped)
    }
}

impl Ledger for StoreLedger {
    fn admits(&self, host: &HostId, fingerprint: &str) -> bool {
        match self.desk.hosts().get(host) {
            Ok(row) => row.is_some_and(|row| row.admits(fingerprint)),
            Err(error) => {
                tracing::error!(%error, %host, "host cannot be looked up");
                false
            }
        }
    }

    fn acknowledged(&self, host: &HostId, epoch: Epoch) -> Result<Sequence, LedgerError> {
        Ok(self.store.acknowledged(host, epoch).unwrap_or_default())
    }

    fn commit(
        &self,
        host: &HostId,
        epoch: Epoch,
        batch: Vec<Incoming>,
        received: Timestamp,
    ) -> Result<Sequence, LedgerError> {
        let batch: Vec<_> = batch
            .into_iter()
            .map(|incoming| (incoming.sequence, stored(host, incoming, received)))
            .collect();
        let committed = self
            .store
            .commit(host, epoch, batch, received)
            .map_err(|error| LedgerError(error.to_string()))?;
        let records: Vec<_> = committed
            .fresh
            .into_iter()
            .map(|(_, incoming)| incoming.into_record())
            .collect();
        if let Some(tap) = &self.tap {
            records.iter().for_each(|record| tap.offer(host, record));
        }
        if !records.is_empty() {
            let heard = Heard::Records {
                host: host.clone(),
                received,
                records,
            };
            // Refused only when the analysis is gone, and then the collector is ending.
            let _ = self.heard.send(heard);
        }
        Ok(committed.acknowledged.unwrap_or_default())
    }

    fn contact(&self, host: &HostId, received: Timestamp, said: Option<Timestamp>) {
        self.store.touch(host, received);
        self.contacts.note(host, received, said);
        let heard = Heard::Contact {
            host: host.clone(),
            received,
            said,
        };
        // Called on the reactor: a busy analysis hears of the next one.
        if let Err(TrySendError::Full(_)) = self.heard.try_send(heard) {
            self.contacts_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wanted(&self, host: &HostId) -> Result<Option<WantedConfig>, LedgerError> {
        let wanted = self.desk.configs().wanted(host);
        wanted.map_err(|error| LedgerError(error.to_string()))
    }

    fn configured(
        &self,
        host: &HostId,
        report: ConfigReport,
        received: Timestamp,
    ) -> Result<(), LedgerError> {
        let heard = HostReport {
            host: host.clone(),
            report,
            reported: received,
        };
        let kept = self.desk.configs().report(&heard);
        kept.map_err(|error| LedgerError(error.to_string()))
    }
}

/// A record that did not convert is kept as what it is: something lost, in its own place, so that its
/// sequence is acknowledged and the loss is shown.
fn stored(host: &HostId, incoming: Incoming, received: Timestamp) -> Stored {
    match incoming.record {
        Some(Record::Metrics(block)) => Stored::Metrics {
            bytes: incoming.raw,
            block,
        },
        Some(record) => Stored::Other(record),
        None => {
            tracing::warn!(%host, sequence = incoming.sequence.0, error = incoming.fault, "record refused");
            Stored::Other(Record::Losses(vec![Loss {
                source: "collector".to_owned(),
                reason: "malformed".to_owned(),
                count: 1,
                bytes: incoming.raw.len() as u64,
                from: received,
                to: received,
            }]))
        }
    }
}
