use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::limits::Limits;
use crate::reader::Descriptors;
use crate::roots::HostRoots;
use crate::services::Services;
use firstlook_model::HostId;

/// The only address that the namespace of the tests has.
const ADDRESS: [u8; 4] = [10, 77, 0, 2];

/// Lets port 8080 of the namespace mean port 8081.
const SETUP: &str = r#"
    ip address add 10.77.0.2/32 dev lo && ip link set lo up &&
    nft 'add table ip t; add chain ip t out { type nat hook output priority -100; };
         add rule ip t out ip daddr 10.77.0.2 tcp dport 8080 dnat to 10.77.0.2:8081' &&
    exec "$0" "$@""#;

/// A process in a network namespace of its own: the example `neighbour`. Ends with its handle.
struct Namespace {
    process: Child,
    _until_closed: ChildStdin,
    port: u16,
}

impl Namespace {
    fn new() -> Self {
        let whom: &[&str] = match rustix::process::geteuid().is_root() {
            true => &[],
            false => &["--user", "--map-root-user"],
        };
        let mut process = Command::new("unshare")
            .args(whom)
            .args(["--net", "sh", "-c", SETUP])
            .arg(neighbour())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until_closed = process.stdin.take().unwrap();
        let mut said = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        let port = said.trim_end().parse();
        Self {
            process,
            _until_closed: until_closed,
            port: port.expect("a namespace, made by unshare, ip and nft"),
        }
    }
}

/// The example, which is built where tests are.
fn neighbour() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/neighbour")
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn processes() -> Processes {
    let (roots, open, limits) = (HostRoots::default(), Descriptors::new(0), Limits::default());
    let mut services = Services::new(HostId::new("h1").unwrap(), &roots, &open, &limits);
    let mut processes = Processes::new(&roots, &open, limits.processes);
    services.begin(Duration::from_secs(1), &mut Vec::new());
    processes.sample(&mut services, &mut Vec::new());
    processes
}

/// What a namespace of the tests must show, whichever way it is seen.
fn check(found: &Found, port: u16) {
    let address = IpAddr::from(ADDRESS);
    assert!(found.addresses.contains(&address), "{:?}", found.addresses);
    let ours = |socket: &&Socket| socket.local.port == port || socket.remote.port == port;
    let ours: Vec<_> = found.sockets.iter().filter(ours).collect();
    // The listener, and both ends of a connection over the loopback of there.
    assert_eq!(ours.len(), 3, "{ours:?}");
    assert!(
        ours.iter()
            .all(|s| s.local.address == address && s.elsewhere)
    );
    let connected = ours.iter().filter(|s| s.state == state::ESTABLISHED);
    assert!(connected.clone().all(|s| s.remote.address == address));
    let callee = connected.clone().find(|s| s.local.port == port).unwrap();
    assert_eq!(callee.receive_queue, 100);
}

#[test]
fn what_another_namespace_has_is_seen_under_an_address_of_its_own() {
    let namespace = Namespace::new();
    let mut spaces = Spaces::new("/proc".into());
    spaces.find(&processes());
    let found = spaces.look(100_000);
    check(&found, namespace.port);
    let entered = spaces.blind().all(|why| !why.contains("only states"));
    let ours = |s: &&Socket| s.local.port == namespace.port && s.state == state::ESTABLISHED;
    let callee = found.sockets.iter().find(ours).unwrap();
    // Counts where it may be entered; where not, the blind spot says so.
    assert_eq!(callee.tcp.is_some(), entered);
    assert_eq!(entered, rustix::process::geteuid().is_root());
    // A look leaves this thread where it was.
    assert_eq!(inode_of(Path::new("/proc/thread-self/ns/net")), spaces.own);
}

#[test]
fn who_may_not_enter_reads_states_and_says_what_is_missing() {
    let namespace = Namespace::new();
    let mut spaces = Spaces::new("/proc".into());
    spaces.find(&processes());
    let mut found = Found::default();
    spaces.read_tables(&mut found, 100_000);
    check(&found, namespace.port);
    assert!(found.sockets.iter().all(|socket| socket.tcp.is_none()));
    spaces.without_counts = Some((1, Errno::PERM.to_string()));
    assert!(spaces.blind().any(|why| why.contains("CAP_SYS_ADMIN")));
}

#[test]
fn a_namespace_lives_no_longer_for_being_looked_into() {
    let namespace = Namespace::new();
    let mut spaces = Spaces::new("/proc".into());
    spaces.find(&processes());
    let inode = inode_of(&spaces.link(namespace.process.id())).unwrap();
    assert!(spaces.spaces.iter().any(|space| space.inode == inode));
    drop(namespace);
    // Its process is gone: a look finds nothing there and does not fail.
    let found = spaces.look(100_000);
    assert!(!found.addresses.contains(&IpAddr::from(ADDRESS)) || spaces.spaces.len() > 1);
    spaces.find(&processes());
    assert!(spaces.spaces.iter().all(|space| space.inode != inode));
    let held = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let held = held.filter_map(|entry| inode_of(&entry.path()));
    assert_eq!(held.count(), 0, "a namespace is held open");
}

#[test]
fn a_call_whose_address_the_kernel_translates_joins_those_who_talk() {
    let namespace = Namespace::new();
    let net = format!("/proc/{}/net", namespace.process.id());
    let mut nat = crate::sockets::nat::Nat::new(format!("{net}/nf_conntrack").into());
    nat.read(Duration::ZERO);
    assert_eq!(nat.blind().count(), 0);
    let mut seen = table::read(Path::new(&net)).unwrap().sockets;
    let port = |end: message::End| end.port;
    let call = seen.iter().position(|s| port(s.remote) == 8080).unwrap();
    let answer = |s: &Socket| port(s.local) == 8081 && s.state == state::ESTABLISHED;
    let answer = seen.iter().position(answer).unwrap();
    for socket in &mut seen {
        nat.translate(socket, &[]);
    }
    assert_eq!(seen[call].remote, seen[answer].local);
    assert_eq!(seen[answer].remote, seen[call].local);
    // To those who call from afar it is known by the port that they call.
    assert_eq!(seen[answer].called, Some(8080));
}

fn listening(port: u16, address: &str) -> Socket {
    let end = |address: &str, port| message::End {
        address: address.parse().unwrap(),
        port,
    };
    Socket {
        state: state::LISTEN,
        local: end(address, port),
        remote: end("0.0.0.0", 0),
        cookie: 1,
        inode: 1,
        receive_queue: 0,
        send_queue: 0,
        cgroup: None,
        tcp: None,
        elsewhere: false,
        called: None,
    }
}

#[test]
fn a_listener_on_every_address_is_told_once_for_each_and_the_budget_is_kept() {
    let own: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
    let sockets = vec![listening(80, "0.0.0.0"), listening(81, "10.0.0.2")];
    let told = |limit| {
        let mut found = Found::default();
        take(7, sockets.clone(), &own, &mut found, limit);
        let ends = found
            .sockets
            .iter()
            .map(|s| (s.local.address, s.local.port));
        (ends.collect::<Vec<_>>(), found.beyond)
    };
    let all = vec![(own[0], 80), (own[1], 80), (own[1], 81)];
    assert_eq!(told(9), (all.clone(), 0));
    assert_eq!(told(2), (all[..2].to_vec(), 1));
}
