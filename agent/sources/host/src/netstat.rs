//! Host-wide TCP and UDP counters (`/proc/net/snmp`, `snmp6`, `netstat`). RFC 4022, RFC 4113,
//! Documentation/networking/snmp_counter.rst of the kernel.

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, keyed, lines, number, value};

pub(crate) static TCP_SIGNALS: [&str; 7] = [
    names::TCP_SEGMENTS_OUT,
    names::TCP_SEGMENTS_IN,
    names::TCP_RETRANSMITS,
    names::TCP_ATTEMPT_FAILS,
    names::TCP_RESETS_OUT,
    names::TCP_ESTABLISHED_RESETS,
    names::TCP_ESTABLISHED,
];
const TCP_FIELDS: [&str; 7] = [
    "OutSegs",
    "InSegs",
    "RetransSegs",
    "AttemptFails",
    "OutRsts",
    "EstabResets",
    "CurrEstab",
];
pub(crate) static UDP_SIGNALS: [&str; 6] = [
    names::UDP_IN,
    names::UDP_OUT,
    names::UDP_NO_PORTS,
    names::UDP_ERRORS,
    names::UDP_RECEIVE_BUFFER_ERRORS,
    names::UDP_SEND_BUFFER_ERRORS,
];
const UDP_FIELDS: [&str; 6] = [
    "InDatagrams",
    "OutDatagrams",
    "NoPorts",
    "InErrors",
    "RcvbufErrors",
    "SndbufErrors",
];
const UDP6_FIELDS: [&str; 6] = [
    "Udp6InDatagrams",
    "Udp6OutDatagrams",
    "Udp6NoPorts",
    "Udp6InErrors",
    "Udp6RcvbufErrors",
    "Udp6SndbufErrors",
];
pub(crate) static EXTENDED_SIGNALS: [&str; 9] = [
    names::TCP_TIMEOUTS,
    names::TCP_SYN_RETRANSMITS,
    names::TCP_LISTEN_OVERFLOWS,
    names::TCP_LISTEN_DROPS,
    names::TCP_OUT_OF_ORDER,
    names::TCP_MEMORY_PRESSURES,
    names::TCP_TIME_WAIT_OVERFLOWS,
    names::TCP_SYN_COOKIES,
    names::TCP_BACKLOG_DROPS,
];
const EXTENDED_FIELDS: [&str; 9] = [
    "TCPTimeouts",
    "TCPSynRetrans",
    "ListenOverflows",
    "ListenDrops",
    "TCPOFOQueue",
    "TCPMemoryPressures",
    "TCPTimeWaitOverflow",
    "SyncookiesSent",
    "TCPBacklogDrop",
];

/// Values of the named fields in the pair of lines (names, then numbers) that both begin with `prefix`.
fn parse<const N: usize>(bytes: &[u8], prefix: &str, wanted: &[&str; N]) -> [Option<u64>; N] {
    let mut pair = lines(bytes).filter_map(|line| line.strip_prefix(prefix.as_bytes()));
    let mut found = [None; N];
    if let (Some(names), Some(numbers)) = (pair.next(), pair.next()) {
        for (name, text) in fields(names).zip(fields(numbers)) {
            if let Some(at) = wanted.iter().position(|w| w.as_bytes() == name) {
                found[at] = number(text);
            }
        }
    }
    found
}

/// The source.
#[derive(Debug)]
pub(crate) struct Netstat {
    snmp: KeptFile,
    snmp6: KeptFile,
    netstat: KeptFile,
    tcp: Group<7>,
    udp: Group<6>,
    extended: Group<9>,
}

impl Netstat {
    pub(crate) fn new(host: &ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        Self {
            snmp: KeptFile::new(roots.net("snmp"), open),
            snmp6: KeptFile::new(roots.net("snmp6"), open),
            netstat: KeptFile::new(roots.net("netstat"), open),
            tcp: Group::new(host.clone(), &TCP_SIGNALS),
            udp: Group::new(host.clone(), &UDP_SIGNALS),
            extended: Group::new(host.clone(), &EXTENDED_SIGNALS),
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let mut udp = [None; 6];
        if let Some(bytes) = self.snmp.read(scratch) {
            udp = parse(bytes, "Udp:", &UDP_FIELDS);
            let tcp = parse(bytes, "Tcp:", &TCP_FIELDS);
            self.tcp.set(registry, &tcp.map(value));
        }
        // Absent where IPv6 is off: then IPv4 is all there is.
        if let Some(bytes) = self.snmp6.read(scratch) {
            for (sum, key) in udp.iter_mut().zip(UDP6_FIELDS) {
                *sum = sum.map(|v4| v4.wrapping_add(keyed(bytes, key).unwrap_or(0)));
            }
        }
        self.udp.set(registry, &udp.map(value));
        if let Some(bytes) = self.netstat.read(scratch) {
            let extended = parse(bytes, "TcpExt:", &EXTENDED_FIELDS);
            self.extended.set(registry, &extended.map(value));
        }
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        [self.snmp.blind(), self.netstat.blind()]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_real_counters() {
        // From a virtual machine, Linux 6.18.
        let snmp = include_bytes!("../fixtures/net_snmp");
        let netstat = include_bytes!("../fixtures/net_netstat");
        let tcp = parse(snmp, "Tcp:", &TCP_FIELDS);
        assert!(tcp.iter().all(Option::is_some), "{tcp:?}");
        assert!(tcp[0] > Some(1_000) && tcp[1] > Some(1_000));
        let udp = parse(snmp, "Udp:", &UDP_FIELDS);
        assert!(udp[0] > Some(0), "{udp:?}");
        let extended = parse(netstat, "TcpExt:", &EXTENDED_FIELDS);
        assert!(extended.iter().all(Option::is_some), "{extended:?}");
        let udp6 = include_bytes!("../fixtures/net_snmp6");
        assert!(UDP6_FIELDS.iter().all(|key| keyed(udp6, key).is_some()));
    }

    #[test]
    fn fields_are_found_by_name_wherever_they_stand() {
        let text = b"Tcp: MaxConn InSegs OutSegs\nTcp: -1 7 9\n";
        assert_eq!(
            parse(text, "Tcp:", &["OutSegs", "MaxConn", "None"]),
            [Some(9), None, None]
        );
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes, "Tcp:", &TCP_FIELDS);
        }
    }
}
