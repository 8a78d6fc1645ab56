//! The netlink socket: one request, its whole answer. The kernel answers while it is asked, so that a
//! dump costs its own time only; a deadline stands behind it all the same.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt,
};

use super::{DUMP, Malformed, Message, ONE, messages, request};

/// Longest wait for a part of an answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// Kernels fill up to 32 KiB at once for those who offer the room.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why a dump failed. Asking again later may help, unless the kernel refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    #[error("netlink socket")]
    Socket(#[source] rustix::io::Errno),
    #[error("the kernel refused the dump: error {0}")]
    Refused(i32),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A netlink socket of one protocol.
#[derive(Debug)]
pub(crate) struct Netlink {
    protocol: Option<Protocol>,
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    /// Sockets of all protocols: sock_diag(7).
    pub(crate) fn sock_diag() -> Self {
        Self::new(Some(rustix::net::netlink::SOCK_DIAG))
    }

    /// Interfaces, addresses, routes: rtnetlink(7), whose number is the default.
    pub(crate) fn route() -> Self {
        Self::new(None)
    }

    fn new(protocol: Option<Protocol>) -> Self {
        Self {
            protocol,
            socket: None,
            buffer: Vec::new(),
            sequence: 0,
        }
    }

    /// Asks for a dump and hands over the body of each message of it. `false` when what is dumped changed
    /// meanwhile, so that something may be missing.
    ///
    /// # Errors
    /// When the socket fails or the kernel refuses; the next call begins with a new socket.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        payload: &[u8],
        each: impl FnMut(&[u8]),
    ) -> Result<bool, NetlinkError> {
        self.exchange(kind, DUMP, payload, each)
    }

    /// Asks for one thing and hands over the body of the answer.
    ///
    /// # Errors
    /// As [`Self::dump`]. The kernel refuses as well where there is no such thing.
    pub(crate) fn one(
        &mut self,
        kind: u16,
        payload: &[u8],
        each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.exchange(kind, ONE, payload, each).map(|_| ())
    }

    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
        each: impl FnMut(&[u8]),
    ) -> Result<bool, NetlinkError> {
        let found = self.try_exchange(kind, flags, payload, each);
        if found.is_err() {
            self.socket = None;
        }
        found
    }

    fn try_exchange(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<bool, NetlinkError> {
        self.buffer.resize(BUFFER_BYTES, 0);
        self.sequence = self.sequence.wrapping_add(1);
        let expected = self.sequence;
        let request = request(kind, flags, expected, payload);
        let socket = match &mut self.socket {
            Some(socket) => socket,
            closed => closed.insert(open(self.protocol).map_err(NetlinkError::Socket)?),
        };
        rustix::net::send(&*socket, &request, SendFlags::empty()).map_err(NetlinkError::Socket)?;
        let mut whole = true;
        loop {
            let received = rustix::net::recv(&*socket, &mut self.buffer[..], RecvFlags::empty());
            let length = match received {
                Ok((length, _)) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(NetlinkError::Socket(errno)),
            };
            for message in messages(&self.buffer[..length]) {
                match message? {
                    // The end of a dump that was given up on.
                    Message::Done { sequence } | Message::Refused { sequence, .. }
                        if sequence != expected => {}
                    Message::Done { .. } => return Ok(whole),
                    Message::Refused { errno, .. } => return Err(NetlinkError::Refused(errno)),
                    Message::Payload {
                        sequence,
                        interrupted,
                        body,
                        ..
                    } => {
                        if sequence == expected {
                            whole &= !interrupted;
                            each(body);
                            // Only a dump has an end of its own.
                            if flags == ONE {
                                return Ok(whole);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn open(protocol: Option<Protocol>) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(DEADLINE))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(DEADLINE))?;
    let kernel = rustix::net::netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::connect(&socket, &kernel)?;
    Ok(socket)
}
