//! What waits before the host's links to be sent, by rtnetlink: rtnetlink(7), linux/rtnetlink.h, linux/gen_stats.h.
//!
//! A link whose speed nobody knows, or that is slowed down on purpose, shows that it is full by its queue alone.

use std::collections::HashMap;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};
use rustix::net::{AddressFamily, SocketType, netdevice};

use crate::family::Family;
use crate::limits::Limits;
use crate::netlink::{Netlink, NetlinkError, attributes, u32_at};
use crate::registry::Registry;

pub(crate) static SIGNALS: [&str; 1] = [names::INTERFACE_TX_QUEUE];
/// Asked for once in so many samples.
pub(crate) const EVERY: u64 = 2;
/// Names are asked for anew after so many dumps: a number may be another interface's by then.
const NAMES_EVERY: u64 = 30;
/// RTM_GETQDISC.
const GET_QUEUE: u16 = 38;
/// `struct tcmsg`, all zero: the queues of every interface.
const REQUEST: [u8; 20] = [0; 20];
/// TC_H_ROOT: the queue through which all goes. Those below it are counted in it.
const ROOT: u32 = u32::MAX;
/// TCA_KIND, TCA_STATS2, and in that TCA_STATS_QUEUE.
const KIND: u16 = 1;
const STATS: u16 = 7;
const STATS_QUEUE: u16 = 3;

/// What waits before one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Queue {
    index: u32,
    bytes: u32,
}

/// The queue in one answer; `None` for one that is below another, that holds nothing ever, or that is malformed.
fn parse(body: &[u8]) -> Option<Queue> {
    let (index, parent) = (u32_at(body, 4)?, u32_at(body, 12)?);
    let rest = body.get(REQUEST.len()..)?;
    if parent != ROOT {
        return None;
    }
    let mut bytes = None;
    for (kind, value) in attributes(rest) {
        match kind {
            KIND if value.starts_with(b"noqueue") => return None,
            STATS => {
                let mut parts = attributes(value);
                let queue = parts.find(|(kind, _)| *kind == STATS_QUEUE);
                // `struct gnet_stats_queue`: how many packets, then how many bytes.
                bytes = queue.and_then(|(_, queue)| u32_at(queue, 4));
            }
            _ => {}
        }
    }
    Some(Queue {
        index,
        bytes: bytes?,
    })
}

/// The source.
#[derive(Debug)]
pub(crate) struct Queues {
    family: Family<1>,
    names: HashMap<u32, Option<Box<str>>>,
    found: Vec<Queue>,
    limit: usize,
    round: u64,
    error: Option<String>,
}

impl Queues {
    pub(crate) fn new(host: HostId, limits: &Limits) -> Self {
        let kind = ComponentKind::Interface;
        Self {
            family: Family::new(host, kind, &SIGNALS, limits.interfaces),
            names: HashMap::new(),
            found: Vec::new(),
            limit: limits.interfaces,
            round: 0,
            error: None,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, route: &mut Netlink) {
        let round = self.round;
        self.round += 1;
        if !round.is_multiple_of(EVERY) {
            return;
        }
        if (round / EVERY).is_multiple_of(NAMES_EVERY) {
            self.names.clear();
        }
        let read = read(route, self.limit, &mut self.found);
        self.error = read.err().map(|error| format!("queues: {error}"));
        for queue in &self.found {
            let named = self.names.entry(queue.index);
            let name = named.or_insert_with(|| name(queue.index));
            if let Some(name) = name.as_deref().filter(|name| *name != "lo") {
                self.family.set(registry, name, &[f64::from(queue.bytes)]);
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
        self.error.clone().into_iter()
    }
}

/// The queues of at most so many interfaces; none where the dump failed.
fn read(route: &mut Netlink, limit: usize, found: &mut Vec<Queue>) -> Result<(), NetlinkError> {
    found.clear();
    let dumped = route.dump(GET_QUEUE, &REQUEST, |body| {
        if found.len() < limit {
            found.extend(parse(body));
        }
    });
    if dumped.is_err() {
        found.clear();
    }
    dumped.map(drop)
}

/// The interface of that number, while there is one.
fn name(index: u32) -> Option<Box<str>> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    let name = netdevice::index_to_name(socket, index).ok()?;
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An answer: of which interface, below what, of what kind, and with what in it.
    fn answer(index: u32, parent: u32, kind: &str, packets: u32, bytes: u32) -> Vec<u8> {
        let fixed = [0, index, 0, parent, 1].map(u32::to_ne_bytes).concat();
        let queue = [packets, bytes, 7, 0, 3].map(u32::to_ne_bytes).concat();
        let basic = attribute(1, &[0; 12]);
        let stats = [basic, attribute(STATS_QUEUE, &queue)].concat();
        let kind = attribute(KIND, format!("{kind}\0").as_bytes());
        [fixed, kind, attribute(STATS, &stats)].concat()
    }

    #[test]
    fn what_waits_is_read_where_all_goes_through() {
        let (index, bytes) = (2, 90_840);
        let full = answer(index, ROOT, "tbf", 60, bytes);
        assert_eq!(parse(&full), Some(Queue { index, bytes }));
        assert_eq!(parse(&answer(2, 0x1_0000, "fq_codel", 60, bytes)), None);
        assert_eq!(parse(&answer(3, ROOT, "noqueue", 0, 0)), None);
        assert_eq!(parse(&full[..full.len() - 4]), None, "cut short");
    }

    #[test]
    fn the_kernel_answers() {
        let (mut route, mut found) = (Netlink::route(), Vec::new());
        for _ in 0..2 {
            read(&mut route, 1_024, &mut found).unwrap();
        }
        read(&mut route, 0, &mut found).unwrap();
        assert_eq!(found, []);
        assert_eq!(name(1).as_deref(), Some("lo"));
        assert_eq!(name(u32::MAX), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_answer_never_panics(at in 0usize..80, byte in any::<u8>(), cut in 0usize..80) {
            let mut body = answer(2, ROOT, "fq", 3, 4_000);
            let length = body.len();
            body[at % length] = byte;
            let _ = parse(&body[..cut % (length + 1)]);
        }
    }
}
