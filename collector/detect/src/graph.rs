//! Naming both ends of every edge, and merging what both saw.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use firstlook_model::{Calls, ComponentId, Direction, Edge, EdgeStats, HostId, Timestamp};

use crate::context::Callers;
use crate::edges::{EdgeKey, Far, Judged, Track};
use crate::host::Host;
use crate::own::is_own;

/// An observed edge with its ends named. Caller and callee differ.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    /// Who observed it.
    pub host: &'a Host,
    pub key: &'a EdgeKey,
    pub track: &'a Track,
    pub caller: ComponentId,
    pub callee: ComponentId,
    /// Host at the other end; `None` where no agent is.
    pub far: Option<&'a HostId>,
}

impl Link<'_> {
    pub fn judged(&self) -> Judged<'_> {
        Judged {
            key: self.key,
            track: self.track,
            caller: &self.caller,
            callee: &self.callee,
            far: if self.far.is_some() {
                Far::Seen
            } else {
                Far::Endpoint
            },
        }
    }

    pub fn is_outbound(&self) -> bool {
        self.key.direction == Direction::Outbound
    }
}

/// Which host has which address, and which component which port.
struct Resolver<'a> {
    hosts: &'a BTreeMap<HostId, Host>,
    addresses: HashMap<IpAddr, (Timestamp, &'a HostId)>,
    /// Components seen to accept connections, where the list of listeners does not say.
    accepting: HashMap<(&'a HostId, u16), &'a ComponentId>,
}

impl<'a> Resolver<'a> {
    fn new(hosts: &'a BTreeMap<HostId, Host>) -> Self {
        let mut addresses: HashMap<IpAddr, (Timestamp, &HostId)> = HashMap::new();
        let mut accepting = HashMap::new();
        for (id, host) in hosts {
            for (address, since) in host.addresses() {
                // Claimed twice: whoever claimed it first keeps it.
                let claim = addresses.entry(*address).or_insert((*since, id));
                if *since < claim.0 {
                    *claim = (*since, id);
                }
            }
            for (key, _) in host.edges.iter() {
                if key.direction == Direction::Inbound {
                    accepting.insert((id, key.port), &key.local);
                }
            }
        }
        Self {
            hosts,
            addresses,
            accepting,
        }
    }

    /// The host that an address means, seen from `from`: bridges have the same address everywhere.
    fn host(&self, from: &'a Host, address: IpAddr) -> Option<&'a HostId> {
        if address.is_loopback() || from.has_address(address) {
            return Some(&from.id);
        }
        self.addresses.get(&address).map(|(_, host)| *host)
    }

    fn callee(&self, far: Option<&HostId>, address: IpAddr, port: u16) -> Option<ComponentId> {
        let Some(far) = far else {
            return ComponentId::endpoint(SocketAddr::new(address, port).to_string()).ok();
        };
        let host = self.hosts.get(far)?;
        let listed = host.listeners.owner(address, port);
        let owner = listed
            .filter(|owner| owner.name() != far.as_str())
            .or_else(|| self.accepting.get(&(far, port)).copied());
        Some(
            owner
                .cloned()
                .unwrap_or_else(|| ComponentId::host(far.clone())),
        )
    }
}

/// Every edge of every host with its ends named. In order of observing host and key.
pub(crate) fn links(hosts: &BTreeMap<HostId, Host>) -> Vec<Link<'_>> {
    let resolver = Resolver::new(hosts);
    let mut links = Vec::new();
    // Who on one host calls which port of another, and with how many connections.
    let mut calling: HashMap<(&HostId, &HostId, u16), (u32, ComponentId)> = HashMap::new();
    for host in hosts.values() {
        for (key, track) in host
            .edges
            .iter()
            .filter(|(k, _)| k.direction == Direction::Outbound)
        {
            let far = resolver.host(host, key.remote);
            if let Some(far) = far {
                let strength = track.stats.established.saturating_add(track.stats.opened);
                let known = calling
                    .entry((&host.id, far, key.port))
                    .or_insert((strength, key.local.clone()));
                if strength > known.0 {
                    *known = (strength, key.local.clone());
                }
            }
            let callee = resolver.callee(far, key.remote, key.port);
            let caller = key.local.clone();
            links.extend(callee.and_then(|callee| link(host, key, track, caller, callee, far)));
        }
    }
    for host in hosts.values() {
        for (key, track) in host
            .edges
            .iter()
            .filter(|(k, _)| k.direction == Direction::Inbound)
        {
            let far = resolver.host(host, key.remote);
            let caller = match far {
                Some(far) => calling.get(&(far, &host.id, key.port)).map_or_else(
                    || Some(ComponentId::host(far.clone())),
                    |(_, c)| Some(c.clone()),
                ),
                None => ComponentId::endpoint(key.remote.to_string()).ok(),
            };
            let callee = key.local.clone();
            links.extend(caller.and_then(|caller| link(host, key, track, caller, callee, far)));
        }
    }
    links
}

fn link<'a>(
    host: &'a Host,
    key: &'a EdgeKey,
    track: &'a Track,
    caller: ComponentId,
    callee: ComponentId,
    far: Option<&'a HostId>,
) -> Option<Link<'a>> {
    (caller != callee).then_some(Link {
        host,
        key,
        track,
        caller,
        callee,
        far,
    })
}

/// Both ends' views in one. Sorted by caller, callee, port; unique by those.
pub(crate) fn merged(links: &[Link<'_>], now: Timestamp) -> Vec<Edge> {
    let mut edges: BTreeMap<(&ComponentId, &ComponentId, u16), Edge> = BTreeMap::new();
    for link in links {
        let clock = &link.host.clock;
        let first = clock.corrected(link.track.first).min(now);
        let last = clock.corrected(link.track.last_live()).min(now);
        let edge = edges
            .entry((&link.caller, &link.callee, link.key.port))
            .or_insert_with(|| Edge {
                caller: link.caller.clone(),
                callee: link.callee.clone(),
                port: link.key.port,
                from_caller: None,
                from_callee: None,
                first_seen: first,
                last_seen: last,
            });
        edge.first_seen = edge.first_seen.min(first);
        edge.last_seen = edge.last_seen.max(last);
        let side = if link.is_outbound() {
            &mut edge.from_caller
        } else {
            &mut edge.from_callee
        };
        let present = link.host.edges.is_present(link.track);
        let seen = present.then(|| link.track.stats.clone());
        let stats = EdgeStats {
            calls: link.host.edges.calls(link.track),
            ..seen.unwrap_or_default()
        };
        *side = Some(match side.take() {
            Some(known) => sum(known, &stats),
            None => stats,
        });
    }
    edges.into_values().collect()
}

fn sum(a: EdgeStats, b: &EdgeStats) -> EdgeStats {
    let rtt_us = match (a.rtt_us, b.rtt_us) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    EdgeStats {
        established: a.established.saturating_add(b.established),
        syn_sent: a.syn_sent.saturating_add(b.syn_sent),
        close_wait: a.close_wait.saturating_add(b.close_wait),
        closing: a.closing.saturating_add(b.closing),
        opened: a.opened.saturating_add(b.opened),
        bytes_sent: a.bytes_sent.saturating_add(b.bytes_sent),
        bytes_received: a.bytes_received.saturating_add(b.bytes_received),
        segments_sent: a.segments_sent.saturating_add(b.segments_sent),
        retransmits: a.retransmits.saturating_add(b.retransmits),
        backing_off: a.backing_off.saturating_add(b.backing_off),
        full_backing_off: a.full_backing_off.saturating_add(b.full_backing_off),
        rtt_us,
        send_queue_bytes: a.send_queue_bytes.saturating_add(b.send_queue_bytes),
        receive_queue_bytes: a.receive_queue_bytes.saturating_add(b.receive_queue_bytes),
        stalled_ms: a.stalled_ms.max(b.stalled_ms),
        calls: match (a.calls, b.calls) {
            (Some(a), Some(b)) => Some(sum_calls(a, b)),
            (a, b) => a.or(b),
        },
    }
}

/// One caller's calls to two addresses of a callee: counted at the same time, as one agent counts all.
fn sum_calls(a: Calls, b: Calls) -> Calls {
    let took = |c: &Calls| u128::from(c.mean_us) * u128::from(c.requests);
    let requests = u128::from(a.requests) + u128::from(b.requests);
    let mean = (took(&a) + took(&b)) / requests.max(1);
    Calls {
        interval_ms: a.interval_ms.max(b.interval_ms),
        requests: a.requests.saturating_add(b.requests),
        failed: a.failed.saturating_add(b.failed),
        mean_us: u32::try_from(mean).unwrap_or(u32::MAX),
        longest_us: a.longest_us.max(b.longest_us),
        alone: a.alone && b.alone,
    }
}

/// Who depends on each component, by the edges that ever carried a connection.
pub(crate) fn callers(links: &[Link<'_>]) -> BTreeMap<ComponentId, Callers> {
    let mut callers: BTreeMap<ComponentId, Callers> = BTreeMap::new();
    let mut counted: BTreeSet<(&ComponentId, &ComponentId)> = BTreeSet::new();
    for link in links.iter().filter(|l| !is_own(&l.caller)) {
        let Some(alive) = link.track.alive.last else {
            continue;
        };
        let alive = link.host.clock.corrected(alive);
        let of_callee = callers.entry(link.callee.clone()).or_default();
        of_callee.last_alive = of_callee.last_alive.max(Some(alive));
        if counted.insert((&link.caller, &link.callee)) {
            if link.caller.host_id() == link.callee.host_id() {
                of_callee.local += 1;
            } else {
                of_callee.remote += 1;
            }
        }
    }
    callers
}
