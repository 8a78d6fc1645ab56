//! Where what spans told of calls waits for the host's next look at its connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firstlook_model::{Calls, ComponentId, Direction, EdgeObservation, EdgeStats, Timestamp};
use tokio::time::Instant;

/// Most that are told apart in one count.
pub(crate) const CALLS_LIMIT: usize = 256;
/// What is not replaced for so long is not told any more: its receiver has ended.
const OLD_AFTER: Duration = Duration::from_secs(30);

/// Who is called, by the words of a span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Callee {
    /// Canonical.
    Address(IpAddr),
    Name(String),
}

/// Who calls whom, at which port.
pub(crate) type Call = (ComponentId, Callee, u16);

/// Calls of one sort, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub requests: u64,
    pub failed: u64,
    pub sum_us: u64,
    pub longest_us: u64,
}

/// What was counted over a time that has ended.
#[derive(Debug)]
pub(crate) struct Counted {
    pub calls: BTreeMap<Call, Tally>,
    /// Not 0.
    pub interval_ms: u32,
    pub ended: Instant,
}

/// The newest count, given with each look until the next count; counts that no look came for are one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Called(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    counted: Option<Counted>,
    /// Whether a look was given it.
    told: bool,
}

impl Called {
    /// Adds what was counted to the edges of one look, which ended at `time` and covered `interval_ms`. Edges that are not
    /// among them begin, marked as told alone. A name means an address where the caller has connections to just one at its
    /// port; else there is no edge.
    pub fn join(&self, edges: &mut Vec<EdgeObservation>, time: Timestamp, interval_ms: u32) {
        let mut waiting = self.waiting();
        waiting.told = true;
        let counted = waiting.counted.as_ref();
        let Some(counted) = counted.filter(|c| c.ended.elapsed() < OLD_AFTER) else {
            return;
        };
        let outbound = edges.iter().enumerate();
        let seen: BTreeMap<(ComponentId, u16, IpAddr), usize> = outbound
            .filter(|(_, edge)| edge.direction == Direction::Outbound)
            .map(|(at, e)| ((e.local.clone(), e.port, e.remote.to_canonical()), at))
            .collect();
        let mut told: BTreeMap<(ComponentId, u16, IpAddr), Tally> = BTreeMap::new();
        for ((about, callee, port), tally) in &counted.calls {
            let address = match callee {
                Callee::Address(address) => Some(*address),
                Callee::Name(_) => only(&seen, about, *port),
            };
            if let Some(address) = address {
                let key = (about.clone(), *port, address);
                told.entry(key).or_default().add(tally);
            }
        }
        for (key, tally) in told {
            let known = seen.get(&key).and_then(|at| edges.get_mut(*at));
            let calls = tally.calls(counted.interval_ms, known.is_none());
            if let Some(known) = known {
                known.stats.calls = Some(calls);
                continue;
            }
            let (local, port, remote) = key;
            edges.push(EdgeObservation {
                time,
                interval_ms,
                local,
                direction: Direction::Outbound,
                remote,
                port,
                stats: EdgeStats {
                    calls: Some(calls),
                    ..EdgeStats::default()
                },
            });
        }
    }

    /// In place of what was counted before, and with it where no look came meanwhile: a host in need looks
    /// seldom. Returns how many calls found no room.
    pub(crate) fn put(&self, mut counted: Counted) -> u64 {
        let mut waiting = self.waiting();
        let told = std::mem::take(&mut waiting.told);
        let untold = waiting.counted.take().filter(|_| !told);
        let no_room = untold.map_or(0, |untold| counted.add(untold));
        waiting.counted = Some(counted);
        no_room
    }

    pub(crate) fn clear(&self) {
        *self.waiting() = Waiting::default();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whoever held it left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that `about` has connections to at a port, where there is just one.
fn only(
    seen: &BTreeMap<(ComponentId, u16, IpAddr), usize>,
    about: &ComponentId,
    port: u16,
) -> Option<IpAddr> {
    let least = (about.clone(), port, IpAddr::from([0; 4]));
    let mut of = seen
        .range(least..)
        .take_while(|((local, at, _), _)| local == about && *at == port);
    let ((.., address), _) = of.next()?;
    of.next().is_none().then_some(*address)
}

impl Counted {
    /// With what was counted just before it, unless that is too old to be told. Returns how many calls found no room.
    fn add(&mut self, before: Self) -> u64 {
        if before.ended.elapsed() >= OLD_AFTER {
            return 0;
        }
        self.interval_ms = self.interval_ms.saturating_add(before.interval_ms);
        let mut no_room = 0;
        for (call, tally) in before.calls {
            if self.calls.len() < CALLS_LIMIT || self.calls.contains_key(&call) {
                self.calls.entry(call).or_default().add(&tally);
            } else {
                no_room += tally.requests;
            }
        }
        no_room
    }
}

impl Tally {
    pub fn count(&mut self, nanos: u64, failed: bool) {
        self.add(&Self {
            requests: 1,
            failed: u64::from(failed),
            sum_us: nanos / 1_000,
            longest_us: nanos / 1_000,
        });
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failed = self.failed.saturating_add(other.failed);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.longest_us = self.longest_us.max(other.longest_us);
    }

    fn calls(&self, interval_ms: u32, alone: bool) -> Calls {
        let us = |us: u64| u32::try_from(us).unwrap_or(u32::MAX);
        Calls {
            interval_ms,
            requests: self.requests,
            failed: self.failed,
            mean_us: us(self.sum_us / self.requests.max(1)),
            longest_us: us(self.longest_us),
            alone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::HostId;

    fn shop() -> ComponentId {
        "service:h1/shop.service".parse().unwrap()
    }

    fn edge(remote: &str, port: u16, direction: Direction) -> EdgeObservation {
        EdgeObservation {
            time: Timestamp::from_secs(9),
            interval_ms: 2_000,
            local: shop(),
            direction,
            remote: remote.parse().unwrap(),
            port,
            stats: EdgeStats {
                established: 2,
                ..EdgeStats::default()
            },
        }
    }

    fn put(called: &Called, calls: &[(Callee, u16)]) -> u64 {
        let tally = |nanos| {
            let mut tally = Tally::default();
            tally.count(nanos, true);
            tally.count(3 * nanos, false);
            tally
        };
        let calls = calls.iter().cloned();
        called.put(Counted {
            calls: calls
                .map(|(callee, port)| ((shop(), callee, port), tally(2_000_000)))
                .collect(),
            interval_ms: 10_000,
            ended: Instant::now(),
        })
    }

    fn name(name: &str) -> Callee {
        Callee::Name(name.to_owned())
    }

    fn address(text: &str) -> Callee {
        Callee::Address(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn calls_stand_with_the_connections_of_the_edge_and_begin_one_where_there_are_none() {
        let called = Called::default();
        let calls = [(address("10.0.0.7"), 5432), (address("10.0.0.8"), 5432)];
        put(&called, &calls);
        let dump = || {
            vec![
                edge("::ffff:10.0.0.7", 5432, Direction::Outbound),
                edge("10.0.0.8", 5432, Direction::Inbound),
            ]
        };
        let mut edges = dump();
        called.join(&mut edges, Timestamp::from_secs(9), 2_000);
        let told = |alone| Calls {
            interval_ms: 10_000,
            requests: 2,
            failed: 1,
            mean_us: 4_000,
            longest_us: 6_000,
            alone,
        };
        let of = |e: &EdgeObservation| (e.direction, e.stats.established, e.stats.calls);
        assert_eq!(
            edges.iter().map(of).collect::<Vec<_>>(),
            [
                (Direction::Outbound, 2, Some(told(false))),
                (Direction::Inbound, 2, None),
                (Direction::Outbound, 0, Some(told(true))),
            ]
        );
        assert_eq!((edges[2].time, edges[2].port), (edges[0].time, 5432));
        assert_eq!(edges[2].local, shop());
        tokio::time::advance(OLD_AFTER).await;
        let mut later = dump();
        called.join(&mut later, Timestamp::from_secs(39), 2_000);
        assert_eq!(later, dump());
    }

    #[tokio::test]
    async fn a_name_is_an_address_only_where_the_caller_is_connected_to_one() {
        let called = Called::default();
        put(
            &called,
            &[(name("db"), 5432), (name("web"), 443), (name("no"), 80)],
        );
        let out = |remote, port| edge(remote, port, Direction::Outbound);
        let other = EdgeObservation {
            local: ComponentId::host(HostId::new("h1").unwrap()),
            ..out("10.0.0.9", 5432)
        };
        let mut edges = vec![
            out("10.0.0.7", 5432),
            other,
            out("::1", 443),
            out("::2", 443),
        ];
        called.join(&mut edges, Timestamp::from_secs(9), 2_000);
        let told: Vec<_> = edges.iter().map(|e| e.stats.calls.is_some()).collect();
        assert_eq!(told, [true, false, false, false]);
        // Two names of one address are calls to one.
        put(&called, &[(name("db"), 5432), (address("10.0.0.7"), 5432)]);
        called.join(&mut edges, Timestamp::from_secs(9), 2_000);
        assert_eq!(edges[0].stats.calls.unwrap().requests, 4);
        assert_eq!(edges.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn counts_that_no_look_came_for_are_told_together_and_each_once() {
        let called = Called::default();
        let db = [(address("10.0.0.7"), 5432)];
        let told = || {
            let mut edges = Vec::new();
            called.join(&mut edges, Timestamp::from_secs(9), 2_000);
            let calls = edges[0].stats.calls.unwrap();
            (calls.requests, calls.interval_ms)
        };
        put(&called, &db);
        put(&called, &db);
        // Until the next count, looks are given the same.
        assert_eq!([told(), told()], [(4, 20_000), (4, 20_000)]);
        put(&called, &db);
        assert_eq!(told(), (2, 10_000));
        put(&called, &db);
        tokio::time::advance(OLD_AFTER).await;
        put(&called, &db);
        assert_eq!(told(), (2, 10_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_look_comes_for_takes_no_more_room_and_is_said_to_be_left_out() {
        let called = Called::default();
        let many: Vec<_> = (0..CALLS_LIMIT)
            .map(|at| (address("10.0.0.7"), u16::try_from(at + 1).unwrap()))
            .collect();
        assert_eq!(put(&called, &many[1..]), 0);
        assert_eq!(put(&called, &[(address("10.0.0.8"), 80)]), 0);
        assert_eq!(put(&called, &many[..1]), 2);
        let mut edges = Vec::new();
        called.join(&mut edges, Timestamp::from_secs(9), 2_000);
        assert_eq!(edges.len(), CALLS_LIMIT);
    }
}
