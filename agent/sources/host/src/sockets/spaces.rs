//! TCP sockets of the host's other network namespaces: those of containers, and of services with a network of
//! their own. network_namespaces(7), setns(2).
//!
//! A netlink socket belongs to the namespace that it was opened in, and keeps that namespace alive. So none is
//! kept: one thread goes into each namespace in turn, asks, and ends. Who may not enter (that takes
//! CAP_SYS_ADMIN) reads `/proc/PID/net/tcp`, which has states and queues but neither times nor counts.
//!
//! Loopback means another thing in each namespace, and so does "every address": both are told as the addresses
//! that the namespace has, so that an end means one place on this host.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::message::{self, Socket, state};
use super::{table, thread_cpu};
use crate::addresses;
use crate::netlink::{Netlink, NetlinkError};
use crate::processes::Processes;

/// Namespaces that are looked into; more are only counted.
const LIMIT: usize = 128;
/// Addresses of a namespace that are told.
const ADDRESSES_LIMIT: usize = 8;
/// Processes that are asked again in each look whether they have moved, which few ever do; new ones are asked at once.
const ASKED_AGAIN: usize = 16;

/// A namespace, by the inode that the kernel gives it, and a process inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    inode: u64,
    pid: u32,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the namespace of this inode.
    In(u64),
    /// It may not be seen.
    Hidden,
    Nowhere,
}

/// What a look into the other namespaces found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Connections, and listeners once for each address that they can be reached by.
    pub sockets: Vec<Socket>,
    /// Addresses of all of them.
    pub addresses: Vec<IpAddr>,
    /// Sockets beyond the budget.
    pub beyond: u64,
    /// Answers that could not be read.
    pub malformed: u64,
    /// CPU time of the thread that looked.
    pub cost: Duration,
}

/// Finds the namespaces of the host's processes, and looks into them.
#[derive(Debug)]
pub(crate) struct Spaces {
    proc: PathBuf,
    own: Option<u64>,
    /// By process: when it began, and where it is.
    processes: HashMap<u32, (u64, Place)>,
    asked: usize,
    spaces: Vec<Space>,
    beyond: usize,
    unseen: usize,
    /// Namespaces of which the last look saw no times and counts, and why.
    without_counts: Option<(usize, String)>,
    failed: Option<String>,
}

impl Spaces {
    pub(crate) fn new(proc: PathBuf) -> Self {
        // The namespace that the agent's own netlink sockets see.
        let own = inode_of(Path::new("/proc/self/ns/net"));
        Self {
            proc,
            own,
            processes: HashMap::new(),
            asked: 0,
            spaces: Vec::new(),
            beyond: 0,
            unseen: 0,
            without_counts: None,
            failed: None,
        }
    }

    /// Finds out which namespaces there are: of new processes all, of others a few.
    pub(crate) fn find(&mut self, processes: &Processes) {
        if self.own.is_none() {
            return;
        }
        let owners = processes.owners();
        let before = std::mem::take(&mut self.processes);
        let count = owners.len().max(1);
        let first = self.asked % count;
        let mut spaces = BTreeMap::new();
        self.unseen = 0;
        for (at, owner) in owners.iter().enumerate() {
            let known = before
                .get(&owner.pid)
                .filter(|(started, _)| *started == owner.started);
            let again = (at + count - first) % count < ASKED_AGAIN;
            let place = match known {
                Some((_, place)) if !again => *place,
                _ => place_of(&self.link(owner.pid)),
            };
            self.processes.insert(owner.pid, (owner.started, place));
            match place {
                Place::In(inode) if Some(inode) != self.own => {
                    spaces.entry(inode).or_insert(owner.pid);
                }
                Place::In(_) | Place::Nowhere => {}
                Place::Hidden => self.unseen += 1,
            }
        }
        self.asked = first + ASKED_AGAIN;
        self.beyond = spaces.len().saturating_sub(LIMIT);
        self.spaces = spaces
            .into_iter()
            .take(LIMIT)
            .map(|(inode, pid)| Space { inode, pid })
            .collect();
    }

    fn link(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string()).join("ns/net")
    }

    /// Looks into all of them, for at most `limit` sockets.
    pub(crate) fn look(&mut self, limit: usize) -> Found {
        let mut found = Found::default();
        (self.without_counts, self.failed) = (None, None);
        if self.spaces.is_empty() {
            return found;
        }
        // In a thread of its own, which ends inside the last namespace: ours never leaves its own.
        let refused = std::thread::scope(|scope| {
            let visitor = std::thread::Builder::new().name("namespaces".into());
            let visit = visitor.spawn_scoped(scope, || {
                let refused = self.visit(&mut found, limit);
                found.cost = thread_cpu();
                refused
            });
            match visit.map(|thread| thread.join()) {
                Ok(Ok(refused)) => refused,
                Ok(Err(_)) => Some(Errno::CANCELED),
                Err(error) => Some(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)),
            }
        });
        if let Some(errno) = refused {
            found = Found::default();
            self.read_tables(&mut found, limit);
            self.without_counts = Some((self.spaces.len(), errno.to_string()));
        }
        found.addresses.sort_unstable();
        found.addresses.dedup();
        found
    }

    /// Enters one after the other. The error, where none can be entered.
    fn visit(&self, found: &mut Found, limit: usize) -> Option<Errno> {
        for space in &self.spaces {
            // Its process ended, and the number may be another's: it is found again if it lives on.
            let Some(namespace) = self.open(*space) else {
                continue;
            };
            let entered =
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
            drop(namespace);
            if let Err(errno) = entered {
                return Some(errno);
            }
            // Of one that fails while it ends, what was said until then counts.
            let _ = ask(space.inode, found, limit);
        }
        None
    }

    fn open(&self, space: Space) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(self.link(space.pid), flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&namespace).ok()?;
        (stat.st_ino == space.inode).then_some(namespace)
    }

    fn read_tables(&mut self, found: &mut Found, limit: usize) {
        for space in &self.spaces {
            let net = self.proc.join(space.pid.to_string()).join("net");
            match table::read(&net) {
                Ok(seen) => {
                    found.malformed += seen.malformed;
                    found.beyond += u64::from(seen.cut);
                    take(space.inode, seen.sockets, &seen.addresses, found, limit);
                }
                Err(error) => self.failed = Some(error.to_string()),
            }
        }
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        let without_counts = self.without_counts.as_ref().map(|(spaces, why)| {
            format!(
                "network namespaces: of the sockets of {spaces} only states and queues are seen, not times and \
                 retransmissions: entering them takes CAP_SYS_ADMIN ({why})"
            )
        });
        let failed = self
            .failed
            .as_ref()
            .map(|why| format!("network namespaces: {why}"));
        let beyond = (self.beyond > 0)
            .then(|| format!("network namespaces: {} beyond the budget", self.beyond));
        let unseen = (self.unseen > 0).then(|| {
            format!(
                "network namespaces: {} processes do not show theirs: that takes CAP_SYS_PTRACE",
                self.unseen
            )
        });
        without_counts
            .into_iter()
            .chain(failed)
            .chain(beyond)
            .chain(unseen)
    }
}

/// Asks the namespace that this thread is in.
fn ask(inode: u64, found: &mut Found, limit: usize) -> Result<(), NetlinkError> {
    let mut route = Netlink::route();
    let own = addresses::read(&mut route)?;
    let (mut diag, mut sockets, mut malformed) = (Netlink::sock_diag(), Vec::new(), 0);
    let states = message::LISTENERS | message::CONNECTIONS;
    let asked = message::dump_tcp(&mut diag, states, |body| match message::parse(body) {
        // One more than fits is enough to know that there are more.
        Ok(socket) if sockets.len() <= limit => sockets.push(socket),
        Ok(_) => {}
        Err(_) => malformed += 1,
    });
    found.malformed += malformed;
    take(inode, sockets, &own, found, limit);
    asked
}

/// Adds what one namespace has, in words that hold for the whole host.
fn take(inode: u64, sockets: Vec<Socket>, own: &[IpAddr], found: &mut Found, limit: usize) {
    let own = &own[..own.len().min(ADDRESSES_LIMIT)];
    let mut add = |socket: Socket| match found.sockets.len() < limit {
        true => found.sockets.push(socket),
        false => found.beyond += 1,
    };
    for mut socket in sockets {
        socket.elsewhere = true;
        // Older kernels count cookies in each namespace.
        socket.cookie ^= inode << 32;
        if socket.state == state::LISTEN {
            let anywhere =
                socket.local.address.is_unspecified() || socket.local.address.is_loopback();
            if !anywhere {
                add(socket);
                continue;
            }
            for address in own {
                socket.local.address = *address;
                add(socket);
            }
            continue;
        }
        for end in [&mut socket.local, &mut socket.remote] {
            if end.address.is_loopback()
                && let Some(address) = own.first()
            {
                end.address = *address;
            }
        }
        // In a namespace without addresses nobody can be told apart.
        if !socket.local.address.is_loopback() {
            add(socket);
        }
    }
    found.addresses.extend(own);
}

/// The namespace that a link of `/proc/PID/ns` names: `net:[4026531840]`.
fn inode_of(link: &Path) -> Option<u64> {
    inode_in(&std::fs::read_link(link).ok()?)
}

fn inode_in(target: &Path) -> Option<u64> {
    let inside = target.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    inside.parse().ok()
}

/// Where a process is.
fn place_of(link: &Path) -> Place {
    match std::fs::read_link(link) {
        Ok(target) => inode_in(&target).map_or(Place::Nowhere, Place::In),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Place::Hidden,
        // It has ended, whether or not its parent has taken note.
        Err(_) => Place::Nowhere,
    }
}

#[cfg(test)]
mod tests;
