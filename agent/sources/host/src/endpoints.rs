//! Whose a socket of this host is, by the addresses of its two ends: for those who receive from programs here.
//!
//! ```text
//! ends → sock_diag → cgroup → service
//!                  ↘ inode → a walk over descriptors, where no unit's cgroup is named
//! ```
//! A TCP connection is asked for by both its ends, which costs one answer. A UDP socket often names no other end, so
//! that all with its port are asked for; where they are not of one service, none is named. Only what the kernel says of
//! a socket counts, never what its owner says of itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::spawn_blocking;

use crate::descriptors::{DescriptorReader, socket_inode};
use crate::netlink::Netlink;
use crate::processes::Owner;
use crate::sockets::message::{self, End, Socket};
use crate::sockets::owners::MANAGER;

/// Descriptors that one walk looks at: some hundred milliseconds at most.
const WALK_LIMIT: usize = 20_000;
/// After a walk there is none for so many times as long: askers cannot make us spend more than a twentieth of a core.
const REST: u32 = 20;
/// Sockets that may have one UDP port between them; of more, none is asked about.
const SHARING_LIMIT: usize = 32;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Names the owners of sockets, by what the last sample knows of cgroups and processes. Clones share it.
#[derive(Clone, Debug)]
pub struct Endpoints {
    known: Arc<Mutex<Known>>,
    asking: Arc<tokio::sync::Mutex<Asking>>,
}

/// What the last sample saw.
#[derive(Debug, Default)]
struct Known {
    cgroups: HashMap<u64, Arc<str>>,
    /// The newest first.
    processes: Arc<[Owner]>,
    /// Of the host's own network namespace.
    addresses: Vec<IpAddr>,
}

/// What one asker has at a time.
#[derive(Debug)]
struct Asking {
    diag: Netlink,
    proc: PathBuf,
    reader: DescriptorReader,
    rests_until: Option<Instant>,
}

impl Endpoints {
    /// Knows nobody before the first sample. `proc` is the procfs that is sampled.
    pub fn new(proc: PathBuf) -> Self {
        Self {
            known: Arc::default(),
            asking: Arc::new(tokio::sync::Mutex::new(Asking {
                diag: Netlink::sock_diag(),
                proc,
                reader: DescriptorReader::new(),
                rests_until: None,
            })),
        }
    }

    /// Takes in what a sample saw.
    pub(crate) fn note(
        &self,
        cgroups: &HashMap<u64, Arc<str>>,
        processes: Vec<Owner>,
        addresses: &[IpAddr],
    ) {
        let mut known = self.known();
        known.cgroups.clone_from(cgroups);
        known.processes = processes.into();
        known.addresses.clear();
        known.addresses.extend(addresses);
    }

    /// The service whose socket at `from`, an address of this host, is the other end of one at `to`. `None` where that is
    /// no address of this host, the socket is gone, or nobody can be named: asking later may help.
    ///
    /// The kernel answers at once but for its deadline of a second, and a walk takes its time: both happen on a thread
    /// for what blocks, one asker after the other.
    ///
    /// # Cancel safety
    /// When dropped, what is being asked is asked to its end, and nobody is told.
    pub async fn owner(
        &self,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<Arc<str>> {
        let (from, to) = (End::from(from), End::from(to));
        if !self.known().is_own(from.address) {
            return None;
        }
        let mut asking = Arc::clone(&self.asking).lock_owned().await;
        let known = Arc::clone(&self.known);
        let found = spawn_blocking(move || {
            let sockets = match transport {
                Transport::Tcp => asking.connection(from, to),
                Transport::Udp => asking.bound(from, to),
            };
            asking.one_owner(&sockets, &known)
        });
        found.await.ok().flatten()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// The service that a socket's cgroup names. What the service manager opened, it opened for another.
    fn by_cgroup(&self, socket: &Socket) -> Option<Arc<str>> {
        let name = self.cgroups.get(&socket.cgroup?)?;
        (&**name != MANAGER).then(|| Arc::clone(name))
    }
}

impl Asking {
    /// The TCP socket with these ends, if there is one.
    fn connection(&mut self, local: End, remote: End) -> Vec<Socket> {
        let mut found = Vec::new();
        let request = message::tcp_request(local, remote);
        let asked = self.diag.one(message::BY_FAMILY, &request, |body| {
            // Where a connection is gone, the kernel shows who listens there.
            let is = |socket: &Socket| socket.local == local && socket.remote == remote;
            found.extend(message::parse(body).ok().filter(is));
        });
        asked.map(|()| found).unwrap_or_default()
    }

    /// UDP sockets that may send from one end to the other. None where there are too many of them, or not all are known.
    fn bound(&mut self, local: End, remote: End) -> Vec<Socket> {
        let (mut found, mut beyond) = (Vec::new(), false);
        for family in message::FAMILIES {
            let request = message::udp_request(family, local.port);
            let asked = self.diag.dump(message::BY_FAMILY, &request, |body| {
                match message::parse(body) {
                    Ok(socket) if !may_send(&socket, local, remote) => {}
                    Ok(socket) if found.len() < SHARING_LIMIT => found.push(socket),
                    Ok(_) | Err(_) => beyond = true,
                }
            });
            beyond |= asked.is_err();
        }
        if beyond { Vec::new() } else { found }
    }

    /// The service that all of these are of.
    fn one_owner(&mut self, sockets: &[Socket], known: &Mutex<Known>) -> Option<Arc<str>> {
        let mut owner: Option<Arc<str>> = None;
        for socket in sockets {
            let (named, processes) = {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                (known.by_cgroup(socket), Arc::clone(&known.processes))
            };
            let this = named.or_else(|| self.holder(socket.inode, &processes))?;
            if owner.as_ref().is_some_and(|other| *other != this) {
                return None;
            }
            owner = Some(this);
        }
        owner
    }

    /// Whose process holds a socket, by a walk over descriptors: where hosts have no cgroup2, and for processes that are
    /// in no unit.
    fn holder(&mut self, inode: u32, processes: &[Owner]) -> Option<Arc<str>> {
        let began = Instant::now();
        if inode == 0 || self.rests_until.is_some_and(|until| began < until) {
            return None;
        }
        let (mut left, mut found) = (WALK_LIMIT, None);
        for owner in processes.iter().filter(|owner| &*owner.service != MANAGER) {
            let mut held = false;
            // Gone, or another user's whom we may not look into: others may hold it.
            let _ = self
                .reader
                .links(&self.proc, owner.pid, &mut left, |target| {
                    held |= socket_inode(target) == Some(inode);
                });
            if held {
                found = Some(Arc::clone(&owner.service));
            }
            if held || left == 0 {
                break;
            }
        }
        self.rests_until = Some(began + began.elapsed().saturating_mul(REST));
        found
    }
}

/// Whether a UDP socket may send from `local` to `remote`. Sockets bound to every address, and receivers that are, count.
fn may_send(socket: &Socket, local: End, remote: End) -> bool {
    let here = socket.local.address == local.address || socket.local.address.is_unspecified();
    let anybody = socket.remote.port == 0;
    let there = socket.remote == remote
        || (remote.address.is_unspecified() && socket.remote.port == remote.port);
    socket.local.port == local.port && here && (anybody || there)
}

#[cfg(test)]
mod tests;
