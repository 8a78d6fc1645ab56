//! Where received samples wait for the next frame of the host, and calls for its next look at connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firstlook_model::{ComponentId, Series};
use tokio::time::Instant;

use crate::called::Called;
use crate::exposition::Sample;

/// A series that was not told for so long makes room for a new one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// All parts' newest samples. A sample is given once: until the next, its column is missing, never the old value again.
/// Clones share it.
#[derive(Clone, Default)]
pub struct Shelves {
    inner: Arc<Mutex<Inner>>,
    called: Called,
}

#[derive(Default)]
struct Inner {
    shelves: Vec<Shelf>,
    /// Of all shelves; `None` since one changed.
    series: Option<Arc<[Series]>>,
}

struct Shelf {
    component: ComponentId,
    room: usize,
    entries: Vec<Entry>,
    /// Where an entry stands, by what it is about and its name.
    places: HashMap<ComponentId, HashMap<String, usize>>,
}

struct Entry {
    series: Series,
    value: f64,
    told: Instant,
}

/// What waits, as columns.
pub struct Columns {
    /// The same `Arc` as before while the series do not change.
    pub series: Arc<[Series]>,
    /// One per series; not a number where nothing was told since the last time.
    pub values: Vec<f64>,
}

impl Shelves {
    /// What was told since the last call.
    pub fn take(&self) -> Columns {
        let mut inner = self.inner();
        let Inner { shelves, series } = &mut *inner;
        let entries = || shelves.iter().flat_map(|shelf| &shelf.entries);
        let series = series
            .get_or_insert_with(|| entries().map(|entry| entry.series.clone()).collect())
            .clone();
        let entries = shelves.iter_mut().flat_map(|shelf| &mut shelf.entries);
        let values = entries.map(|entry| std::mem::replace(&mut entry.value, f64::NAN));
        Columns {
            values: values.collect(),
            series,
        }
    }

    /// What spans told of calls.
    pub fn called(&self) -> &Called {
        &self.called
    }

    /// Takes everything away.
    pub(crate) fn clear(&self) {
        self.called.clear();
        *self.inner() = Inner::default();
    }

    /// Makes a place for at most `room` series about `component`; returns its number.
    pub(crate) fn add(&self, component: ComponentId, room: usize) -> usize {
        let mut inner = self.inner();
        inner.shelves.push(Shelf {
            component,
            room,
            entries: Vec::new(),
            places: HashMap::new(),
        });
        inner.shelves.len() - 1
    }

    /// What the series of a place are about from now on. Another component has none yet.
    pub(crate) fn attach(&self, place: usize, component: &ComponentId) {
        let mut inner = self.inner();
        let Some(shelf) = inner.shelves.get_mut(place) else {
            return;
        };
        if shelf.component != *component {
            shelf.component = component.clone();
            shelf.entries.clear();
            shelf.places.clear();
            inner.series = None;
        }
    }

    /// Puts samples into a place, all at once. Those known before have theirs; the others get what room is left, in their
    /// order. Returns how many got none.
    pub(crate) fn put(&self, place: usize, samples: Vec<Sample>) -> u64 {
        let about = self.inner().shelves.get(place).map(|s| s.component.clone());
        about.map_or(0, |about| self.put_about(place, &about, samples))
    }

    /// As [`Self::put`], about another component than that of the place; it shares the room.
    pub(crate) fn put_about(&self, place: usize, about: &ComponentId, samples: Vec<Sample>) -> u64 {
        let mut inner = self.inner();
        let now = Instant::now();
        let Some(shelf) = inner.shelves.get_mut(place) else {
            return 0;
        };
        let mut others = samples;
        others.retain(|sample| !shelf.update(about, sample, now));
        let changed = !others.is_empty() && {
            shelf.make_room(others.len(), now) | (shelf.entries.len() < shelf.room)
        };
        let over = others
            .into_iter()
            .map(|sample| u64::from(!shelf.begin(about, sample, now)))
            .sum();
        if changed {
            inner.series = None;
        }
        over
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves a sample out at most.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// Whether the sample's series is known.
    fn update(&mut self, about: &ComponentId, sample: &Sample, now: Instant) -> bool {
        let known = self.places.get(about).and_then(|of| of.get(&sample.signal));
        let Some(entry) = known.and_then(|at| self.entries.get_mut(*at)) else {
            return false;
        };
        (entry.value, entry.told) = (sample.value, now);
        true
    }

    /// Forgets what is not told any more, if room is short. Says whether anything was.
    fn make_room(&mut self, wanted: usize, now: Instant) -> bool {
        let before = self.entries.len();
        if before + wanted <= self.room {
            return false;
        }
        self.entries
            .retain(|entry| now - entry.told < FORGOTTEN_AFTER);
        self.places.clear();
        for (at, entry) in self.entries.iter().enumerate() {
            let of = self.places.entry(entry.series.component.clone());
            of.or_default().insert(entry.series.signal.clone(), at);
        }
        self.entries.len() < before
    }

    /// Whether there was room for a series that was not known; told twice, it is by now.
    fn begin(&mut self, about: &ComponentId, sample: Sample, now: Instant) -> bool {
        if self.update(about, &sample, now) {
            return true;
        }
        if self.entries.len() >= self.room {
            return false;
        }
        let of = self.places.entry(about.clone()).or_default();
        of.insert(sample.signal.clone(), self.entries.len());
        self.entries.push(Entry {
            series: Series {
                component: about.clone(),
                signal: sample.signal,
                unit: sample.unit,
                kind: sample.kind,
            },
            value: sample.value,
            told: now,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{HostId, SignalKind, Unit};

    fn host() -> ComponentId {
        ComponentId::host(HostId::new("h1").unwrap())
    }

    fn samples(signals: &[&str]) -> Vec<Sample> {
        let sample = |(at, signal): (usize, &&str)| Sample {
            signal: (*signal).to_owned(),
            unit: Unit::Count,
            kind: SignalKind::Gauge,
            bucket: false,
            value: at as f64,
        };
        signals.iter().enumerate().map(sample).collect()
    }

    fn names(columns: &Columns) -> Vec<&str> {
        columns.series.iter().map(|s| s.signal.as_str()).collect()
    }

    #[tokio::test]
    async fn a_sample_is_given_once_and_its_series_stays() {
        let shelves = Shelves::default();
        let (a, b) = (shelves.add(host(), 9), shelves.add(host(), 9));
        assert_eq!(shelves.put(b, samples(&["x", "y"])), 0);
        assert_eq!(shelves.put(a, samples(&["z", "z"])), 0);
        let first = shelves.take();
        assert_eq!(names(&first), ["z", "x", "y"]);
        assert_eq!(first.values, [1.0, 0.0, 1.0]);
        shelves.put(b, samples(&["y"]));
        let second = shelves.take();
        assert!(Arc::ptr_eq(&first.series, &second.series));
        assert!(second.values[0].is_nan() && second.values[1].is_nan());
        assert_eq!(second.values[2], 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_its_room_is_counted_until_what_is_gone_is_forgotten() {
        let shelves = Shelves::default();
        let place = shelves.add(host(), 2);
        assert_eq!(shelves.put(place, samples(&["a", "b", "c"])), 1);
        assert_eq!(names(&shelves.take()), ["a", "b"]);
        tokio::time::advance(FORGOTTEN_AFTER / 2).await;
        assert_eq!(shelves.put(place, samples(&["b", "c"])), 1);
        tokio::time::advance(FORGOTTEN_AFTER / 2).await;
        assert_eq!(shelves.put(place, samples(&["b", "c"])), 0);
        let columns = shelves.take();
        assert_eq!(names(&columns), ["b", "c"]);
        assert_eq!(columns.values, [0.0, 1.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn components_of_one_place_share_its_room() {
        let shelves = Shelves::default();
        let place = shelves.add(host(), 2);
        let service: ComponentId = "service:h1/a.service".parse().unwrap();
        assert_eq!(shelves.put_about(place, &service, samples(&["a"])), 0);
        assert_eq!(shelves.put(place, samples(&["a", "b"])), 1);
        let columns = shelves.take();
        assert_eq!(names(&columns), ["a", "a"]);
        assert_eq!(columns.series[0].component, service);
        assert_eq!(columns.series[1].component, host());
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert_eq!(shelves.put(place, samples(&["b"])), 0);
        assert_eq!(shelves.put_about(place, &service, samples(&["a"])), 0);
        assert_eq!(names(&shelves.take()), ["b", "a"]);
    }

    #[tokio::test]
    async fn another_component_begins_anew() {
        let shelves = Shelves::default();
        let place = shelves.add(host(), 2);
        shelves.put(place, samples(&["a"]));
        shelves.attach(place, &host());
        assert_eq!(names(&shelves.take()), ["a"]);
        let service: ComponentId = "service:h1/a.service".parse().unwrap();
        shelves.attach(place, &service);
        assert!(shelves.take().series.is_empty());
        shelves.put(place, samples(&["a"]));
        assert_eq!(shelves.take().series[0].component, service);
    }
}
