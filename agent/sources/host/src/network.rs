//! Interfaces: counters (`/proc/net/dev`), state, speed and what the carrier did (sysfs). Loopback is left out, and
//! whatever never carried a packet while it is down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::reader::{Descriptors, KeptFile, read_once};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, value};

pub(crate) static SIGNALS: [&str; 18] = [
    names::INTERFACE_RX_BYTES,
    names::INTERFACE_RX_PACKETS,
    names::INTERFACE_RX_ERRORS,
    names::INTERFACE_RX_DROPS,
    names::INTERFACE_TX_BYTES,
    names::INTERFACE_TX_PACKETS,
    names::INTERFACE_TX_ERRORS,
    names::INTERFACE_TX_DROPS,
    names::INTERFACE_RX_FRAME_ERRORS,
    names::INTERFACE_RX_OVERRUNS,
    names::INTERFACE_TX_CARRIER_ERRORS,
    names::INTERFACE_COLLISIONS,
    names::INTERFACE_UP,
    names::INTERFACE_RX_MISSED,
    names::INTERFACE_CARRIER_CHANGES,
    names::INTERFACE_SPEED,
    names::INTERFACE_FULL_DUPLEX,
    names::INTERFACE_MTU,
];
/// Where the state is among the signals, and where what is read of the link begins.
const UP: usize = 12;
const LINK: usize = 13;
/// The link is asked once in so many samples: some drivers ask the card.
pub(crate) const LINK_EVERY: u64 = 10;
/// Columns of the first signals after the name.
const COLUMNS: [usize; 12] = [0, 1, 2, 3, 8, 9, 10, 11, 5, 4, 14, 13];

/// One line of `/proc/net/dev`: the name, then what the first signals count.
fn parse(line: &[u8]) -> Option<(&str, [u64; 12])> {
    let colon = line.iter().rposition(|b| *b == b':')?;
    let name = std::str::from_utf8(fields(&line[..colon]).next()?).ok()?;
    let mut all = [0; 16];
    let mut found = 0;
    for (slot, field) in all.iter_mut().zip(fields(&line[colon + 1..])) {
        *slot = number(field)?;
        found += 1;
    }
    (found == all.len()).then(|| (name, COLUMNS.map(|at| all[at])))
}

/// 1 where `operstate` says that packets can pass. `unknown` is what tunnels and some drivers say.
fn parse_state(bytes: &[u8]) -> f64 {
    match bytes.trim_ascii_end() {
        b"up" | b"unknown" => 1.0,
        _ => 0.0,
    }
}

/// Packets missed, changes of the carrier, speed and duplex of a link, where its driver says, and its longest packet.
fn link(folder: &Path, scratch: &mut Vec<u8>) -> [f64; 5] {
    let mut read = |file: &str, parse: fn(&[u8]) -> f64| {
        let bytes = read_once(&folder.join(file), scratch);
        bytes.map_or(f64::NAN, parse)
    };
    [
        read("statistics/rx_missed_errors", plain),
        read("carrier_changes", plain),
        read("speed", parse_speed),
        read("duplex", parse_duplex),
        read("mtu", plain),
    ]
}

fn plain(bytes: &[u8]) -> f64 {
    value(number(bytes.trim_ascii_end()))
}

/// Megabits in `speed` as bytes; -1 stands for a speed that is not known, and so does what -1 once became.
fn parse_speed(bytes: &[u8]) -> f64 {
    let megabits = number(bytes.trim_ascii_end());
    value(megabits.filter(|m| (1..u64::from(u32::MAX)).contains(m))) * 1e6 / 8.0
}

/// 1 for full duplex, 0 for half.
fn parse_duplex(bytes: &[u8]) -> f64 {
    match bytes.trim_ascii_end() {
        b"full" => 1.0,
        b"half" => 0.0,
        _ => f64::NAN,
    }
}

/// The source.
#[derive(Debug)]
pub(crate) struct Network {
    dev: KeptFile,
    states: HashMap<Box<str>, KeptFile>,
    class: PathBuf,
    open: Descriptors,
    family: Family<18>,
    limit: usize,
    /// Holds the counters while `operstate` is read into the shared buffer.
    found: Vec<(Box<str>, [u64; 12])>,
    round: u64,
}

impl Network {
    pub(crate) fn new(
        host: HostId,
        roots: &HostRoots,
        open: &Descriptors,
        limits: &Limits,
    ) -> Self {
        Self {
            dev: KeptFile::new(roots.net("dev"), open),
            states: HashMap::new(),
            class: roots.sys.join("class/net"),
            open: open.clone(),
            family: Family::new(host, ComponentKind::Interface, &SIGNALS, limits.interfaces),
            limit: limits.interfaces,
            found: Vec::new(),
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        self.found.clear();
        if let Some(bytes) = self.dev.read(scratch) {
            let parsed = lines(bytes).filter_map(parse);
            let real = parsed.filter(|(name, _)| *name != "lo");
            self.found
                .extend(real.map(|(name, counters)| (name.into(), counters)));
        }
        let found = std::mem::take(&mut self.found);
        let link_due = self.round.is_multiple_of(LINK_EVERY);
        self.round += 1;
        for (name, counters) in &found {
            let up = self.state(name, scratch);
            if up == 0.0 && counters[1] == 0 && counters[5] == 0 {
                continue;
            }
            let mut values = [f64::NAN; 18];
            for (value, counter) in values.iter_mut().zip(counters) {
                *value = *counter as f64;
            }
            values[UP] = up;
            // Bounded as the states are.
            if link_due && self.states.contains_key(name) {
                values[LINK..].copy_from_slice(&link(&self.class.join(&**name), scratch));
            }
            self.family.set(registry, name, &values);
        }
        self.states
            .retain(|name, _| found.iter().any(|(present, _)| present == name));
        self.found = found;
    }

    /// Whether the interface is up; NaN where sysfs does not say, or where there are too many.
    fn state(&mut self, name: &str, scratch: &mut Vec<u8>) -> f64 {
        if !self.states.contains_key(name) {
            if self.states.len() >= self.limit {
                return f64::NAN;
            }
            let path = self.class.join(name).join("operstate");
            self.states
                .insert(name.into(), KeptFile::new(path, &self.open));
        }
        self.states
            .get_mut(name)
            .and_then(|file| file.read(scratch).map(parse_state))
            .unwrap_or(f64::NAN)
    }

    pub(crate) fn expire(&mut self, registry: &mut Registry, limits: &Limits) {
        self.family.expire(registry, limits.absent);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.family.refused()
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.dev.blind().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_table() {
        // From a virtual machine, Linux 6.18.
        let dev = include_bytes!("../fixtures/net_dev");
        let found: Vec<_> = lines(dev).filter_map(parse).collect();
        let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["lo", "ifb0", "ifb1", "eth0"]);
        let [rx_bytes, rx_packets, _, _, _, tx_packets, tx_errors, ..] = found[3].1;
        assert!(rx_bytes > rx_packets && rx_packets > 0 && tx_packets > 0);
        assert_eq!(tx_errors, 0);
    }

    #[test]
    fn an_alias_keeps_its_colon_and_a_short_line_is_refused() {
        let line = b"eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let counters = [1, 2, 3, 4, 9, 10, 11, 12, 6, 5, 15, 14];
        assert_eq!(parse(line), Some(("eth0:1", counters)));
        assert_eq!(parse(b"eth0: 1 2 3"), None);
    }

    #[test]
    fn states_that_carry_packets_are_up() {
        for (text, up) in [
            ("up\n", 1.0),
            ("unknown\n", 1.0),
            ("down\n", 0.0),
            ("lowerlayerdown\n", 0.0),
        ] {
            assert_eq!(parse_state(text.as_bytes()), up, "{text:?}");
        }
    }

    #[test]
    fn a_link_tells_what_its_driver_knows() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        std::fs::create_dir(folder.path().join("statistics")).unwrap();
        write("statistics/rx_missed_errors", "7\n");
        write("carrier_changes", "3\n");
        write("speed", "1000\n");
        write("duplex", "half\n");
        write("mtu", "1500\n");
        let mut scratch = Vec::new();
        let seen = link(folder.path(), &mut scratch);
        assert_eq!(seen, [7.0, 3.0, 125e6, 0.0, 1_500.0]);

        // As a virtual machine's card has it, and older kernels.
        write("duplex", "unknown\n");
        for speed in ["-1\n", "4294967295\n", "0\n"] {
            write("speed", speed);
            let [missed, _, speed, duplex, _] = link(folder.path(), &mut scratch);
            assert!(speed.is_nan() && duplex.is_nan() && missed == 7.0);
        }
        assert!(
            link(Path::new("/nowhere"), &mut scratch)
                .iter()
                .all(|value| value.is_nan())
        );
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = (parse_speed(&bytes), parse_duplex(&bytes));
        }
    }
}
