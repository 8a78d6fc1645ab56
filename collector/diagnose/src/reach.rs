//! Reach: whom a component's trouble hurts, and how surely.
//!
//! A callee's trouble reaches its callers in proportion to the traffic that they send it, over at most
//! [`HOPS`] hops, several paths combined by noisy-or. A host's trouble is that of everything on it, a
//! filesystem's that of the services that use it. Where nobody saw which of a host's services calls, each of
//! them may be the caller. The other way round nothing is assumed.

use std::collections::BTreeMap;

use firstlook_model::{ComponentKind, Edge};

use crate::graph::{Graph, Node};

/// Farthest caller that trouble is followed to.
const HOPS: usize = 3;

/// P(trouble passes to a caller that sends all its traffic there).
const PASSED_ON: f64 = 0.85;

/// P(hurt) of a service on a filesystem's host when nobody knows which services use it.
const MAY_USE: f64 = 0.5;

/// The same when users are known, and this service is not among them: the list may lack some.
const UNLISTED_USER: f64 = 0.15;

/// P(a service is the one that calls) where only its host is known to.
const MAY_CALL: f64 = 0.4;

/// P(hurt) from which a component is likely enough to be hurt to belong to the incident.
const LIKELY: f64 = 0.1;

/// Whom one component's trouble hurts: probabilities given that the trouble is felt at all.
pub(crate) struct Reach {
    entries: BTreeMap<Node, f64>,
    hurt: BTreeMap<Node, f64>,
}

impl Reach {
    pub fn of(graph: &Graph<'_>, node: Node) -> Self {
        let entries = entries(graph, node);
        let mut hurt = entries.clone();
        let mut front = entries.clone();
        for _ in 0..HOPS {
            let mut next: BTreeMap<Node, f64> = BTreeMap::new();
            for (callee, p) in &front {
                for link in graph.callers(*callee) {
                    let passed = p * PASSED_ON * share(graph, link.caller, *callee);
                    let callers = callers(graph, link.caller);
                    for (caller, calls) in callers.filter(|(caller, _)| !hurt.contains_key(caller))
                    {
                        let sum = next.entry(caller).or_default();
                        *sum = either(*sum, passed * calls);
                    }
                }
            }
            hurt.extend(&next);
            front = next;
        }
        Self { entries, hurt }
    }

    /// The services in which the trouble enters the graph of calls: the component itself if it can
    /// be called, else those on it.
    pub fn entries(&self) -> &BTreeMap<Node, f64> {
        &self.entries
    }

    /// Everybody whom it is likely to hurt.
    pub fn likely(&self) -> impl Iterator<Item = Node> + '_ {
        self.hurt
            .iter()
            .filter(|(_, p)| **p >= LIKELY)
            .map(|(node, _)| *node)
    }

    /// P(hurt) of a component.
    pub fn hurt(&self, node: Node) -> f64 {
        self.hurt.get(&node).copied().unwrap_or(0.0)
    }
}

/// Who calls where an edge names this caller, with P(it does): itself, and for a host each of its services.
fn callers<'g>(graph: &'g Graph<'_>, named: Node) -> impl Iterator<Item = (Node, f64)> + 'g {
    let is_host = graph.kind(named) == ComponentKind::Host;
    let services = is_host.then(|| {
        graph
            .services_beside(named)
            .map(|service| (service, MAY_CALL))
    });
    services.into_iter().flatten().chain([(named, 1.0)])
}

/// Probability that at least one of two independent things happens.
pub(crate) fn either(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - a) * (1.0 - b)
}

fn entries(graph: &Graph<'_>, node: Node) -> BTreeMap<Node, f64> {
    match graph.kind(node) {
        ComponentKind::Service | ComponentKind::Endpoint => [(node, 1.0)].into(),
        ComponentKind::Host | ComponentKind::Interface => {
            let services = graph.services_beside(node).map(|service| (service, 1.0));
            // Edges name the host where the owner of a port is not known.
            services
                .chain(graph.host(node).map(|host| (host, 1.0)))
                .collect()
        }
        ComponentKind::Filesystem | ComponentKind::Disk => graph
            .services_beside(node)
            .map(|service| (service, use_of(graph, node, service)))
            .collect(),
        ComponentKind::Agent => BTreeMap::new(),
    }
}

/// P(the service uses the filesystem), for a service on the same host.
pub(crate) fn use_of(graph: &Graph<'_>, filesystem: Node, service: Node) -> f64 {
    let users = graph.users(filesystem);
    match users.binary_search(&service) {
        Ok(_) => 1.0,
        Err(_) if users.is_empty() => MAY_USE,
        Err(_) => UNLISTED_USER,
    }
}

/// Half for being a callee at all, the other half by its share of the caller's traffic: one of two
/// backends hurts its caller less than the only one.
fn share(graph: &Graph<'_>, caller: Node, callee: Node) -> f64 {
    let (mut of_callee, mut of_all) = (0.0, 0.0);
    for link in graph.callees(caller) {
        let traffic = 1.0 + traffic_bytes(link.edge);
        of_all += traffic;
        if link.callee == callee {
            of_callee += traffic;
        }
    }
    if of_all > 0.0 {
        0.5 + 0.5 * of_callee / of_all
    } else {
        1.0
    }
}

fn traffic_bytes(edge: &Edge) -> f64 {
    let stats = edge.from_caller.as_ref().or(edge.from_callee.as_ref());
    stats.map_or(0.0, |s| s.bytes_sent as f64 + s.bytes_received as f64)
}
