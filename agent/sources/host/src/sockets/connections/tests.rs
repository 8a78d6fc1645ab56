use super::*;
use crate::sockets::message::TcpInfo;

/// A dump of one second on a host whose address is 10.0.0.1 and that listens on port 5432 as `db`.
struct Bench {
    connections: Connections,
    listeners: Listeners,
    ended: Vec<Socket>,
    second: u64,
}

fn end(address: &str, port: u16) -> End {
    End {
        address: address.parse().unwrap(),
        port,
    }
}

fn socket(cookie: u64, local: End, remote: End, tcp: TcpInfo) -> Socket {
    Socket {
        state: state::ESTABLISHED,
        local,
        remote,
        cookie,
        inode: 1,
        receive_queue: 0,
        send_queue: 0,
        cgroup: None,
        tcp: Some(tcp),
        elsewhere: false,
        called: None,
    }
}

fn inbound(cookie: u64, tcp: TcpInfo) -> Socket {
    socket(
        cookie,
        end("10.0.0.1", 5432),
        end("10.0.0.2", 40_000 + cookie as u16),
        tcp,
    )
}

fn outbound(cookie: u64, tcp: TcpInfo) -> Socket {
    socket(
        cookie,
        end("10.0.0.1", 50_000 + cookie as u16),
        end("10.0.0.3", 6379),
        tcp,
    )
}

fn bytes(sent: u64, received: u64) -> TcpInfo {
    TcpInfo {
        bytes_acknowledged: sent,
        bytes_received: received,
        rtt_us: 500,
        ..TcpInfo::default()
    }
}

impl Bench {
    fn new() -> Self {
        Self::with_limit(100)
    }

    fn with_limit(edges: usize) -> Self {
        let mut listening = socket(
            1,
            end("0.0.0.0", 5432),
            end("0.0.0.0", 0),
            TcpInfo::default(),
        );
        listening.state = state::LISTEN;
        let mut listeners = Listeners::default();
        listeners.update(&[listening], Duration::ZERO, |_| {
            Ownership::Service("db".into())
        });
        Self {
            connections: Connections::new(edges),
            listeners,
            ended: Vec::new(),
            second: 0,
        }
    }

    fn dump(&mut self, sockets: &[Socket]) -> Vec<(EdgeKey, EdgeStats)> {
        self.dump_as(sockets, |_| Ownership::Service("app".into()))
            .0
    }

    fn dump_as(
        &mut self,
        sockets: &[Socket],
        resolve: impl FnMut(&Socket) -> Ownership,
    ) -> (Vec<(EdgeKey, EdgeStats)>, SocketTallies) {
        self.second += 2;
        let mut tallies = SocketTallies::new();
        let dump = Dump {
            sockets,
            ended: &self.ended,
            listeners: &self.listeners,
            now: Duration::from_secs(self.second),
            addresses: &["10.0.0.1".parse().unwrap()],
        };
        let mut edges = self.connections.update(&dump, resolve, &mut tallies);
        self.ended.clear();
        edges.sort_by(|(a, _), (b, _)| a.cmp(b));
        (edges, tallies)
    }
}

#[test]
fn the_first_dump_is_where_counting_begins() {
    let mut bench = Bench::new();
    assert!(bench.dump(&[inbound(1, bytes(1_000, 9_000))]).is_empty());
    let edges = bench.dump(&[inbound(1, bytes(1_500, 9_100))]);
    let (key, stats) = &edges[0];
    assert_eq!(
        (key.owner.as_deref(), key.direction),
        (Some("db"), Direction::Inbound)
    );
    assert_eq!(
        (key.remote.to_string().as_str(), key.port),
        ("10.0.0.2", 5432)
    );
    assert_eq!((stats.bytes_sent, stats.bytes_received), (500, 100));
    assert_eq!((stats.established, stats.opened), (1, 0));
    assert_eq!(stats.rtt_us, Some(500));
}

#[test]
fn a_new_connection_counts_from_its_beginning_and_edges_add_up() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    let edges = bench.dump(&[outbound(1, bytes(10, 1)), outbound(2, bytes(20, 2))]);
    assert_eq!(edges.len(), 1);
    let (key, stats) = &edges[0];
    assert_eq!(
        (key.owner.as_deref(), key.direction, key.port),
        (Some("app"), Direction::Outbound, 6379)
    );
    assert_eq!((stats.opened, stats.bytes_sent), (2, 28), "less two SYNs");
    let again = bench.dump(&[outbound(1, bytes(10, 1)), outbound(2, bytes(20, 2))]);
    assert_eq!((again[0].1.opened, again[0].1.bytes_sent), (0, 0));
    assert_eq!(again[0].1.rtt_us, None, "nothing moved");
}

#[test]
fn segments_count_across_a_wrap_and_backoff_is_seen() {
    let mut bench = Bench::new();
    let tcp = |data_segments_sent, retransmits, backoff| TcpInfo {
        data_segments_sent,
        retransmits,
        backoff,
        ..TcpInfo::default()
    };
    bench.dump(&[outbound(1, tcp(u32::MAX, 5, 0))]);
    let stats = bench.dump(&[outbound(1, tcp(2, 8, 3))])[0].1.clone();
    assert_eq!(
        (stats.segments_sent, stats.retransmits, stats.backing_off),
        (3, 3, 1)
    );
}

#[test]
fn states_are_told_apart() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    let with = |cookie, state| Socket {
        state,
        ..outbound(cookie, TcpInfo::default())
    };
    let edges = bench.dump(&[
        with(1, state::SYN_SENT),
        with(2, state::CLOSE_WAIT),
        with(3, state::FIN_WAIT_2),
        with(4, state::LAST_ACK),
        with(5, state::ESTABLISHED),
    ]);
    let stats = &edges[0].1;
    assert_eq!(
        (
            stats.syn_sent,
            stats.close_wait,
            stats.closing,
            stats.established
        ),
        (1, 1, 2, 1)
    );
}

#[test]
fn a_connection_inside_one_service_is_no_edge_but_one_between_two_is() {
    let mut bench = Bench::new();
    let there = socket(
        1,
        end("127.0.0.1", 5432),
        end("127.0.0.1", 40_000),
        bytes(1, 1),
    );
    let back = socket(
        2,
        end("127.0.0.1", 40_000),
        end("127.0.0.1", 5432),
        bytes(1, 1),
    );
    bench.dump(&[]);
    let same = |_: &Socket| Ownership::Service("db".into());
    assert!(bench.dump_as(&[there, back], same).0.is_empty());

    let mut bench = Bench::new();
    bench.dump(&[]);
    let edges = bench.dump(&[there, back]);
    let owners: Vec<_> = edges.iter().map(|(key, _)| key.owner.as_deref()).collect();
    assert_eq!(owners, [Some("app"), Some("db")]);
}

#[test]
fn an_owner_found_late_loses_no_bytes() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    let early = [outbound(1, bytes(100, 0))];
    let (edges, _) = bench.dump_as(&early, |_| Ownership::Pending);
    assert!(edges.is_empty());
    let edges = bench.dump(&[outbound(1, bytes(150, 0))]);
    assert_eq!((edges[0].1.bytes_sent, edges[0].1.opened), (149, 1));
}

#[test]
fn a_connection_keeps_its_direction_when_its_listener_dies() {
    let mut bench = Bench::new();
    bench.dump(&[inbound(1, bytes(1, 1))]);
    bench
        .listeners
        .update(&[], Duration::from_secs(3), |_| Ownership::Unknown);
    let edges = bench.dump(&[inbound(1, bytes(2, 1))]);
    assert_eq!(edges[0].0.direction, Direction::Inbound);
    assert_eq!(edges[0].0.owner.as_deref(), Some("db"));
}

#[test]
fn an_edge_that_lost_its_connections_is_reported_empty_for_a_minute() {
    let mut bench = Bench::new();
    bench.dump(&[outbound(1, bytes(1, 1))]);
    bench.dump(&[outbound(1, bytes(2, 1))]);
    let edges = bench.dump(&[]);
    assert_eq!(edges.len(), 1);
    assert_eq!(edges[0].1, EdgeStats::default());
    bench.second += 60;
    assert!(bench.dump(&[]).is_empty());
}

#[test]
fn edges_beyond_the_budget_are_counted_and_dependencies_go_first() {
    let mut bench = Bench::with_limit(1);
    bench.dump(&[]);
    let edges = bench.dump(&[inbound(1, bytes(9_000, 9_000)), outbound(2, bytes(1, 1))]);
    assert_eq!(edges.len(), 1);
    assert_eq!(edges[0].0.direction, Direction::Outbound);
    assert_eq!(bench.connections.beyond(), 1);
}

#[test]
fn services_see_what_they_leave_unread() {
    let mut bench = Bench::new();
    let mut unread = inbound(1, bytes(0, 500));
    unread.receive_queue = 500;
    let mut hung_up = inbound(2, bytes(0, 0));
    hung_up.state = state::CLOSE_WAIT;
    let (_, tallies) = bench.dump_as(&[unread, hung_up], |_| Ownership::Unknown);
    let db = tallies["db"];
    assert_eq!(
        (db.connections, db.close_wait, db.unread_bytes),
        (1, 1, 500)
    );
}

#[test]
fn what_ended_between_two_dumps_adds_its_last_counts() {
    let mut bench = Bench::new();
    bench.dump(&[outbound(1, bytes(100, 10))]);
    bench.dump(&[outbound(1, bytes(200, 10))]);
    bench.ended = vec![outbound(1, bytes(250, 15))];
    let edges = bench.dump(&[]);
    let stats = &edges[0].1;
    assert_eq!((stats.bytes_sent, stats.bytes_received), (50, 5));
    assert_eq!((stats.established, stats.opened), (0, 0));
}

#[test]
fn a_connection_no_dump_saw_belongs_to_its_listener_or_to_the_only_caller() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    bench.ended = vec![inbound(7, bytes(30, 20)), outbound(8, bytes(30, 20))];
    let edges = bench.dump(&[]);
    assert_eq!(edges.len(), 1, "nobody is known to call: {edges:?}");
    assert_eq!(edges[0].0.owner.as_deref(), Some("db"));
    assert_eq!((edges[0].1.opened, edges[0].1.bytes_received), (1, 20));
    assert_eq!(bench.connections.unattributed(), 1);

    bench.dump(&[outbound(9, bytes(1, 1))]);
    bench.ended = vec![outbound(10, bytes(31, 20))];
    let edges = bench.dump(&[]);
    let (_, stats) = edges
        .iter()
        .find(|(key, _)| key.direction == Direction::Outbound)
        .unwrap();
    assert_eq!((stats.opened, stats.bytes_sent), (1, 30));
    assert_eq!(bench.connections.unattributed(), 0);
}

#[test]
fn a_caller_that_no_dump_meets_is_asked_for_until_it_is_known() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    bench.ended = vec![outbound(8, bytes(30, 20))];
    bench.dump(&[]);
    let called = (
        outbound(8, bytes(0, 0)).remote.address,
        outbound(8, bytes(0, 0)).remote.port,
    );
    assert_eq!(bench.connections.uncalled(), &HashSet::from([called]));
    let now = Duration::from_secs(bench.second);
    bench.connections.learn("app".into(), called, now);
    bench.ended = vec![outbound(9, bytes(31, 20)), inbound(10, bytes(1, 1))];
    let edges = bench.dump(&[]);
    assert!(bench.connections.uncalled().is_empty());
    let calls = |(key, stats): &(EdgeKey, EdgeStats)| {
        (key.owner.as_deref() == Some("app")).then_some(stats.bytes_sent)
    };
    assert_eq!(edges.iter().find_map(calls), Some(30));
}

#[test]
fn a_refused_call_opens_nothing_but_keeps_its_edge() {
    let mut bench = Bench::new();
    bench.dump(&[outbound(1, bytes(1, 1))]);
    bench.dump(&[outbound(1, bytes(1, 1))]);
    for cookie in 2..60 {
        bench.ended = vec![outbound(cookie, TcpInfo::default())];
        let edges = bench.dump(&[]);
        assert_eq!(edges.len(), 1);
        assert_eq!(edges[0].1, EdgeStats::default());
    }
}

/// What the kernel tells of a call that was refused: it disconnected the socket first, and the port is gone.
fn refused(cookie: u64) -> Socket {
    Socket {
        remote: end("10.0.0.3", 0),
        ..outbound(cookie, TcpInfo::default())
    }
}

#[test]
fn a_refused_call_that_a_dump_saw_keeps_the_port_that_it_called() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    let calling = Socket {
        state: state::SYN_SENT,
        ..outbound(1, TcpInfo::default())
    };
    bench.dump(&[calling]);
    bench.ended = vec![refused(1)];
    let edges = bench.dump(&[]);
    let ports: Vec<u16> = edges.iter().map(|(key, _)| key.port).collect();
    assert_eq!(ports, [6379]);
}

#[test]
fn a_refused_call_to_nobody_knows_which_port_is_counted_and_makes_no_edge() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    bench.ended = vec![refused(1)];
    assert!(bench.dump(&[]).is_empty());
    assert_eq!(bench.connections.unattributed(), 1);
    assert!(bench.dump(&[refused(2)]).is_empty());
}

#[test]
fn a_passing_connection_within_the_host_makes_no_edge_of_its_own() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    let here = socket(
        1,
        end("127.0.0.1", 5432),
        end("127.0.0.1", 40_000),
        bytes(9, 9),
    );
    bench.ended = vec![here];
    assert!(bench.dump(&[]).is_empty());
}

#[test]
fn a_connection_no_dump_saw_is_nobodys_when_several_call_the_same() {
    let mut bench = Bench::new();
    bench.dump(&[]);
    bench.dump(&[outbound(1, bytes(1, 1))]);
    bench.dump_as(&[outbound(2, bytes(1, 1))], |_| {
        Ownership::Service("cron".into())
    });
    bench.ended = vec![outbound(3, bytes(30, 20))];
    let edges = bench.dump(&[]);
    assert!(edges.iter().all(|(_, stats)| stats.bytes_sent == 0));
    assert_eq!(bench.connections.unattributed(), 1);
}

#[test]
fn an_end_whose_other_end_is_gone_is_not_taken_for_the_next_callers() {
    let mut bench = Bench::new();
    let here = |port| end("10.0.0.1", port);
    let callee = |cookie, port| socket(cookie, here(5432), here(port), bytes(9, 9));
    let caller = |cookie, port| socket(cookie, here(port), here(5432), bytes(9, 9));
    let by_port = |socket: &Socket| match socket.local.port {
        40_001 => Ownership::Service("db".into()),
        _ => Ownership::Service("app".into()),
    };
    bench.dump_as(&[callee(1, 40_000), caller(2, 40_000)], by_port);
    let (edges, _) = bench.dump_as(&[callee(1, 40_000), caller(2, 40_000)], by_port);
    assert_eq!(edges.len(), 2, "one from each end");
    // The caller is gone, and its row is that of a caller within the callee's own service now.
    bench.dump_as(&[callee(1, 40_000)], by_port);
    let left = [callee(1, 40_000), caller(3, 40_001), callee(4, 40_001)];
    let (edges, _) = bench.dump_as(&left, by_port);
    let established = |direction| {
        let of = |(key, _): &&(EdgeKey, EdgeStats)| key.direction == direction;
        edges.iter().find(of).map(|(_, stats)| stats.established)
    };
    assert_eq!(established(Direction::Inbound), Some(1));
    assert_eq!(established(Direction::Outbound), Some(0), "it lingers");
}
