//! Block devices (`/proc/diskstats`). Documentation/admin-guide/iostats.rst of the kernel.
//!
//! Whole devices only. Loop, RAM and zram devices count where they are mounted; so does whatever never
//! did any IO.

use std::collections::HashMap;
use std::path::PathBuf;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::mounts::{Device, Mounts};
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, value};

pub(crate) static SIGNALS: [&str; 11] = [
    names::DISK_READS,
    names::DISK_READ_BYTES,
    names::DISK_READ_SECONDS,
    names::DISK_WRITES,
    names::DISK_WRITTEN_BYTES,
    names::DISK_WRITE_SECONDS,
    names::DISK_IN_FLIGHT,
    names::DISK_IO_SECONDS,
    names::DISK_WEIGHTED_SECONDS,
    names::DISK_FLUSHES,
    names::DISK_FLUSH_SECONDS,
];
/// diskstats counts in these whatever the device's own sector.
const SECTOR_BYTES: f64 = 512.0;

/// What is counted of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    io: [u64; 11],
    /// Flushes and milliseconds flushing.
    flushes: [Option<u64>; 2],
}

/// One line: the device, its name, then reads, reads merged, sectors read, milliseconds reading, the same
/// four of writes, requests in flight, milliseconds with one in flight, request-weighted milliseconds; from
/// Linux 5.5 on after four of discards also flushes and milliseconds flushing.
fn parse(line: &[u8]) -> Option<(Device, &str, Counters)> {
    let mut fields = fields(line);
    let major = u32::try_from(number(fields.next()?)?).ok()?;
    let minor = u32::try_from(number(fields.next()?)?).ok()?;
    let name = std::str::from_utf8(fields.next()?).ok()?;
    let mut counters = Counters::default();
    for counter in &mut counters.io {
        *counter = number(fields.next()?)?;
    }
    let mut flushes = fields.skip(4).map(number);
    counters.flushes = [flushes.next().flatten(), flushes.next().flatten()];
    Some((Device { major, minor }, name, counters))
}

/// Values in the order of the signals.
fn values(counters: &Counters) -> [f64; 11] {
    let of = |at: usize| counters.io[at] as f64;
    let [flushes, flushing] = counters.flushes.map(value);
    [
        of(0),
        of(2) * SECTOR_BYTES,
        of(3) / 1e3,
        of(4),
        of(6) * SECTOR_BYTES,
        of(7) / 1e3,
        of(8),
        of(9) / 1e3,
        of(10) / 1e3,
        flushes,
        flushing / 1e3,
    ]
}

/// The source.
#[derive(Debug)]
pub(crate) struct Disks {
    file: KeptFile,
    block: PathBuf,
    /// Whether a name is that of a whole device: sysfs says so once.
    whole: HashMap<Box<str>, bool>,
    family: Family<11>,
}

/// Names remembered as whole devices or partitions; beyond, sysfs is asked again.
const NAMES_LIMIT: usize = 4_096;

impl Disks {
    pub(crate) fn new(
        host: HostId,
        roots: &HostRoots,
        open: &Descriptors,
        limits: &Limits,
    ) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("diskstats"), open),
            block: roots.sys.join("block"),
            whole: HashMap::new(),
            family: Family::new(host, ComponentKind::Disk, &SIGNALS, limits.disks),
        }
    }

    pub(crate) fn sample(
        &mut self,
        registry: &mut Registry,
        scratch: &mut Vec<u8>,
        mounts: &Mounts,
    ) {
        let Some(bytes) = self.file.read(scratch) else {
            return;
        };
        let sysfs = self.block.is_dir();
        for (device, name, counters) in lines(bytes).filter_map(parse) {
            if self.whole.len() > NAMES_LIMIT {
                self.whole.clear();
            }
            let whole = match self.whole.get(name) {
                Some(whole) => *whole,
                None => {
                    // A slash in a device's name is an exclamation mark in sysfs.
                    let whole = !sysfs || self.block.join(name.replace('/', "!")).exists();
                    self.whole.insert(name.into(), whole);
                    whole
                }
            };
            if whole && (mounts.uses(device) || (active(&counters) && !virtual_device(name))) {
                self.family.set(registry, name, &values(&counters));
            }
        }
    }

    pub(crate) fn expire(&mut self, registry: &mut Registry, limits: &Limits) {
        self.family.expire(registry, limits.absent);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.family.refused()
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.file.blind().into_iter()
    }
}

fn active(counters: &Counters) -> bool {
    counters.io[0] > 0 || counters.io[4] > 0
}

fn virtual_device(name: &str) -> bool {
    ["loop", "ram", "zram"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_table() {
        // From a virtual machine with eight loop devices, Linux 6.18.
        let table = include_bytes!("../fixtures/diskstats");
        let found: Vec<_> = lines(table).filter_map(parse).collect();
        assert_eq!(found.len(), 10);
        let (device, name, counters) = found[8];
        assert_eq!((device.major, device.minor, name), (254, 0, "vda"));
        assert!(active(&counters));
        let values = values(&counters);
        assert_eq!(values[1], counters.io[2] as f64 * 512.0);
        assert_eq!(values[2], counters.io[3] as f64 / 1000.0);
        assert!(values[9] > 0.0 && values[10] >= 0.0, "flushes are counted");
    }

    #[test]
    fn an_old_kernel_counts_no_flushes() {
        let (_, _, old) = parse(b"8 0 sda 1 0 8 1 2 0 16 2 0 3 3 0 0 0 0").unwrap();
        let [.., weighted, flushes, flushing] = values(&old);
        assert_eq!(weighted, 0.003);
        assert!(flushes.is_nan() && flushing.is_nan());
    }

    #[test]
    fn a_short_or_overlong_line_is_refused() {
        assert_eq!(parse(b"8 0 sda 1 2 3"), None);
        let huge = b"8 0 sda 99999999999999999999 0 0 0 0 0 0 0 0 0 0";
        assert_eq!(parse(huge), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
