use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use firstlook_model::HostId;
use proptest::prelude::*;

use super::*;
use crate::limits::Limits;
use crate::processes::Processes;
use crate::reader::Descriptors;
use crate::roots::HostRoots;
use crate::services::Services;

/// What a sample of this machine tells, and the service that it says we are.
fn sampled() -> (Endpoints, Arc<str>) {
    let (roots, open, limits) = (HostRoots::default(), Descriptors::new(0), Limits::default());
    let mut services = Services::new(HostId::new("h1").unwrap(), &roots, &open, &limits);
    let mut processes = Processes::new(&roots, &open, limits.processes);
    services.begin(Duration::from_secs(1), &mut Vec::new());
    processes.sample(&mut services, &mut Vec::new());
    let owners = processes.owners();
    let is_us = |owner: &&Owner| owner.pid == std::process::id();
    let us = Arc::clone(&owners.iter().find(is_us).unwrap().service);
    let endpoints = Endpoints::new(roots.proc);
    endpoints.note(services.cgroups(), owners, &[]);
    (endpoints, us)
}

/// The UDP sockets that the kernel shows which may send from here to port 1.
async fn shown(endpoints: &Endpoints, from: SocketAddr) -> Vec<Socket> {
    let to = End::from(SocketAddr::from(([0, 0, 0, 0], 1)));
    endpoints.asking.lock().await.bound(from.into(), to)
}

#[tokio::test]
async fn who_made_a_connection_is_named_and_nobody_once_it_is_gone() {
    let (endpoints, us) = sampled();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let to = listener.local_addr().unwrap();
        let near = TcpStream::connect(to).unwrap();
        let from = near.local_addr().unwrap();
        let (far, _) = listener.accept().unwrap();
        let ask = |from| endpoints.owner(Transport::Tcp, from, to);
        endpoints.asking.lock().await.rests_until = None;
        assert_eq!(ask(from).await, Some(Arc::clone(&us)), "{address}");
        // Nobody called from the address that is listened at, and who listens there is not taken for a caller.
        assert_eq!(ask(to).await, None);
        drop(far);
        drop(near);
        assert_eq!(ask(from).await, None);
    }
}

#[tokio::test]
async fn a_caller_of_version_4_is_found_behind_a_listener_of_version_6() {
    let (endpoints, us) = sampled();
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _near = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (far, from) = listener.accept().unwrap();
    let to = far.local_addr().unwrap();
    assert!(from.is_ipv6());
    assert_eq!(endpoints.owner(Transport::Tcp, from, to).await, Some(us));
}

#[tokio::test]
async fn who_sends_datagrams_is_named_whether_bound_to_one_address_or_all() {
    let (endpoints, us) = sampled();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    for (address, connects) in [
        ("127.0.0.1:0", false),
        ("0.0.0.0:0", false),
        ("[::]:0", false),
        ("127.0.0.1:0", true),
    ] {
        let sender = UdpSocket::bind(address).unwrap();
        let port = sender.local_addr().unwrap().port();
        if connects {
            sender.connect(to).unwrap();
        }
        let from = ([127, 0, 0, 1], port).into();
        endpoints.asking.lock().await.rests_until = None;
        let owner = endpoints.owner(Transport::Udp, from, to).await;
        assert_eq!(owner.as_ref(), Some(&us), "{address}");
        assert_eq!(
            shown(&endpoints, from).await.len(),
            1 - usize::from(connects)
        );
        drop(sender);
        assert_eq!(endpoints.owner(Transport::Udp, from, to).await, None);
    }
}

#[tokio::test]
async fn a_peer_that_is_not_of_this_host_is_not_asked_about() {
    let (endpoints, us) = sampled();
    let sender = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = sender.local_addr().unwrap().port();
    let to = ([127, 0, 0, 1], 1).into();
    let from = ([192, 0, 2, 1], port).into();
    // Somebody is asking: whoever asks, too, waits for ever.
    let asking = endpoints.asking.lock().await;
    assert_eq!(endpoints.owner(Transport::Udp, from, to).await, None);
    drop(asking);
    endpoints.known().addresses.push(from.ip());
    assert_eq!(endpoints.owner(Transport::Udp, from, to).await, Some(us));
}

#[tokio::test]
async fn a_cgroup_names_the_owner_unless_it_is_the_managers() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = socket.local_addr().unwrap();
    let to = ([127, 0, 0, 1], 1).into();
    let endpoints = Endpoints::new("/proc".into());
    let [shown] = shown(&endpoints, from).await[..] else {
        panic!("one socket has this port");
    };
    let cgroup = shown.cgroup.unwrap();
    for (name, named) in [("a.service", true), (MANAGER, false)] {
        let cgroups = HashMap::from([(cgroup, Arc::from(name))]);
        endpoints.note(&cgroups, Vec::new(), &[]);
        let owner = endpoints.owner(Transport::Udp, from, to).await;
        assert_eq!(owner.as_deref(), named.then_some(name));
    }
}

#[tokio::test]
async fn sockets_of_two_services_have_no_owner_and_walks_rest() {
    let endpoints = Endpoints::new("/proc".into());
    let process = |pid, service: &str| Owner {
        pid,
        started: 0,
        service: service.into(),
    };
    let us = process(std::process::id(), "us");
    endpoints.note(
        &HashMap::from([(1, "a".into()), (2, "b".into())]),
        vec![us],
        &[],
    );
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = held.local_addr().unwrap();
    let [shown] = shown(&endpoints, from).await[..] else {
        panic!("one socket has this port");
    };
    let of = |cgroup| Socket {
        cgroup: Some(cgroup),
        ..shown
    };
    let known = &endpoints.known;
    let mut asking = endpoints.asking.lock().await;
    let mut owner = |sockets: &[Socket]| asking.one_owner(sockets, known);
    assert_eq!(owner(&[of(1), of(1)]).as_deref(), Some("a"));
    assert_eq!(owner(&[of(1), of(2)]), None);
    assert_eq!(owner(&[]), None);
    assert_eq!(owner(&[of(3)]).as_deref(), Some("us"));
    asking.rests_until = Some(Instant::now() + Duration::from_secs(3_600));
    assert_eq!(asking.one_owner(&[of(3)], known), None);
}

proptest! {
    #[test]
    fn a_request_names_the_ends_as_an_answer_does(
        a in any::<[u8; 16]>(), b in any::<[u8; 16]>(), four in any::<bool>(), ports in any::<(u16, u16)>(),
    ) {
        let end = |bytes: [u8; 16], port| {
            let address = match (four, bytes.first_chunk::<4>()) {
                (true, Some(four)) => IpAddr::from(*four),
                _ => IpAddr::from(bytes).to_canonical(),
            };
            End { address, port }
        };
        let (local, remote) = (end(a, ports.0), end(b, ports.1));
        prop_assume!(local.address.is_ipv4() == remote.address.is_ipv4());
        let request = message::tcp_request(local, remote);
        // The ends stand four bytes earlier in an answer, behind the same family.
        let mut answer = vec![0; 72];
        answer[0] = request[0];
        answer[4..44].copy_from_slice(&request[8..48]);
        let read = message::parse(&answer).unwrap();
        prop_assert_eq!((read.local, read.remote), (local, remote));
    }
}
