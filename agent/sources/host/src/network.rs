//! Interfaces: counters (`/proc/net/dev`) and state (`operstate` in sysfs). Loopback is left out, and
//! whatever never carried a packet while it is down.

use std::collections::HashMap;
use std::path::PathBuf;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number};

pub(crate) static SIGNALS: [&str; 9] = [
    names::INTERFACE_RX_BYTES,
    names::INTERFACE_RX_PACKETS,
    names::INTERFACE_RX_ERRORS,
    names::INTERFACE_RX_DROPS,
    names::INTERFACE_TX_BYTES,
    names::INTERFACE_TX_PACKETS,
    names::INTERFACE_TX_ERRORS,
    names::INTERFACE_TX_DROPS,
    names::INTERFACE_UP,
];
/// Columns of the first eight signals after the name.
const COLUMNS: [usize; 8] = [0, 1, 2, 3, 8, 9, 10, 11];

/// One line of `/proc/net/dev`: the name, then bytes, packets, errors and drops received and sent.
fn parse(line: &[u8]) -> Option<(&str, [u64; 8])> {
    let colon = line.iter().rposition(|b| *b == b':')?;
    let name = std::str::from_utf8(fields(&line[..colon]).next()?).ok()?;
    let mut all = [0; 12];
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

/// The source.
#[derive(Debug)]
pub(crate) struct Network {
    dev: KeptFile,
    states: HashMap<Box<str>, KeptFile>,
    class: PathBuf,
    open: Descriptors,
    family: Family<9>,
    limit: usize,
    /// Holds the counters while `operstate` is read into the shared buffer.
    found: Vec<(Box<str>, [u64; 8])>,
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
        for (name, counters) in &found {
            let up = self.state(name, scratch);
            if up == 0.0 && counters[1] == 0 && counters[5] == 0 {
                continue;
            }
            let mut values = [up; 9];
            for (value, counter) in values.iter_mut().zip(counters) {
                *value = *counter as f64;
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
        let [rx_bytes, rx_packets, .., tx_packets, tx_errors, _] = found[3].1;
        assert!(rx_bytes > rx_packets && rx_packets > 0 && tx_packets > 0);
        assert_eq!(tx_errors, 0);
    }

    #[test]
    fn an_alias_keeps_its_colon_and_a_short_line_is_refused() {
        let line = b"eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        assert_eq!(parse(line), Some(("eth0:1", [1, 2, 3, 4, 9, 10, 11, 12])));
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

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
