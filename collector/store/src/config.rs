//! Configuration of the store.

use std::time::Duration;

use crate::StoreError;

/// What the store may keep, and the memory it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long telemetry is kept, counted from when it was received. It goes in whole segments, so the
    /// oldest may live a thirty-second part longer. At least a minute. Default 14 days.
    pub retention_age: Duration,
    /// Bytes on disk for telemetry; the oldest segments go first. Up to
    /// [`JOURNAL_LIMIT_BYTES`] of the engine's journal come on top. At least 1 MiB. Default 20 GiB.
    pub retention_bytes: u64,
    /// Bytes that must stay free on the disk: with less, nothing more is committed or compacted, while reading and
    /// retention go on. A disk that is full to the last byte would break the engine's own files. Default 128 MiB.
    pub reserve_bytes: u64,
    /// Memory for the engine's read cache, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
}

/// Most bytes of the engine's journal on disk.
pub const JOURNAL_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Parts into which retention is divided: what is dropped at once is about one of them.
const PARTS: u32 = 32;

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            retention_age: Duration::from_secs(14 * 24 * 3600),
            retention_bytes: 20 * 1024 * 1024 * 1024,
            reserve_bytes: 128 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

impl StoreConfig {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.retention_age < Duration::from_secs(60) {
            return Err(StoreError::Config(
                "retention age must be at least a minute",
            ));
        }
        if self.retention_bytes < 1024 * 1024 {
            return Err(StoreError::Config("retention size must be at least 1 MiB"));
        }
        Ok(())
    }

    /// Age at which a segment is closed.
    pub(crate) fn segment_age(&self) -> Duration {
        self.retention_age / PARTS
    }

    /// Size at which a segment is closed.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.retention_bytes / u64::from(PARTS)
    }
}
