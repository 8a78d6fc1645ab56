//! What lines add up to between two tellings.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use firstlook_model::id::stable_hash;
use firstlook_model::{ComponentId, SignalKind, Unit};
use tokio::time::Instant;

use super::line::{Told, Values};
use crate::exposition::Sample;
use crate::measures::Measures;

/// A name that was not told for so long is forgotten; its counters begin anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Most measures and members of all names together between two tellings.
const HELD_LIMIT: usize = 200_000;

/// All names.
#[derive(Debug)]
pub(super) struct Sums {
    names_limit: usize,
    names: HashMap<Key, Name>,
    held: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Whose it is; `None` where that is not known.
    about: Option<ComponentId>,
    name: String,
    labels: String,
    class: Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Class {
    Counter,
    Gauge,
    Times,
    Measures,
    Set,
}

#[derive(Debug)]
struct Name {
    sum: Sum,
    told: Instant,
}

#[derive(Debug)]
enum Sum {
    /// Since the name was first told.
    Counter(f64),
    Gauge {
        level: f64,
        moved: bool,
    },
    Measures(Measures),
    Set(HashSet<u64>),
}

impl Sums {
    /// For at most so many names.
    pub fn new(names_limit: usize) -> Self {
        Self {
            names_limit,
            names: HashMap::new(),
            held: 0,
        }
    }

    /// Adds what a service told, if it is known which. Whether there was room.
    pub fn add(&mut self, about: Option<&ComponentId>, told: &Told<'_>) -> bool {
        let (class, numbers) = match &told.values {
            Values::Count(_) => (Class::Counter, 0),
            Values::Level(_) | Values::Step(_) => (Class::Gauge, 0),
            Values::Times(values) => (Class::Times, values.len()),
            Values::Measures(values) => (Class::Measures, values.len()),
            Values::Members(values) => (Class::Set, values.len()),
        };
        let key = Key {
            about: about.cloned(),
            name: told.name.to_owned(),
            labels: told.labels.clone(),
            class,
        };
        let known = self.names.contains_key(&key);
        if (!known && self.names.len() >= self.names_limit) || self.held + numbers > HELD_LIMIT {
            return false;
        }
        self.held += numbers;
        let now = Instant::now();
        let name = self.names.entry(key).or_insert_with(|| Name {
            sum: Sum::of(class),
            told: now,
        });
        name.told = now;
        name.sum.add(&told.values, told.rate);
        true
    }

    /// The samples since the last telling, by whom they are about and in order of their names; names not told for long are
    /// forgotten.
    pub fn tell(&mut self) -> BTreeMap<Option<ComponentId>, Vec<Sample>> {
        let now = Instant::now();
        self.held = 0;
        self.names
            .retain(|_, name| now - name.told < FORGOTTEN_AFTER);
        let mut all: BTreeMap<_, Vec<Sample>> = BTreeMap::new();
        for (key, name) in &mut self.names {
            name.sum
                .tell(key, all.entry(key.about.clone()).or_default());
        }
        for samples in all.values_mut() {
            samples.sort_unstable_by(|a, b| a.signal.cmp(&b.signal));
        }
        all
    }
}

impl Sum {
    fn of(class: Class) -> Self {
        match class {
            Class::Counter => Self::Counter(0.0),
            Class::Gauge => Self::Gauge {
                level: 0.0,
                moved: false,
            },
            Class::Times | Class::Measures => Self::Measures(Measures::default()),
            Class::Set => Self::Set(HashSet::new()),
        }
    }

    fn add(&mut self, values: &Values<'_>, rate: f64) {
        match (self, values) {
            (Self::Counter(total), Values::Count(values)) => {
                *total += values.iter().sum::<f64>() / rate;
            }
            (Self::Gauge { level, moved }, Values::Level(values)) => {
                *level = values.last().copied().unwrap_or(*level);
                *moved = true;
            }
            (Self::Gauge { level, moved }, Values::Step(values)) => {
                *level += values.iter().sum::<f64>();
                *moved = true;
            }
            (Self::Measures(sum), Values::Times(values) | Values::Measures(values)) => {
                values.iter().for_each(|value| sum.add(*value, rate));
            }
            (Self::Set(set), Values::Members(members)) => {
                set.extend(members.iter().map(|m| stable_hash(m.as_bytes())));
            }
            // A sum is made for the class of its values.
            _ => {}
        }
    }

    fn tell(&mut self, key: &Key, samples: &mut Vec<Sample>) {
        let unit = match key.class {
            Class::Times => Unit::Seconds,
            _ => Unit::Count,
        };
        let mut sample = |ending: &str, unit, kind, value| {
            samples.push(Sample {
                signal: format!("{}{ending}{}", key.name, key.labels),
                unit,
                kind,
                bucket: false,
                value,
            });
        };
        match self {
            Self::Counter(total) => {
                let ending = if key.name.ends_with("_total") {
                    ""
                } else {
                    "_total"
                };
                sample(ending, unit, SignalKind::Counter, *total);
            }
            Self::Gauge { level, moved } => {
                let value = if std::mem::take(moved) {
                    *level
                } else {
                    f64::NAN
                };
                sample("", unit, SignalKind::Gauge, value);
            }
            Self::Set(set) => {
                let value = match set.len() {
                    0 => f64::NAN,
                    members => members as f64,
                };
                sample("_members", unit, SignalKind::Gauge, value);
                set.clear();
            }
            Self::Measures(sum) => {
                let told = sum.take();
                let endings = match key.class {
                    Class::Times => [
                        "_seconds_mean",
                        "_seconds_p50",
                        "_seconds_p95",
                        "_seconds_max",
                    ],
                    _ => ["_mean", "_p50", "_p95", "_max"],
                };
                sample("_count", Unit::Count, SignalKind::Counter, sum.count);
                for (ending, value) in endings.into_iter().zip(told) {
                    sample(ending, unit, SignalKind::Gauge, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::read;
    use super::*;
    use crate::measures::MEASURES_LIMIT;

    fn add(sums: &mut Sums, lines: &[&str]) {
        for line in lines {
            assert!(sums.add(None, &read(line).unwrap()), "{line}");
        }
    }

    fn told(sums: &mut Sums) -> Vec<(String, f64)> {
        let samples = sums.tell().into_values().flatten();
        let finite = samples.filter(|s| !s.value.is_nan());
        finite.map(|s| (s.signal, s.value)).collect()
    }

    fn pairs(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
        let owned = |(signal, value): &(&str, f64)| ((*signal).to_owned(), *value);
        expected.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn counters_go_on_rising_and_the_rest_is_told_when_it_came() {
        let mut sums = Sums::new(9);
        add(
            &mut sums,
            &[
                "c:1|c",
                "c:2|c|@0.5",
                "c_total:1|c|#k:v",
                "g:5|g",
                "g:-2|g",
                "s:a|s",
                "s:b|s",
                "s:a|s",
            ],
        );
        let first = [
            ("c_total", 5.0),
            ("c_total{k=\"v\"}", 1.0),
            ("g", 3.0),
            ("s_members", 2.0),
        ];
        assert_eq!(told(&mut sums), pairs(&first));
        add(&mut sums, &["c:1|c", "g:+1|g"]);
        let second = [("c_total", 6.0), ("c_total{k=\"v\"}", 1.0), ("g", 4.0)];
        assert_eq!(told(&mut sums), pairs(&second));
    }

    #[tokio::test]
    async fn times_become_percentiles_in_seconds() {
        let mut sums = Sums::new(9);
        for ms in 1..=100 {
            add(&mut sums, &[&format!("t:{ms}|ms|@0.5")]);
        }
        let first = [
            ("t_count", 200.0),
            ("t_seconds_max", 0.1),
            ("t_seconds_mean", 0.0505),
            ("t_seconds_p50", 0.05),
            ("t_seconds_p95", 0.095),
        ];
        for ((signal, value), (expected, near)) in told(&mut sums).iter().zip(first) {
            assert_eq!(signal, expected);
            assert!((value - near).abs() < 1e-9, "{signal} {value}");
        }
        assert_eq!(told(&mut sums), pairs(&[("t_count", 200.0)]));
        add(&mut sums, &["t:-7|ms"]);
        assert_eq!(told(&mut sums)[1], ("t_seconds_max".to_owned(), -0.007));
    }

    #[tokio::test]
    async fn many_measures_keep_their_percentiles_in_little_room() {
        let mut sums = Sums::new(9);
        for value in 0..100_000 {
            add(&mut sums, &[&format!("m:{value}|h")]);
        }
        let Some(Name {
            sum: Sum::Measures(held),
            ..
        }) = sums.names.values().next()
        else {
            panic!("no measures");
        };
        assert!(held.held.len() < MEASURES_LIMIT);
        let found: HashMap<_, _> = told(&mut sums).into_iter().collect();
        assert_eq!((found["m_count"], found["m_max"]), (100_000.0, 99_999.0));
        assert!((found["m_p50"] - 50_000.0).abs() < 500.0, "{found:?}");
        assert!((found["m_p95"] - 95_000.0).abs() < 500.0, "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn names_beyond_the_limit_are_refused_until_others_are_forgotten() {
        let mut sums = Sums::new(1);
        add(&mut sums, &["a:1|c", "a:1|c"]);
        let other = read("b:1|c").unwrap();
        assert!(!sums.add(None, &other));
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert!(told(&mut sums).is_empty());
        assert!(sums.add(None, &other));
    }

    #[tokio::test]
    async fn what_is_held_between_two_tellings_has_a_limit() {
        let mut sums = Sums::new(9);
        let line = format!("m:1{}|h", ":1".repeat(999));
        let many = read(&line).unwrap();
        for _ in 0..HELD_LIMIT / 1_000 {
            assert!(sums.add(None, &many));
        }
        assert!(!sums.add(None, &read("s:a|s").unwrap()));
        sums.tell();
        assert!(sums.add(None, &many));
    }
}
