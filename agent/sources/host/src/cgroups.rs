//! What the kernel counts per cgroup of a service. Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/.

pub(crate) mod detail;

use std::path::PathBuf;

use crate::membership::Membership;
use crate::reader::{Descriptors, KeptFile};
use crate::roots::HostRoots;
use crate::text::{keyed, number};
use detail::CgroupDetail;

/// One reading; `None` where the host does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CgroupReading {
    pub cpu_seconds: Option<f64>,
    pub throttled_seconds: Option<f64>,
    /// Periods of the CPU quota: all, and those in which it ran out.
    pub periods: [Option<u64>; 2],
    pub memory_bytes: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub high_bytes: Option<u64>,
    pub oom_kills: Option<u64>,
    /// Times above `memory.high`, about to go over `memory.max`, and out of memory.
    pub memory_events: [Option<u64>; 3],
}

/// Where cgroups are on this host: found once.
#[derive(Clone, Debug)]
pub(crate) struct CgroupRoots {
    unified: Option<PathBuf>,
    classic: PathBuf,
}

impl CgroupRoots {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            unified: roots.cgroup2(),
            classic: roots.cgroup.clone(),
        }
    }

    /// The folder of a path in cgroup2.
    pub(crate) fn unified(&self, path: &str) -> Option<PathBuf> {
        join(self.unified.as_ref()?, path)
    }

    /// The folder of a path under a v1 controller: `cpu,cpuacct` is mounted by that name or by one of its parts.
    fn classic(&self, controllers: &[(String, String)], wanted: &str) -> Option<PathBuf> {
        let (kinds, path) = controllers
            .iter()
            .find(|(kinds, _)| kinds.split(',').any(|kind| kind == wanted))?;
        [kinds.as_str(), wanted]
            .into_iter()
            .filter_map(|folder| join(&self.classic.join(folder), path))
            .find(|folder| folder.is_dir())
    }
}

/// Joins a path that the kernel wrote below a root; refuses one that would leave it.
fn join(root: &std::path::Path, path: &str) -> Option<PathBuf> {
    let leaves = path.split('/').any(|component| component == "..");
    (!leaves).then(|| root.join(path.trim_start_matches('/')))
}

/// The files of one service's cgroup. Each controller is in cgroup2 or in v1, whichever the host chose; in
/// cgroup2 CPU time is counted without a controller.
#[derive(Debug)]
pub(crate) struct CgroupFiles {
    cpu: Option<Cpu>,
    /// `cpu.stat` of v1.
    throttle: Option<KeptFile>,
    memory: Option<MemoryFiles>,
    /// `memory.max` and `memory.high`, as read last; `None` before.
    limits: Option<[Option<u64>; 2]>,
    /// What was read last.
    last: CgroupReading,
    /// Whether its processes used no CPU time between the last two looks at that.
    still: bool,
    detail: CgroupDetail,
}

#[derive(Debug)]
enum Cpu {
    /// `cpu.stat` of cgroup2.
    Stat(KeptFile),
    /// `cpuacct.usage`.
    Usage(KeptFile),
}

/// Both versions write these alike.
#[derive(Debug)]
struct MemoryFiles {
    current: KeptFile,
    events: KeptFile,
    limit: KeptFile,
    /// `memory.high`, which v1 does not have.
    high: Option<KeptFile>,
}

/// Of a cgroup whose processes sleep, the kernel can still take memory: it is read once in so many readings.
const STILL_EVERY: u64 = 5;
/// A limit is read once in so many readings: it seldom changes.
const LIMIT_EVERY: u64 = 10;
/// From here on a limit of cgroup v1 stands for none.
const NO_LIMIT_BYTES: u64 = 1 << 60;

impl CgroupFiles {
    /// The files of a service, where the host has any.
    pub(crate) fn open(
        roots: &CgroupRoots,
        membership: &Membership,
        open: &Descriptors,
    ) -> Option<Self> {
        let unified = membership.unit_unified.as_deref();
        let unified = unified.and_then(|path| roots.unified(path));
        let two = |file: &str| unified.as_ref().map(|folder| folder.join(file));
        let one = |controller: &str, file: &str| {
            let folder = roots.classic(&membership.controllers, controller)?;
            Some(folder.join(file))
        };
        let found = |path: Option<PathBuf>| path.filter(|path| path.exists());
        let kept = |path| KeptFile::one_piece(path, open);
        let cpu = match found(two("cpu.stat")) {
            Some(path) => Some(Cpu::Stat(kept(path))),
            None => found(one("cpuacct", "cpuacct.usage")).map(|path| Cpu::Usage(kept(path))),
        };
        let memory = |current: Option<PathBuf>, events: &str, limit: &str| {
            found(current).map(|current| MemoryFiles {
                high: found(Some(current.with_file_name("memory.high"))).map(kept),
                events: kept(current.with_file_name(events)),
                limit: kept(current.with_file_name(limit)),
                current: kept(current),
            })
        };
        let files = Self {
            cpu,
            throttle: found(one("cpu", "cpu.stat")).map(kept),
            memory: memory(two("memory.current"), "memory.events", "memory.max").or_else(|| {
                memory(
                    one("memory", "memory.usage_in_bytes"),
                    "memory.oom_control",
                    "memory.limit_in_bytes",
                )
            }),
            limits: None,
            last: CgroupReading::default(),
            still: false,
            detail: CgroupDetail::open(roots, membership),
        };
        (files.cpu.is_some() || files.memory.is_some()).then_some(files)
    }

    /// Reads the CPU time alone; returns whether none was used since that was last done. Who sleeps need not be asked
    /// then.
    pub(crate) fn look(&mut self, scratch: &mut Vec<u8>) -> bool {
        let seconds = |count: Option<u64>, per_second: f64| count.map(|n| n as f64 / per_second);
        let before = self.last.cpu_seconds.take();
        match &mut self.cpu {
            Some(Cpu::Stat(file)) => {
                if let Some(bytes) = file.read(scratch) {
                    self.last.cpu_seconds = seconds(keyed(bytes, "usage_usec"), 1e6);
                    // Where v1 has the controller, cgroup2 counts the time alone.
                    if self.throttle.is_none() {
                        self.last.throttled_seconds = seconds(keyed(bytes, "throttled_usec"), 1e6);
                        self.last.periods = periods(bytes);
                    }
                }
            }
            Some(Cpu::Usage(file)) => {
                self.last.cpu_seconds = seconds(file.read(scratch).and_then(plain), 1e9);
            }
            None => {}
        }
        self.still = before.is_some() && before == self.last.cpu_seconds;
        self.still
    }

    /// Reads the rest, and returns it with the CPU time of the last look; `number` counts the readings of the host.
    pub(crate) fn read(&mut self, scratch: &mut Vec<u8>, number: u64) -> CgroupReading {
        if !self.still || number.is_multiple_of(STILL_EVERY) {
            self.read_rest(scratch, number);
        }
        self.last
    }

    fn read_rest(&mut self, scratch: &mut Vec<u8>, number: u64) {
        let reading = &mut self.last;
        if let Some(throttle) = &mut self.throttle
            && let Some(bytes) = throttle.read(scratch)
        {
            let seconds = keyed(bytes, "throttled_time").map(|n| n as f64 / 1e9);
            (reading.throttled_seconds, reading.periods) = (seconds, periods(bytes));
        }
        let Some(memory) = &mut self.memory else {
            return;
        };
        reading.memory_bytes = memory.current.read(scratch).and_then(plain);
        let events = memory.events.read(scratch);
        reading.oom_kills = events.and_then(|bytes| keyed(bytes, "oom_kill"));
        reading.memory_events =
            ["high", "max", "oom"].map(|key| events.and_then(|bytes| keyed(bytes, key)));
        if self.limits.is_none() || number.is_multiple_of(LIMIT_EVERY) {
            let mut limit = |file: &mut KeptFile| {
                let bytes = file.read(scratch).and_then(plain);
                bytes.filter(|bytes| *bytes < NO_LIMIT_BYTES)
            };
            let high = memory.high.as_mut().and_then(&mut limit);
            self.limits = Some([limit(&mut memory.limit), high]);
        }
        [reading.limit_bytes, reading.high_bytes] = self.limits.unwrap_or_default();
    }

    /// Reads what is read in turns.
    pub(crate) fn read_detail(&mut self, scratch: &mut Vec<u8>) -> [f64; 12] {
        self.detail.read(scratch)
    }
}

/// Periods of the quota, and those in which it ran out, as both versions write them in `cpu.stat`.
fn periods(bytes: &[u8]) -> [Option<u64>; 2] {
    ["nr_periods", "nr_throttled"].map(|key| keyed(bytes, key))
}

/// A file that holds one number; `None` for `max`.
fn plain(bytes: &[u8]) -> Option<u64> {
    number(bytes.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn roots(folder: &std::path::Path) -> CgroupRoots {
        CgroupRoots::new(&HostRoots {
            cgroup: folder.to_owned(),
            ..HostRoots::default()
        })
    }

    #[test]
    fn reads_a_unit_of_cgroup2() {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join("system.slice/a.service");
        fs::create_dir_all(&unit).unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "cpu memory").unwrap();
        // The form of cpu.stat is from Linux 6.18.
        let cpu = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 9\n\
            nr_throttled 3\nthrottled_usec 750000\n";
        fs::write(unit.join("cpu.stat"), cpu).unwrap();
        fs::write(unit.join("memory.current"), "4096\n").unwrap();
        fs::write(unit.join("memory.max"), "max\n").unwrap();
        fs::write(unit.join("memory.high"), "2048\n").unwrap();
        let events = "low 0\nhigh 7\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n";
        fs::write(unit.join("memory.events"), events).unwrap();
        let membership = crate::membership::parse(b"0::/system.slice/a.service\n");
        let mut files =
            CgroupFiles::open(&roots(folder.path()), &membership, &Descriptors::new(8)).unwrap();
        let mut scratch = Vec::new();
        let expected = CgroupReading {
            cpu_seconds: Some(2.5),
            throttled_seconds: Some(0.75),
            periods: [Some(9), Some(3)],
            memory_bytes: Some(4096),
            limit_bytes: None,
            high_bytes: Some(2048),
            oom_kills: Some(1),
            memory_events: [Some(7), Some(4), Some(2)],
        };
        files.look(&mut scratch);
        assert_eq!(files.read(&mut scratch, 1), expected);
        fs::write(unit.join("memory.max"), "8192\n").unwrap();
        assert_eq!(
            files.read(&mut scratch, LIMIT_EVERY).limit_bytes,
            Some(8192)
        );
    }

    #[test]
    fn reads_a_unit_of_the_v1_controllers_that_know_it() {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join("memory/system.slice/a.service");
        fs::create_dir_all(&unit).unwrap();
        fs::write(unit.join("memory.usage_in_bytes"), "4096\n").unwrap();
        fs::write(unit.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        let oom = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        fs::write(unit.join("memory.oom_control"), oom).unwrap();
        let membership = crate::membership::parse(
            b"4:memory:/system.slice/a.service\n2:cpuacct:/\n1:name=systemd:/system.slice/a.service\n0::/\n",
        );
        let mut files =
            CgroupFiles::open(&roots(folder.path()), &membership, &Descriptors::new(8)).unwrap();
        let expected = CgroupReading {
            memory_bytes: Some(4096),
            oom_kills: Some(2),
            ..CgroupReading::default()
        };
        assert_eq!(files.read(&mut Vec::new(), 1), expected);
    }

    #[test]
    fn a_hybrid_host_counts_cpu_in_one_version_and_memory_in_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let two = folder.path().join("unified/system.slice/a.service");
        let one = folder.path().join("memory/system.slice/a.service");
        fs::create_dir_all(&two).unwrap();
        fs::create_dir_all(&one).unwrap();
        fs::write(folder.path().join("unified/cgroup.controllers"), "").unwrap();
        fs::write(two.join("cpu.stat"), "usage_usec 1500000\nuser_usec 1\n").unwrap();
        fs::write(one.join("memory.usage_in_bytes"), "4096\n").unwrap();
        let membership = crate::membership::parse(
            b"4:memory:/system.slice/a.service\n0::/system.slice/a.service\n",
        );
        let mut files =
            CgroupFiles::open(&roots(folder.path()), &membership, &Descriptors::new(8)).unwrap();
        files.look(&mut Vec::new());
        let reading = files.read(&mut Vec::new(), 1);
        assert_eq!(reading.cpu_seconds, Some(1.5));
        assert_eq!(reading.throttled_seconds, None);
        assert_eq!(reading.memory_bytes, Some(4096));
    }

    #[test]
    fn what_v1_counts_of_a_unit_that_sleeps_stays_known() {
        let folder = tempfile::tempdir().unwrap();
        let two = folder.path().join("unified/system.slice/a.service");
        let one = folder.path().join("cpu/system.slice/a.service");
        fs::create_dir_all(&two).unwrap();
        fs::create_dir_all(&one).unwrap();
        fs::write(folder.path().join("unified/cgroup.controllers"), "").unwrap();
        fs::write(two.join("cpu.stat"), "usage_usec 1500000\n").unwrap();
        let stat = "nr_periods 9\nnr_throttled 3\nthrottled_time 750000000\n";
        fs::write(one.join("cpu.stat"), stat).unwrap();
        let membership = crate::membership::parse(
            b"2:cpu:/system.slice/a.service\n0::/system.slice/a.service\n",
        );
        let mut files =
            CgroupFiles::open(&roots(folder.path()), &membership, &Descriptors::new(8)).unwrap();
        for number in 1..=STILL_EVERY {
            let still = files.look(&mut Vec::new());
            assert_eq!(still, number > 1);
            let reading = files.read(&mut Vec::new(), number);
            assert_eq!(reading.throttled_seconds, Some(0.75), "{number}");
            assert_eq!(reading.periods, [Some(9), Some(3)], "{number}");
        }
    }

    #[test]
    fn a_path_cannot_leave_its_root() {
        assert_eq!(join("/sys/fs/cgroup".as_ref(), "/../../etc"), None);
        assert_eq!(
            join("/sys/fs/cgroup".as_ref(), "/a"),
            Some("/sys/fs/cgroup/a".into())
        );
    }
}
