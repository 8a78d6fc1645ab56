//! Segments: the long-lived telemetry, cut by the time at which it was filed, so that the oldest can be
//! dropped whole.
//!
//! Values are filed in the newest segment whatever time they speak of; bounds say which times a segment
//! holds, so that a reader of a range skips the others and late data is still found.
//!
//! A bounds row is three signed 8-byte little-endian microsecond counts: first observation, first
//! instant after the last one, last received.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use firstlook_model::{TimeRange, Timestamp};

use crate::StoreConfig;
use crate::engine::{Engine, Shape, Table, Write};
use crate::error::{Corrupt, EngineError};

const NAME: &str = "segment-";

/// What times a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub first: Timestamp,
    pub end: Timestamp,
    pub received: Timestamp,
}

impl Bounds {
    /// Bounds that hold nothing yet.
    pub(crate) const NONE: Self = Self {
        first: Timestamp::from_micros(i64::MAX),
        end: Timestamp::from_micros(i64::MIN),
        received: Timestamp::from_micros(i64::MIN),
    };

    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            end: self.end.max(other.end),
            received: self.received.max(other.received),
        }
    }

    fn encode(self) -> Vec<u8> {
        [self.first, self.end, self.received]
            .iter()
            .flat_map(|time| time.as_micros().to_le_bytes())
            .collect()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (times, rest) = bytes.as_chunks::<8>();
        let [first, end, received] = times else {
            return Err(Corrupt::Malformed("segment bounds"));
        };
        if !rest.is_empty() {
            return Err(Corrupt::Malformed("segment bounds"));
        }
        let time = |bytes: &[u8; 8]| Timestamp::from_micros(i64::from_le_bytes(*bytes));
        Ok(Self {
            first: time(first),
            end: time(end),
            received: time(received),
        })
    }
}

/// One segment.
pub(crate) struct Segment {
    /// When it was begun, microseconds since the epoch; rises.
    id: u64,
    pub table: Table,
    bounds: Mutex<Bounds>,
}

impl Segment {
    pub(crate) fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.id).unwrap_or(i64::MAX))
    }

    fn name(id: u64) -> String {
        format!("{NAME}{id:020}")
    }
}

/// All segments, oldest first.
pub(crate) struct Segments {
    index: Table,
    list: RwLock<Vec<Arc<Segment>>>,
}

impl Segments {
    /// Opens what `index` names, and drops tables that a crash left without a name.
    pub(crate) fn open(engine: &Engine, index: Table) -> Result<Self, EngineError> {
        let mut list = Vec::new();
        for entry in engine.view().all(&index) {
            let (key, value) = entry?;
            let Some(id) = key.first_chunk().map(|id| u64::from_be_bytes(*id)) else {
                continue;
            };
            let bounds = Bounds::decode(&value).unwrap_or_else(|error| {
                // Wide bounds cost time, not truth.
                tracing::warn!(segment = id, %error, "bounds of a segment are unreadable");
                Bounds {
                    first: Timestamp::from_micros(i64::MIN),
                    end: Timestamp::from_micros(i64::MAX),
                    received: Timestamp::from_micros(i64::try_from(id).unwrap_or(i64::MAX)),
                }
            });
            list.push(Arc::new(Segment {
                id,
                table: engine.table(&Segment::name(id), Shape::Blocks)?,
                bounds: Mutex::new(bounds),
            }));
        }
        let known: Vec<_> = list
            .iter()
            .map(|segment| Segment::name(segment.id))
            .collect();
        for name in engine.table_names() {
            if name.starts_with(NAME) && !known.contains(&name) {
                engine.drop_table(engine.table(&name, Shape::Blocks)?)?;
            }
        }
        Ok(Self {
            index,
            list: RwLock::new(list),
        })
    }

    /// All, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Those that may hold observations of a range, oldest first.
    pub(crate) fn holding(&self, range: TimeRange) -> Vec<Arc<Segment>> {
        let mut segments = self.all();
        segments.retain(|segment| {
            let bounds = segment.bounds();
            bounds.first < range.to && range.from < bounds.end
        });
        segments
    }

    /// The segment to file into at `now`, begun anew when the last one is old or large enough.
    pub(crate) fn current(
        &self,
        engine: &Engine,
        config: &StoreConfig,
        now: Timestamp,
    ) -> Result<Arc<Segment>, EngineError> {
        let last = self.all().pop();
        if let Some(last) = &last {
            let young = now.since(last.begun()) < config.segment_age();
            if young && last.table.disk_bytes() < config.segment_bytes() {
                return Ok(last.clone());
            }
            last.table.flush_soon()?;
        }
        let after = last.map_or(0, |last| last.id.saturating_add(1));
        let id = u64::try_from(now.as_micros()).unwrap_or(0).max(after);
        let segment = Arc::new(Segment {
            id,
            table: engine.table(&Segment::name(id), Shape::Blocks)?,
            bounds: Mutex::new(Bounds::NONE),
        });
        engine.write(vec![self.row(&segment, Bounds::NONE)])?;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(segment.clone());
        Ok(segment)
    }

    /// Writes values into a segment together with its widened bounds.
    pub(crate) fn write(
        &self,
        engine: &Engine,
        segment: &Segment,
        mut writes: Vec<Write>,
        bounds: Bounds,
    ) -> Result<(), EngineError> {
        let wider = segment.bounds().join(bounds);
        // Widened before the write: a reader that looks in vain loses nothing.
        *segment
            .bounds
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = wider;
        writes.push(self.row(segment, wider));
        engine.write(writes)
    }

    /// Drops the oldest segment and returns its bytes on disk.
    pub(crate) fn drop_oldest(&self, engine: &Engine) -> Result<u64, EngineError> {
        let oldest = {
            let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
            if list.is_empty() {
                return Ok(0);
            }
            list.remove(0)
        };
        let bytes = oldest.table.disk_bytes();
        let key = oldest.id.to_be_bytes().to_vec();
        engine.write(vec![Write::Remove(self.index.clone(), key)])?;
        engine.drop_table(oldest.table.clone())?;
        Ok(bytes)
    }

    fn row(&self, segment: &Segment, bounds: Bounds) -> Write {
        let key = segment.id.to_be_bytes().to_vec();
        Write::Put(self.index.clone(), key, bounds.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bounds_read_back(times in any::<[i64; 3]>()) {
            let [first, end, received] = times.map(Timestamp::from_micros);
            let bounds = Bounds { first, end, received };
            prop_assert_eq!(Bounds::decode(&bounds.encode()).unwrap(), bounds);
        }

        #[test]
        fn hostile_bounds_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Bounds::decode(&bytes);
        }
    }
}
