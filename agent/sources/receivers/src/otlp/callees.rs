//! Calls counted by who calls whom, where a span says at which address or name, and port.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use firstlook_model::ComponentId;
use tokio::time::Instant;

use super::spans::port;
use super::wire::{KeyValue, attribute, text};
use crate::called::{CALLS_LIMIT, Call, Callee, Counted, Tally};

/// How long is counted until it is told: programs send their spans every five seconds or so.
const COUNTED_FOR: Duration = Duration::from_secs(10);
/// Longest name, as the longest of DNS.
const NAME_LIMIT_BYTES: usize = 253;
/// Where the address of the other end stands, and its port: of the connection first, then of the service as the program
/// names it, in OpenTelemetry's words of now and of before.
const ENDS: [(&str, &[&str]); 5] = [
    (
        "network.peer.address",
        &["network.peer.port", "server.port"],
    ),
    (
        "net.sock.peer.addr",
        &["net.sock.peer.port", "net.peer.port"],
    ),
    ("net.peer.ip", &["net.peer.port"]),
    ("server.address", &["server.port"]),
    ("net.peer.name", &["net.peer.port"]),
];

/// What is counted now.
#[derive(Debug, Default)]
pub(super) struct Callees {
    calls: BTreeMap<Call, Tally>,
    began: Option<Instant>,
    no_room: u64,
}

impl Callees {
    /// Counts one call, where its attributes say of whom.
    pub fn count(
        &mut self,
        about: &ComponentId,
        attributes: &[KeyValue],
        nanos: u64,
        failed: bool,
    ) {
        let Some((callee, port)) = end(attributes) else {
            return;
        };
        let call = (about.clone(), callee, port);
        if self.calls.len() >= CALLS_LIMIT && !self.calls.contains_key(&call) {
            self.no_room += 1;
            return;
        }
        self.calls.entry(call).or_default().count(nanos, failed);
    }

    /// What was counted, once its time is over; and how many calls found no room since this was last asked.
    pub fn turn(&mut self) -> (Option<Counted>, u64) {
        let now = Instant::now();
        let no_room = std::mem::take(&mut self.no_room);
        let passed = now - *self.began.get_or_insert(now);
        if passed < COUNTED_FOR {
            return (None, no_room);
        }
        self.began = Some(now);
        let counted = Counted {
            calls: std::mem::take(&mut self.calls),
            interval_ms: u32::try_from(passed.as_millis()).unwrap_or(u32::MAX),
            ended: now,
        };
        (Some(counted), no_room)
    }
}

/// An address with a port, else a name with a port.
fn end(attributes: &[KeyValue]) -> Option<(Callee, u16)> {
    let mut named = None;
    for (key, ports) in ENDS {
        let Some(said) = text(attributes, key) else {
            continue;
        };
        let at = ports
            .iter()
            .find_map(|key| port(attribute(attributes, key)?));
        let Some(at) = at else { continue };
        match said.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if address.is_unspecified() || address.is_multicast() => {}
            Ok(address) => return Some((Callee::Address(address), at)),
            Err(_) if said.len() <= NAME_LIMIT_BYTES => {
                named.get_or_insert((Callee::Name(said.to_owned()), at));
            }
            Err(_) => {}
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::spans::said;
    use super::*;
    use firstlook_model::HostId;
    use proptest::prelude::*;

    fn host() -> ComponentId {
        ComponentId::host(HostId::new("h1").unwrap())
    }

    #[test]
    fn the_address_of_a_connection_goes_before_names_and_nothing_without_a_port() {
        let address = |text: &str| Callee::Address(text.parse().unwrap());
        for (pairs, expected) in [
            (
                &[
                    ("server.address", "db.lan"),
                    ("server.port", "6432"),
                    ("network.peer.address", "10.0.0.7"),
                    ("network.peer.port", "5432"),
                ][..],
                Some((address("10.0.0.7"), 5432)),
            ),
            (
                &[("server.address", "::ffff:10.0.0.7"), ("server.port", "80")],
                Some((address("10.0.0.7"), 80)),
            ),
            (
                &[("net.peer.ip", "::1"), ("net.peer.port", "80")],
                Some((address("::1"), 80)),
            ),
            (
                &[("net.peer.name", "db.lan"), ("net.peer.port", "80")],
                Some((Callee::Name("db.lan".to_owned()), 80)),
            ),
            (&[("server.address", "10.0.0.7")], None),
            (
                &[("server.address", "0.0.0.0"), ("server.port", "80")],
                None,
            ),
            (&[("peer.service", "billing")], None),
        ] {
            assert_eq!(end(&said(pairs)), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_told_when_their_time_is_over_and_counting_begins_anew() {
        let mut callees = Callees::default();
        assert!(callees.turn().0.is_none());
        let to = |n: usize| {
            let address = format!("10.0.{}.{}", n / 256, n % 256);
            said(&[("server.address", &address), ("server.port", "80")])
        };
        for n in 0..CALLS_LIMIT + 3 {
            callees.count(&host(), &to(n), 5_000_000, n == 0);
        }
        callees.count(&host(), &to(0), 7_000_000, false);
        let (told, no_room) = callees.turn();
        assert!((told.is_none(), no_room) == (true, 3));
        tokio::time::advance(COUNTED_FOR).await;
        let (told, no_room) = callees.turn();
        let told = told.unwrap();
        assert_eq!((told.interval_ms, no_room), (10_000, 0));
        assert_eq!(told.calls.len(), CALLS_LIMIT);
        let first = Tally {
            requests: 2,
            failed: 1,
            sum_us: 12_000,
            longest_us: 7_000,
        };
        assert_eq!(told.calls.values().next(), Some(&first));
        tokio::time::advance(COUNTED_FOR).await;
        assert!(callees.turn().0.unwrap().calls.is_empty());
    }

    proptest! {
        #[test]
        fn no_address_nor_port_that_is_told_can_be_none(
            address in "[0-9a-f.:]{0,12}|.{0,300}",
            at in ".{0,8}|[0-9]{1,6}",
        ) {
            let pairs = [("server.address", address.as_str()), ("server.port", at.as_str())];
            if let Some((callee, port)) = end(&said(&pairs)) {
                prop_assert!(port != 0);
                match callee {
                    Callee::Address(address) => prop_assert!(!address.is_unspecified()),
                    Callee::Name(name) => prop_assert!(name.len() <= NAME_LIMIT_BYTES),
                }
            }
        }
    }
}
