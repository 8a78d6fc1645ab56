//! The observed graph: components by number, who calls whom, who lives where, who uses what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use firstlook_model::{ComponentId, ComponentKind, Edge, HostId, Mount, Situation};

/// Number of a component in a [`Graph`]: its place in the order of ids.
pub(crate) type Node = usize;

/// One edge by numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    pub caller: Node,
    pub callee: Node,
    pub edge: &'a Edge,
}

/// An index of a situation's components, edges and mounts. The same for any order of its lists.
pub(crate) struct Graph<'a> {
    ids: Vec<ComponentId>,
    nodes: HashMap<ComponentId, Node>,
    host: Vec<Option<Node>>,
    on_host: Vec<Vec<Node>>,
    links: Vec<Link<'a>>,
    outbound: Vec<Vec<usize>>,
    inbound: Vec<Vec<usize>>,
    users: Vec<Vec<Node>>,
    filesystems: Vec<Vec<Node>>,
    same_service: HashMap<String, Vec<Node>>,
}

impl<'a> Graph<'a> {
    /// Indexes everything that the situation names, with the host and the agent of each.
    pub fn new(situation: &'a Situation) -> Self {
        let ids = named(situation);
        let nodes: HashMap<_, _> = ids.iter().cloned().zip(0..).collect();
        let host: Vec<_> = ids
            .iter()
            .map(|id| id.its_host().and_then(|host| nodes.get(&host).copied()))
            .collect();
        let mut graph = Self {
            on_host: vec![Vec::new(); ids.len()],
            outbound: vec![Vec::new(); ids.len()],
            inbound: vec![Vec::new(); ids.len()],
            users: vec![Vec::new(); ids.len()],
            filesystems: vec![Vec::new(); ids.len()],
            same_service: HashMap::new(),
            links: Vec::with_capacity(situation.edges.len()),
            ids,
            nodes,
            host,
        };
        graph.place();
        graph.connect(&situation.edges);
        graph.mount(&situation.mounts);
        graph
    }

    fn place(&mut self) {
        for node in 0..self.ids.len() {
            if let Some(host) = self.host[node].filter(|host| *host != node) {
                self.on_host[host].push(node);
            }
            if self.kind(node) == ComponentKind::Service {
                let name = self.ids[node].name().to_owned();
                self.same_service.entry(name).or_default().push(node);
            }
        }
    }

    fn connect(&mut self, edges: &'a [Edge]) {
        for edge in edges {
            let (caller, callee) = (self.nodes[&edge.caller], self.nodes[&edge.callee]);
            if caller != callee {
                self.links.push(Link {
                    caller,
                    callee,
                    edge,
                });
            }
        }
        // Beyond the key, the newest first: a double is then the same whatever the order given.
        self.links.sort_by(|a, b| {
            let key = |link: &Link| (link.caller, link.callee, link.edge.port);
            key(a)
                .cmp(&key(b))
                .then(b.edge.last_seen.cmp(&a.edge.last_seen))
        });
        self.links
            .dedup_by_key(|link| (link.caller, link.callee, link.edge.port));
        for (number, link) in self.links.iter().enumerate() {
            self.outbound[link.caller].push(number);
            self.inbound[link.callee].push(number);
        }
    }

    fn mount(&mut self, mounts: &[Mount]) {
        for mount in mounts {
            let filesystem = self.nodes[&mount.component];
            for service in &mount.used_by {
                self.users[filesystem].push(self.nodes[service]);
                self.filesystems[self.nodes[service]].push(filesystem);
            }
        }
        for list in self.users.iter_mut().chain(&mut self.filesystems) {
            list.sort_unstable();
            list.dedup();
        }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn id(&self, node: Node) -> &ComponentId {
        &self.ids[node]
    }

    pub fn node(&self, id: &ComponentId) -> Option<Node> {
        self.nodes.get(id).copied()
    }

    pub fn kind(&self, node: Node) -> ComponentKind {
        self.ids[node].kind()
    }

    /// Its host; itself for a host, `None` for an endpoint.
    pub fn host(&self, node: Node) -> Option<Node> {
        self.host[node]
    }

    /// Everything on the host that the node is or lives on, the host left out.
    pub fn beside(&self, node: Node) -> &[Node] {
        self.host[node].map_or(&[], |host| &self.on_host[host])
    }

    /// Services on the host that the node is or lives on.
    pub fn services_beside(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        self.beside(node)
            .iter()
            .copied()
            .filter(|n| self.kind(*n) == ComponentKind::Service)
    }

    /// Network interfaces of the node's host, the loopback left out: its faults reach no peer.
    pub fn interfaces_beside(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        self.beside(node)
            .iter()
            .copied()
            .filter(|n| self.kind(*n) == ComponentKind::Interface && self.ids[*n].name() != "lo")
    }

    pub fn same_host(&self, a: Node, b: Node) -> bool {
        self.host[a].is_some() && self.host[a] == self.host[b]
    }

    pub fn callees(&self, node: Node) -> impl Iterator<Item = Link<'a>> + '_ {
        self.outbound[node].iter().map(|number| self.links[*number])
    }

    pub fn callers(&self, node: Node) -> impl Iterator<Item = Link<'a>> + '_ {
        self.inbound[node].iter().map(|number| self.links[*number])
    }

    pub fn calls(&self, caller: Node, callee: Node) -> bool {
        self.callees(caller).any(|link| link.callee == callee)
    }

    /// Services known to use a filesystem. Empty: not known.
    pub fn users(&self, filesystem: Node) -> &[Node] {
        &self.users[filesystem]
    }

    /// Filesystems that a service is known to use.
    pub fn filesystems_of(&self, service: Node) -> &[Node] {
        &self.filesystems[service]
    }

    /// The same service on other hosts.
    pub fn peers(&self, service: Node) -> impl Iterator<Item = Node> + '_ {
        let name = self.ids[service].name();
        let same = match self.kind(service) {
            ComponentKind::Service => self.same_service.get(name),
            _ => None,
        };
        same.into_iter()
            .flatten()
            .copied()
            .filter(move |n| *n != service)
    }

    /// What a component stands on: its host, that host's interfaces and disks, and the filesystems
    /// that it uses, all of the host where that is not known. Sorted.
    pub fn ground(&self, node: Node) -> Vec<Node> {
        let known = !self.filesystems[node].is_empty();
        let below = |n: &Node| match self.kind(*n) {
            ComponentKind::Filesystem => !known || self.filesystems[node].contains(n),
            ComponentKind::Interface => self.ids[*n].name() != "lo",
            ComponentKind::Disk => true,
            _ => false,
        };
        let beside = self.beside(node).iter().copied().filter(below);
        let mut ground: Vec<Node> = beside.chain(self.host[node]).collect();
        ground.sort_unstable();
        ground
    }
}

fn named(situation: &Situation) -> Vec<ComponentId> {
    let mut ids: BTreeSet<&ComponentId> = situation.components.iter().collect();
    for symptom in &situation.symptoms {
        ids.insert(&symptom.component);
        ids.extend(&symptom.peer);
    }
    ids.extend(situation.attestations.iter().map(|a| &a.component));
    ids.extend(situation.edges.iter().flat_map(|e| [&e.caller, &e.callee]));
    ids.extend(
        situation
            .mounts
            .iter()
            .flat_map(|m| m.used_by.iter().chain([&m.component])),
    );
    ids.extend(situation.changes.iter().map(|c| &c.component));
    ids.extend(situation.blind_spots.iter().map(|b| &b.component));
    let hosts: BTreeMap<&HostId, ()> = ids
        .iter()
        .filter_map(|id| Some((id.host_id()?, ())))
        .collect();
    let mut all: BTreeSet<ComponentId> = ids.iter().map(|id| (*id).clone()).collect();
    for host in hosts.into_keys() {
        all.insert(ComponentId::host(host.clone()));
        all.insert(ComponentId::agent(host.clone()));
    }
    all.into_iter().collect()
}
