//! The ledger: where ingest puts what it took in.

use bytes::Bytes;
use firstlook_model::{ConfigReport, Epoch, HostId, Record, Sequence, Timestamp, WantedConfig};

/// One record of a host.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its place in the host's journal.
    pub sequence: Sequence,
    /// What it says; `None` when it did not convert.
    pub record: Option<Record>,
    /// The metric block as it came, for metrics; the whole record where it did not convert.
    pub raw: Bytes,
    /// Why it did not convert. Empty otherwise.
    pub fault: String,
}

/// The ledger cannot be written; the agent keeps its records and tries again.
#[derive(Debug, thiserror::Error)]
#[error("ledger cannot be used: {0}")]
pub struct LedgerError(pub String);

/// Durable, de-duplicating storage. Calls block.
pub trait Ledger: Send + Sync + 'static {
    /// Whether the host may speak with the certificate of this fingerprint: enrolled with it and not revoked.
    fn admits(&self, host: &HostId, fingerprint: &str) -> bool;

    /// Last durable sequence of the host's epoch; 0 for none.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn acknowledged(&self, host: &HostId, epoch: Epoch) -> Result<Sequence, LedgerError>;

    /// Stores what is new of `batch`, durably and as one; gives the last durable sequence.
    ///
    /// # Errors
    /// When nothing of the batch was stored.
    fn commit(
        &self,
        host: &HostId,
        epoch: Epoch,
        batch: Vec<Incoming>,
        received: Timestamp,
    ) -> Result<Sequence, LedgerError>;

    /// Notes that the host's agent was heard; `said` is its own clock.
    fn contact(&self, host: &HostId, received: Timestamp, said: Option<Timestamp>);

    /// The configuration that is wanted of the host's agent; `None` where none is.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn wanted(&self, host: &HostId) -> Result<Option<WantedConfig>, LedgerError>;

    /// Keeps what the host's agent says of the configuration that is wanted of it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    fn configured(
        &self,
        host: &HostId,
        report: ConfigReport,
        received: Timestamp,
    ) -> Result<(), LedgerError>;
}
