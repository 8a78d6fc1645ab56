//! Listening sockets: where, whose, and how long their accept queues are.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::message::{End, Socket};
use super::owners::MANAGER;
use super::{Ownership, SocketTallies};
use crate::numbered::Numbered;

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub address: IpAddr,
    pub owner: Ownership,
    queue: u32,
    backlog: u32,
    cookie: u64,
    asked: Duration,
}

/// The service manager opens some listeners and hands them to their services later.
const ASK_MANAGER_AGAIN: Duration = Duration::from_secs(10);
/// Listeners of the kernel itself have no owner, now or later.
const ASK_NOBODY_AGAIN: Duration = Duration::from_secs(60);

/// All listeners, by port.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    ports: Numbered<u16, Vec<Listening>>,
}

impl Listeners {
    /// Takes a new dump. `resolve` is asked for those whose owner is not known for sure.
    pub(crate) fn update(
        &mut self,
        sockets: &[Socket],
        now: Duration,
        mut resolve: impl FnMut(&Socket) -> Ownership,
    ) {
        let mut before = std::mem::take(&mut self.ports);
        for socket in sockets {
            let known = before.get_mut(&socket.local.port).and_then(|known| {
                let at = known.iter().position(|l| l.cookie == socket.cookie)?;
                Some(known.swap_remove(at))
            });
            let mut listening = known.unwrap_or(Listening {
                address: socket.local.address,
                owner: Ownership::Pending,
                queue: 0,
                backlog: 0,
                cookie: socket.cookie,
                asked: now,
            });
            let sure = match &listening.owner {
                Ownership::Pending => false,
                Ownership::Service(name) if &**name != MANAGER => true,
                Ownership::Service(_) => now.saturating_sub(listening.asked) < ASK_MANAGER_AGAIN,
                Ownership::Unknown => now.saturating_sub(listening.asked) < ASK_NOBODY_AGAIN,
            };
            if !sure {
                let owner = resolve(socket);
                if owner != Ownership::Pending {
                    listening.asked = now;
                    listening.owner = owner;
                }
            }
            // In another namespace one socket listens on several addresses.
            listening.address = socket.local.address;
            listening.queue = socket.receive_queue;
            listening.backlog = socket.send_queue;
            self.ports
                .entry(socket.local.port)
                .or_default()
                .push(listening);
        }
    }

    /// The listener that a connection belongs to, by its end here.
    pub(crate) fn of(&self, socket: &Socket) -> Option<&Listening> {
        let exact = self.at(socket.local);
        // Who listens on every address listens on those of the host's own network namespace.
        let any = || {
            let all = self.ports.get(&socket.local.port)?;
            all.iter().find(|l| l.address.is_unspecified())
        };
        exact.or_else(|| if socket.elsewhere { None } else { any() })
    }

    /// Who listens on just this end.
    pub(crate) fn at(&self, end: End) -> Option<&Listening> {
        let all = self.ports.get(&end.port)?;
        all.iter().find(|l| l.address == end.address)
    }

    /// Adds each service's longest accept queue.
    pub(crate) fn tally(&self, tallies: &mut SocketTallies) {
        for listening in self.ports.values().flatten() {
            if let Ownership::Service(name) = &listening.owner {
                let longest = &mut tallies.entry(Arc::clone(name)).or_default().accept;
                let this = (listening.queue, listening.backlog);
                *longest = Some(longest.map_or(this, |other| other.max(this)));
            }
        }
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u16, &Listening)> {
        self.ports
            .iter()
            .flat_map(|(port, all)| all.iter().map(|listening| (*port, listening)))
    }
}
