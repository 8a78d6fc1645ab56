//! What sock_diag says of a TCP or UDP socket, as a pure function over bytes. sock_diag(7), linux/inet_diag.h,
//! `struct tcp_info` of linux/tcp.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::netlink::{Malformed, Netlink, NetlinkError, attributes, u32_at, u64_at};

/// SOCK_DIAG_BY_FAMILY.
pub(crate) const BY_FAMILY: u16 = 20;
/// TCPDIAG_GETSOCK: TCP sockets of all families in one walk of the kernel's table, which has a place for each connection
/// that the host's memory has room for.
const OF_ALL_FAMILIES: u16 = 18;
/// `struct inet_diag_req`.
const REQUEST_ALL_BYTES: usize = 60;
/// `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// `struct inet_diag_msg`.
const FIXED_BYTES: usize = 72;
const TCP: u8 = 6;
const UDP: u8 = 17;
const INET: u8 = 2;
const INET6: u8 = 10;
/// INET_DIAG_INFO, as an attribute and as the bit that asks for it.
const INFO: u16 = 2;
const ASK_INFO: u8 = 1 << (INFO - 1);
/// INET_DIAG_CGROUP_ID, sent unasked.
const CGROUP_ID: u16 = 21;

/// Address families to ask for, where they are asked for one by one.
pub(crate) const FAMILIES: [u8; 2] = [INET, INET6];

/// States of TCP, as the kernel numbers them (include/net/tcp_states.h).
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_SENT: u8 = 2;
    pub(crate) const FIN_WAIT_1: u8 = 4;
    pub(crate) const FIN_WAIT_2: u8 = 5;
    pub(crate) const TIME_WAIT: u8 = 6;
    pub(crate) const CLOSE_WAIT: u8 = 8;
    pub(crate) const LAST_ACK: u8 = 9;
    pub(crate) const LISTEN: u8 = 10;
    pub(crate) const CLOSING: u8 = 11;
}

/// Bits of the states of connections: all but LISTEN, TIME-WAIT, and those a peer alone has begun.
pub(crate) const CONNECTIONS: u32 = 1 << state::ESTABLISHED
    | 1 << state::SYN_SENT
    | 1 << state::FIN_WAIT_1
    | 1 << state::FIN_WAIT_2
    | 1 << state::CLOSE_WAIT
    | 1 << state::LAST_ACK
    | 1 << state::CLOSING;
/// Bit of connections that wait until no late packet can come any more.
pub(crate) const TIME_WAITS: u32 = 1 << state::TIME_WAIT;
/// Bit of the listening state.
pub(crate) const LISTENERS: u32 = 1 << state::LISTEN;

/// An address and a port. IPv4 in IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct End {
    pub address: IpAddr,
    pub port: u16,
}

impl From<SocketAddr> for End {
    fn from(of: SocketAddr) -> Self {
        Self {
            address: of.ip().to_canonical(),
            port: of.port(),
        }
    }
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub state: u8,
    pub local: End,
    pub remote: End,
    /// Unique in the life of the kernel.
    pub cookie: u64,
    /// 0 while no program holds it: not yet accepted, or already closed.
    pub inode: u32,
    /// Listening: connections that wait to be accepted. Else bytes not yet read.
    pub receive_queue: u32,
    /// Listening: the backlog. Else bytes not yet acknowledged.
    pub send_queue: u32,
    pub cgroup: Option<u64>,
    /// `None` where it was not asked for, or does not apply.
    pub tcp: Option<TcpInfo>,
    /// Whether it belongs to another network namespace than the host's own.
    pub elsewhere: bool,
    /// The port that the caller called, where it is not the local one: addresses were translated on the way.
    pub called: Option<u16>,
}

/// What TCP counts; times in the unit of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    pub backoff: u8,
    /// Times that the oldest unacknowledged segment was sent again: 0 while a peer that does not read is merely asked.
    pub resent: u8,
    /// Bytes of a full segment towards the peer.
    pub segment_bytes: u16,
    pub last_sent_ms: u32,
    pub last_received_ms: u32,
    pub last_acknowledged_ms: u32,
    pub rtt_us: u32,
    pub retransmits: u32,
    pub bytes_acknowledged: u64,
    pub bytes_received: u64,
    pub data_segments_sent: u32,
}

/// What a connection has counted: kept of each from one dump to the next, and small therefore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub bytes_acknowledged: u64,
    pub bytes_received: u64,
    pub data_segments_sent: u32,
    pub retransmits: u32,
}

impl Counted {
    /// What `now` counts on from: nothing, where the kernel set the counts of the socket to 0 in between. It does so
    /// when a program gives up a connection, or calls again with the same socket. Of these counts only the segments
    /// wrap, and no connection sends half of what they can count between two dumps.
    pub(crate) fn unless_begun_anew(self, now: &TcpInfo) -> Self {
        let segments = now.data_segments_sent.wrapping_sub(self.data_segments_sent);
        let fell = now.retransmits < self.retransmits
            || now.bytes_acknowledged < self.bytes_acknowledged
            || now.bytes_received < self.bytes_received
            || segments > u32::MAX / 2;
        if fell { Self::default() } else { self }
    }
}

impl From<TcpInfo> for Counted {
    fn from(tcp: TcpInfo) -> Self {
        Self {
            bytes_acknowledged: tcp.bytes_acknowledged,
            bytes_received: tcp.bytes_received,
            data_segments_sent: tcp.data_segments_sent,
            retransmits: tcp.retransmits,
        }
    }
}

/// Dumps all TCP sockets in these states: `each` gets the body of every answer.
///
/// # Errors
/// As [`Netlink::dump`].
pub(crate) fn dump_tcp(
    diag: &mut Netlink,
    states: u32,
    mut each: impl FnMut(&[u8]),
) -> Result<(), NetlinkError> {
    match diag.dump(OF_ALL_FAMILIES, &request_all(states), &mut each) {
        // A kernel that no longer knows the old way of asking.
        Err(NetlinkError::Refused(_)) => {}
        dumped => return dumped.map(|_| ()),
    }
    let mut dumped = Ok(());
    for family in FAMILIES {
        let asked = diag.dump(BY_FAMILY, &request(family, states), &mut each);
        dumped = dumped.and(asked.map(|_| ()));
    }
    dumped
}

/// The payload of a request for all TCP sockets in these states.
fn request_all(states: u32) -> [u8; REQUEST_ALL_BYTES] {
    let mut request = [0; REQUEST_ALL_BYTES];
    request[3] = asked(states);
    request[52..56].copy_from_slice(&states.to_ne_bytes());
    request
}

/// What is asked of sockets in these states: listeners count nothing.
fn asked(states: u32) -> u8 {
    if states == LISTENERS { 0 } else { ASK_INFO }
}

/// The payload of a request for all TCP sockets of a family in these states.
fn request(family: u8, states: u32) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    request[0] = family;
    request[1] = TCP;
    request[2] = asked(states);
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    request
}

/// The payload of a request for the one TCP socket with these ends.
pub(crate) fn tcp_request(local: End, remote: End) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    (request[0], request[1]) = (family(local.address), TCP);
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[8..10].copy_from_slice(&local.port.to_be_bytes());
    request[10..12].copy_from_slice(&remote.port.to_be_bytes());
    request[12..28].copy_from_slice(&sixteen(local.address));
    request[28..44].copy_from_slice(&sixteen(remote.address));
    // INET_DIAG_NOCOOKIE: whichever it is.
    request[48..56].copy_from_slice(&u64::MAX.to_ne_bytes());
    request
}

/// The payload of a request for all UDP sockets of a family with this port.
pub(crate) fn udp_request(family: u8, port: u16) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    (request[0], request[1]) = (family, UDP);
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[8..10].copy_from_slice(&port.to_be_bytes());
    request
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

/// An address as a request has it.
fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
    }
}

/// Parses the body of one answer.
pub(crate) fn parse(body: &[u8]) -> Result<Socket, Malformed> {
    let (fixed, rest) = body
        .split_at_checked(FIXED_BYTES)
        .ok_or(Malformed("socket cut short"))?;
    let family = fixed[0];
    let number = |at| u32_at(fixed, at).unwrap_or_default();
    let port = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let end = |port_at, address_at: usize| -> Result<End, Malformed> {
        Ok(End {
            address: address(family, &fixed[address_at..address_at + 16])?,
            port: port(port_at),
        })
    };
    let mut socket = Socket {
        state: fixed[1],
        local: end(4, 8)?,
        remote: end(6, 24)?,
        cookie: u64::from(number(44)) | u64::from(number(48)) << 32,
        receive_queue: number(56),
        send_queue: number(60),
        inode: number(68),
        cgroup: None,
        tcp: None,
        elsewhere: false,
        called: None,
    };
    for (kind, value) in attributes(rest) {
        match kind {
            INFO => socket.tcp = tcp_info(value),
            CGROUP_ID => socket.cgroup = u64_at(value, 0),
            _ => {}
        }
    }
    Ok(socket)
}

fn address(family: u8, bytes: &[u8]) -> Result<IpAddr, Malformed> {
    match (family, bytes.first_chunk::<4>(), bytes.first_chunk::<16>()) {
        (INET, Some(four), _) => Ok(IpAddr::V4(Ipv4Addr::from(*four))),
        (INET6, _, Some(sixteen)) => Ok(IpAddr::V6(Ipv6Addr::from(*sixteen)).to_canonical()),
        _ => Err(Malformed("unknown address family")),
    }
}

/// Kernels before 4.6 lack the last fields: those count nothing then.
fn tcp_info(value: &[u8]) -> Option<TcpInfo> {
    Some(TcpInfo {
        backoff: *value.get(4)?,
        resent: *value.get(2)?,
        segment_bytes: u16::try_from(u32_at(value, 16)?).unwrap_or(u16::MAX),
        last_sent_ms: u32_at(value, 44)?,
        last_received_ms: u32_at(value, 52)?,
        last_acknowledged_ms: u32_at(value, 56)?,
        rtt_us: u32_at(value, 68)?,
        retransmits: u32_at(value, 100)?,
        bytes_acknowledged: u64_at(value, 120).unwrap_or(0),
        bytes_received: u64_at(value, 128).unwrap_or(0),
        data_segments_sent: u32_at(value, 156).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes what [`parse`] reads.
    fn answer(family: u8, local: [u8; 16], remote: [u8; 16], tcp: &[u8], cgroup: u64) -> Vec<u8> {
        let mut bytes = vec![0; FIXED_BYTES];
        bytes[0] = family;
        bytes[1] = state::ESTABLISHED;
        bytes[4..6].copy_from_slice(&5432u16.to_be_bytes());
        bytes[6..8].copy_from_slice(&40_000u16.to_be_bytes());
        bytes[8..24].copy_from_slice(&local);
        bytes[24..40].copy_from_slice(&remote);
        bytes[44..48].copy_from_slice(&9u32.to_ne_bytes());
        bytes[48..52].copy_from_slice(&1u32.to_ne_bytes());
        bytes[56..60].copy_from_slice(&100u32.to_ne_bytes());
        bytes[60..64].copy_from_slice(&200u32.to_ne_bytes());
        bytes[68..72].copy_from_slice(&4242u32.to_ne_bytes());
        for (kind, value) in [(INFO, tcp), (CGROUP_ID, &cgroup.to_ne_bytes())] {
            bytes.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn v4(a: u8, d: u8) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[a, 0, 0, d]);
        bytes
    }

    fn tcp() -> Vec<u8> {
        let mut bytes = vec![0; 232];
        bytes[2] = 2;
        bytes[4] = 3;
        bytes[16..20].copy_from_slice(&1_448u32.to_ne_bytes());
        bytes[44..48].copy_from_slice(&11u32.to_ne_bytes());
        bytes[52..56].copy_from_slice(&12u32.to_ne_bytes());
        bytes[56..60].copy_from_slice(&13u32.to_ne_bytes());
        bytes[68..72].copy_from_slice(&400u32.to_ne_bytes());
        bytes[100..104].copy_from_slice(&5u32.to_ne_bytes());
        bytes[120..128].copy_from_slice(&6000u64.to_ne_bytes());
        bytes[128..136].copy_from_slice(&7000u64.to_ne_bytes());
        bytes[156..160].copy_from_slice(&8u32.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_connection_is_read() {
        let socket = parse(&answer(INET, v4(10, 1), v4(10, 2), &tcp(), 77)).unwrap();
        let end = |d, port| End {
            address: IpAddr::from([10, 0, 0, d]),
            port,
        };
        assert_eq!(
            (socket.local, socket.remote),
            (end(1, 5432), end(2, 40_000))
        );
        assert_eq!(socket.cookie, 9 | 1 << 32);
        assert_eq!((socket.receive_queue, socket.send_queue), (100, 200));
        assert_eq!((socket.inode, socket.cgroup), (4242, Some(77)));
        let expected = TcpInfo {
            backoff: 3,
            resent: 2,
            segment_bytes: 1_448,
            last_sent_ms: 11,
            last_received_ms: 12,
            last_acknowledged_ms: 13,
            rtt_us: 400,
            retransmits: 5,
            bytes_acknowledged: 6000,
            bytes_received: 7000,
            data_segments_sent: 8,
        };
        assert_eq!(socket.tcp, Some(expected));
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[255, 255, 10, 0, 0, 1]);
        let socket = parse(&answer(INET6, mapped, mapped, &[], 0)).unwrap();
        assert_eq!(socket.local.address, IpAddr::from([10, 0, 0, 1]));
        let plain = Ipv6Addr::LOCALHOST.octets();
        let socket = parse(&answer(INET6, plain, plain, &[], 0)).unwrap();
        assert_eq!(socket.local.address, IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(socket.tcp, None, "an empty attribute is no tcp_info");
    }

    #[test]
    fn a_short_or_foreign_answer_is_refused() {
        let whole = answer(INET, v4(10, 1), v4(10, 2), &[], 0);
        assert!(parse(&whole[..71]).is_err());
        let mut foreign = whole;
        foreign[0] = 1;
        assert!(parse(&foreign).is_err());
    }

    #[test]
    fn one_walk_finds_what_a_walk_for_each_family_finds() {
        let addresses = ["127.0.0.1:0", "[::1]:0"];
        let listeners = addresses.map(|address| std::net::TcpListener::bind(address).unwrap());
        let ports = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().port());
        let callers = listeners
            .each_ref()
            .map(|listener| std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let mut diag = Netlink::sock_diag();
        for (states, each) in [(LISTENERS, 1), (CONNECTIONS, 2)] {
            let ours = |found: &mut Vec<(u8, u64)>, body: &[u8]| {
                let socket = parse(body).unwrap();
                let ports =
                    [socket.local.port, socket.remote.port].map(|port| ports.contains(&port));
                if ports.contains(&true) {
                    assert_eq!(socket.tcp.is_some(), states == CONNECTIONS);
                    found.push((socket.state, socket.cookie));
                }
            };
            let (mut at_once, mut one_by_one) = (Vec::new(), Vec::new());
            dump_tcp(&mut diag, states, |body| ours(&mut at_once, body)).unwrap();
            for family in FAMILIES {
                let request = request(family, states);
                diag.dump(BY_FAMILY, &request, |body| ours(&mut one_by_one, body))
                    .unwrap();
            }
            at_once.sort_unstable();
            one_by_one.sort_unstable();
            assert_eq!(at_once.len(), each * addresses.len());
            assert_eq!(at_once, one_by_one);
        }
        drop(callers);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn hostile_attributes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..400) {
            let mut bytes = answer(INET, v4(10, 1), v4(10, 2), &tcp(), 1);
            bytes.extend(tail);
            bytes.truncate(cut);
            let _ = parse(&bytes);
        }
    }
}
