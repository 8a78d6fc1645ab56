//! Addresses of the host's interfaces, by rtnetlink. rtnetlink(7), linux/if_addr.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netlink::{Netlink, NetlinkError, attributes};

/// RTM_GETADDR.
const GET_ADDRESS: u16 = 22;
/// `struct ifaddrmsg`, all zero: addresses of every family.
const REQUEST: [u8; 8] = [0; 8];
/// IFA_ADDRESS; of a point-to-point link, the peer's.
const ADDRESS: u16 = 1;
/// IFA_LOCAL, where it differs.
const LOCAL: u16 = 2;
/// Most addresses of one host.
const LIMIT: usize = 1_024;

/// The address in one answer; `None` for another family or a malformed one.
fn parse(body: &[u8]) -> Option<IpAddr> {
    let (fixed, rest) = body.split_at_checked(REQUEST.len())?;
    let mut found = None;
    for (kind, value) in attributes(rest) {
        if kind == LOCAL || (kind == ADDRESS && found.is_none()) {
            found = match (fixed[0], value.len()) {
                (2, 4) => Some(IpAddr::V4(Ipv4Addr::from(*value.first_chunk::<4>()?))),
                (10, 16) => Some(IpAddr::V6(Ipv6Addr::from(*value.first_chunk::<16>()?))),
                _ => found,
            };
        }
    }
    found
}

/// Whether others can reach the host by it: neither loopback nor of one link only.
fn reachable(address: &IpAddr) -> bool {
    let one_link = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !one_link
}

/// Addresses by which others can reach this network namespace, sorted, each once.
pub(crate) fn read(route: &mut Netlink) -> Result<Vec<IpAddr>, NetlinkError> {
    let mut found = Vec::new();
    route.dump(GET_ADDRESS, &REQUEST, |body| {
        if found.len() < LIMIT {
            found.extend(parse(body).filter(reachable));
        }
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(family: u8, parts: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![family, 24, 0, 0, 1, 0, 0, 0];
        for (kind, value) in parts {
            bytes.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    #[test]
    fn of_a_point_to_point_link_the_local_end_counts() {
        let body = answer(2, &[(ADDRESS, &[10, 0, 0, 2]), (LOCAL, &[10, 0, 0, 1])]);
        assert_eq!(parse(&body), Some(IpAddr::from([10, 0, 0, 1])));
        let six = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
        let body = answer(10, &[(ADDRESS, &six.octets())]);
        assert_eq!(parse(&body), Some(IpAddr::V6(six)));
    }

    #[test]
    fn only_addresses_that_others_reach_count() {
        for (address, expected) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("fe80::1", false),
            ("169.254.1.1", false),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
        ] {
            assert_eq!(reachable(&address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_kernel_answers() {
        let mut route = Netlink::route();
        let found = read(&mut route).unwrap();
        assert!(found.iter().all(reachable));
        assert_eq!(read(&mut route).unwrap(), found, "a second dump differs");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
