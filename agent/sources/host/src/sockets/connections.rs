//! Connections from one dump to the next, and the edges they make. Pure.
//!
//! Counters of a socket are kept by its cookie, so that an edge reports what moved in its interval. What was
//! there at the first dump counts from then on. A connection that ended meanwhile adds its last counts; one
//! that no dump saw belongs to its listener's owner, or to the one service known to call that address.

mod rows;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{Direction, EdgeStats};

use super::listeners::Listeners;
use super::message::{Counted, End, Socket, state};
use super::sum::Sum;
use super::{Ownership, SocketTallies};
use rows::{Row, Rows};

/// An edge without connections is still reported, as such, for so long.
const LINGER: Duration = Duration::from_secs(60);
/// Who called what is remembered for so long, to tell whose a connection was that no dump saw.
const MEMORY: Duration = Duration::from_secs(600);
/// Edges remembered, in budgets of edges reported.
const MEMORY_FACTOR: usize = 4;
/// What connections are added up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EdgeKey {
    /// The service; `None` where the owner is not known.
    pub owner: Option<Arc<str>>,
    pub direction: Direction,
    pub remote: IpAddr,
    pub port: u16,
}

impl EdgeKey {
    /// `None` where the port is not known: the kernel takes a refused call's away before it tells of its end.
    fn of(owner: Option<Arc<str>>, direction: Direction, socket: &Socket) -> Option<Self> {
        let port = match direction {
            Direction::Inbound => socket.called.unwrap_or(socket.local.port),
            Direction::Outbound => socket.remote.port,
        };
        (port != 0).then_some(Self {
            owner,
            direction,
            remote: socket.remote.address,
            port,
        })
    }
}

/// One look at the connections of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dump<'a> {
    pub sockets: &'a [Socket],
    /// Those that ended since the last dump.
    pub ended: &'a [Socket],
    pub listeners: &'a Listeners,
    /// Monotonic.
    pub now: Duration,
    /// The host's own addresses; loopback need not be among them.
    pub addresses: &'a [IpAddr],
}

impl Dump<'_> {
    /// Whether both ends of a connection are on this host.
    fn stays_here(&self, socket: &Socket) -> bool {
        let remote = &socket.remote.address;
        remote.is_loopback() || *remote == socket.local.address || self.addresses.contains(remote)
    }
}

/// Edges that are known, and who calls what.
#[derive(Default)]
struct Known {
    keys: HashSet<EdgeKey>,
    callers: HashMap<(IpAddr, u16), Callers>,
}

enum Callers {
    One(Option<Arc<str>>),
    Several,
}

impl Known {
    fn of<'a>(keys: impl Iterator<Item = &'a EdgeKey>) -> Self {
        let mut known = Self::default();
        for key in keys {
            if !known.keys.insert(key.clone()) || key.direction == Direction::Inbound {
                continue;
            }
            known
                .callers
                .entry((key.remote, key.port))
                .and_modify(|callers| *callers = Callers::Several)
                .or_insert_with(|| Callers::One(key.owner.clone()));
        }
        known
    }

    /// The only one who is known to call what this socket called.
    fn caller(&self, direction: Direction, socket: &Socket) -> Option<Option<Arc<str>>> {
        let remote = (socket.remote.address, socket.remote.port);
        match (direction, self.callers.get(&remote)?) {
            (Direction::Outbound, Callers::One(owner)) => Some(owner.clone()),
            _ => None,
        }
    }
}

/// No row: there are fewer.
const NO_ROW: Row = Row::MAX;

#[derive(Debug)]
struct Tracked {
    direction: Direction,
    /// The other end, while the kernel still knew it.
    remote: End,
    /// Where that is on this host, its row; [`NO_ROW`] while it is not known.
    peer: Row,
    owner: Ownership,
    fresh: bool,
    counted: Counted,
    generation: u32,
}

/// The table of connections.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Rows<Tracked>,
    edges: HashMap<EdgeKey, Duration>,
    generation: u32,
    /// Before the first dump.
    first: bool,
    edge_limit: usize,
    beyond: u64,
    unattributed: u64,
    /// What was called by nobody that is known, in the last report.
    uncalled: HashSet<(IpAddr, u16)>,
}

impl Connections {
    pub(crate) fn new(edge_limit: usize) -> Self {
        Self {
            table: Rows::new(),
            edges: HashMap::new(),
            generation: 0,
            first: true,
            edge_limit,
            beyond: 0,
            unattributed: 0,
            uncalled: HashSet::new(),
        }
    }

    /// Whose a socket is, if it was decided before.
    pub(crate) fn decided(&self, socket: &Socket) -> bool {
        let row = self.table.of(socket.cookie);
        row.and_then(|row| self.table.get(row))
            .is_some_and(|tracked| tracked.owner != Ownership::Pending)
    }

    /// Takes a new dump; returns the edges, in no order, and adds to the services' tallies. The first dump
    /// makes no edges.
    pub(crate) fn update(
        &mut self,
        dump: &Dump<'_>,
        resolve: impl FnMut(&Socket) -> Ownership,
        tallies: &mut SocketTallies,
    ) -> Vec<(EdgeKey, EdgeStats)> {
        let first = std::mem::take(&mut self.first);
        self.generation = self.generation.wrapping_add(1);
        let rows = self.own(dump, first, resolve, tallies);
        let within = self.within(dump, &rows);
        let mut sums: HashMap<EdgeKey, Sum> = HashMap::new();
        for ((socket, row), within) in dump.sockets.iter().zip(rows).zip(within) {
            let Some(tracked) = self.table.get_mut(row).filter(|_| !within) else {
                continue;
            };
            let Some(owner) = tracked.owner.known() else {
                continue;
            };
            let Some(key) = EdgeKey::of(owner, tracked.direction, socket) else {
                continue;
            };
            let sum = sums.entry(key).or_default();
            sum.add_state(socket, tracked.direction);
            sum.opened(tracked.fresh);
            sum.add_counts(socket, tracked.direction, tracked.counted);
            tracked.fresh = false;
            if let Some(tcp) = socket.tcp {
                tracked.counted = tcp.into();
            }
        }
        if !first {
            self.add_ended(dump, &mut sums);
        }
        let generation = self.generation;
        self.table
            .retain(|tracked| tracked.generation == generation);
        if first {
            Vec::new()
        } else {
            self.report(sums, dump.now)
        }
    }

    /// Decides whose each socket is; returns the row of each.
    fn own(
        &mut self,
        dump: &Dump<'_>,
        first: bool,
        mut resolve: impl FnMut(&Socket) -> Ownership,
        tallies: &mut SocketTallies,
    ) -> Vec<Row> {
        let mut rows = Vec::with_capacity(dump.sockets.len());
        for socket in dump.sockets {
            let row = self.track(socket, dump.listeners, first);
            rows.push(row);
            let Some(tracked) = self.table.get_mut(row) else {
                continue;
            };
            if tracked.owner == Ownership::Pending {
                tracked.owner = match (tracked.direction, dump.listeners.of(socket)) {
                    (Direction::Inbound, Some(listening)) => listening.owner.clone(),
                    _ => resolve(socket),
                };
            }
            if let Ownership::Service(name) = &tracked.owner {
                tally(tallies.entry(Arc::clone(name)).or_default(), socket);
            }
        }
        rows
    }

    /// Of each socket of the dump, in these rows, whether it makes no edge: inside one service there is none; and
    /// where it is not yet known who the other is, it can wait. The other end of what has both ends on this host is
    /// looked for once and remembered: where there are many connections, few are new.
    fn within(&mut self, dump: &Dump<'_>, rows: &[Row]) -> Vec<bool> {
        let mut alone: HashMap<(End, End), Row> = HashMap::new();
        let mut unpaired = Vec::new();
        let mut within = Vec::with_capacity(rows.len());
        for (at, (socket, row)) in dump.sockets.iter().zip(rows).enumerate() {
            let known = self.is_within(*row, socket);
            within.push(known.unwrap_or(false));
            if known.is_none() {
                unpaired.push(at);
                if dump.stays_here(socket) {
                    alone.insert((socket.local, socket.remote), *row);
                }
            }
        }
        for at in &unpaired {
            let (socket, row) = (&dump.sockets[*at], rows[*at]);
            if let Some(peer) = alone.get(&(socket.remote, socket.local)) {
                self.join(row, *peer);
                self.join(*peer, row);
            }
        }
        for at in unpaired {
            within[at] = self.is_within(rows[at], &dump.sockets[at]) == Some(true);
        }
        within
    }

    fn join(&mut self, row: Row, peer: Row) {
        if let Some(tracked) = self.table.get_mut(row) {
            tracked.peer = peer;
        }
    }

    /// Whether a connection makes no edge; `None` while its other end is not known, or not on this host.
    fn is_within(&self, row: Row, socket: &Socket) -> Option<bool> {
        let tracked = self.table.get(row)?;
        let peer = self.table.get(tracked.peer)?;
        // The row may be another connection's by now.
        let same = peer.peer == row && peer.remote == socket.local;
        let current = same && peer.generation == self.generation;
        current.then(|| peer.owner == tracked.owner || peer.owner == Ownership::Pending)
    }

    /// Adds the last counts of what ended.
    fn add_ended(&mut self, dump: &Dump<'_>, sums: &mut HashMap<EdgeKey, Sum>) {
        self.unattributed = 0;
        self.uncalled.clear();
        if dump.ended.is_empty() {
            return;
        }
        let known = Known::of(sums.keys().chain(self.edges.keys()));
        for ended in dump.ended {
            let tracked = self.table.remove(ended.cookie);
            let socket = &Socket {
                remote: tracked.as_ref().map_or(ended.remote, |known| known.remote),
                ..*ended
            };
            let listening = dump.listeners.of(socket);
            let direction = match (&tracked, listening) {
                (Some(tracked), _) => tracked.direction,
                (None, Some(_)) => Direction::Inbound,
                (None, None) => Direction::Outbound,
            };
            let decided = match (&tracked, listening) {
                (Some(tracked), _) => tracked.owner.known(),
                (None, Some(listening)) => listening.owner.known(),
                (None, None) => None,
            };
            let owner = decided.or_else(|| known.caller(direction, socket));
            let key = owner.and_then(|owner| EdgeKey::of(owner, direction, socket));
            let Some(key) = key else {
                self.unattributed += 1;
                let called = (socket.remote.address, socket.remote.port);
                let somebody = known.callers.contains_key(&called) || dump.stays_here(socket);
                if direction == Direction::Outbound && called.1 != 0 && !somebody {
                    self.uncalled.insert(called);
                }
                continue;
            };
            // Of a connection within the host only an edge that is known is sure to join two services.
            if dump.stays_here(socket) && !known.keys.contains(&key) {
                continue;
            }
            let (fresh, counted) = tracked.map_or((true, Counted::default()), |tracked| {
                (tracked.fresh, tracked.counted)
            });
            let sum = sums.entry(key).or_default();
            // A call that was never answered opened nothing; that it was tried keeps the edge alive.
            let answered = socket.tcp.is_some_and(|tcp| tcp.bytes_acknowledged > 0);
            sum.opened(fresh && (answered || direction == Direction::Inbound));
            sum.add_counts(socket, direction, counted);
        }
    }

    fn track(&mut self, socket: &Socket, listeners: &Listeners, first: bool) -> Row {
        let generation = self.generation;
        let row = self.table.place(socket.cookie, || Tracked {
            // Decided once: a listener that is gone does not turn its connections around.
            direction: match listeners.of(socket) {
                Some(_) if socket.state != state::SYN_SENT => Direction::Inbound,
                _ => Direction::Outbound,
            },
            remote: socket.remote,
            peer: NO_ROW,
            owner: Ownership::Pending,
            fresh: !first,
            counted: socket
                .tcp
                .filter(|_| first)
                .map(Counted::from)
                .unwrap_or_default(),
            generation,
        });
        if let Some(tracked) = self.table.get_mut(row) {
            tracked.generation = generation;
            // A program may call again with the same socket.
            if tracked.remote != socket.remote {
                (tracked.remote, tracked.peer) = (socket.remote, NO_ROW);
            }
        }
        row
    }

    /// Adds the edges that lost their last connection, and keeps within the budget.
    fn report(&mut self, sums: HashMap<EdgeKey, Sum>, now: Duration) -> Vec<(EdgeKey, EdgeStats)> {
        let mut edges: Vec<_> = sums
            .into_iter()
            .map(|(key, sum)| (key, sum.finish()))
            .collect();
        self.beyond = edges.len().saturating_sub(self.edge_limit) as u64;
        if self.beyond > 0 {
            // Whom this host depends on says more than who calls it; then the busier.
            edges.sort_by_key(|(key, stats)| {
                let weight = stats.bytes_sent.saturating_add(stats.bytes_received);
                (key.direction, std::cmp::Reverse(weight))
            });
            edges.truncate(self.edge_limit);
        }
        for (key, _) in &edges {
            match self.edges.get_mut(key) {
                Some(live) => *live = now,
                None => {
                    self.edges.insert(key.clone(), now);
                }
            }
        }
        self.edges
            .retain(|_, live| now.saturating_sub(*live) < MEMORY);
        if self.edges.len() > self.edge_limit.saturating_mul(MEMORY_FACTOR) {
            self.edges
                .retain(|_, live| now.saturating_sub(*live) < LINGER);
        }
        let room = self.edge_limit.saturating_sub(edges.len());
        let lingers = |live: &Duration| *live < now && now.saturating_sub(*live) < LINGER;
        let ended = self.edges.iter().filter(|(_, live)| lingers(live));
        edges.extend(
            ended
                .take(room)
                .map(|(key, _)| (key.clone(), EdgeStats::default())),
        );
        edges
    }

    /// Edges left out of the last report.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Addresses and ports that were called by nobody that is known, in the last report.
    pub(crate) fn uncalled(&self) -> &HashSet<(IpAddr, u16)> {
        &self.uncalled
    }

    /// Learns who calls an address and port: connections there that no dump sees are then its own, unless others
    /// call it too.
    pub(crate) fn learn(&mut self, owner: Arc<str>, called: (IpAddr, u16), now: Duration) {
        let key = EdgeKey {
            owner: Some(owner),
            direction: Direction::Outbound,
            remote: called.0,
            port: called.1,
        };
        self.edges.entry(key).or_insert(now);
    }

    /// Connections that ended before anybody could tell whose they were, in the last report.
    pub(crate) fn unattributed(&self) -> u64 {
        self.unattributed
    }
}

fn tally(tally: &mut super::SocketTally, socket: &Socket) {
    tally.connections += u64::from(socket.state == state::ESTABLISHED);
    tally.close_wait += u64::from(socket.state == state::CLOSE_WAIT);
    tally.unread_bytes += u64::from(socket.receive_queue);
}

#[cfg(test)]
mod tests;
