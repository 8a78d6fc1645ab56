//! Heat: how often cores were slowed for it, and how fast they run (sysfs of each core).
//! Documentation/admin-guide/abi-testing of the kernel (`thermal_throttle`, `cpufreq`).
//!
//! Virtual machines and most ARM boards have neither: then there are no series, and nothing is missing.

use std::path::{Path, PathBuf};

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::read_once;
use crate::registry::Registry;
use crate::rising::Rising;
use crate::roots::HostRoots;
use crate::text::number;

pub(crate) static SIGNALS: [&str; 3] = [
    names::CPU_THERMAL_THROTTLES,
    names::CPU_FREQUENCY,
    names::CPU_FREQUENCY_MAX,
];
/// Read once in so many samples: some drivers wake the core that is asked.
pub(crate) const EVERY: u64 = 10;
/// Which cores there are is looked at once in so many readings.
const LIST_EVERY: u64 = 30;
/// Cores that are asked at most.
const CORES_LIMIT: usize = 128;

/// One core.
#[derive(Debug)]
struct Core {
    throttles: [PathBuf; 2],
    frequency: PathBuf,
    frequency_max: PathBuf,
}

impl Core {
    fn new(folder: &Path) -> Self {
        let throttle = folder.join("thermal_throttle");
        let frequency = folder.join("cpufreq");
        Self {
            throttles: ["core_throttle_count", "package_throttle_count"].map(|f| throttle.join(f)),
            frequency: frequency.join("scaling_cur_freq"),
            frequency_max: frequency.join("cpuinfo_max_freq"),
        }
    }
}

/// The source.
#[derive(Debug)]
pub(crate) struct Thermal {
    root: PathBuf,
    cores: Vec<Core>,
    throttles: Rising,
    group: Group<3>,
    round: u64,
}

impl Thermal {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots) -> Self {
        Self {
            root: roots.sys.join("devices/system/cpu"),
            cores: Vec::new(),
            throttles: Rising::default(),
            group: Group::new(host, &SIGNALS),
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let round = self.round;
        self.round += 1;
        if !round.is_multiple_of(EVERY) {
            return;
        }
        if (round / EVERY).is_multiple_of(LIST_EVERY) {
            self.cores = list(&self.root);
        }
        let mut read = |path: &Path| read_once(path, scratch).ok().and_then(plain);
        let (mut throttles, mut frequency, mut highest) = (None, Mean::default(), Mean::default());
        for core in &self.cores {
            for count in core.throttles.iter().filter_map(|path| read(path)) {
                *throttles.get_or_insert(0.0) += count;
            }
            // A core without the one would distort the mean of the other.
            if let Some(max) = read(&core.frequency_max)
                && let Some(now) = read(&core.frequency)
            {
                frequency.add(now * 1e3);
                highest.add(max * 1e3);
            }
        }
        // Cores go offline and take their counts along.
        let throttles = throttles.map_or(f64::NAN, |sum| self.throttles.rise_of_sum(sum));
        let values = [throttles, frequency.value(), highest.value()];
        self.group.set(registry, &values);
    }
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// NaN of nothing.
    fn value(&self) -> f64 {
        self.sum / self.count
    }
}

/// The cores that have anything to say.
fn list(root: &Path) -> Vec<Core> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> = entries
        .filter_map(|entry| number(entry.file_name().as_encoded_bytes().strip_prefix(b"cpu")?))
        .collect();
    numbers.sort_unstable();
    let cores = numbers
        .into_iter()
        .take(CORES_LIMIT)
        .map(|number| Core::new(&root.join(format!("cpu{number}"))));
    cores
        .filter(|core| core.throttles[0].exists() || core.frequency.exists())
        .collect()
}

fn plain(bytes: &[u8]) -> Option<f64> {
    number(bytes.trim_ascii_end()).map(|n| n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{HostId, Timestamp};
    use std::fs;
    use std::time::Duration;

    fn write(root: &Path, core: u32, file: &str, text: &str) {
        let path = root
            .join(format!("devices/system/cpu/cpu{core}"))
            .join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn thermal(sys: &Path) -> Thermal {
        let roots = HostRoots {
            sys: sys.to_owned(),
            ..HostRoots::default()
        };
        Thermal::new(ComponentId::host(HostId::new("h1").unwrap()), &roots)
    }

    fn sample(thermal: &mut Thermal) -> Vec<f64> {
        let mut registry = Registry::new(Duration::ZERO);
        let mut scratch = Vec::new();
        // A new registry each time: the group must register anew.
        thermal.group = Group::new(ComponentId::host(HostId::new("h1").unwrap()), &SIGNALS);
        for _ in 0..EVERY {
            thermal.sample(&mut registry, &mut scratch);
        }
        registry.frame(Timestamp::from_secs(0)).values
    }

    #[test]
    fn counts_of_all_cores_are_added_and_outlive_a_core() {
        let sys = tempfile::tempdir().unwrap();
        for (core, count) in [(0, "3\n"), (1, "4\n")] {
            write(
                sys.path(),
                core,
                "thermal_throttle/core_throttle_count",
                count,
            );
            write(sys.path(), core, "cpufreq/scaling_cur_freq", "1200000\n");
            write(sys.path(), core, "cpufreq/cpuinfo_max_freq", "3600000\n");
        }
        write(
            sys.path(),
            0,
            "thermal_throttle/package_throttle_count",
            "10\n",
        );
        fs::create_dir_all(sys.path().join("devices/system/cpu/cpuidle")).unwrap();
        let mut thermal = thermal(sys.path());
        assert_eq!(sample(&mut thermal), [17.0, 1.2e9, 3.6e9]);

        fs::remove_dir_all(sys.path().join("devices/system/cpu/cpu1")).unwrap();
        write(sys.path(), 0, "thermal_throttle/core_throttle_count", "3\n");
        assert_eq!(
            sample(&mut thermal)[0],
            17.0,
            "a core that went is no event"
        );
        write(sys.path(), 0, "thermal_throttle/core_throttle_count", "8\n");
        assert_eq!(sample(&mut thermal)[0], 22.0);
    }

    #[test]
    fn a_machine_without_these_files_has_no_series() {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("devices/system/cpu/cpu0/topology")).unwrap();
        assert!(sample(&mut thermal(sys.path())).is_empty());
        // Nor has one whose files hold no numbers.
        write(
            sys.path(),
            0,
            "thermal_throttle/core_throttle_count",
            "-1\n",
        );
        write(sys.path(), 0, "cpufreq/scaling_cur_freq", "<unknown>\n");
        assert!(sample(&mut thermal(sys.path())).is_empty());
    }
}
