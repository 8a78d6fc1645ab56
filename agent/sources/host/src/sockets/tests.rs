use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::message::{CONNECTIONS, LISTENERS};
use super::*;
use crate::reader::Descriptors;
use firstlook_model::Direction;

fn sampler() -> SocketSampler {
    let host = HostId::new("h1").unwrap();
    SocketSampler::new(host, &HostRoots::default(), &Limits::default())
}

fn table() -> (Services, Processes) {
    let (roots, open, limits) = (HostRoots::default(), Descriptors::new(0), Limits::default());
    let host = HostId::new("h1").unwrap();
    let mut services = Services::new(host, &roots, &open, &limits);
    let mut processes = Processes::new(&roots, &open, limits.processes);
    services.begin(Duration::from_secs(1), &mut Vec::new());
    processes.sample(&mut services, &mut Vec::new());
    (services, processes)
}

fn own_service(processes: &Processes) -> Arc<str> {
    let own = std::process::id();
    let owners = processes.owners();
    let owner = owners.iter().find(|owner| owner.pid == own).unwrap();
    Arc::clone(&owner.service)
}

#[test]
fn a_real_connection_is_an_edge_with_its_bytes_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sampler = sampler();
    let mut connections = Connections::new(1_000);
    let mut listeners = Listeners::default();
    sampler.dump(LISTENERS).unwrap();
    let ours = |socket: &Socket| match socket.local.port == port {
        true => Ownership::Service("server".into()),
        false => Ownership::Unknown,
    };
    listeners.update(&sampler.sockets, Duration::ZERO, ours);
    let client = |socket: &Socket| match socket.remote.port == port {
        true => Ownership::Service("client".into()),
        false => Ownership::Unknown,
    };
    let mut dump = |sampler: &mut SocketSampler, second| {
        sampler.dump(CONNECTIONS).unwrap();
        let mut tallies = SocketTallies::new();
        let dump = Dump {
            sockets: &sampler.sockets,
            ended: &[],
            listeners: &listeners,
            now: Duration::from_secs(second),
            addresses: &[],
        };
        let mut edges = connections.update(&dump, client, &mut tallies);
        edges.retain(|(key, _)| key.port == port);
        edges.sort_by_key(|(key, _)| key.direction);
        (edges, tallies)
    };
    assert!(dump(&mut sampler, 1).0.is_empty());

    let mut near = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(&[7; 1_000]).unwrap();
    far.read_exact(&mut [0; 600]).unwrap();
    let (edges, tallies) = dump(&mut sampler, 2);
    let [(out, sent), (into, received)] = &edges[..] else {
        panic!("{edges:?}");
    };
    assert_eq!(
        (out.owner.as_deref(), out.direction),
        (Some("client"), Direction::Outbound)
    );
    assert_eq!(
        (into.owner.as_deref(), into.direction),
        (Some("server"), Direction::Inbound)
    );
    assert_eq!(
        (sent.established, sent.opened, sent.bytes_sent),
        (1, 1, 1_000)
    );
    assert!(sent.rtt_us.is_some() && sent.segments_sent >= 1);
    assert_eq!(
        (received.bytes_received, received.receive_queue_bytes),
        (1_000, 400)
    );
    assert_eq!(tallies["server"].unread_bytes, 400);

    drop(near);
    let (edges, tallies) = dump(&mut sampler, 4);
    let into = edges
        .iter()
        .find(|(key, _)| key.direction == Direction::Inbound);
    assert_eq!(into.unwrap().1.close_wait, 1);
    assert_eq!(tallies["server"].close_wait, 1);
}

#[test]
fn an_accept_queue_is_seen_with_its_owner_found_by_its_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (services, processes) = table();
    let mut sampler = sampler();
    // The first sample looks for owners, the second has them.
    for second in [0, 1] {
        let monotonic = Duration::from_secs(second);
        sampler.sample(Timestamp::from_secs(0), monotonic, &services, &processes);
    }
    let service = own_service(&processes);
    let tally = sampler.tallies()[&service];
    assert!(tally.accept.unwrap().0 >= 1, "{tally:?}");
    let seen = sampler.listeners();
    let listed = seen.iter().find(|listener| listener.port == port).unwrap();
    assert_eq!(listed.component.name(), &*service);
}

#[test]
fn sockets_that_nobody_holds_are_given_up_after_a_whole_walk() {
    let (_, processes) = table();
    let mut owners = Owners::new("/proc".into());
    let nobodys = u32::MAX;
    assert_eq!(owners.ask(nobodys), None);
    owners.step(&processes, 1_000_000);
    assert_eq!(owners.ask(nobodys), Some(None));
}

#[test]
fn a_walk_in_small_pieces_finds_its_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sampler = sampler();
    sampler.dump(LISTENERS).unwrap();
    let ours = sampler
        .sockets
        .iter()
        .find(|s| s.local.port == port)
        .unwrap();
    let (_, processes) = table();
    let mut owners = Owners::new("/proc".into());
    let mut pieces = 0;
    let owner = loop {
        if let Some(owner) = owners.ask(ours.inode) {
            break owner;
        }
        owners.step(&processes, 1);
        pieces += 1;
        assert!(pieces < 100_000);
    };
    assert_eq!(owner, Some(own_service(&processes)));
}

#[test]
fn the_interval_stretches_with_the_cost() {
    let sampler = sampler();
    let half = Duration::from_millis(500);
    for (cost_ms, seconds) in [(1, 2), (8, 2), (20, 5), (25, 6), (400, 10)] {
        let expected = Duration::from_secs(seconds);
        let interval = sampler.interval(Duration::from_millis(cost_ms)) + half;
        assert!(
            interval.abs_diff(expected) < half,
            "{cost_ms} ms: {interval:?}"
        );
    }
}

#[test]
fn connections_are_looked_at_seldom_while_the_host_suffers() {
    let (mut sampler, gauge) = (sampler(), StrainGauge::default());
    sampler.ease(gauge.clone());
    let calm = sampler.interval(Duration::ZERO);
    gauge.set(Strain::Eased);
    let eased = sampler.interval(Duration::ZERO);
    let most = sampler.limits.edge_interval_max;
    assert!(
        calm < most && eased == most - Duration::from_millis(500),
        "{eased:?}"
    );
}

#[test]
fn connections_beyond_the_budget_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut sampler = sampler();
    sampler.limits.sockets = 1;
    sampler.dump(CONNECTIONS).unwrap();
    assert_eq!(sampler.sockets.len(), 1);
    assert!(sampler.beyond().0 >= 1);
}

#[test]
fn ports_that_wait_until_they_can_be_used_again_are_counted_where_there_are_many() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..20 {
        let near = TcpStream::connect(address).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        // Whoever closes first waits.
        drop(near);
        assert_eq!(far.read(&mut [0; 1]).unwrap(), 0);
    }
    let (services, processes) = table();
    let range = crate::sockstat::parse_range(b"1 65535").unwrap();
    let used = |time_wait| {
        let mut sampler = sampler();
        sampler.set_ports(Some(range), Some(time_wait));
        let second = Duration::from_secs(1);
        sampler.sample(Timestamp::from_secs(1), second, &services, &processes);
        let used = sampler.take_ports_used();
        assert_eq!(sampler.take_ports_used(), None, "taken once");
        used.unwrap()
    };
    assert!(used(65_535) >= 20, "{} of 20", used(65_535));

    let mut unknown = sampler();
    let second = Duration::from_secs(1);
    unknown.sample(Timestamp::from_secs(1), second, &services, &processes);
    assert_eq!(
        unknown.take_ports_used(),
        None,
        "without a range nothing is counted"
    );
}
