//! Quarantine: where values go that cannot be read, for somebody to look at.
//!
//! Key: the name of the table, a zero byte, the value's key there. Value: the bytes as they were.

use crate::engine::{Table, Write};
use crate::error::Corrupt;
use crate::stats::add;
use crate::store::Inner;

/// Most values kept; further ones are only counted and removed.
const COUNT_LIMIT: usize = 10_000;
/// Most bytes kept.
const BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// What is used of the quarantine's room.
#[derive(Default)]
pub(crate) struct Budget {
    count: usize,
    bytes: usize,
}

impl Budget {
    /// Takes room for one value; false when there is none.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.count < COUNT_LIMIT && self.bytes.saturating_add(bytes) <= BYTES_LIMIT;
        if fits {
            self.count += 1;
            self.bytes += bytes;
        }
        fits
    }
}

impl Inner {
    /// Moves a value out of the way. When even that fails, it stays and is skipped again next time.
    pub(crate) fn quarantine(&self, table: &Table, key: &[u8], value: &[u8], error: &Corrupt) {
        let mut name = table.name().as_bytes().to_vec();
        name.push(0);
        name.extend_from_slice(key);
        let mut writes = vec![Write::Remove(table.clone(), key.to_vec())];
        // The engine takes no longer key; ours never come near.
        let kept = name.len() <= usize::from(u16::MAX)
            && self.quarantine_budget().take(name.len() + value.len());
        if kept {
            writes.push(Write::Put(
                self.tables.quarantine.clone(),
                name,
                value.to_vec(),
            ));
        }
        add(&self.counters.quarantined, 1);
        tracing::warn!(table = table.name(), %error, kept, "a stored value is corrupt and was set aside");
        if let Err(error) = self.committer.write(writes) {
            tracing::warn!(%error, "a corrupt value could not be set aside");
        }
    }
}
