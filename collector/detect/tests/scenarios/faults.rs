//! One scenario per fault of a host or service.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ActiveState, Reference, Severity, Timestamp};

use crate::world::{APP, DB, EDGE, START, World};

const DB_FS: &str = "filesystem:db1/var/lib/data";
const APP_SERVICE: &str = "service:app1/app.service";
const DB_SERVICE: &str = "service:db1/postgresql.service";

fn settled() -> World {
    let mut world = World::new();
    world.run(90);
    world
}

#[test]
fn a_disk_that_fills_up_is_seen_within_seconds_with_its_onset() {
    let mut world = settled();
    assert!(world.attestation(DB_FS, families::FILESYSTEM).is_some());
    for _ in 0..10 {
        world.hosts[DB].available -= 11e6;
        world.tick();
    }
    world.hosts[DB].available = 0.0;
    let full = START + world.secs + 1;
    assert!(world.until_gate(DB_FS, kinds::SPACE_EXHAUSTED, 5) <= 3);
    let symptom = world.symptom(DB_FS, kinds::SPACE_EXHAUSTED).unwrap();
    let onset = (symptom.onset.from, symptom.onset.to);
    assert_eq!(
        onset,
        (Timestamp::from_secs(full - 1), Timestamp::from_secs(full))
    );
    assert!(symptom.text.contains("0 B of 244 MiB"), "{}", symptom.text);
    assert!(world.attestation(DB_FS, families::FILESYSTEM).is_none());
    assert_eq!(world.blamed(), [DB_FS]);
    assert!(matches!(symptom.reference, Reference::Metric { .. }));
    world.hosts[DB].available = 100e6;
    world.run(20);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn inodes_run_out_while_space_is_left() {
    let mut world = settled();
    world.hosts[APP].inodes = 0.0;
    world.until_gate("filesystem:app1/var/lib/data", kinds::INODES_EXHAUSTED, 4);
    assert_eq!(world.situation().symptoms.len(), 1);
}

#[test]
fn an_old_full_disk_becomes_an_incident_when_somebody_is_refused_space() {
    let mut world = World::new();
    world.hosts[DB].available = 0.0;
    world.run(60);
    assert!(!world.symptom(DB_FS, kinds::SPACE_EXHAUSTED).unwrap().gate);
    for _ in 0..3 {
        world.log(
            DB,
            "postgresql.service",
            Severity::Error,
            "ERROR: No space left on device",
        );
        world.tick();
    }
    assert!(world.symptom(DB_FS, kinds::SPACE_EXHAUSTED).unwrap().gate);
    assert!(world.symptom(DB_SERVICE, kinds::LOG_NO_SPACE).unwrap().gate);
}

#[test]
fn a_page_that_fails_twice_is_a_symptom_of_its_service_until_it_is_well_twice() {
    let mut world = settled();
    world.hosts[APP].page = 503.0;
    assert!(world.until_gate(APP_SERVICE, kinds::PROBE_FAILED, 11) > 5);
    assert_eq!(world.blamed(), [APP_SERVICE]);
    assert!(world.attestation(APP_SERVICE, families::PROBE).is_none());
    let symptom = world.symptom(APP_SERVICE, kinds::PROBE_FAILED).unwrap();
    let onset = symptom.onset.to.since(symptom.onset.from).as_secs();
    assert_eq!(onset, 5, "between the last good look and the first bad one");
    assert!(symptom.text.contains("status 503 instead of 200"));
    // A host that says nothing more has not recovered.
    world.hosts[APP].heard = false;
    world.run(120);
    assert!(world.symptom(APP_SERVICE, kinds::PROBE_FAILED).is_some());
    world.hosts[APP].heard = true;
    world.hosts[APP].page = 200.0;
    world.run(12);
    assert!(world.symptom(APP_SERVICE, kinds::PROBE_FAILED).is_none());
    assert!(world.attestation(APP_SERVICE, families::PROBE).is_some());
}

#[test]
fn a_filesystem_turns_read_only_or_hangs() {
    let mut world = settled();
    world.hosts[DB].readonly = 1.0;
    world.until_gate(DB_FS, kinds::READONLY, 3);
    let mut world = settled();
    world.hosts[DB].hung = 1.0;
    world.until_gate(DB_FS, kinds::FILESYSTEM_HUNG, 4);
    assert!(world.attestation(DB_FS, families::FILESYSTEM).is_none());
}

#[test]
fn while_a_service_may_wait_for_a_hung_filesystem_none_of_its_host_is_said_to_be_well() {
    let mut world = settled();
    let is_well = |world: &World| world.attestation(DB_FS, families::FILESYSTEM).is_some();
    assert!(is_well(&world));
    world.service(DB, "postgresql.service").blocked = 1.0;
    world.run(3);
    assert!(is_well(&world), "a disk makes everybody wait for a moment");
    world.run(4);
    assert!(!is_well(&world));
    world.service(DB, "postgresql.service").blocked = 0.0;
    world.run(2);
    assert!(is_well(&world));
}

/// The database waits, and does nothing else.
fn hang(world: &mut World) {
    let database = world.service(DB, "postgresql.service");
    (database.blocked, database.cores) = (1.0, 0.0);
}

#[test]
fn who_writes_much_and_works_freezes_no_filesystem() {
    let mut world = settled();
    world.service(DB, "postgresql.service").blocked = 1.0;
    world.run(30);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
    assert!(world.attestation(DB_FS, families::FILESYSTEM).is_none());
}

#[test]
fn a_frozen_filesystem_is_named_by_who_waits_for_it() {
    let mut world = settled();
    hang(&mut world);
    world.run(4);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
    world.until_gate(DB_FS, kinds::FILESYSTEM_HUNG, 8);
    // Something of it goes on for as long as it lasts.
    world.service(DB, "postgresql.service").cores = 0.02;
    world.run(300);
    let symptom = world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).unwrap();
    assert!(
        symptom.text.contains("postgresql.service"),
        "{}",
        symptom.text
    );
    world.service(DB, "postgresql.service").blocked = 0.0;
    world.run(2);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
}

#[test]
fn a_service_that_is_no_longer_reported_freezes_nothing() {
    let mut world = settled();
    hang(&mut world);
    world.until_gate(DB_FS, kinds::FILESYSTEM_HUNG, 12);
    // As after a restart of the agent, when the service is gone.
    world.service(DB, "postgresql.service").blocked = f64::NAN;
    world.run(15);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
    assert!(world.attestation(DB_FS, families::FILESYSTEM).is_some());
    // What was not seen meanwhile does not count as waiting.
    hang(&mut world);
    world.run(4);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
}

#[test]
fn who_waits_for_a_busy_disk_freezes_no_filesystem() {
    let mut world = settled();
    hang(&mut world);
    world.hosts[DB].io_pressure = 0.5;
    world.run(30);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
}

#[test]
fn a_filesystem_that_others_use_undisturbed_is_not_frozen() {
    let mut world = settled();
    world.hosts[DB].shared = true;
    world.run(90);
    hang(&mut world);
    world.run(30);
    assert!(world.symptom(DB_FS, kinds::FILESYSTEM_HUNG).is_none());
}

#[test]
fn a_saturated_host_is_named_with_its_hog_and_gates_once_somebody_is_hurt() {
    let mut world = settled();
    (
        world.hosts[DB].pressure,
        world.hosts[DB].running,
        world.hosts[DB].busy,
    ) = (0.9, 5.0, 2.0);
    world.service(DB, "cron.service").cores = 1.7;
    world.until("host:db1", kinds::CPU_SATURATED, 15);
    assert!(
        !world
            .symptom("host:db1", kinds::CPU_SATURATED)
            .unwrap()
            .gate
    );
    world.run(5);
    let hog = world
        .symptom("service:db1/cron.service", kinds::CPU_NOISY_NEIGHBOUR)
        .unwrap();
    assert!(hog.severity > 0.8, "{hog:?}");
    world.edges[1].rtt_ms = 12.0;
    world.until(APP_SERVICE, kinds::EDGE_SLOW, 15);
    assert!(
        world
            .symptom("host:db1", kinds::CPU_SATURATED)
            .unwrap()
            .gate
    );
    assert!(world.attestation(DB_SERVICE, families::EDGE).is_none());
    let mut world = settled();
    (
        world.hosts[DB].pressure,
        world.hosts[DB].running,
        world.hosts[DB].busy,
    ) = (0.95, 5.0, 2.0);
    world.service(DB, "cron.service").cores = 1.7;
    let long = world.until_gate("host:db1", kinds::CPU_SATURATED, 60);
    assert!(long >= 30, "{long}");
}

#[test]
fn where_others_than_its_services_saturate_a_host_none_of_them_is_the_hog() {
    let mut world = settled();
    (
        world.hosts[DB].pressure,
        world.hosts[DB].running,
        world.hosts[DB].busy,
    ) = (0.9, 5.0, 2.0);
    world.service(DB, "cron.service").cores = 0.2;
    world.until("host:db1", kinds::CPU_SATURATED, 15);
    world.run(10);
    let cron = world.symptom("service:db1/cron.service", kinds::CPU_NOISY_NEIGHBOUR);
    assert!(cron.is_none(), "{cron:?}");
}

#[test]
fn a_host_whose_cores_others_have_is_told_from_one_that_saturates_its_own() {
    let mut world = settled();
    let db = &mut world.hosts[DB];
    (db.pressure, db.withheld, db.running, db.busy) = (0.9, 0.8, 5.0, 0.6);
    world.until("host:db1", kinds::CPU_WITHHELD, 15);
    let told = world.symptom("host:db1", kinds::CPU_WITHHELD).unwrap();
    assert!(told.text.contains("mostly none ran"), "{}", told.text);
    // Now somewhat less than half, and then hardly anything.
    world.hosts[DB].withheld = 0.4;
    world.run(20);
    assert!(world.symptom("host:db1", kinds::CPU_SATURATED).is_none());
    world.hosts[DB].withheld = 0.1;
    world.until("host:db1", kinds::CPU_SATURATED, 15);
    // A little is taken from everybody.
    let mut world = settled();
    let db = &mut world.hosts[DB];
    (db.pressure, db.withheld, db.running, db.busy) = (0.9, 0.2, 5.0, 2.0);
    world.until("host:db1", kinds::CPU_SATURATED, 15);
    assert!(world.symptom("host:db1", kinds::CPU_WITHHELD).is_none());
}

#[test]
fn memory_and_io_pressure_are_told() {
    let mut world = settled();
    (
        world.hosts[APP].memory_available,
        world.hosts[APP].memory_pressure,
    ) = (0.1e9, 0.7);
    world.hosts[DB].io_pressure = 0.95;
    world.until_gate("host:app1", kinds::MEMORY_PRESSURE, 15);
    world.until("host:db1", kinds::IO_PRESSURE, 20);
    assert_eq!(world.blamed(), ["host:app1", "host:db1"]);
}

#[test]
fn a_kill_for_want_of_memory_is_the_services_by_any_sure_witness() {
    let by_counter: fn(&mut World) = |world| {
        world.service(APP, "app.service").oom_kills = 1.0;
    };
    let by_manager: fn(&mut World) = |world| {
        let unit = world.unit(APP, "app.service", ActiveState::Activating, "auto-restart");
        (unit.result, unit.restarts) = ("oom-kill", 1);
    };
    let by_line: fn(&mut World) = |world| {
        let line = "oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/system.slice/app.service,task=python3,pid=9,uid=0";
        world.log(APP, "", Severity::Critical, line);
    };
    for (name, kill) in [
        ("counter", by_counter),
        ("manager", by_manager),
        ("line", by_line),
    ] {
        let mut world = settled();
        world.hosts[APP].host_oom = 1.0;
        kill(&mut world);
        let took = world.until_gate(APP_SERVICE, kinds::OOM_KILLED, 3);
        assert!(took <= 2, "{name}: {took}");
        assert!(
            world.symptom("host:app1", kinds::OOM_KILLED).is_none(),
            "{name}"
        );
    }
}

#[test]
fn every_host_of_a_shared_kernel_counts_a_kill_but_only_one_is_blamed() {
    let mut world = settled();
    world.hosts.iter_mut().for_each(|host| host.host_oom = 1.0);
    let line = "oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/lab/app1/payload/system.slice/app.service,task=x";
    for host in [EDGE, APP, DB] {
        world.log(host, "", Severity::Critical, line);
    }
    world.run(2);
    let gates: Vec<_> = world
        .situation()
        .symptoms
        .into_iter()
        .filter(|s| s.gate)
        .collect();
    assert_eq!(gates.len(), 1, "{gates:#?}");
    assert_eq!(gates[0].component.to_string(), APP_SERVICE);
}

#[test]
fn a_killed_service_is_down_at_once() {
    let mut world = settled();
    let unit = world.unit(APP, "app.service", ActiveState::Failed, "failed");
    (unit.result, unit.exit) = ("signal", (2, 9));
    assert_eq!(world.until_gate(APP_SERVICE, kinds::UNIT_FAILED, 3), 1);
    let text = world.symptom(APP_SERVICE, kinds::UNIT_FAILED).unwrap().text;
    assert!(text.contains("SIGKILL"), "{text}");
    assert!(world.attestation(APP_SERVICE, families::UNIT).is_none());
    world.run(100);
    assert!(world.symptom(APP_SERVICE, kinds::UNIT_FAILED).unwrap().gate);
    world.unit(APP, "app.service", ActiveState::Active, "running");
    world.run(2);
    assert!(world.symptom(APP_SERVICE, kinds::UNIT_FAILED).is_none());
}

#[test]
fn a_clean_stop_of_a_called_service_is_down_with_its_listener() {
    let mut world = settled();
    world.unit(DB, "postgresql.service", ActiveState::Inactive, "dead");
    world.service(DB, "postgresql.service").listens = false;
    world.hosts[DB].changed_inventory = true;
    let took = world.until_gate(DB_SERVICE, kinds::UNIT_DOWN, 8);
    assert!(took >= 3, "{took}");
    world.until_gate(DB_SERVICE, kinds::LISTENER_GONE, 5);
}

#[test]
fn a_unit_that_failed_before_we_looked_is_an_old_story() {
    let mut world = World::new();
    let unit = world.unit(DB, "cron.service", ActiveState::Failed, "failed");
    unit.result = "exit-code";
    world.run(30);
    let symptom = world
        .symptom("service:db1/cron.service", kinds::UNIT_FAILED)
        .unwrap();
    assert!(!symptom.gate);
}

#[test]
fn a_crash_loop_takes_three_restarts() {
    let mut world = settled();
    for restarts in 1..=3 {
        let unit = world.unit(APP, "app.service", ActiveState::Activating, "auto-restart");
        (unit.result, unit.exit) = ("exit-code", (1, 1));
        world.run(5);
        let unit = world.unit(APP, "app.service", ActiveState::Active, "running");
        unit.restarts = restarts;
        if restarts < 3 {
            world.run(1);
            assert!(
                world.symptom(APP_SERVICE, kinds::UNIT_RESTARTING).is_none(),
                "{restarts}"
            );
        }
    }
    world.until_gate(APP_SERVICE, kinds::UNIT_RESTARTING, 2);
    let onset = world
        .symptom(APP_SERVICE, kinds::UNIT_RESTARTING)
        .unwrap()
        .onset;
    let first_end = Timestamp::from_secs(START + 91);
    assert!(onset.from < first_end && onset.to == first_end, "{onset:?}");
    world.run(60);
    assert!(world.symptom(APP_SERVICE, kinds::UNIT_RESTARTING).is_none());
}

#[test]
fn a_frozen_service_is_stopped_does_not_read_and_fills_its_queue() {
    let mut world = settled();
    let service = world.service(DB, "postgresql.service");
    (service.stopped, service.cores, service.queue) = (4.0, 0.0, 8.0);
    world.edges[1].unread = 600;
    world.edges[1].close_wait = 5;
    world.edges[1].stalled_ms = 1_000;
    world.until_gate(DB_SERVICE, kinds::STOPPED, 3);
    world.until_gate(DB_SERVICE, kinds::ACCEPT_QUEUE_FULL, 8);
    for _ in 0..20 {
        world.edges[1].stalled_ms += 1_000;
        world.tick();
    }
    assert!(
        world
            .symptom(DB_SERVICE, kinds::NOT_READING)
            .is_some_and(|s| s.gate),
        "{:#?}",
        world.shown()
    );
    let stalled = world.symptom(APP_SERVICE, kinds::EDGE_STALLED).unwrap();
    assert!(
        stalled.gate && stalled.peer == Some(DB_SERVICE.parse().unwrap()),
        "{stalled:?}"
    );
    assert!(world.attestation(DB_SERVICE, families::SOCKETS).is_none());
}

#[test]
fn a_bad_deploy_shows_new_errors_within_seconds() {
    let mut world = settled();
    let onset = START + world.secs + 1;
    for i in 0..8 {
        world.log(
            APP,
            "app.service",
            Severity::Info,
            "Traceback (most recent call last):",
        );
        world.log(
            APP,
            "app.service",
            Severity::Info,
            "  File \"app.py\", line 3, in index",
        );
        world.log(
            APP,
            "app.service",
            Severity::Info,
            &format!("KeyError: 'user'|{i}"),
        );
        world.tick();
    }
    let new = world.symptom(APP_SERVICE, kinds::LOG_NEW_ERROR).unwrap();
    assert!(new.gate, "{new:?}");
    assert!(new.onset.from.as_millis() / 1_000 >= onset - 2, "{new:?}");
    assert!(matches!(
        new.reference,
        Reference::Log {
            template: Some(_),
            ..
        }
    ));
    assert!(world.symptom(APP_SERVICE, kinds::LOG_ERRORS).unwrap().gate);
    assert!(world.attestation(APP_SERVICE, families::LOG).is_none());
}

#[test]
fn our_own_agents_complaints_open_no_incident() {
    let mut world = settled();
    for _ in 0..20 {
        world.log(
            APP,
            "firstlook-agent.service",
            Severity::Error,
            "ERROR collector is away: connection refused",
        );
        world.tick();
    }
    assert!(
        world.situation().symptoms.iter().all(|s| !s.gate),
        "{:#?}",
        world.shown()
    );
}
