//! What points add up to, as series.
//!
//! Several processes of one service tell the same series, each what it counted itself since it began. What each adds is
//! added up, so that a series is the service's, and goes on rising when a process ends or begins. A process is told from
//! another by what its resource and its points say of themselves and by when it began to count.

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{ComponentId, SignalKind, Unit};
use tokio::time::Instant;

use crate::exposition::Sample;

/// A series that was not told for so long is forgotten; its counts begin anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Most counts that add up to one series: processes, and what differs in attributes that were left off.
const STREAMS_LIMIT: usize = 64;

/// All series, by what they are about.
#[derive(Debug)]
pub(super) struct Totals {
    limit: usize,
    number: usize,
    by: HashMap<ComponentId, HashMap<String, Total>>,
}

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub unit: Unit,
    pub kind: SignalKind,
    pub bucket: bool,
}

/// What is told of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// What it is now.
    Level(f64),
    /// What came to it since it was told last.
    More(f64),
    /// What one of those who count it has counted since it began.
    Since {
        stream: Stream,
        value: f64,
        /// Whether it may fall, as a sum of what can be negative. What only rises and fell began anew.
        falls: bool,
    },
}

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Another for each.
    pub id: u64,
    /// When it began to count, in nanoseconds since 1970; 0 where that is not told.
    pub began: u64,
    /// When it told, by this host's clock, in nanoseconds since 1970.
    pub now: u64,
}

#[derive(Debug)]
struct Total {
    kind: Kind,
    value: f64,
    /// Whether it was told since the last telling.
    moved: bool,
    told: Instant,
    /// When it was told first, in nanoseconds since 1970.
    opened: u64,
    streams: HashMap<(u64, u64), Counted>,
    /// Whether a stream was forgotten: one that seems new may be that one.
    forgot: bool,
}

#[derive(Debug)]
struct Counted {
    last: f64,
    told: Instant,
}

impl Totals {
    /// For at most so many series.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            number: 0,
            by: HashMap::new(),
        }
    }

    /// Whether there was room. What is not finite changes nothing.
    pub fn take(&mut self, about: &ComponentId, signal: &str, kind: Kind, told: Told) -> bool {
        let now = Instant::now();
        if let Some(known) = self.by.get_mut(about).and_then(|of| of.get_mut(signal)) {
            return known.take(told, now);
        }
        if self.number >= self.limit {
            return false;
        }
        let mut total = Total::new(kind, told, now);
        let took = total.take(told, now);
        if took {
            self.number += 1;
            let of = self.by.entry(about.clone()).or_default();
            of.insert(signal.to_owned(), total);
        }
        took
    }

    /// What was told since the last call, by what it is about; buckets come last. Forgets what is not told any more.
    pub fn tell(&mut self) -> Vec<(ComponentId, Vec<Sample>)> {
        let now = Instant::now();
        let mut told = Vec::new();
        for (about, of) in &mut self.by {
            of.retain(|_, total| now - total.told < FORGOTTEN_AFTER);
            let moved = of.iter_mut().filter_map(|(signal, total)| {
                std::mem::take(&mut total.moved).then(|| total.sample(signal))
            });
            let mut samples: Vec<_> = moved.collect();
            samples.sort_unstable_by(|a, b| (a.bucket, &a.signal).cmp(&(b.bucket, &b.signal)));
            if !samples.is_empty() {
                told.push((about.clone(), samples));
            }
        }
        self.by.retain(|_, of| !of.is_empty());
        self.number = self.by.values().map(HashMap::len).sum();
        told.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        told
    }
}

impl Total {
    fn new(kind: Kind, told: Told, now: Instant) -> Self {
        let opened = match told {
            Told::Since { stream, .. } => stream.now,
            _ => 0,
        };
        Self {
            kind,
            value: 0.0,
            moved: false,
            told: now,
            opened,
            streams: HashMap::new(),
            forgot: false,
        }
    }

    fn sample(&self, signal: &str) -> Sample {
        Sample {
            signal: signal.to_owned(),
            unit: self.kind.unit,
            kind: self.kind.kind,
            bucket: self.kind.bucket,
            value: self.value,
        }
    }

    /// Whether there was room.
    fn take(&mut self, told: Told, now: Instant) -> bool {
        let more = match told {
            Told::Level(value) | Told::More(value) | Told::Since { value, .. }
                if !value.is_finite() =>
            {
                return true;
            }
            Told::Level(value) => value - self.value,
            Told::More(more) => more,
            Told::Since {
                stream,
                value,
                falls,
            } => match self.since(stream, value, falls, now) {
                Some(more) => more,
                None => return false,
            },
        };
        self.value = match told {
            Told::Level(value) => value,
            _ => self.value + more,
        };
        (self.moved, self.told) = (true, now);
        true
    }

    /// What a stream adds. `None` when there are too many of them.
    fn since(&mut self, stream: Stream, value: f64, falls: bool, now: Instant) -> Option<f64> {
        let key = (stream.id, stream.began);
        if let Some(known) = self.streams.get_mut(&key) {
            let last = std::mem::replace(&mut known.last, value);
            known.told = now;
            return Some(match value < last && !falls {
                true => value,
                false => value - last,
            });
        }
        let first = self.streams.is_empty() && !self.forgot;
        if self.streams.len() >= STREAMS_LIMIT {
            let forgotten = |counted: &Counted| now - counted.told >= FORGOTTEN_AFTER;
            let before = self.streams.len();
            self.streams.retain(|_, counted| !forgotten(counted));
            self.forgot |= self.streams.len() < before;
            if self.streams.len() >= STREAMS_LIMIT {
                return None;
            }
        }
        self.streams.insert(
            key,
            Counted {
                last: value,
                told: now,
            },
        );
        // Who counted before the series was known here has told none of it; a jump would look like a burst.
        let whole = first || (!self.forgot && stream.began > self.opened);
        Some(if whole { value } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::HostId;

    const COUNTER: Kind = Kind {
        unit: Unit::Count,
        kind: SignalKind::Counter,
        bucket: false,
    };

    fn host() -> ComponentId {
        ComponentId::host(HostId::new("h1").unwrap())
    }

    fn since(id: u64, began: u64, value: f64) -> Told {
        let stream = Stream {
            id,
            began,
            now: 1_000,
        };
        Told::Since {
            stream,
            value,
            falls: false,
        }
    }

    /// The value of the only series, if it was told.
    fn told(totals: &mut Totals) -> Option<f64> {
        let told = totals.tell();
        let samples = told.first().map(|(_, samples)| samples);
        samples.map(|samples| samples[0].value)
    }

    #[tokio::test]
    async fn what_several_processes_count_is_added_up() {
        let mut totals = Totals::new(9);
        let take = |totals: &mut Totals, told| assert!(totals.take(&host(), "n", COUNTER, told));
        take(&mut totals, since(1, 10, 100.0));
        assert_eq!(told(&mut totals), Some(100.0));
        assert_eq!(told(&mut totals), None, "it is told once");
        // It counted before anybody looked.
        take(&mut totals, since(2, 20, 5_000.0));
        take(&mut totals, since(2, 20, 5_001.0));
        take(&mut totals, since(1, 10, 110.0));
        assert_eq!(told(&mut totals), Some(111.0));
        // A process that began since.
        take(&mut totals, since(1, 2_000, 7.0));
        assert_eq!(told(&mut totals), Some(118.0));
        // One that begins anew and does not say so.
        take(&mut totals, since(2, 20, 2.0));
        assert_eq!(told(&mut totals), Some(120.0));
    }

    #[tokio::test]
    async fn steps_and_levels_are_what_they_say_and_no_number_is_nothing() {
        let mut totals = Totals::new(9);
        let take = |totals: &mut Totals, told| assert!(totals.take(&host(), "n", COUNTER, told));
        take(&mut totals, Told::More(3.0));
        take(&mut totals, Told::More(-1.0));
        assert_eq!(told(&mut totals), Some(2.0));
        take(&mut totals, Told::Level(f64::NAN));
        assert_eq!(told(&mut totals), None);
        take(&mut totals, Told::Level(9.0));
        assert_eq!(told(&mut totals), Some(9.0));
        let mut falling = since(1, 10, -4.0);
        if let Told::Since { falls, .. } = &mut falling {
            *falls = true;
        }
        let mut totals = Totals::new(9);
        take(&mut totals, since(1, 10, 3.0));
        take(&mut totals, falling);
        assert_eq!(told(&mut totals), Some(-4.0));
    }

    #[tokio::test(start_paused = true)]
    async fn series_beyond_the_limit_are_refused_until_others_are_forgotten() {
        let mut totals = Totals::new(1);
        assert!(totals.take(&host(), "a", COUNTER, Told::More(1.0)));
        assert!(!totals.take(&host(), "b", COUNTER, Told::More(1.0)));
        assert!(totals.take(&host(), "a", COUNTER, Told::More(1.0)));
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert!(totals.tell().is_empty());
        assert!(totals.take(&host(), "b", COUNTER, Told::More(1.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_who_count_are_refused_and_none_counts_twice() {
        let mut totals = Totals::new(1);
        for id in 0..STREAMS_LIMIT as u64 {
            assert!(totals.take(&host(), "a", COUNTER, since(id, 2_000, 1.0)));
        }
        assert_eq!(told(&mut totals), Some(STREAMS_LIMIT as f64));
        assert!(!totals.take(&host(), "a", COUNTER, since(999, 2_000, 1.0)));
        tokio::time::advance(FORGOTTEN_AFTER / 2).await;
        assert!(totals.take(&host(), "a", COUNTER, since(0, 2_000, 1.0)));
        tokio::time::advance(FORGOTTEN_AFTER / 2).await;
        // It takes the room of those that are gone, and may be one of them, as far as anybody knows.
        assert!(totals.take(&host(), "a", COUNTER, since(999, 2_000, 1.0)));
        assert!(totals.take(&host(), "a", COUNTER, since(1, 2_000, 4.0)));
        assert!(totals.take(&host(), "a", COUNTER, since(1, 2_000, 6.0)));
        assert_eq!(told(&mut totals), Some(STREAMS_LIMIT as f64 + 2.0));
    }
}
