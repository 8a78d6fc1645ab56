//! What a cgroup shows beyond CPU and memory: pressure, IO, tasks. Read in turns: a handful of services each
//! second, their files opened anew.
//!
//! Each file is taken from cgroup2 where it is there, else from the v1 controller; pressure exists in cgroup2
//! only, but there without any controller, so that hybrid hosts have it too.

use std::path::PathBuf;

use firstlook_model::signal::names;

use super::{CgroupRoots, plain};
use crate::membership::Membership;
use crate::reader::{Descriptors, KeptFile};
use crate::rising::Rising;
use crate::text::{fields, keyed, lines, number, value};

pub(crate) static SIGNALS: [&str; 12] = [
    names::SERVICE_PRESSURE_CPU_SOME,
    names::SERVICE_PRESSURE_MEMORY_SOME,
    names::SERVICE_PRESSURE_MEMORY_FULL,
    names::SERVICE_PRESSURE_IO_SOME,
    names::SERVICE_PRESSURE_IO_FULL,
    names::SERVICE_READ_BYTES,
    names::SERVICE_WRITTEN_BYTES,
    names::SERVICE_READS,
    names::SERVICE_WRITES,
    names::SERVICE_TASKS_REFUSED,
    names::SERVICE_TASKS,
    names::SERVICE_TASKS_LIMIT,
];
/// The first so many are counters.
const COUNTERS: usize = 10;

/// The files of one service; `None` where the host does not have one.
#[derive(Debug)]
pub(crate) struct CgroupDetail {
    /// Of CPU, memory and IO.
    pressure: [Option<KeptFile>; 3],
    io: Io,
    pids: [Option<KeptFile>; 3],
    risings: [Rising; COUNTERS],
}

#[derive(Debug)]
enum Io {
    /// `io.stat` of cgroup2.
    Stat(KeptFile),
    /// Bytes and operations of v1's throttling layer, which sees all IO.
    Throttle([KeptFile; 2]),
    None,
}

impl CgroupDetail {
    pub(crate) fn open(roots: &CgroupRoots, membership: &Membership) -> Self {
        // Read too seldom to keep descriptors from files that are read each second.
        let none = Descriptors::new(0);
        let unified = membership.unit_unified.as_deref();
        let unified = unified.and_then(|path| roots.unified(path));
        let kept = |path: PathBuf| path.exists().then(|| KeptFile::one_piece(path, &none));
        let two = |file: &str| kept(unified.as_ref()?.join(file));
        let one = |controller: &str, file: &str| {
            kept(
                roots
                    .classic(&membership.controllers, controller)?
                    .join(file),
            )
        };
        let throttle =
            |file: &str| one("blkio", &format!("{file}_recursive")).or_else(|| one("blkio", file));
        let classic_io = || {
            let bytes = throttle("blkio.throttle.io_service_bytes")?;
            Some(Io::Throttle([
                bytes,
                throttle("blkio.throttle.io_serviced")?,
            ]))
        };
        Self {
            pressure: ["cpu.pressure", "memory.pressure", "io.pressure"].map(two),
            io: two("io.stat")
                .map(Io::Stat)
                .or_else(classic_io)
                .unwrap_or(Io::None),
            pids: ["pids.events", "pids.current", "pids.max"]
                .map(|file| two(file).or_else(|| one("pids", file))),
            risings: [Rising::default(); COUNTERS],
        }
    }

    /// Values in the order of the signals; NaN where the host does not count it.
    pub(crate) fn read(&mut self, scratch: &mut Vec<u8>) -> [f64; 12] {
        let mut pressures = [[None; 2]; 3];
        for (pressure, file) in pressures.iter_mut().zip(&mut self.pressure) {
            let bytes = file.as_mut().and_then(|file| file.read(scratch));
            *pressure = bytes.map_or([None; 2], crate::pressure::parse);
        }
        let [[cpu, _], [memory, memory_full], [io, io_full]] = pressures;
        let seconds = |micros: Option<u64>| value(micros) / 1e6;
        let moved = self.io.read(scratch);
        let [refused, tasks, limit] = &mut self.pids;
        let mut read = |file: &mut Option<KeptFile>, parse: fn(&[u8]) -> Option<u64>| {
            value(
                file.as_mut()
                    .and_then(|file| file.read(scratch))
                    .and_then(parse),
            )
        };
        let mut values = [
            seconds(cpu),
            seconds(memory),
            seconds(memory_full),
            seconds(io),
            seconds(io_full),
            value(moved[0]),
            value(moved[1]),
            value(moved[2]),
            value(moved[3]),
            read(refused, |bytes| keyed(bytes, "max")),
            read(tasks, plain),
            read(limit, plain),
        ];
        for (value, rising) in values.iter_mut().zip(&mut self.risings) {
            if !value.is_nan() {
                // A device that went takes its counts along, and a cgroup made anew begins at nothing.
                *value = rising.rise_of_sum(*value);
            }
        }
        values
    }
}

impl Io {
    /// Bytes read and written, reads, writes.
    fn read(&mut self, scratch: &mut Vec<u8>) -> [Option<u64>; 4] {
        match self {
            Self::Stat(file) => file.read(scratch).map_or([None; 4], parse_stat),
            Self::Throttle([bytes, operations]) => {
                let [read, written] = bytes.read(scratch).map_or([None; 2], parse_throttle);
                let [reads, writes] = operations.read(scratch).map_or([None; 2], parse_throttle);
                [read, written, reads, writes]
            }
            Self::None => [None; 4],
        }
    }
}

/// `io.stat`: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`, one line per device; empty before the first IO. Sums
/// of all devices.
fn parse_stat(bytes: &[u8]) -> [Option<u64>; 4] {
    const KEYS: [&[u8]; 4] = [b"rbytes=", b"wbytes=", b"rios=", b"wios="];
    let mut sums = [0u64; 4];
    for field in lines(bytes).flat_map(fields) {
        for (sum, key) in sums.iter_mut().zip(KEYS) {
            let count = field.strip_prefix(key).and_then(number);
            *sum = sum.saturating_add(count.unwrap_or(0));
        }
    }
    sums.map(Some)
}

/// `8:0 Read 1`, one line per device and direction, with a total at the end. Sums of reads and of writes.
fn parse_throttle(bytes: &[u8]) -> [Option<u64>; 2] {
    let mut sums = [0u64; 2];
    for line in lines(bytes) {
        let mut fields = fields(line).skip(1);
        let at = match fields.next() {
            Some(b"Read") => 0,
            Some(b"Write") => 1,
            _ => continue,
        };
        let count = fields.next().and_then(number);
        sums[at] = sums[at].saturating_add(count.unwrap_or(0));
    }
    sums.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::HostRoots;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    fn detail(root: &Path, membership: &[u8]) -> CgroupDetail {
        let roots = CgroupRoots::new(&HostRoots {
            cgroup: root.to_owned(),
            ..HostRoots::default()
        });
        CgroupDetail::open(&roots, &crate::membership::parse(membership))
    }

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_unit_of_cgroup2_shows_pressure_io_and_tasks() {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("system.slice/a.service");
        write(root.path().join("cgroup.controllers"), "io pids");
        // Forms as in Linux 6.18.
        let pressure = "some avg10=0.92 avg60=5.31 avg300=44.68 total=3000000\n\
            full avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n";
        for file in ["cpu.pressure", "memory.pressure", "io.pressure"] {
            write(unit.join(file), pressure);
        }
        let io = "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n\
            7:0 rbytes=1 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n";
        write(unit.join("io.stat"), io);
        write(unit.join("pids.current"), "12\n");
        write(unit.join("pids.max"), "4096\n");
        write(unit.join("pids.events"), "max 3\n");
        let mut detail = detail(root.path(), b"0::/system.slice/a.service\n");
        let mut scratch = Vec::new();
        let first = [
            3.0, 3.0, 1.0, 3.0, 1.0, 4097.0, 8192.0, 2.0, 2.0, 3.0, 12.0, 4096.0,
        ];
        assert_eq!(detail.read(&mut scratch), first);

        // The loop device went, and nobody is limited any more.
        write(
            unit.join("io.stat"),
            "254:0 rbytes=4096 wbytes=9000 rios=1 wios=3\n",
        );
        write(unit.join("pids.max"), "max\n");
        let second = detail.read(&mut scratch);
        assert_eq!(second[5..9], [4097.0, 9000.0, 2.0, 3.0]);
        assert!(second[11].is_nan());
    }

    #[test]
    fn a_hybrid_host_has_pressure_in_the_one_and_io_and_tasks_in_the_other() {
        let root = tempfile::tempdir().unwrap();
        let (one, path) = (root.path(), "system.slice/a.service");
        write(one.join("unified/cgroup.controllers"), "");
        let full = "some avg10=0 avg60=0 avg300=0 total=2000000\n";
        write(one.join("unified").join(path).join("cpu.pressure"), full);
        let bytes =
            "254:0 Read 4096\n254:0 Write 100\n254:0 Sync 9\n254:0 Total 4196\nTotal 4196\n";
        let blkio = one.join("blkio").join(path);
        write(
            blkio.join("blkio.throttle.io_service_bytes"),
            "254:0 Read 1\n",
        );
        write(
            blkio.join("blkio.throttle.io_service_bytes_recursive"),
            bytes,
        );
        write(
            blkio.join("blkio.throttle.io_serviced_recursive"),
            "254:0 Read 2\n254:0 Write 1\n",
        );
        write(one.join("pids").join(path).join("pids.current"), "7\n");
        let membership = b"8:pids:/system.slice/a.service\n7:blkio:/system.slice/a.service\n\
            0::/system.slice/a.service\n";
        let found = detail(one, membership).read(&mut Vec::new());
        assert_eq!(found[0], 2.0);
        assert!(found[1..5].iter().all(|value| value.is_nan()));
        assert_eq!(found[5..9], [4096.0, 100.0, 2.0, 1.0]);
        assert_eq!(found[10], 7.0);
        assert!(found[9].is_nan() && found[11].is_nan());
    }

    #[test]
    fn a_host_that_counts_none_of_it_has_no_values() {
        let root = tempfile::tempdir().unwrap();
        let found = detail(root.path(), b"0::/system.slice/a.service\n").read(&mut Vec::new());
        assert!(found.iter().all(|value| value.is_nan()));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_stat(&bytes);
            let _ = parse_throttle(&bytes);
        }

        #[test]
        fn hostile_counts_never_panic(counts in proptest::collection::vec(any::<u64>(), 0..4)) {
            let text: String = counts.iter().map(|n| format!("8:0 rbytes={n} wbytes={n}\n8:0 Read {n}\n")).collect();
            let expected = counts.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
            prop_assert_eq!(parse_stat(text.as_bytes())[0], Some(expected));
            prop_assert_eq!(parse_throttle(text.as_bytes())[0], Some(expected));
        }
    }
}
