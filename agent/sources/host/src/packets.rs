//! Where the kernel itself loses packets: queues of its cores (`/proc/net/softnet_stat`) and the table of
//! tracked connections (`nf_conntrack` in sysctl and in `/proc/net/stat`). Without a packet filter nothing is
//! tracked, and nothing is missing.

use std::path::PathBuf;

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::rising::Rising;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, value};

pub(crate) static SIGNALS: [&str; 5] = [
    names::SOFTNET_DROPS,
    names::SOFTNET_SQUEEZES,
    names::CONNTRACK_ENTRIES,
    names::CONNTRACK_LIMIT,
    names::CONNTRACK_DROPS,
];

/// A hexadecimal number of at most eight digits, as the kernel writes those of its cores.
fn hexadecimal(field: &[u8]) -> Option<u64> {
    if field.is_empty() || field.len() > 8 {
        return None;
    }
    field.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

/// Packets dropped and times squeezed, of all cores: the second and third column of `softnet_stat`.
fn parse_softnet(bytes: &[u8]) -> [Option<u64>; 2] {
    let mut sums = [None; 2];
    for line in lines(bytes) {
        for (sum, field) in sums.iter_mut().zip(fields(line).skip(1)) {
            if let Some(count) = hexadecimal(field) {
                *sum = Some(sum.unwrap_or(0) + count);
            }
        }
    }
    sums
}

/// Packets dropped for want of an entry: the column of that name, one line per core below the names.
fn parse_drops(bytes: &[u8]) -> Option<u64> {
    let mut lines = lines(bytes);
    let at = fields(lines.next()?).position(|name| name == b"drop")?;
    let counts = lines.filter_map(|line| hexadecimal(fields(line).nth(at)?));
    counts.fold(None, |sum: Option<u64>, count| {
        Some(sum.unwrap_or(0) + count)
    })
}

/// The source.
#[derive(Debug)]
pub(crate) struct Packets {
    softnet: KeptFile,
    sysctl: PathBuf,
    /// Entries, limit; drops. Opened once there is a table.
    conntrack: Option<[KeptFile; 3]>,
    statistics: PathBuf,
    open: Descriptors,
    risings: [Rising; 2],
    group: Group<5>,
    round: u64,
}

/// Whether connections are tracked by now is looked at once in so many samples.
const LOOK_EVERY: u64 = 10;

impl Packets {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        Self {
            softnet: KeptFile::new(roots.net("softnet_stat"), open),
            sysctl: roots.proc.join("sys/net/netfilter"),
            conntrack: None,
            statistics: roots.net("stat/nf_conntrack"),
            open: open.clone(),
            risings: [Rising::default(); 2],
            group: Group::new(host, &SIGNALS),
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let softnet = self.softnet.read(scratch).map_or([None; 2], parse_softnet);
        let mut values = [f64::NAN; 5];
        for ((value, count), rising) in values.iter_mut().zip(softnet).zip(&mut self.risings) {
            if let Some(count) = count {
                // A core that goes offline takes its counts along.
                *value = rising.rise_of_sum(count as f64);
            }
        }
        if self.round.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
        self.round += 1;
        if let Some([entries, limit, drops]) = &mut self.conntrack {
            let plain = |bytes: &[u8]| number(bytes.trim_ascii_end());
            values[2] = value(entries.read(scratch).and_then(plain));
            values[3] = value(limit.read(scratch).and_then(plain));
            values[4] = value(drops.read(scratch).and_then(parse_drops));
        }
        self.group.set(registry, &values);
    }

    fn look(&mut self) {
        let entries = self.sysctl.join("nf_conntrack_count");
        if !entries.exists() {
            self.conntrack = None;
        } else if self.conntrack.is_none() {
            let limit = self.sysctl.join("nf_conntrack_max");
            let files = [entries, limit, self.statistics.clone()];
            self.conntrack = Some(files.map(|path| KeptFile::new(path, &self.open)));
        }
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        let tracked = self.conntrack.iter().flatten();
        let all = std::iter::once(&self.softnet).chain(tracked);
        let blind: Vec<_> = all.filter_map(KeptFile::blind).collect();
        blind.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{HostId, Timestamp};
    use proptest::prelude::*;
    use std::fs;
    use std::time::Duration;

    /// From a two-core virtual machine, Linux 6.18; columns cut, drops put in.
    const SOFTNET: &[u8] =
        b"00361662 00000001 00000000 00000000\n0038be9f 0000000f 00000002 00000000\n";
    const CONNTRACK: &[u8] = b"entries  clashres found new invalid ignore delete chainlength insert \
        insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
        00000000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a \
        00000000 00000000  00000000 00000000 00000000 00000000\n\
        00000000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 \
        00000000 00000000  00000000 00000000 00000000 00000000\n";

    #[test]
    fn cores_are_added_up() {
        assert_eq!(parse_softnet(SOFTNET), [Some(16), Some(2)]);
        assert_eq!(parse_drops(CONNTRACK), Some(11));
        assert_eq!(parse_softnet(b"00361662\n"), [None; 2]);
        assert_eq!(parse_drops(b"entries found\n0 0\n"), None);
        assert_eq!(parse_drops(b"drop\n"), None);
    }

    #[test]
    fn numbers_of_more_than_32_bits_are_none() {
        assert_eq!(hexadecimal(b"ffffffff"), Some(u64::from(u32::MAX)));
        for text in ["", "100000000", "0x1", "-1", "g"] {
            assert_eq!(hexadecimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_table_that_appears_is_found_and_one_that_is_not_there_is_not_missed() {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("1/net");
        fs::create_dir_all(net.join("stat")).unwrap();
        fs::write(net.join("softnet_stat"), SOFTNET).unwrap();
        let roots = HostRoots {
            proc: root.path().to_owned(),
            ..HostRoots::default()
        };
        let host = ComponentId::host(HostId::new("h1").unwrap());
        let mut packets = Packets::new(host, &roots, &Descriptors::new(8));
        let mut registry = Registry::new(Duration::ZERO);
        let mut scratch = Vec::new();
        packets.sample(&mut registry, &mut scratch);
        let frame = registry.frame(Timestamp::from_secs(0));
        assert_eq!(frame.values, [16.0, 2.0]);
        assert_eq!(packets.blind().count(), 0);

        let sysctl = root.path().join("sys/net/netfilter");
        fs::create_dir_all(&sysctl).unwrap();
        fs::write(sysctl.join("nf_conntrack_count"), "262000\n").unwrap();
        fs::write(sysctl.join("nf_conntrack_max"), "262144\n").unwrap();
        fs::write(net.join("stat/nf_conntrack"), CONNTRACK).unwrap();
        for _ in 0..LOOK_EVERY {
            packets.sample(&mut registry, &mut scratch);
        }
        let frame = registry.frame(Timestamp::from_secs(10));
        assert_eq!(frame.values, [16.0, 2.0, 262_000.0, 262_144.0, 11.0]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_softnet(&bytes);
            let _ = parse_drops(&bytes);
        }

        #[test]
        fn hostile_columns_never_panic(text in "drop( [0-9a-fx]{0,9}){0,9}\n([0-9a-f ]{0,40}\n){0,4}") {
            let _ = parse_softnet(text.as_bytes());
            let _ = parse_drops(text.as_bytes());
        }
    }
}
