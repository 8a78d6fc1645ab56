//! CPU time by mode, cores and tasks (`/proc/stat`), load (`/proc/loadavg`). proc(5).

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, keyed, lines, number, value};

pub(crate) static SIGNALS: [&str; 12] = [
    names::CPU_USER,
    names::CPU_NICE,
    names::CPU_SYSTEM,
    names::CPU_IDLE,
    names::CPU_IOWAIT,
    names::CPU_IRQ,
    names::CPU_SOFTIRQ,
    names::CPU_STEAL,
    names::CPU_CORES,
    names::PROCESSES_RUNNING,
    names::PROCESSES_BLOCKED,
    names::LOAD_1M,
];

/// What `/proc/stat` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuStat {
    /// Clock ticks: user, nice, system, idle, iowait, irq, softirq, steal.
    pub modes: [u64; 8],
    /// Cores online; 0 when the file lists none.
    pub cores: u32,
    /// Runnable tasks.
    pub running: Option<u64>,
    /// Tasks waiting for IO.
    pub blocked: Option<u64>,
    /// When the kernel booted, seconds since the epoch.
    pub booted: Option<u64>,
}

/// Parses `/proc/stat`; `None` without a line of all cores. Kernels may list fewer modes: the rest is 0.
pub(crate) fn parse(bytes: &[u8]) -> Option<CpuStat> {
    let all = lines(bytes).find_map(|line| line.strip_prefix(b"cpu "))?;
    let mut stat = CpuStat {
        running: keyed(bytes, "procs_running"),
        blocked: keyed(bytes, "procs_blocked"),
        booted: keyed(bytes, "btime"),
        ..CpuStat::default()
    };
    let mut found = 0;
    for (mode, field) in stat.modes.iter_mut().zip(fields(all)) {
        *mode = number(field)?;
        found += 1;
    }
    let cores = lines(bytes).filter(|line| {
        line.strip_prefix(b"cpu")
            .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
    });
    stat.cores = u32::try_from(cores.count()).unwrap_or(u32::MAX);
    (found >= 4).then_some(stat)
}

/// The one-minute load average of `/proc/loadavg`, in thousandths.
fn parse_load(bytes: &[u8]) -> Option<f64> {
    let first = fields(bytes).next()?;
    let load: f64 = std::str::from_utf8(first).ok()?.parse().ok()?;
    load.is_finite().then_some(load)
}

/// The source.
#[derive(Debug)]
pub(crate) struct Cpu {
    stat: KeptFile,
    load: KeptFile,
    group: Group<12>,
    ticks_per_second: f64,
    latest: CpuStat,
}

impl Cpu {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        Self {
            stat: KeptFile::new(roots.proc.join("stat"), open),
            load: KeptFile::new(roots.proc.join("loadavg"), open),
            group: Group::new(host, &SIGNALS),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            latest: CpuStat::default(),
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let mut values = [f64::NAN; 12];
        if let Some(stat) = self.stat.read(scratch).and_then(parse) {
            for (value, ticks) in values.iter_mut().zip(stat.modes) {
                *value = ticks as f64 / self.ticks_per_second;
            }
            values[8] = f64::from(stat.cores);
            values[9] = value(stat.running);
            values[10] = value(stat.blocked);
            self.latest = stat;
        }
        if let Some(load) = self.load.read(scratch).and_then(parse_load) {
            values[11] = load;
        }
        self.group.set(registry, &values);
    }

    /// As last read.
    pub(crate) fn latest(&self) -> &CpuStat {
        &self.latest
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        [self.stat.blind(), self.load.blind()].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From a two-core virtual machine, Linux 6.18; the interrupt line is cut.
    const STAT: &[u8] = include_bytes!("../fixtures/stat");

    #[test]
    fn reads_a_real_stat() {
        let stat = parse(STAT).unwrap();
        assert_eq!(stat.cores, 2);
        assert!(stat.modes[0] > 0 && stat.modes[3] > 0);
        assert!(stat.running >= Some(1));
        assert_eq!(stat.blocked, Some(0));
        assert!(stat.booted > Some(1_600_000_000));
    }

    #[test]
    fn reads_the_load() {
        let real = include_bytes!("../fixtures/loadavg");
        assert!(parse_load(real).unwrap() >= 0.0);
        assert_eq!(parse_load(b"0.25 0.1 0.0 1/2 3"), Some(0.25));
        assert_eq!(parse_load(b"NaN 0 0"), None);
    }

    #[test]
    fn a_file_without_totals_is_refused() {
        for text in ["", "cpu0 1 2 3 4\n", "cpu  1 2 3\n", "cpu  1 2 x 4\n"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
            let _ = parse_load(&bytes);
        }
    }
}
