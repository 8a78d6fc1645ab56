//! Retention: what goes when it is too old or too much, oldest first.

use firstlook_model::Timestamp;

use crate::stats::add;
use crate::{Store, StoreError, schemas, templates};

/// What retention dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments dropped because everything in them was received before the retention age.
    pub expired: u64,
    /// Segments dropped because of the budget of bytes.
    pub crowded_out: u64,
    /// Bytes on disk that they held.
    pub bytes: u64,
    /// Schemas and templates dropped because nothing stored uses them any more.
    pub rows: u64,
}

impl Store {
    /// Drops what the configuration does not keep. To be called every minute or so.
    ///
    /// # Errors
    /// When the disk fails; it is tried again next time.
    pub fn retain(&self, now: Timestamp) -> Result<Retained, StoreError> {
        let inner = &self.0;
        let _alone = inner.maintenance();
        let mut done = Retained::default();
        let cutoff = now.minus(inner.config.retention_age);
        loop {
            let segments = inner.segments.all();
            let Some(oldest) = segments.first() else {
                break;
            };
            let expired = oldest.bounds().received < cutoff;
            // The newest is being filed into and small against the budget: it stays.
            let crowded = segments.len() > 1 && inner.disk_bytes() > inner.config.retention_bytes;
            if !expired && !crowded {
                break;
            }
            done.bytes += inner
                .segments
                .drop_oldest(&inner.engine)
                .map_err(StoreError::Write)?;
            if expired {
                done.expired += 1;
            } else {
                done.crowded_out += 1;
            }
        }
        done.rows = self.retain_rows(now)?;
        add(&inner.counters.expired_segments, done.expired);
        add(&inner.counters.crowded_out_segments, done.crowded_out);
        Ok(done)
    }

    fn retain_rows(&self, now: Timestamp) -> Result<u64, StoreError> {
        let inner = &self.0;
        // A segment may outlive the retention age by its own age, a row lags by its refresh.
        let kept = inner.config.retention_age + inner.config.segment_age();
        let mut writes = inner.stale_templates(now.minus(kept + 2 * templates::REFRESH));
        for host in inner.hosts.ids() {
            writes.extend(inner.stale_schemas(&host, now.minus(kept + 2 * schemas::REFRESH)));
        }
        let rows = writes.len() as u64;
        if rows > 0 {
            inner.committer.write(writes)?;
        }
        Ok(rows)
    }
}
