//! How many ports of this host its calls to one place take. Pure.
//!
//! A port can be handed out once towards each address and port: what runs out is the range towards one place,
//! and no counter of TCP tells. Connections in TIME-WAIT keep theirs.

use std::collections::HashMap;

use super::listeners::Listeners;
use super::message::{End, Socket};
use crate::sockstat::PortRange;

/// Places that are told apart; calls to further ones are not counted.
const PLACES_LIMIT: usize = 10_000;
/// TIME-WAIT is left out of account while all of it together is less than one in so many ports.
const WORTH_LOOKING: u64 = 10;

/// Ports in use, by the place called.
#[derive(Debug)]
pub(crate) struct PortUse {
    range: PortRange,
    places: HashMap<End, u64>,
}

impl PortUse {
    pub(crate) fn new(range: PortRange) -> Self {
        Self {
            range,
            places: HashMap::new(),
        }
    }

    /// Counts a connection that this host began: from a port of the range where nobody listens.
    pub(crate) fn add(&mut self, socket: &Socket, listeners: &Listeners) {
        // Another network namespace has a range of its own.
        let called = !socket.elsewhere
            && self.range.contains(socket.local.port)
            && listeners.of(socket).is_none();
        if !called {
            return;
        }
        let room = self.places.len() < PLACES_LIMIT;
        if room || self.places.contains_key(&socket.remote) {
            *self.places.entry(socket.remote).or_insert(0) += 1;
        }
    }

    /// Ports towards the place that takes most of them. At most those of the range: from several addresses of
    /// its own a host can take each port more than once.
    pub(crate) fn most(&self) -> u64 {
        let most = self.places.values().copied().max().unwrap_or(0);
        most.min(self.range.count())
    }
}

/// Whether so many connections in TIME-WAIT can matter.
pub(crate) fn worth_looking(range: PortRange, time_wait: Option<u64>) -> bool {
    time_wait.is_some_and(|count| count >= range.count() / WORTH_LOOKING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::Ownership;
    use crate::sockets::message::state;
    use crate::sockstat::parse_range;
    use std::time::Duration;

    fn socket(local: u16, place: u8, port: u16) -> Socket {
        let end = |last, port| End {
            address: [10, 0, 0, last].into(),
            port,
        };
        Socket {
            state: state::TIME_WAIT,
            local: end(1, local),
            remote: end(place, port),
            cookie: u64::from(local),
            inode: 0,
            receive_queue: 0,
            send_queue: 0,
            cgroup: None,
            tcp: None,
            elsewhere: false,
            called: None,
        }
    }

    #[test]
    fn the_place_that_takes_most_ports_counts_and_callers_of_ours_do_not() {
        let range = parse_range(b"40000 40009").unwrap();
        let mut listeners = Listeners::default();
        listeners.update(&[socket(40_009, 0, 0)], Duration::ZERO, |_| {
            Ownership::Unknown
        });
        let mut used = PortUse::new(range);
        assert_eq!(used.most(), 0);
        let calls = [
            socket(40_000, 2, 443),
            socket(40_001, 2, 443),
            socket(40_000, 3, 443),
            socket(40_002, 2, 444),
            // Another called us, from wherever; and one that was bound by hand.
            socket(40_009, 2, 443),
            socket(443, 2, 443),
        ];
        for call in &calls {
            used.add(call, &listeners);
        }
        assert_eq!(used.most(), 2);
        for _ in 0..20 {
            used.add(&calls[0], &listeners);
        }
        assert_eq!(used.most(), 10, "not more than there are");
    }

    #[test]
    fn few_connections_in_time_wait_are_not_worth_a_dump() {
        let range = parse_range(b"40000 40099").unwrap();
        assert!(!worth_looking(range, None));
        assert!(!worth_looking(range, Some(9)));
        assert!(worth_looking(range, Some(10)));
    }
}
