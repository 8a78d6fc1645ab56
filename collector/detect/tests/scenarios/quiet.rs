//! Nothing is wrong, or nothing that is anybody's business.

use firstlook_detect::Detector;
use firstlook_model::signal::names;
use firstlook_model::symptom::families;
use firstlook_model::{
    ActiveState, ChangeKind, MetricBlock, Record, Schema, Series, Severity, SignalKind, Unit,
};

use crate::world::{APP, DB, EDGE, Lcg, World, id, service};

#[test]
fn ten_minutes_of_noise_show_nothing() {
    for seed in [7, 99, 12_345] {
        let mut world = World::new();
        world.rng = Lcg(seed);
        for _ in 0..600 {
            world.tick();
            assert_eq!(
                world.shown(),
                Vec::<String>::new(),
                "seed {seed}, second {}",
                world.secs
            );
        }
    }
}

#[test]
fn a_healthy_world_is_attested_in_every_family() {
    let mut world = World::new();
    world.run(90);
    for (component, family) in [
        ("service:app1/app.service", families::UNIT),
        ("service:app1/app.service", families::CPU),
        ("service:app1/app.service", families::MEMORY),
        ("service:app1/app.service", families::SOCKETS),
        ("service:app1/app.service", families::EDGE),
        ("service:db1/postgresql.service", families::EDGE),
        ("service:app1/app.service", families::LOG),
        ("service:app1/app.service", families::PROBE),
        ("service:app1/app.service", families::LIMITS),
        ("host:app1", families::LIMITS),
        ("host:app1", families::CPU),
        ("host:app1", families::MEMORY),
        ("host:app1", families::DISK),
        ("host:app1", families::NETWORK),
        ("interface:app1/eth0", families::NETWORK),
        ("host:app1", families::HEARTBEAT),
        ("agent:app1", families::HEARTBEAT),
        ("filesystem:db1/var/lib/data", families::FILESYSTEM),
    ] {
        let attested = world.attestation(component, family);
        let attested = attested.unwrap_or_else(|| panic!("{component} {family} is not attested"));
        assert!(attested.coverage > 0.8, "{attested:?}");
        assert!(attested.text.contains("would have shown"), "{attested:?}");
    }
}

#[test]
fn a_clean_restart_and_a_deploy_are_no_symptoms() {
    let mut world = World::new();
    world.run(120);
    world.change(APP, "app.service", ChangeKind::Deploy, "version 2");
    world.unit(
        APP,
        "app.service",
        ActiveState::Deactivating,
        "stop-sigterm",
    );
    world.log(APP, "app.service", Severity::Info, "shutting down");
    world.edges[1].there = false;
    world.hosts[EDGE].fails = 2.0;
    world.tick();
    world.unit(APP, "app.service", ActiveState::Inactive, "dead");
    world.service(APP, "app.service").listens = false;
    world.hosts[APP].changed_inventory = true;
    world.tick();
    world.hosts[EDGE].fails = 0.0;
    world.unit(APP, "app.service", ActiveState::Active, "running");
    world.service(APP, "app.service").listens = true;
    world.hosts[APP].changed_inventory = true;
    world.log(
        APP,
        "app.service",
        Severity::Error,
        "error: optional plugin is missing",
    );
    world.edges[1].there = true;
    for _ in 0..60 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new(), "second {}", world.secs);
    }
    let changes = world.situation().changes;
    assert_eq!(changes.len(), 1);
}

#[test]
fn a_fall_of_traffic_is_no_symptom() {
    let mut world = World::new();
    world.run(120);
    for edge in &mut world.edges {
        (edge.segments, edge.bytes, edge.connections) = (1.0, 100.0, 1);
    }
    for _ in 0..120 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
    for edge in &mut world.edges {
        edge.there = false;
    }
    for _ in 0..120 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn a_busy_neighbour_on_a_shared_kernel_opens_no_incident() {
    let mut world = World::new();
    world.run(60);
    for host in &mut world.hosts {
        (host.pressure, host.running, host.busy, host.io_pressure) = (0.95, 6.0, 2.0, 0.9);
    }
    for edge in &mut world.edges {
        edge.rtt_ms = 8.0;
    }
    for _ in 0..180 {
        world.tick();
        let gates: Vec<String> = world
            .shown()
            .into_iter()
            .filter(|line| line.contains("GATE"))
            .collect();
        assert_eq!(gates, Vec::<String>::new(), "second {}", world.secs);
    }
}

#[test]
fn a_host_that_compiles_hurts_nobody_but_our_own_agents() {
    let mut world = World::new();
    world.edges.truncate(1);
    (world.edges[0].caller, world.edges[0].callee) = (
        (DB, "firstlook-agent.service"),
        Ok((APP, "firstlook-collector.service")),
    );
    world.run(60);
    world.service(APP, "cron.service").cores = 1.9;
    let host = &mut world.hosts[APP];
    (host.pressure, host.running, host.busy) = (0.97, 8.0, 2.0);
    world.edges[0].rtt_ms = 20.0;
    for _ in 0..120 {
        world.tick();
        let gates: Vec<String> = world
            .shown()
            .into_iter()
            .filter(|line| line.contains("GATE"))
            .collect();
        assert_eq!(gates, Vec::<String>::new(), "second {}", world.secs);
    }
    assert!(world.symptom("host:app1", "cpu.saturated").is_some());
}

#[test]
fn a_filesystem_that_was_always_full_is_a_risk_and_a_read_only_one_nothing() {
    let mut world = World::new();
    world.hosts[DB].available = 1e6;
    (world.hosts[APP].available, world.hosts[APP].readonly) = (0.0, 1.0);
    world.run(60);
    assert_eq!(world.blamed(), ["filesystem:db1/var/lib/data"]);
    assert!(world.situation().symptoms.iter().all(|s| !s.gate));
}

#[test]
fn a_service_stopped_by_hand_that_nobody_calls_opens_no_incident() {
    let mut world = World::new();
    world.run(60);
    world
        .unit(DB, "cron.service", ActiveState::Inactive, "dead")
        .exit = (1, 0);
    world.run(30);
    assert!(
        world.situation().symptoms.iter().all(|s| !s.gate),
        "{:#?}",
        world.shown()
    );
}

#[test]
fn a_steady_stream_of_errors_is_usual() {
    let mut world = World::new();
    for _ in 0..300 {
        world.log(APP, "app.service", Severity::Error, "error: bad cookie|x");
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn a_replay_ends_where_the_live_run_did() {
    let mut world = World::new();
    world.run(120);
    world.hosts[DB].available = 0.0;
    for _ in 0..20 {
        world.log(
            DB,
            "postgresql.service",
            Severity::Error,
            "could not extend file: No space left on device",
        );
        world.log(
            APP,
            "app.service",
            Severity::Error,
            "OperationalError: out of space",
        );
        world.tick();
        let _ = world.situation();
    }
    world
        .unit(APP, "app.service", ActiveState::Failed, "failed")
        .result = "exit-code";
    world.run(10);
    let live = world.situation();
    assert!(live.symptoms.len() >= 4, "{:#?}", world.shown());

    let mut replayed = Detector::new(Default::default());
    for (host, received, record) in &world.journal {
        replayed.observe_record(host, *received, record);
    }
    assert_eq!(replayed.situation(world.now()), live);

    // Whole hosts one after the other, each record twice: a store may hand them out like that.
    let mut by_host = Detector::new(Default::default());
    for id in world.hosts.iter().map(|h| h.id.clone()) {
        for (host, received, record) in world.journal.iter().filter(|(host, ..)| *host == id) {
            by_host.observe_record(host, *received, record);
            if !matches!(record, Record::Logs(_)) {
                by_host.observe_record(host, *received, record);
            }
        }
    }
    assert_eq!(by_host.situation(world.now()).symptoms, live.symptoms);
}

#[test]
fn a_command_that_ran_for_seconds_leaves_the_map_a_minute_later() {
    let mut world = World::new();
    world.run(90);
    let (sort, tar) = (service("app1", "sort"), service("app1", "tar"));
    let series = Series {
        component: sort.clone(),
        signal: names::SERVICE_PROCESSES.to_owned(),
        unit: Unit::Count,
        kind: SignalKind::Gauge,
    };
    let schema = Schema::new(vec![series]);
    world.send(APP, Record::Schema(schema.clone()));
    world.log(APP, "tar", Severity::Info, "packing");
    for second in 0..20 {
        world.run(1);
        // Its series stays in the schema for a while after its end.
        let processes = if second < 5 { 1.0 } else { f64::NAN };
        let block = MetricBlock {
            schema: schema.id(),
            times: vec![world.own_time(APP)],
            columns: vec![vec![processes]].try_into().unwrap(),
        };
        world.send(APP, Record::Metrics(block));
    }
    let known = |world: &World| {
        let components = world.situation().components;
        [&sort, &tar, &id("service:app1/app.service")].map(|id| components.contains(id))
    };
    assert_eq!(known(&world), [true, true, true]);
    world.run(70);
    assert_eq!(known(&world), [false, false, true]);
    world.log(APP, "tar", Severity::Info, "packing");
    world.run(2);
    assert_eq!(known(&world), [false, true, true], "it ran again");
}
