//! The one schema of a host: sources register series and set values, a frame comes out each second.

use std::sync::Arc;
use std::time::Duration;

use firstlook_model::signal::SERIES_LIMIT;
use firstlook_model::{ComponentId, Frame, Schema, Series, SignalKind, Timestamp, Unit};

/// A registered series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// Series and the values of the sample in hand.
///
/// New series are appended and old ones taken out, both at most once per interval: until then the values
/// of new ones are not reported and those of old ones are NaN.
#[derive(Debug)]
pub(crate) struct Registry {
    series: Vec<Option<Series>>,
    values: Vec<f64>,
    /// Slots in the schema's order.
    order: Vec<u32>,
    pending: Vec<u32>,
    released: Vec<u32>,
    free: Vec<u32>,
    schema: Arc<Schema>,
    published: Option<Duration>,
    interval: Duration,
    now: Duration,
    refused: u64,
}

impl Registry {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            series: Vec::new(),
            values: Vec::new(),
            order: Vec::new(),
            pending: Vec::new(),
            released: Vec::new(),
            free: Vec::new(),
            schema: Arc::new(Schema::new(Vec::new())),
            published: None,
            interval,
            now: Duration::ZERO,
            refused: 0,
        }
    }

    /// Begins a sample at this monotonic time.
    pub(crate) fn begin(&mut self, monotonic: Duration) {
        self.now = monotonic;
    }

    /// Monotonic time of the sample in hand.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Series that were refused because the host has too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// A new series; `None` when the host has as many as it may.
    pub(crate) fn register(&mut self, component: &ComponentId, signal: &str) -> Option<Slot> {
        if self.order.len() + self.pending.len() >= SERIES_LIMIT {
            self.refused += 1;
            return None;
        }
        let (unit, kind) = shape(signal);
        let series = Some(Series {
            component: component.clone(),
            signal: signal.to_owned(),
            unit,
            kind,
        });
        let index = if let Some(index) = self.free.pop() {
            self.series[index as usize] = series;
            index
        } else {
            self.series.push(series);
            self.values.push(f64::NAN);
            u32::try_from(self.series.len() - 1).ok()?
        };
        self.pending.push(index);
        Some(Slot(index))
    }

    /// Ends a series. Its slot must not be used again.
    pub(crate) fn release(&mut self, slot: Slot) {
        self.series[slot.0 as usize] = None;
        self.values[slot.0 as usize] = f64::NAN;
        self.released.push(slot.0);
    }

    /// Sets the value of the sample in hand.
    pub(crate) fn set(&mut self, slot: Slot, value: f64) {
        self.values[slot.0 as usize] = value;
    }

    /// Ends the sample: every value goes out once.
    pub(crate) fn frame(&mut self, time: Timestamp) -> Frame {
        let changed = !self.pending.is_empty() || !self.released.is_empty();
        let due = self
            .published
            .is_none_or(|at| self.now.saturating_sub(at) >= self.interval);
        if changed && due {
            self.publish();
        }
        let values = self
            .order
            .iter()
            .map(|slot| std::mem::replace(&mut self.values[*slot as usize], f64::NAN))
            .collect();
        for slot in &self.pending {
            self.values[*slot as usize] = f64::NAN;
        }
        Frame {
            schema: Arc::clone(&self.schema),
            time,
            values,
        }
    }

    fn publish(&mut self) {
        self.order.append(&mut self.pending);
        let series = &self.series;
        self.order.retain(|slot| series[*slot as usize].is_some());
        self.free.append(&mut self.released);
        let columns = self
            .order
            .iter()
            .filter_map(|slot| self.series[*slot as usize].clone())
            .collect();
        self.schema = Arc::new(Schema::new(columns));
        self.published = Some(self.now);
    }
}

/// Unit and behaviour, which a signal's name ends with.
pub(crate) fn shape(signal: &str) -> (Unit, SignalKind) {
    let (stem, kind) = match signal.strip_suffix("_total") {
        Some(stem) => (stem, SignalKind::Counter),
        None => (signal, SignalKind::Gauge),
    };
    let unit = if stem.ends_with("bytes") {
        Unit::Bytes
    } else if stem.ends_with("seconds") {
        Unit::Seconds
    } else if stem.ends_with("ratio") {
        Unit::Ratio
    } else {
        Unit::Count
    };
    (unit, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::HostId;

    fn component() -> ComponentId {
        ComponentId::host(HostId::new("h1").unwrap())
    }

    fn frame(registry: &mut Registry, second: u64, set: &[(Slot, f64)]) -> Frame {
        registry.begin(Duration::from_secs(second));
        for (slot, value) in set {
            registry.set(*slot, *value);
        }
        registry.frame(Timestamp::from_secs(second as i64))
    }

    #[test]
    fn the_schema_changes_at_most_once_per_interval_and_keeps_its_arc() {
        let mut registry = Registry::new(Duration::from_secs(5));
        let a = registry.register(&component(), "a").unwrap();
        let first = frame(&mut registry, 0, &[(a, 1.0)]);
        assert_eq!(first.values, [1.0]);

        let b = registry.register(&component(), "b_bytes_total").unwrap();
        let early = frame(&mut registry, 1, &[(a, 2.0), (b, 9.0)]);
        assert!(Arc::ptr_eq(&first.schema, &early.schema));
        assert_eq!(early.values, [2.0]);

        let later = frame(&mut registry, 5, &[(a, 3.0)]);
        assert_eq!(later.schema.series().len(), 2);
        assert_eq!(later.schema.series()[1].unit, Unit::Bytes);
        assert_eq!(later.schema.series()[1].kind, SignalKind::Counter);
        assert_eq!(later.values[0], 3.0);
        assert!(later.values[1].is_nan(), "a stale value was reported");
    }

    #[test]
    fn a_released_slot_is_not_reused_before_its_column_is_gone() {
        let mut registry = Registry::new(Duration::from_secs(5));
        let a = registry.register(&component(), "a").unwrap();
        let b = registry.register(&component(), "b").unwrap();
        frame(&mut registry, 0, &[(a, 1.0), (b, 2.0)]);
        registry.release(a);
        let c = registry.register(&component(), "c").unwrap();
        let early = frame(&mut registry, 1, &[(b, 2.0), (c, 3.0)]);
        assert!(early.values[0].is_nan());
        assert_eq!(early.values[1], 2.0);
        let later = frame(&mut registry, 6, &[(b, 2.0), (c, 3.0)]);
        let names: Vec<_> = later.schema.series().iter().map(|s| &s.signal).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(later.values, [2.0, 3.0]);
    }

    #[test]
    fn series_beyond_the_hosts_limit_are_refused_and_counted() {
        let mut registry = Registry::new(Duration::ZERO);
        for _ in 0..SERIES_LIMIT {
            assert!(registry.register(&component(), "a").is_some());
        }
        assert_eq!(registry.register(&component(), "a"), None);
        assert_eq!(registry.refused(), 1);
    }
}
