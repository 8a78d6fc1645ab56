//! What TCP holds of the host: connections in TIME-WAIT, orphans, memory (`/proc/net/sockstat`), against the
//! ports and the memory it may take (`net.ipv4` of sysctl). Documentation/networking/ip-sysctl.rst.

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, value};

pub(crate) static SIGNALS: [&str; 5] = [
    names::TCP_TIME_WAIT,
    names::TCP_ORPHANS,
    names::TCP_MEMORY,
    names::TCP_MEMORY_LIMIT,
    names::TCP_EPHEMERAL_PORTS,
];
/// Limits are read once in so many samples: they seldom change.
const LIMITS_EVERY: u64 = 60;

/// Ports that the kernel hands out to callers: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    pub(crate) fn count(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    pub(crate) fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Connections in TIME-WAIT, orphans, pages: of the line `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 81`.
fn parse(bytes: &[u8]) -> [Option<u64>; 3] {
    let line = lines(bytes).find_map(|line| line.strip_prefix(b"TCP:"));
    ["tw", "orphan", "mem"].map(|key| {
        let mut words = fields(line?);
        words.find(|word| *word == key.as_bytes())?;
        number(words.next()?)
    })
}

/// `ip_local_port_range`: the first and the last port.
pub(crate) fn parse_range(bytes: &[u8]) -> Option<PortRange> {
    let mut ports = fields(bytes.trim_ascii_end());
    let mut port = || u16::try_from(number(ports.next()?)?).ok();
    let (first, last) = (port()?, port()?);
    (first <= last).then_some(PortRange { first, last })
}

/// The last of the three thresholds of `tcp_mem`, in pages.
fn parse_memory(bytes: &[u8]) -> Option<u64> {
    number(fields(bytes.trim_ascii_end()).nth(2)?)
}

/// The source.
#[derive(Debug)]
pub(crate) struct Sockstat {
    file: KeptFile,
    range_file: KeptFile,
    memory_file: KeptFile,
    range: Option<PortRange>,
    memory: Option<u64>,
    time_wait: Option<u64>,
    group: Group<5>,
    page_bytes: f64,
    round: u64,
}

impl Sockstat {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        let sysctl = |name: &str| KeptFile::new(roots.proc.join("sys/net/ipv4").join(name), open);
        Self {
            file: KeptFile::new(roots.net("sockstat"), open),
            range_file: sysctl("ip_local_port_range"),
            memory_file: sysctl("tcp_mem"),
            range: None,
            memory: None,
            time_wait: None,
            group: Group::new(host, &SIGNALS),
            page_bytes: rustix::param::page_size() as f64,
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        if self.round.is_multiple_of(LIMITS_EVERY) {
            self.range = self.range_file.read(scratch).and_then(parse_range);
            self.memory = self.memory_file.read(scratch).and_then(parse_memory);
        }
        self.round += 1;
        let found = self.file.read(scratch).map_or([None; 3], parse);
        let [time_wait, orphans, pages] = found;
        self.time_wait = time_wait;
        let values = [
            value(time_wait),
            value(orphans),
            value(pages) * self.page_bytes,
            value(self.memory) * self.page_bytes,
            value(self.range.map(PortRange::count)),
        ];
        self.group.set(registry, &values);
    }

    /// Ports for callers, as last read.
    pub(crate) fn range(&self) -> Option<PortRange> {
        self.range
    }

    /// Connections in TIME-WAIT in this sample.
    pub(crate) fn time_wait(&self) -> Option<u64> {
        self.time_wait
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        [self.file.blind(), self.range_file.blind()]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_sockstat() {
        // From a virtual machine, Linux 6.18.
        let text =
            b"sockets: used 20\nTCP: inuse 1 orphan 2 tw 3 alloc 1 mem 81\nUDP: inuse 0 mem 7\n";
        assert_eq!(parse(text), [Some(3), Some(2), Some(81)]);
        assert_eq!(parse(b"UDP: inuse 0 mem 7\n"), [None; 3]);
        assert_eq!(parse_memory(b"287901\t383869\t575802\n"), Some(575_802));
    }

    #[test]
    fn both_ends_of_the_range_are_handed_out() {
        let range = parse_range(b"32768\t60999\n").unwrap();
        assert_eq!(range.count(), 28_232);
        assert!(range.contains(32_768) && range.contains(60_999) && !range.contains(61_000));
        for text in ["", "32768", "60999 32768", "0 65536", "-1 2"] {
            assert_eq!(parse_range(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_range(b"0 65535").unwrap().count(), 65_536);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
            let _ = parse_range(&bytes).map(PortRange::count);
            let _ = parse_memory(&bytes);
        }
    }
}
