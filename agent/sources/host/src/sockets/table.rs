//! TCP sockets as `/proc/PID/net/tcp` and `tcp6` list them: what a namespace shows to those who may not enter it.
//! proc_pid_net(5). Measured: half as much again per socket as sock_diag, and no TCP_INFO.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::message::{CONNECTIONS, End, LISTENERS, Socket};
use crate::reader::read_lines;
use crate::text::{fields, lines, number};

/// What is read of one table: some 25,000 sockets.
const LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The sockets of one namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub sockets: Vec<Socket>,
    /// Addresses of the namespace that others reach. Sorted, each once.
    pub addresses: Vec<IpAddr>,
    /// Whether a table was longer than is read.
    pub cut: bool,
    /// Lines that could not be read.
    pub malformed: u64,
}

/// Reads both tables of a folder `net`, and which addresses the namespace has.
///
/// # Errors
/// When neither can be read.
pub(crate) fn read(net: &Path) -> io::Result<Seen> {
    let (mut seen, mut bytes) = (Seen::default(), Vec::new());
    // IPv6 may be switched off.
    let mut any = Err(io::ErrorKind::NotFound.into());
    for file in ["tcp", "tcp6"] {
        let table = read_lines(&net.join(file), &mut bytes, LIMIT_BYTES);
        any = any.or(table.map(|(table, cut)| {
            parse(table, &mut seen);
            seen.cut |= cut;
        }));
    }
    any?;
    // A table that changes while it is read lists some sockets twice.
    let which = |socket: &Socket| (socket.local, socket.remote, socket.inode);
    seen.sockets.sort_unstable_by_key(which);
    seen.sockets.dedup_by_key(|socket| which(socket));
    if let Ok((routes, _)) = read_lines(&net.join("fib_trie"), &mut bytes, LIMIT_BYTES) {
        seen.addresses.extend(local_addresses(routes));
    }
    if let Ok((table, _)) = read_lines(&net.join("if_inet6"), &mut bytes, LIMIT_BYTES) {
        seen.addresses.extend(global_addresses(table));
    }
    seen.addresses.sort_unstable();
    seen.addresses.dedup();
    Ok(seen)
}

/// IPv4 addresses of the namespace, from its routes: an address on one line, and on the next that it is local.
fn local_addresses(routes: &[u8]) -> impl Iterator<Item = IpAddr> {
    let mut last = None;
    lines(routes).filter_map(move |line| {
        let line = line.trim_ascii();
        if let Some(address) = line.strip_prefix(b"|-- ") {
            last = std::str::from_utf8(address).ok()?.parse::<Ipv4Addr>().ok();
            return None;
        }
        let address = last.filter(|address| line == b"/32 host LOCAL" && !address.is_loopback())?;
        Some(IpAddr::V4(address))
    })
}

/// IPv6 addresses that others reach: `address index prefix scope flags name`, where scope 0 is the world.
fn global_addresses(table: &[u8]) -> impl Iterator<Item = IpAddr> {
    lines(table).filter_map(|line| {
        let mut fields = fields(line);
        let address = std::str::from_utf8(fields.next()?).ok()?;
        let address = u128::from_str_radix(address, 16).ok()?;
        let world = fields.nth(2)? == b"00";
        world.then(|| IpAddr::V6(Ipv6Addr::from(address)))
    })
}

/// Parses one table: a heading, then a line per socket.
fn parse(table: &[u8], seen: &mut Seen) {
    for line in lines(table).skip(1) {
        match parse_line(line) {
            Some(socket) if 1 << socket.state & (CONNECTIONS | LISTENERS) != 0 => {
                seen.sockets.push(socket);
            }
            Some(_) => {}
            None => seen.malformed += 1,
        }
    }
}

/// `sl local remote state tx:rx timer retransmits uid timeout inode …`, numbers in hexadecimal but the last three.
fn parse_line(line: &[u8]) -> Option<Socket> {
    let mut fields = fields(line).skip(1);
    let local = end(fields.next()?)?;
    let remote = end(fields.next()?)?;
    let state = u8::try_from(hex(fields.next()?)?)
        .ok()
        .filter(|s| *s < 32)?;
    let queues = fields.next()?;
    let colon = queues.iter().position(|b| *b == b':')?;
    let inode = number(fields.nth(4)?)?;
    Some(Socket {
        state,
        local,
        remote,
        // The table has none. An inode is one socket's as long as a program holds it.
        cookie: inode,
        inode: u32::try_from(inode).ok()?,
        receive_queue: hex(&queues[colon + 1..])?,
        send_queue: hex(&queues[..colon])?,
        cgroup: None,
        tcp: None,
        elsewhere: false,
        called: None,
    })
}

/// An address in words of 32 bits, each in the machine's own byte order, and a port.
fn end(field: &[u8]) -> Option<End> {
    let colon = field.iter().position(|b| *b == b':')?;
    let port = u16::try_from(hex(&field[colon + 1..])?).ok()?;
    let mut bytes = [0; 16];
    let (words, rest) = field[..colon].as_chunks::<8>();
    if !rest.is_empty() || words.len() > 4 {
        return None;
    }
    for (word, place) in words.iter().zip(bytes.chunks_exact_mut(4)) {
        place.copy_from_slice(&hex(word)?.to_ne_bytes());
    }
    let address = match words.len() {
        1 => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
        4 => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
        _ => return None,
    };
    Some(End { address, port })
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    // A sign is no digit.
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::message::state;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn parsed(lines: &str) -> Seen {
        let mut seen = Seen::default();
        parse(format!("{HEADING}{lines}").as_bytes(), &mut seen);
        seen
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_both_families_are_read() {
        let seen = parsed(
            "   0: 020011AC:0050 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 4711 1 0 100 0\n\
             \x20  1: 0000000000000000FFFF0000020011AC:9C40 0000000000000000FFFF0000010011AC:1538 01 00000010:00000020 00:00000000 00000000     0        0 4712 1\n\
             \x20  2: 020011AC:0050 010011AC:1538 06 00000000:00000000 03:00000000 00000000     0        0 0 3\n",
        );
        assert_eq!(
            (seen.sockets.len(), seen.malformed),
            (2, 0),
            "TIME-WAIT is left out"
        );
        let [listening, calling] = &seen.sockets[..] else {
            panic!("{seen:?}");
        };
        let here: IpAddr = [172, 17, 0, 2].into();
        assert_eq!(
            listening.local,
            End {
                address: here,
                port: 80
            }
        );
        assert_eq!(
            (listening.state, listening.receive_queue),
            (state::LISTEN, 3)
        );
        let there: IpAddr = [172, 17, 0, 1].into();
        assert_eq!(
            calling.remote,
            End {
                address: there,
                port: 5432
            }
        );
        assert_eq!(
            (calling.inode, calling.send_queue, calling.receive_queue),
            (4712, 16, 32)
        );
    }

    #[test]
    fn the_kernels_own_table_shows_a_real_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _near = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let seen = read(Path::new("/proc/self/net")).unwrap();
        let listening = End {
            address: [127, 0, 0, 1].into(),
            port,
        };
        let of_port = |s: &&Socket| s.local == listening || s.remote == listening;
        // The end that nobody has accepted yet is listed too.
        assert_eq!(seen.sockets.iter().filter(of_port).count(), 3);
        assert_eq!(seen.malformed, 0);
        let missing = read(Path::new("/proc/self/no-such-folder"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_addresses_of_a_namespace_are_those_that_others_reach() {
        let routes = b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
            Local:\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 172.17.0.2\n        /32 host LOCAL\n\
            \x20    |-- 172.17.255.255\n        /32 link BROADCAST\n";
        let found: Vec<_> = local_addresses(routes).collect();
        assert_eq!(found, [IpAddr::from([172, 17, 0, 2])]);
        let table = b"00000000000000000000000000000001 01 80 10 80       lo\n\
            20010db8000000000000000000000007 02 40 00 80     eth0\n\
            fe80000000000000000000000000000a 02 40 20 80     eth0\n";
        let found: Vec<_> = global_addresses(table).collect();
        assert_eq!(found, ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }

    proptest! {
        #[test]
        fn hostile_lines_are_counted_and_never_panic(lines in "[ 0-9A-Fa-f:+\\-\n]{0,300}") {
            let seen = parsed(&lines);
            prop_assert!(seen.sockets.len() as u64 + seen.malformed <= lines.len() as u64 + 1);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes, &mut Seen::default());
            let _ = (local_addresses(&bytes).count(), global_addresses(&bytes).count());
        }
    }
}
