//! Connections that ended between two dumps: the kernel tells their last counts when it is asked to.
//!
//! Without them a host whose connections live for milliseconds would seem to have none. Where more end than
//! the budget allows, nobody listens for a minute: the kernel's work stops with ours.

use std::time::Duration;

use rustix::net::netlink::SOCK_DIAG;

use super::message::{self, Socket};
use crate::netlink::{Heard, Subscription};

/// SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY, as bits.
const GROUPS: u32 = 1 << 0 | 1 << 2;
/// How long nobody listens once there was too much.
const PAUSE: Duration = Duration::from_secs(60);

/// Listens for ended connections.
#[derive(Debug)]
pub(crate) struct Endings {
    subscription: Option<Subscription>,
    /// Not before this time again.
    retry: Duration,
    limit: usize,
    ended: Vec<Socket>,
    missed: bool,
}

impl Endings {
    /// At most `limit` are read in one sample, and four times as many kept for one dump.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            subscription: None,
            retry: Duration::ZERO,
            limit,
            ended: Vec::new(),
            missed: false,
        }
    }

    /// Takes what ended since the last sample.
    pub(crate) fn sample(&mut self, now: Duration) {
        if self.subscription.is_none() && now >= self.retry {
            self.subscription = Subscription::open(SOCK_DIAG, GROUPS).ok();
            self.retry = now + PAUSE;
        }
        let Some(subscription) = &mut self.subscription else {
            self.missed = true;
            return;
        };
        let (ended, room) = (&mut self.ended, self.limit.saturating_mul(4));
        let mut full = false;
        let heard = subscription.drain(self.limit, |body| {
            if let Ok(socket) = message::parse(body) {
                if ended.len() < room {
                    ended.push(socket);
                } else {
                    full = true;
                }
            }
        });
        match heard {
            Ok(Heard::All) => self.missed |= full,
            Ok(Heard::Lost) => self.missed = true,
            Ok(Heard::TooMuch) | Err(_) => {
                self.subscription = None;
                self.retry = now + PAUSE;
                self.missed = true;
            }
        }
    }

    /// Those that ended since the last call, and whether some may be missing.
    pub(crate) fn take(&mut self) -> (Vec<Socket>, bool) {
        let missed = std::mem::take(&mut self.missed);
        (std::mem::take(&mut self.ended), missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    /// Opens a connection, sends 1,000 bytes, closes it at both ends.
    fn passing_connection(listener: &TcpListener) {
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.write_all(&[7; 1_000]).unwrap();
        drop((near, far));
    }

    #[test]
    fn a_connection_that_came_and_went_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut endings = Endings::new(10_000);
        endings.sample(Duration::ZERO);
        passing_connection(&listener);
        // The kernel tells from a thread of its own.
        let mut seen = Vec::new();
        for _ in 0..1_000_000 {
            endings.sample(Duration::ZERO);
            seen.extend(endings.take().0);
            if seen.iter().any(|s| s.local.port == port) {
                break;
            }
            std::thread::yield_now();
        }
        let callee = seen.iter().find(|s| s.local.port == port).unwrap();
        assert!(callee.tcp.unwrap().bytes_received >= 1_000);
    }

    #[test]
    fn too_many_endings_stop_the_listening_for_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut endings = Endings::new(1);
        endings.sample(Duration::ZERO);
        assert!(endings.subscription.is_some());
        let mut tries = 0;
        while endings.subscription.is_some() {
            passing_connection(&listener);
            endings.sample(Duration::from_secs(1));
            tries += 1;
            assert!(tries < 100_000);
        }
        assert!(endings.take().1, "missed ones were not told");
        endings.sample(Duration::from_secs(60));
        assert!(endings.subscription.is_none());
        endings.sample(Duration::from_secs(61));
        // Subscribed again; what ended meanwhile in other tests may have closed it at once.
        assert!(endings.subscription.is_some() || endings.retry > Duration::from_secs(61));
    }
}
