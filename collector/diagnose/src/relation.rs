//! Relations between a faulty component and the places where its symptoms show.

use firstlook_model::ComponentKind;

use crate::catalogue::Relation;
use crate::graph::{Graph, Link, Node};
use crate::reach::{Reach, use_of};
use crate::witness::Observed;

/// Most places of one relation whose silence is asked about: the rest would add nothing.
const PLACES_LIMIT: usize = 32;

/// Certainty that a filesystem lies on a disk of its host.
const ON_THE_DISK: f64 = 0.7;

/// Certainty that an edge towards a host is towards the service on it that is meant.
const EDGE_TO_HOST: f64 = 0.9;

/// A place where a symptom is expected, with the probability that the relation holds.
pub(crate) enum Place<'a> {
    /// A component.
    At(Node, f64),
    /// An edge, as its caller sees it.
    On(Link<'a>, f64),
}

/// One component seen as the faulty one.
pub(crate) struct Seat<'g, 'a> {
    pub graph: &'g Graph<'a>,
    pub node: Node,
    pub reach: &'g Reach,
}

impl<'a> Seat<'_, 'a> {
    /// How surely the observation stands at the relation: 0 not, 1 for sure.
    pub fn holds(&self, relation: Relation, seen: &Observed<'_>) -> f64 {
        let (graph, node) = (self.graph, self.node);
        let when = |true_or_not: bool| f64::from(u8::from(true_or_not));
        let service = graph.kind(seen.node) == ComponentKind::Service;
        match relation {
            Relation::Itself => when(seen.node == node),
            Relation::ItsHost => when(graph.host(node) == Some(seen.node)),
            Relation::ItsFilesystem => self.filesystem(seen.node),
            Relation::Interface => when(
                graph.kind(seen.node) == ComponentKind::Interface
                    && graph.same_host(node, seen.node),
            ),
            Relation::ServicesOnIt => {
                when(service && seen.node != node && graph.same_host(node, seen.node))
            }
            Relation::FilesystemsOnIt => {
                let filesystem = graph.kind(seen.node) == ComponentKind::Filesystem;
                ON_THE_DISK * when(filesystem && graph.same_host(node, seen.node))
            }
            Relation::Users => {
                if service && graph.same_host(node, seen.node) {
                    use_of(graph, node, seen.node)
                } else {
                    0.0
                }
            }
            Relation::Callers => self.neighbour(seen, |entry| graph.calls(seen.node, entry)),
            Relation::Callees => self.neighbour(seen, |entry| graph.calls(entry, seen.node)),
            Relation::Edges => self.edge(seen),
            Relation::Neighbours => {
                when(service && seen.node != node && graph.same_host(node, seen.node))
            }
            Relation::Peers => when(graph.peers(node).any(|peer| peer == seen.node)),
            Relation::RemoteHosts => when(self.is_remote_host(seen.node)),
        }
    }

    /// Where the relation leads, the likeliest first. At most [`PLACES_LIMIT`].
    pub fn places(&self, relation: Relation, on_edges: bool) -> Vec<Place<'a>> {
        let (graph, node) = (self.graph, self.node);
        let at = |nodes: Vec<Node>| nodes.into_iter().map(|n| Place::At(n, 1.0)).collect();
        let entries = self.reach.entries().iter();
        let mut places: Vec<Place<'a>> = match relation {
            Relation::Itself => at(vec![node]),
            Relation::ItsHost => at(graph.host(node).into_iter().collect()),
            Relation::ItsFilesystem => at(graph.filesystems_of(node).to_vec()),
            Relation::Interface => at(graph.interfaces_beside(node).collect()),
            Relation::ServicesOnIt | Relation::Neighbours => {
                at(graph.services_beside(node).filter(|n| *n != node).collect())
            }
            Relation::Users => graph
                .services_beside(node)
                .map(|service| Place::At(service, use_of(graph, node, service)))
                .collect(),
            Relation::Callers if on_edges => entries
                .flat_map(|(entry, p)| graph.callers(*entry).map(|link| Place::On(link, *p)))
                .collect(),
            Relation::Callers => entries
                .flat_map(|(entry, p)| graph.callers(*entry).map(|link| Place::At(link.caller, *p)))
                .collect(),
            // Only the caller's end of an edge is asked: the callee's is seldom measured.
            Relation::Callees => entries
                .flat_map(|(entry, p)| graph.callees(*entry).map(|link| Place::At(link.callee, *p)))
                .collect(),
            Relation::Edges => entries
                .flat_map(|(entry, p)| {
                    let both = graph.callers(*entry).chain(graph.callees(*entry));
                    both.filter(|l| !graph.same_host(l.caller, l.callee))
                        .map(|l| Place::On(l, *p))
                })
                .collect(),
            Relation::Peers => at(graph.peers(node).collect()),
            Relation::RemoteHosts | Relation::FilesystemsOnIt => Vec::new(),
        };
        let likelihood = |place: &Place<'_>| match place {
            Place::At(_, p) | Place::On(_, p) => *p,
        };
        places.sort_by(|a, b| likelihood(b).total_cmp(&likelihood(a)));
        places.truncate(PLACES_LIMIT);
        places
    }

    fn filesystem(&self, filesystem: Node) -> f64 {
        let fits = self.graph.kind(filesystem) == ComponentKind::Filesystem
            && self.graph.same_host(self.node, filesystem);
        if fits {
            use_of(self.graph, filesystem, self.node)
        } else {
            0.0
        }
    }

    /// For an observation beside an entry: the entry's weight, if the peer, where named, is the
    /// entry or its host.
    fn neighbour(&self, seen: &Observed<'_>, adjacent: impl Fn(Node) -> bool) -> f64 {
        let of_entry = |(entry, p): (&Node, &f64)| match seen.peer {
            Some(peer) if peer == *entry => *p,
            Some(peer) if self.graph.host(*entry) == Some(peer) && adjacent(peer) => {
                p * EDGE_TO_HOST
            }
            Some(_) => 0.0,
            None => *p,
        };
        self.reach
            .entries()
            .iter()
            .filter(|(entry, _)| seen.node != **entry && adjacent(**entry))
            .map(of_entry)
            .fold(0.0, f64::max)
    }

    fn edge(&self, seen: &Observed<'_>) -> f64 {
        let Some(peer) = seen.peer else { return 0.0 };
        if self.graph.same_host(seen.node, peer) {
            return 0.0;
        }
        let entries = self.reach.entries();
        let end = |node: Node| entries.get(&node).copied().unwrap_or(0.0);
        end(seen.node).max(end(peer))
    }

    fn is_remote_host(&self, node: Node) -> bool {
        let kind = self.graph.kind(node);
        let is_host = matches!(kind, ComponentKind::Host | ComponentKind::Interface);
        is_host && !self.graph.same_host(node, self.node) && {
            let far = |end: Node| self.graph.same_host(end, node);
            self.reach.entries().keys().any(|entry| {
                self.graph.callers(*entry).any(|link| far(link.caller))
                    || self.graph.callees(*entry).any(|link| far(link.callee))
            })
        }
    }
}
