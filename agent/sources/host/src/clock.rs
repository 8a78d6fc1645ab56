//! The host's clock: steps that it made, and what the time service says of it (chrony by its own protocol,
//! systemd-timesyncd by the file it touches). Nothing is set, and no program is run.
//!
//! The kernel's own state (adjtimex(2)) is not read: no safe call for it exists.

mod chrony;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use firstlook_model::ComponentId;
use firstlook_model::signal::names;
use rustix::time::{ClockId, clock_gettime};

use crate::family::Group;
use crate::registry::Registry;
use crate::roots::HostRoots;
use chrony::Chrony;

pub(crate) static STEP_SIGNALS: [&str; 2] = [names::CLOCK_STEPS, names::CLOCK_STEPPED];
pub(crate) static SERVICE_SIGNALS: [&str; 3] = [
    names::CLOCK_OFFSET,
    names::CLOCK_SYNCHRONIZED,
    names::CLOCK_SYNCHRONIZATION_AGE,
];
/// The time service is asked once in so many samples.
pub(crate) const EVERY: u64 = 16;
/// Less than this is no step: readings are not taken at one instant.
const LEAST_STEP: f64 = 0.1;
/// Time services that slew move the clock by at most 1/12 of the time that passes.
const SLEW: f64 = 0.09;
/// A reading of both clocks that took longer than this says nothing.
const LONGEST_READING: f64 = 0.01;
/// Touched by systemd-timesyncd at each synchronization, the longest of whose intervals is 2,048 s.
const TIMESYNC: &str = "run/systemd/timesync/synchronized";
const TIMESYNC_LATE: Duration = Duration::from_secs(2 * 2_048);

/// Tells steps of the wall clock from the passing of time. Suspension is no step: the clock that is compared
/// with runs on meanwhile.
#[derive(Debug, Default)]
struct Steps {
    last: Option<(f64, f64)>,
    count: f64,
    seconds: f64,
}

impl Steps {
    /// Takes a reading: seconds since boot, and of the wall clock.
    fn take(&mut self, boot: f64, wall: f64) {
        if let Some((boot_before, wall_before)) = self.last.replace((boot, wall)) {
            let passed = boot - boot_before;
            let moved = (wall - wall_before - passed).abs();
            if moved > LEAST_STEP + SLEW * passed.max(0.0) {
                self.count += 1.0;
                self.seconds += moved;
            }
        }
    }
}

/// What a time service says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Synchronization {
    /// How far off the clock is, without a sign, in seconds; NaN where the service does not say.
    offset: f64,
    synchronized: bool,
    /// Since the last synchronization, in seconds; NaN before the first.
    age: f64,
}

/// The source.
#[derive(Debug)]
pub(crate) struct Clock {
    steps: Steps,
    chrony: Chrony,
    timesync: Vec<PathBuf>,
    step_group: Group<2>,
    service_group: Group<3>,
    round: u64,
}

impl Clock {
    pub(crate) fn new(host: &ComponentId, roots: &HostRoots) -> Self {
        Self {
            steps: Steps::default(),
            chrony: Chrony::new(chrony::ADDRESS),
            timesync: roots.of_host(TIMESYNC),
            step_group: Group::new(host.clone(), &STEP_SIGNALS),
            service_group: Group::new(host.clone(), &SERVICE_SIGNALS),
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry) {
        if let Some((boot, wall)) = reading() {
            self.steps.take(boot, wall);
        }
        let steps = [self.steps.count, self.steps.seconds];
        self.step_group.set(registry, &steps);

        let due = self.round.is_multiple_of(EVERY);
        self.round += 1;
        if due {
            self.chrony.ask();
        }
        // Whoever answers, answers at once: it is looked for until the next question.
        let now = SystemTime::now();
        let found = self.chrony.answer(now);
        let found = found.or_else(|| {
            self.timesync(now)
                .filter(|_| due && !self.chrony.is_there())
        });
        if let Some(found) = found {
            let synchronized = f64::from(u8::from(found.synchronized));
            let values = [found.offset, synchronized, found.age];
            self.service_group.set(registry, &values);
        }
    }

    /// As far as the file of systemd-timesyncd tells.
    fn timesync(&self, now: SystemTime) -> Option<Synchronization> {
        let mut touched = self.timesync.iter().filter_map(|path| {
            let found = std::fs::metadata(path).ok()?;
            found.modified().ok()
        });
        let age = now.duration_since(touched.next()?).unwrap_or_default();
        Some(Synchronization {
            offset: f64::NAN,
            synchronized: age <= TIMESYNC_LATE,
            age: age.as_secs_f64(),
        })
    }
}

/// Seconds since boot and of the wall clock at one instant; `None` when the thread was kept waiting between.
fn reading() -> Option<(f64, f64)> {
    let read = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = read(ClockId::Boottime);
    let wall = read(ClockId::Realtime);
    let after = read(ClockId::Boottime);
    (after - before <= LONGEST_READING).then_some((f64::midpoint(before, after), wall))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_step_is_told_from_slewing_and_from_a_late_sample() {
        let mut steps = Steps::default();
        let readings = [
            (100.0, 5_000.0),
            // Slewed as fast as it goes.
            (101.0, 5_001.083),
            // A minute late, the host was suspended.
            (161.0, 5_061.083),
        ];
        for (boot, wall) in readings {
            steps.take(boot, wall);
        }
        assert_eq!((steps.count, steps.seconds), (0.0, 0.0));
        steps.take(162.0, 5_059.083);
        steps.take(163.0, 5_060.083);
        steps.take(164.0, 5_062.083);
        assert_eq!(steps.count, 2.0);
        assert!((steps.seconds - 4.0).abs() < 1e-6, "{}", steps.seconds);
    }

    #[test]
    fn the_file_of_the_time_service_tells_when_it_last_set_the_clock() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("1/root").join(TIMESYNC);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let roots = HostRoots {
            proc: root.path().to_owned(),
            ..HostRoots::default()
        };
        let host = ComponentId::host(firstlook_model::HostId::new("h1").unwrap());
        let clock = Clock::new(&host, &roots);
        assert_eq!(clock.timesync(SystemTime::now()), None);
        let file = std::fs::File::create(&path).unwrap();
        let touched = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        file.set_modified(touched).unwrap();
        let after = |seconds| {
            clock
                .timesync(touched + Duration::from_secs(seconds))
                .unwrap()
        };
        assert!(after(2_048).synchronized && after(2_048).age == 2_048.0);
        assert!(!after(5_000).synchronized);
        let back = clock.timesync(touched - Duration::from_secs(9)).unwrap();
        assert_eq!(back.age, 0.0, "a clock that was set back");
    }

    proptest! {
        #[test]
        fn whatever_the_clocks_say_steps_only_rise(readings in proptest::collection::vec((-1e9..1e9, -1e9..1e9), 0..20)) {
            let mut steps = Steps::default();
            for (boot, wall) in readings {
                let before = (steps.count, steps.seconds);
                steps.take(boot, wall);
                prop_assert!(steps.count >= before.0 && steps.seconds >= before.1);
            }
        }
    }
}
