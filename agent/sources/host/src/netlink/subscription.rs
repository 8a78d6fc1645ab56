//! A netlink socket that listens to what the kernel tells unasked. Never waits.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, sockopt};

use super::{Message, messages};

/// What may wait to be read, in bytes: some thousand short messages.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Room for one message: each comes as a datagram of its own.
const BUFFER_BYTES: usize = 8 * 1024;

/// How reading what came went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Everything that came was handed over.
    All,
    /// The kernel could not keep what came: some was lost, nobody knows how much.
    Lost,
    /// There is more than was asked for.
    TooMuch,
}

/// A subscription to multicast groups.
#[derive(Debug)]
pub(crate) struct Subscription {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Subscription {
    /// Subscribes to the groups in this set of bits.
    ///
    /// # Errors
    /// When the kernel lacks the protocol or refuses the groups.
    pub(crate) fn open(protocol: Protocol, groups: u32) -> rustix::io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(protocol),
        )?;
        // The queue may go beyond the system's limit for those who administer the network.
        if sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, QUEUE_BYTES)?;
        }
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Hands over the body of each message that came, at most `limit` of them.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub(crate) fn drain(
        &mut self,
        limit: usize,
        mut each: impl FnMut(&[u8]),
    ) -> rustix::io::Result<Heard> {
        let mut heard = Heard::All;
        for _ in 0..limit {
            let buffer = &mut self.buffer[..];
            match rustix::net::recv(&self.socket, buffer, RecvFlags::empty()) {
                Ok((length, _)) => {
                    for message in messages(&self.buffer[..length]).flatten() {
                        if let Message::Payload { body, .. } = message {
                            each(body);
                        }
                    }
                }
                Err(Errno::AGAIN) => return Ok(heard),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => heard = Heard::Lost,
                Err(errno) => return Err(errno),
            }
        }
        Ok(Heard::TooMuch)
    }
}
