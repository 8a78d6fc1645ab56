//! Compaction: joins the small values of a host and window into large ones and files them in a segment.

use std::sync::Arc;
use std::time::Duration;

use firstlook_model::Timestamp;

use crate::engine::{Bytes, View, Write};
use crate::error::{Corrupt, EngineError};
use crate::key::{Key, Kind, window_end};
use crate::merge::{JoinedMetrics, merge_events};
use crate::segments::{Bounds, Segment};
use crate::stats::add;
use crate::store::Inner;
use crate::value::decode_events;
use crate::{Store, StoreError};

/// How long after its window's end a value waits for late company.
const SETTLE: Duration = Duration::from_secs(120);
/// How long after the last arrival in a window it waits: a journal being replayed comes in bursts.
const QUIET: Duration = Duration::from_secs(30);
/// How long it waits at most, so that stamps in the future do not keep it small for ever.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of merged values after which a batch is written.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Most values merged at once; a window with more is merged in parts.
const GROUP_LIMIT: usize = 2_000;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Small values that were joined.
    pub joined: u64,
    /// Values that they became.
    pub filed: u64,
    /// Bytes of values before.
    pub bytes_before: u64,
    /// Bytes of values after.
    pub bytes_after: u64,
}

/// Values of one kind, host and window.
struct Group {
    first: Key,
    last_received: Timestamp,
    first_received: Timestamp,
    keys: Vec<Bytes>,
}

impl Group {
    fn admits(&self, key: &Key) -> bool {
        self.keys.len() < GROUP_LIMIT
            && self.first.kind == key.kind
            && self.first.window() == key.window()
            && self.first.host == key.host
    }

    fn due(&self, now: Timestamp) -> bool {
        let settled = window_end(self.first.window()).plus(SETTLE) <= now;
        let quiet = self.last_received.plus(QUIET) <= now;
        (settled && quiet) || self.first_received.plus(PATIENCE) <= now
    }
}

/// A batch that is being filled.
struct Filing {
    segment: Arc<Segment>,
    writes: Vec<Write>,
    bounds: Bounds,
    bytes: usize,
}

impl Store {
    /// Joins the small values of windows that ended two minutes ago, each batch atomically: a reader sees
    /// every observation once, before, during and after. To be called every half minute or so.
    ///
    /// # Errors
    /// When the disk fails; what was not joined is joined next time.
    pub fn compact(&self, now: Timestamp) -> Result<Compacted, StoreError> {
        let inner = &self.0;
        let _alone = inner.maintenance();
        inner.engine.check_room().map_err(StoreError::Write)?;
        let view = inner.engine.view();
        let mut done = Compacted::default();
        let mut filing = None;
        let mut group: Option<Group> = None;
        for raw in view.all_keys(&inner.tables.recent) {
            let Some(raw) = inner.readable(raw) else {
                break;
            };
            let key = match Key::decode(&raw) {
                Ok(key) => key,
                Err(error) => {
                    let value = inner
                        .readable(view.get(&inner.tables.recent, &raw))
                        .flatten();
                    let value = value.as_deref().unwrap_or_default();
                    inner.quarantine(&inner.tables.recent, &raw, value, &error);
                    continue;
                }
            };
            match &mut group {
                Some(group) if group.admits(&key) => {
                    group.last_received = group.last_received.max(key.received);
                    group.first_received = group.first_received.min(key.received);
                    group.keys.push(raw);
                }
                _ => {
                    let next = Group {
                        last_received: key.received,
                        first_received: key.received,
                        first: key,
                        keys: vec![raw],
                    };
                    if let Some(group) = group.replace(next) {
                        inner.file(&view, group, now, &mut filing, &mut done)?;
                    }
                }
            }
        }
        if let Some(group) = group {
            inner.file(&view, group, now, &mut filing, &mut done)?;
        }
        inner.write_filing(filing)?;
        add(&inner.counters.compacted, done.joined);
        Ok(done)
    }
}

impl Inner {
    fn file(
        &self,
        view: &View,
        group: Group,
        now: Timestamp,
        filing: &mut Option<Filing>,
        done: &mut Compacted,
    ) -> Result<(), StoreError> {
        if !group.due(now) {
            return Ok(());
        }
        let (merged, read) = self.merged(view, &group);
        let mut batch = match filing.take() {
            Some(batch) => batch,
            None => self.filing(now).map_err(StoreError::Write)?,
        };
        for (key, value) in merged {
            done.filed += 1;
            done.bytes_after += value.len() as u64;
            batch.bytes += value.len();
            let table = batch.segment.table.clone();
            batch.writes.push(Write::Put(table, key.encode(), value));
            batch.bounds = batch.bounds.join(Bounds {
                first: key.start,
                end: window_end(key.window()),
                received: group.last_received,
            });
        }
        for (key, bytes) in read {
            done.joined += 1;
            done.bytes_before += bytes as u64;
            batch
                .writes
                .push(Write::Remove(self.tables.recent.clone(), key.to_vec()));
        }
        if batch.bytes < BATCH_BYTES {
            *filing = Some(batch);
            return Ok(());
        }
        self.write_filing(Some(batch))
    }

    fn filing(&self, now: Timestamp) -> Result<Filing, EngineError> {
        Ok(Filing {
            segment: self.segments.current(&self.engine, &self.config, now)?,
            writes: Vec::new(),
            bounds: Bounds::NONE,
            bytes: 0,
        })
    }

    fn write_filing(&self, filing: Option<Filing>) -> Result<(), StoreError> {
        let Some(filing) = filing else { return Ok(()) };
        self.segments
            .write(&self.engine, &filing.segment, filing.writes, filing.bounds)
            .map_err(StoreError::Write)
    }

    /// A group's values, merged, and the keys and sizes of those that went into them. Corrupt ones are set
    /// aside.
    #[expect(clippy::type_complexity, reason = "two plain lists")]
    fn merged(&self, view: &View, group: &Group) -> (Vec<(Key, Vec<u8>)>, Vec<(Bytes, usize)>) {
        let table = &self.tables.recent;
        let (mut metrics, mut events) = (JoinedMetrics::default(), Vec::new());
        let mut read = Vec::new();
        for raw in &group.keys {
            let Some(Some(value)) = self.readable(view.get(table, raw)) else {
                continue;
            };
            let mut take = || -> Result<(), Corrupt> {
                let key = Key::decode(raw)?;
                match key.kind {
                    Kind::Metrics => metrics.push(key, &value)?,
                    _ => events.push((key, decode_events(&value)?)),
                }
                Ok(())
            };
            match take() {
                Ok(()) => read.push((raw.clone(), value.len())),
                Err(error) => self.quarantine(table, raw, &value, &error),
            }
        }
        let merged = metrics.encode().and_then(|mut merged| {
            merged.extend(merge_events(events)?);
            Ok(merged)
        });
        match merged {
            Ok(merged) => (merged, read),
            Err(error) => {
                // Nothing is lost: they stay as they are, readable one by one.
                tracing::warn!(host = %group.first.host, %error, "values cannot be joined");
                (Vec::new(), Vec::new())
            }
        }
    }
}
