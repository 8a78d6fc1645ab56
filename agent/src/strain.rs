//! The agent watches what its host suffers and what it costs itself, and gives up work in a written order.
//!
//! The order is `docs/operations.md`'s table; a test holds it to the code. Up goes quickly, down slowly and level by level, so that
//! easing off does not make the host seem well enough to begin again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlook_model::{Strain, StrainGauge};
use firstlook_proto::settings;
use firstlook_sources_events::BlindSpots;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cost::{OwnUse, resident_mib};
use crate::remote::Tuning;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// So long a level must be called for before it is taken: one more than the last.
const UP_AFTER: Duration = Duration::from_secs(3);
/// So long less must be enough before the level goes down by one.
const DOWN_AFTER: Duration = Duration::from_secs(30);

/// `[budget]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// CPU that the agent may use for long, in percent of one core, before it gives up work. 0.1 to 400. Default 15.
    pub cpu_percent: f64,
    /// Memory that it may use before it gives up work, in MiB. 8 to 65536. Default 64.
    pub memory_mib: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            cpu_percent: 15.0,
            memory_mib: 64,
        }
    }
}

impl Budget {
    /// What is wrong with it.
    pub fn wrong(&self) -> Option<String> {
        if !settings::CPU_PERCENT.contains(&self.cpu_percent) {
            let given = self.cpu_percent;
            return Some(format!(
                "budget.cpu_percent is {given}: 0.1 to 400 is allowed"
            ));
        }
        let fits = settings::MEMORY_MIB.contains(&self.memory_mib);
        let given = self.memory_mib;
        (!fits).then(|| format!("budget.memory_mib is {given}: 8 to 65536 is allowed"))
    }
}

/// What is looked at. What cannot be read counts as nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Readings {
    /// Share of the last ten seconds in which somebody waited for a processor, in percent.
    cpu_some: f64,
    /// In which nobody got on for want of memory, and of IO.
    memory_full: f64,
    io_full: f64,
    /// The agent's own use, in percent of one core.
    own_cpu: f64,
    own_memory_mib: f64,
    /// How late this look came.
    late: Duration,
}

/// One row of the table: what calls for a level from which number on.
struct Sign {
    /// In words, with its unit.
    what: &'static str,
    read: fn(&Readings, &Budget) -> f64,
    /// From where on it calls for `Eased`, `Strained` and `Bare`; infinite where it never does.
    from: [f64; 3],
}

const NEVER: f64 = f64::INFINITY;

/// In the order of the guide.
const SIGNS: [Sign; 6] = [
    Sign {
        what: "tasks wait for a processor, % of 10 s",
        read: |r, _| r.cpu_some,
        // A busy host is no suffering one, and the agent's weight makes it wait for all others.
        from: [90.0, NEVER, NEVER],
    },
    Sign {
        what: "all tasks wait for memory, % of 10 s",
        read: |r, _| r.memory_full,
        from: [5.0, 20.0, 50.0],
    },
    Sign {
        what: "all tasks wait for IO, % of 10 s",
        read: |r, _| r.io_full,
        from: [80.0, NEVER, NEVER],
    },
    Sign {
        what: "the agent's CPU, % of `budget.cpu_percent`",
        read: |r, b| 100.0 * r.own_cpu / b.cpu_percent,
        from: [100.0, 120.0, NEVER],
    },
    Sign {
        what: "the agent's memory, % of `budget.memory_mib`",
        read: |r, b| 100.0 * r.own_memory_mib / b.memory_mib as f64,
        from: [100.0, 125.0, 150.0],
    },
    Sign {
        what: "the agent gets to run late, s",
        read: |r, _| r.late.as_secs_f64(),
        from: [NEVER, 2.0, 5.0],
    },
];

/// The gravest level that a sign calls for, with the sign and its number.
fn called_for(readings: &Readings, budget: &Budget) -> (Strain, Option<(&'static str, f64)>) {
    let of_sign = |sign: &Sign| {
        let value = (sign.read)(readings, budget);
        let over = sign.from.iter().rposition(|from| value >= *from);
        let level = over.map_or(Strain::Calm, |over| Strain::ALL[over + 1]);
        (level, (sign.what, value))
    };
    let gravest = SIGNS
        .iter()
        .map(of_sign)
        .reduce(|a, b| if b.0 > a.0 { b } else { a });
    match gravest {
        Some((level, why)) if level > Strain::Calm => (level, Some(why)),
        _ => (Strain::Calm, None),
    }
}

/// The level over time. Pure.
#[derive(Debug, Default)]
struct Steps {
    level: Strain,
    worse_since: Option<Duration>,
    better_since: Option<Duration>,
}

impl Steps {
    /// The new level, when there is one.
    fn step(&mut self, wanted: Strain, now: Duration) -> Option<Strain> {
        let since = |start: &mut Option<Duration>, holds: bool| {
            *start = holds.then(|| start.unwrap_or(now));
            start.map_or(Duration::ZERO, |start| now.saturating_sub(start))
        };
        let worse = since(&mut self.worse_since, wanted > self.level);
        let better = since(&mut self.better_since, wanted < self.level);
        let level = if worse >= UP_AFTER {
            self.level.worse()
        } else if better >= DOWN_AFTER {
            self.level.better()
        } else {
            return None;
        };
        (self.level, self.worse_since, self.better_since) = (level, None, None);
        Some(level)
    }
}

/// Watches until `stop`, by the budget in force: sets `gauge`, and says in `blind` what is not seen meanwhile.
pub async fn watch(
    tuning: watch::Receiver<Tuning>,
    pressure: PathBuf,
    gauge: StrainGauge,
    blind: BlindSpots,
    stop: CancellationToken,
) {
    let begun = Instant::now();
    let (mut steps, mut own) = (Steps::default(), OwnUse::default());
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = begun;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = begun.elapsed();
        let readings = Readings {
            cpu_some: stalled(&pressure.join("cpu"), "some"),
            memory_full: stalled(&pressure.join("memory"), "full"),
            io_full: stalled(&pressure.join("io"), "full"),
            own_cpu: own.cpu_percent(now),
            own_memory_mib: resident_mib(),
            late: due.elapsed(),
        };
        due = Instant::now() + EVERY;
        let (wanted, why) = called_for(&readings, &tuning.borrow().budget);
        if let Some(level) = steps.step(wanted, now) {
            let (what, value) = why.unwrap_or(("nothing calls for more", 0.0));
            tracing::warn!(
                level = level.name(),
                what,
                value,
                "the agent changes what it does"
            );
            gauge.set(level);
            tell(&blind, level);
        }
    }
}

/// What is seen late or seldom at a level. `strain-logs` is known to the collector: lines that are late are no health.
const UNSEEN: [(Strain, &str, &str); 4] = [
    (
        Strain::Eased,
        "strain-changes",
        "changes are looked for every 10 s only",
    ),
    (
        Strain::Eased,
        "strain-connections",
        "connections are looked at every 10 s only",
    ),
    (
        Strain::Strained,
        "strain-logs",
        "log lines come late or not at all",
    ),
    (
        Strain::Bare,
        "strain-samples",
        "the host is sampled every 5 s only",
    ),
];

fn tell(blind: &BlindSpots, level: Strain) {
    for (from, source, what) in UNSEEN {
        if level >= from {
            blind.set(source, format!("{what}: the agent is {}", level.name()));
        } else {
            blind.clear(source);
        }
    }
}

/// The share of the last ten seconds that a pressure file tells, in percent; 0 where it cannot be read.
fn stalled(path: &Path, line: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    avg10(&text, line).unwrap_or(0.0)
}

fn avg10(text: &str, line: &str) -> Option<f64> {
    let found = text.lines().find(|l| l.split(' ').next() == Some(line))?;
    let value = found
        .split(' ')
        .find_map(|field| field.strip_prefix("avg10="))?;
    value.parse().ok().filter(|v: &f64| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn up_goes_quickly_and_level_by_level_and_down_slowly() {
        let mut steps = Steps::default();
        let mut seen = Vec::new();
        for now in 0..200 {
            let wanted = if now < 20 { Strain::Bare } else { Strain::Calm };
            if let Some(level) = steps.step(wanted, second(now)) {
                seen.push((now, level));
            }
        }
        let expected = [
            (3, Strain::Eased),
            (7, Strain::Strained),
            (11, Strain::Bare),
            (50, Strain::Strained),
            (81, Strain::Eased),
            (112, Strain::Calm),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_comes_and_goes_changes_nothing() {
        let mut steps = Steps::default();
        for now in 0..600 {
            let wanted = if now % 3 == 0 {
                Strain::Calm
            } else {
                Strain::Bare
            };
            assert_eq!(steps.step(wanted, second(now)), None);
        }
    }

    #[test]
    fn pressure_files_are_read_and_odd_ones_count_as_none() {
        let text = "some avg10=12.34 avg60=1.00 avg300=0.00 total=7\nfull avg10=0.50 avg60=0 avg300=0 total=1\n";
        assert_eq!(
            (avg10(text, "some"), avg10(text, "full")),
            (Some(12.34), Some(0.5))
        );
        for odd in [
            "",
            "some",
            "some avg10=",
            "some avg10=NaN total=1",
            "full avg60=1",
        ] {
            assert_eq!(avg10(odd, "some"), None, "{odd}");
        }
        assert_eq!(stalled(Path::new("/nonexistent"), "some"), 0.0);
    }

    #[test]
    fn a_calm_host_calls_for_nothing_and_each_sign_for_its_levels() {
        let budget = Budget::default();
        assert_eq!(called_for(&Readings::default(), &budget).0, Strain::Calm);
        let readings = |late| Readings {
            late: Duration::from_secs(late),
            ..Readings::default()
        };
        assert_eq!(called_for(&readings(2), &budget).0, Strain::Strained);
        assert_eq!(called_for(&readings(9), &budget).0, Strain::Bare);
        let own = Readings {
            own_cpu: 15.0,
            ..Readings::default()
        };
        let (level, why) = called_for(&own, &budget);
        assert_eq!((level, why.unwrap().1), (Strain::Eased, 100.0));
    }

    #[test]
    fn the_guide_has_every_sign_and_all_that_is_given_up() {
        let guide = include_str!("../../docs/operations.md");
        let number = |from: f64| match from.is_finite() {
            true => format!("{from}"),
            false => "–".to_owned(),
        };
        for sign in SIGNS {
            let from = sign.from.map(number).join(" | ");
            let row = format!("| {} | {from} |", sign.what);
            assert!(guide.contains(&row), "the guide lacks: {row}");
        }
        for (level, source, what) in UNSEEN {
            let row = format!("| `{}` | `{source}` | {what}", level.name());
            assert!(guide.contains(&row), "the guide lacks: {row}");
        }
    }

    proptest! {
        #[test]
        fn more_strain_never_calls_for_less(
            a in prop::array::uniform5(0.0..200.0f64),
            more in prop::array::uniform5(0.0..200.0f64),
        ) {
            let readings = |v: [f64; 5]| Readings {
                cpu_some: v[0],
                memory_full: v[1],
                io_full: v[2],
                own_cpu: v[3],
                own_memory_mib: v[4],
                late: Duration::ZERO,
            };
            let mut b = a;
            b.iter_mut().zip(more).for_each(|(v, more)| *v += more);
            let budget = Budget::default();
            let (less, more) = (called_for(&readings(a), &budget).0, called_for(&readings(b), &budget).0);
            prop_assert!(less <= more);
        }
    }
}
