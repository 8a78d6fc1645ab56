use firstlook_model::{Frame, Timestamp};

use super::*;

const PART: Part = Part {
    seconds: 1.0,
    resident_bytes: 4096.0,
    threads: 2,
    blocked: false,
    stopped: false,
    zombie: false,
    files: None,
    settled: true,
};

struct Bench {
    services: Services,
    registry: Registry,
    second: u64,
}

impl Bench {
    fn new(limit: usize) -> Self {
        let limits = Limits {
            services: limit,
            ..Limits::default()
        };
        let host = HostId::new("h1").unwrap();
        let open = Descriptors::new(16);
        Self {
            services: Services::new(host, &HostRoots::default(), &open, &limits),
            registry: Registry::new(Duration::ZERO),
            second: 0,
        }
    }

    fn sample(&mut self, parts: &[(&str, bool, Part)], sockets: &SocketTallies) -> Frame {
        self.second += 1;
        let now = Duration::from_secs(self.second);
        self.registry.begin(now);
        self.services.begin(now, &mut Vec::new());
        for (name, claimed, part) in parts {
            let name = self.services.intern(name);
            self.services.add(&name, *claimed, part);
        }
        self.services
            .publish(&mut self.registry, &mut Vec::new(), sockets);
        self.services
            .expire(&mut self.registry, Duration::from_secs(600));
        self.registry.frame(Timestamp::from_secs(0))
    }
}

fn read(frame: &Frame, service: &str, signal: &str) -> Option<f64> {
    let wanted = |s: &firstlook_model::Series| s.component.name() == service && s.signal == signal;
    let at = frame.schema.series().iter().position(wanted)?;
    Some(frame.values[at])
}

#[test]
fn cpu_time_only_rises_though_processes_end() {
    let mut bench = Bench::new(10);
    let none = SocketTallies::new();
    let mut last = 0.0;
    for parts in [2, 1, 0, 3] {
        let all = vec![("app", false, PART); parts];
        let frame = bench.sample(&all, &none);
        let cpu = read(&frame, "app", names::SERVICE_CPU).unwrap();
        assert_eq!(cpu, last + parts as f64);
        last = cpu;
        assert_eq!(
            read(&frame, "app", names::SERVICE_PROCESSES),
            Some(parts as f64)
        );
    }
}

#[test]
fn services_beyond_the_budget_share_one_and_are_counted() {
    let mut bench = Bench::new(1);
    let parts = [("a", false, PART), ("b", false, PART), ("c", false, PART)];
    let frame = bench.sample(&parts, &SocketTallies::new());
    assert_eq!(read(&frame, "a", names::SERVICE_THREADS), Some(2.0));
    assert_eq!(read(&frame, OTHER, names::SERVICE_PROCESSES), Some(2.0));
    assert_eq!(bench.services.beyond(), 2);
}

#[test]
fn a_young_command_waits_in_other_while_a_young_unit_does_not() {
    let mut bench = Bench::new(10);
    let young = Part {
        settled: false,
        ..PART
    };
    let parts = [("sleep", false, young), ("web.service", true, young)];
    let frame = bench.sample(&parts, &SocketTallies::new());
    assert_eq!(read(&frame, "sleep", names::SERVICE_CPU), None);
    assert_eq!(read(&frame, OTHER, names::SERVICE_PROCESSES), Some(1.0));
    assert_eq!(
        read(&frame, "web.service", names::SERVICE_PROCESSES),
        Some(1.0)
    );
}

#[test]
fn stopped_and_blocked_processes_are_counted() {
    let mut bench = Bench::new(10);
    let stopped = Part {
        stopped: true,
        ..PART
    };
    let blocked = Part {
        blocked: true,
        ..PART
    };
    let parts = [("db", false, stopped), ("db", false, blocked)];
    let frame = bench.sample(&parts, &SocketTallies::new());
    assert_eq!(read(&frame, "db", names::SERVICE_STOPPED), Some(1.0));
    assert_eq!(read(&frame, "db", names::SERVICE_BLOCKED), Some(1.0));
}

#[test]
fn sockets_have_series_once_there_were_any_and_then_fall_to_zero() {
    let mut bench = Bench::new(10);
    let parts = [("db", false, PART)];
    let tally = SocketTally {
        accept: Some((3, 2)),
        connections: 4,
        ..SocketTally::default()
    };
    let with: SocketTallies = [(Arc::from("db"), tally)].into();
    let without = SocketTallies::new();
    let frame = bench.sample(&parts, &without);
    assert_eq!(read(&frame, "db", names::SERVICE_CONNECTIONS), None);
    let frame = bench.sample(&parts, &with);
    assert_eq!(read(&frame, "db", names::SERVICE_ACCEPT_QUEUE), Some(3.0));
    assert_eq!(read(&frame, "db", names::SERVICE_ACCEPT_BACKLOG), Some(2.0));
    let frame = bench.sample(&parts, &without);
    assert_eq!(read(&frame, "db", names::SERVICE_CONNECTIONS), Some(0.0));
    let queue = read(&frame, "db", names::SERVICE_ACCEPT_QUEUE).unwrap();
    assert!(
        queue.is_nan(),
        "a listener that is gone has no queue: {queue}"
    );
}

#[test]
fn a_service_long_gone_loses_its_series() {
    let mut bench = Bench::new(10);
    let none = SocketTallies::new();
    bench.sample(&[("a", false, PART), ("b", false, PART)], &none);
    bench.second = 600;
    let frame = bench.sample(&[("b", false, PART)], &none);
    let frame_after = bench.sample(&[("b", false, PART)], &none);
    assert_eq!(read(&frame, "b", names::SERVICE_PROCESSES), Some(1.0));
    assert_eq!(read(&frame_after, "a", names::SERVICE_PROCESSES), None);
}

#[test]
fn a_counter_that_begins_anew_still_rises() {
    let mut rising = Rising::default();
    assert_eq!(rising.rise(5.0), 5.0);
    assert_eq!(rising.rise(7.0), 7.0);
    assert_eq!(rising.rise(1.0), 8.0, "a restarted cgroup counts from zero");
}

#[test]
fn of_many_processes_the_one_nearest_to_its_own_limit_counts() {
    let mut bench = Bench::new(10);
    let part = |files| Part { files, ..PART };
    let zombie = Part {
        zombie: true,
        ..part(None)
    };
    let parts = [
        ("a.service", true, part(Some((900, 65_536)))),
        ("a.service", true, part(Some((60, 64)))),
        ("a.service", true, part(None)),
        ("a.service", true, zombie),
        ("b.service", true, part(None)),
    ];
    let frame = bench.sample(&parts, &SocketTallies::new());
    let of = |service, signal| read(&frame, service, signal);
    assert_eq!(of("a.service", names::SERVICE_OPEN_FILES), Some(60.0));
    assert_eq!(of("a.service", names::SERVICE_OPEN_FILES_LIMIT), Some(64.0));
    assert_eq!(of("a.service", names::SERVICE_ZOMBIES), Some(1.0));
    assert_eq!(
        of("b.service", names::SERVICE_OPEN_FILES),
        None,
        "never seen"
    );
}

#[test]
fn turns_take_longer_where_there_are_many_services() {
    assert_eq!(detail_every(0), 5);
    assert_eq!(detail_every(100), 5);
    assert_eq!(detail_every(401), 21);
}
