//! Neighbours on the host's own links, by rtnetlink: who did not answer ARP or NDP, and how full the tables
//! are. rtnetlink(7), linux/neighbour.h.

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::netlink::{Netlink, NetlinkError, u16_at};
use crate::reader::read_once;
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{number, value};

pub(crate) static SIGNALS: [&str; 4] = [
    names::NEIGHBOURS,
    names::NEIGHBOURS_LIMIT,
    names::NEIGHBOURS_FAILED,
    names::NEIGHBOURS_PENDING,
];
/// Asked for once in so many samples.
pub(crate) const EVERY: u64 = 5;
/// Limits are read once in so many dumps: they seldom change.
const LIMITS_EVERY: u64 = 12;
/// RTM_GETNEIGH.
const GET_NEIGHBOUR: u16 = 30;
/// `struct ndmsg`, all zero: neighbours of every family.
const REQUEST: [u8; 12] = [0; 12];
/// NUD_INCOMPLETE, NUD_FAILED, NUD_NOARP.
const INCOMPLETE: u16 = 0x01;
const FAILED: u16 = 0x20;
const NO_ARP: u16 = 0x40;
/// Address families in the order in which they are counted: IPv4, IPv6.
const FAMILIES: [u8; 2] = [2, 10];

/// What one dump counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// By family.
    known: [u64; 2],
    failed: u64,
    pending: u64,
}

impl Counts {
    /// Counts one neighbour. Those that need no asking, as multicast groups, do not count; nor does what is
    /// no neighbour.
    fn add(&mut self, body: &[u8]) {
        let (Some(family), Some(state)) = (body.first(), u16_at(body, 8)) else {
            return;
        };
        let Some(at) = FAMILIES.iter().position(|known| known == family) else {
            return;
        };
        if state & NO_ARP != 0 {
            return;
        }
        self.known[at] += 1;
        self.failed += u64::from(state & FAILED != 0);
        self.pending += u64::from(state & INCOMPLETE != 0);
    }

    /// How many there are and may be, of the family that is nearer to its limit.
    fn nearest(&self, limits: [Option<u64>; 2]) -> (u64, Option<u64>) {
        let [four, six] = [0, 1].map(|at| (self.known[at], limits[at]));
        let share = |(known, limit): (u64, Option<u64>)| {
            known as f64 / limit.unwrap_or(u64::MAX).max(1) as f64
        };
        if share(six) > share(four) { six } else { four }
    }
}

/// The source.
#[derive(Debug)]
pub(crate) struct Neighbours {
    files: [std::path::PathBuf; 2],
    limits: [Option<u64>; 2],
    group: Group<4>,
    round: u64,
    error: Option<String>,
}

impl Neighbours {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots) -> Self {
        let file = |family: &str| {
            let folder = roots.proc.join("sys/net").join(family);
            folder.join("neigh/default/gc_thresh3")
        };
        Self {
            files: ["ipv4", "ipv6"].map(file),
            limits: [None; 2],
            group: Group::new(host, &SIGNALS),
            round: 0,
            error: None,
        }
    }

    pub(crate) fn sample(
        &mut self,
        registry: &mut Registry,
        scratch: &mut Vec<u8>,
        route: &mut Netlink,
    ) {
        let round = self.round;
        self.round += 1;
        if !round.is_multiple_of(EVERY) {
            return;
        }
        if (round / EVERY).is_multiple_of(LIMITS_EVERY) {
            for (limit, path) in self.limits.iter_mut().zip(&self.files) {
                let bytes = read_once(path, scratch).ok();
                *limit = bytes.and_then(|bytes| number(bytes.trim_ascii_end()));
            }
        }
        let found = count(route);
        self.error = found
            .as_ref()
            .err()
            .map(|error| format!("neighbours: {error}"));
        if let Ok(counts) = found {
            let (known, limit) = counts.nearest(self.limits);
            let (failed, pending) = (counts.failed as f64, counts.pending as f64);
            let values = [known as f64, value(limit), failed, pending];
            self.group.set(registry, &values);
        }
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.error.clone().into_iter()
    }
}

fn count(route: &mut Netlink) -> Result<Counts, NetlinkError> {
    let mut counts = Counts::default();
    route.dump(GET_NEIGHBOUR, &REQUEST, |body| counts.add(body))?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(all: &[(u8, u16)]) -> Counts {
        let mut counts = Counts::default();
        for (family, state) in all {
            let mut body = vec![*family, 0, 0, 0, 2, 0, 0, 0];
            body.extend(state.to_ne_bytes());
            body.extend([0, 1]);
            counts.add(&body);
        }
        counts
    }

    #[test]
    fn silent_neighbours_are_told_from_those_that_answer() {
        const REACHABLE: u16 = 0x02;
        const BRIDGE: u8 = 7;
        let counts = counted(&[
            (2, REACHABLE),
            (2, FAILED),
            (10, INCOMPLETE),
            (10, NO_ARP),
            (BRIDGE, FAILED),
        ]);
        let expected = Counts {
            known: [2, 1],
            failed: 1,
            pending: 1,
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn the_fuller_table_is_told() {
        let counts = counted(&[(2, 2), (2, 2), (10, 2)]);
        assert_eq!(counts.nearest([Some(10), Some(2)]), (1, Some(2)));
        assert_eq!(counts.nearest([Some(10), Some(10)]), (2, Some(10)));
        assert_eq!(counts.nearest([None, None]), (2, None));
    }

    #[test]
    fn the_kernel_answers() {
        let mut route = Netlink::route();
        assert!(count(&mut route).is_ok());
        assert!(count(&mut route).is_ok(), "a second dump fails");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            Counts::default().add(&bytes);
        }
    }
}
