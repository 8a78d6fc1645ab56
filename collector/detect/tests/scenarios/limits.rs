//! What runs out or wears out: files, tasks, ports, tracked connections, CPU by quota or by theft, disks, clocks, and
//! what lines say of it.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ActiveState, Severity, Timestamp};

use crate::world::{APP, DB, START, World};

const APP_SERVICE: &str = "service:app1/app.service";
const DB_SERVICE: &str = "service:db1/postgresql.service";

fn settled() -> World {
    let mut world = World::new();
    world.run(90);
    world
}

#[test]
fn open_files_at_their_limit_are_a_symptom_with_its_onset_until_there_is_room_again() {
    let mut world = settled();
    assert!(world.attestation(DB_SERVICE, families::LIMITS).is_some());
    world.service(DB, "postgresql.service").open_files = 1_024.0;
    let full = START + world.secs + 1;
    assert!(world.until_gate(DB_SERVICE, kinds::FILES_EXHAUSTED, 6) <= 5);
    let symptom = world.symptom(DB_SERVICE, kinds::FILES_EXHAUSTED).unwrap();
    assert_eq!(symptom.onset.from, Timestamp::from_secs(full - 1));
    assert!(symptom.text.contains("1024 of 1024"), "{}", symptom.text);
    assert_eq!(world.blamed(), [DB_SERVICE]);
    assert!(world.attestation(DB_SERVICE, families::LIMITS).is_none());
    world.service(DB, "postgresql.service").open_files = 60.0;
    world.run(25);
    assert_eq!(world.shown(), Vec::<String>::new());
    assert!(world.attestation(DB_SERVICE, families::LIMITS).is_some());
}

#[test]
fn what_always_stood_at_its_limit_lives_with_it() {
    let mut world = World::new();
    world.service(DB, "postgresql.service").open_files = 1_024.0;
    world.run(120);
    let symptom = world.symptom(DB_SERVICE, kinds::FILES_EXHAUSTED).unwrap();
    assert!(!symptom.gate, "{symptom:?}");
}

#[test]
fn many_open_files_with_room_left_are_no_symptom() {
    let mut world = settled();
    world.service(DB, "postgresql.service").open_files = 900.0;
    world.service(DB, "postgresql.service").tasks = 80.0;
    world.hosts[DB].tracked = 50_000.0;
    world.hosts[DB].ports = 20_000.0;
    for _ in 0..60 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn a_refused_task_counts_at_once() {
    let mut world = settled();
    let service = world.service(APP, "app.service");
    (service.tasks, service.refused) = (100.0, 4.0);
    assert!(world.until_gate(APP_SERVICE, kinds::TASKS_EXHAUSTED, 3) <= 2);
    assert_eq!(world.blamed(), [APP_SERVICE]);
}

#[test]
fn a_quota_that_stops_a_service_is_told_and_one_that_always_does_is_usual() {
    let mut world = settled();
    world.service(APP, "app.service").throttled = 0.9;
    world.until(APP_SERVICE, kinds::CPU_THROTTLED, 25);
    assert_eq!(world.blamed(), [APP_SERVICE]);
    let symptom = world.symptom(APP_SERVICE, kinds::CPU_THROTTLED).unwrap();
    assert!(!symptom.gate && symptom.severity > 0.4, "{symptom:?}");
    let mut world = World::new();
    world.service(APP, "app.service").throttled = 0.9;
    world.run(180);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn a_quota_that_is_new_is_held_against_the_time_without_one() {
    let mut world = World::new();
    world.service(APP, "app.service").quota = false;
    world.run(120);
    let service = world.service(APP, "app.service");
    (service.quota, service.throttled) = (true, 1.0);
    world.until(APP_SERVICE, kinds::CPU_THROTTLED, 25);
}

#[test]
fn ports_and_tracked_connections_run_out() {
    let mut world = settled();
    world.hosts[APP].ports = 28_000.0;
    world.until("host:app1", kinds::PORTS_EXHAUSTED, 12);
    let mut world = settled();
    (world.hosts[DB].tracked, world.hosts[DB].untracked) = (65_536.0, 20.0);
    world.until("host:db1", kinds::TRACKING_EXHAUSTED, 3);
    let symptom = world
        .symptom("host:db1", kinds::TRACKING_EXHAUSTED)
        .unwrap();
    assert!(!symptom.gate, "nobody is hurt yet");
    world.edges[1].syn_sent = 4;
    world.run(8);
    let edges: Vec<_> = world.shown();
    assert!(
        edges
            .iter()
            .any(|line| line.contains(kinds::EDGE_UNANSWERED)),
        "{edges:?}"
    );
    assert_eq!(world.blamed(), ["host:db1", APP_SERVICE]);
}

#[test]
fn a_line_that_says_what_is_wrong_is_a_symptom_of_its_own_and_alone_no_incident() {
    let cases = [
        (
            "accept4() failed (24: Too many open files)",
            kinds::LOG_TOO_MANY_FILES,
        ),
        (
            "getaddrinfo: Temporary failure in name resolution",
            kinds::LOG_UNRESOLVED,
        ),
        (
            "FATAL: sorry, too many clients already",
            kinds::LOG_TOO_MANY_CLIENTS,
        ),
        (
            "QueuePool limit of size 5 overflow 10 reached",
            kinds::LOG_POOL_EXHAUSTED,
        ),
        (
            "connect() failed (99: Cannot assign requested address)",
            kinds::LOG_NO_PORTS,
        ),
        (
            "certificate verify failed: certificate has expired",
            kinds::LOG_CERTIFICATE_EXPIRED,
        ),
    ];
    for (line, kind) in cases {
        let mut world = settled();
        for _ in 0..3 {
            world.log(APP, "app.service", Severity::Warning, line);
            world.tick();
        }
        let symptom = world.symptom(APP_SERVICE, kind);
        let symptom = symptom.unwrap_or_else(|| panic!("{line}: {:#?}", world.shown()));
        assert!(!symptom.gate, "{line}");
        assert_eq!(world.situation().symptoms.len(), 1, "{line}");
        world.run(45);
        assert_eq!(world.shown(), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn strangers_who_try_passwords_all_day_are_usual() {
    let mut world = World::new();
    for _ in 0..240 {
        world.log(
            DB,
            "postgresql.service",
            Severity::Info,
            "password authentication failed for user x",
        );
        if world.secs % 3 == 0 {
            world.log(
                DB,
                "postgresql.service",
                Severity::Warning,
                "password authentication failed for user y",
            );
        }
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn a_stolen_cpu_and_one_that_is_too_hot_are_told_and_no_longer_attested() {
    let mut world = settled();
    assert!(world.attestation("host:app1", families::CPU).is_some());
    world.hosts[APP].stolen = 0.3;
    world.until("host:app1", kinds::CPU_STOLEN, 20);
    assert!(world.attestation("host:app1", families::CPU).is_none());
    world.hosts[DB].too_hot = 5.0;
    world.until("host:db1", kinds::CPU_TOO_HOT, 40);
    assert_eq!(world.blamed(), ["host:app1", "host:db1"]);
    assert!(world.situation().symptoms.iter().all(|s| !s.gate));
}

#[test]
fn a_few_percent_stolen_are_a_shared_machines_daily_bread() {
    let mut world = settled();
    world.hosts[APP].stolen = 0.05;
    for _ in 0..90 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn a_disk_that_slows_down_is_told_and_one_that_is_asked_for_more_is_not() {
    let mut world = settled();
    world.hosts[DB].wait_s = 0.12;
    world.until("disk:db1/sda", kinds::DISK_SLOW, 20);
    assert_eq!(world.blamed(), ["disk:db1/sda"]);
    assert!(world.attestation("disk:db1/sda", families::DISK).is_none());
    let mut world = settled();
    (world.hosts[DB].wait_s, world.hosts[DB].written) = (0.12, 2e8);
    for _ in 0..60 {
        world.tick();
        assert_eq!(
            world.shown(),
            Vec::<String>::new(),
            "load is nobody's fault"
        );
    }
}

#[test]
fn an_array_that_loses_a_member_is_an_incident_and_one_that_lacked_it_a_risk() {
    let mut world = settled();
    world.hosts[DB].members = 1.0;
    assert!(world.until_gate("disk:db1/sda", kinds::DISK_DEGRADED, 8) <= 6);
    let mut world = World::new();
    world.hosts[DB].members = 1.0;
    world.run(60);
    let symptom = world.symptom("disk:db1/sda", kinds::DISK_DEGRADED).unwrap();
    assert!(!symptom.gate && symptom.severity < 0.5, "{symptom:?}");
}

#[test]
fn lines_of_the_kernel_are_of_the_device_and_filesystem_that_they_name() {
    let mut world = settled();
    let lines = [
        "I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0",
        "I/O error, dev sdq, sector 2048 op 0x0:(READ) flags 0x0",
        "EXT4-fs error (device loop0): ext4_lookup:1785: inode #2: comm x: deleted inode",
        "EXT4-fs error (device loop9): ext4_lookup:1785: inode #2: comm x: deleted inode",
        "nf_conntrack: nf_conntrack: table full, dropping packet",
    ];
    for line in lines {
        world.log(DB, "", Severity::Warning, line);
    }
    world.run(1);
    let kinds_of = |component: &str| {
        let all = world.situation().symptoms.into_iter();
        let own = all.filter(|s| s.component.to_string() == component);
        own.map(|s| s.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds_of("disk:db1/sda"), [kinds::DISK_ERRORS]);
    assert_eq!(
        kinds_of("filesystem:db1/var/lib/data"),
        [kinds::FILESYSTEM_ERRORS]
    );
    assert_eq!(kinds_of("host:db1"), [kinds::TRACKING_EXHAUSTED]);
    assert_eq!(world.blamed().len(), 3, "{:#?}", world.shown());
}

#[test]
fn connections_lost_to_full_queues_are_told_of_the_host() {
    let mut world = settled();
    world.hosts[APP].overflows = 8.0;
    world.service(APP, "app.service").queue = 9.0;
    world.until("host:app1", kinds::LISTEN_OVERFLOW, 6);
    world.until(APP_SERVICE, kinds::ACCEPT_QUEUE_FULL, 6);
    assert_eq!(world.blamed(), ["host:app1", APP_SERVICE]);
}

#[test]
fn an_end_by_the_watchdog_is_told_beside_the_restart_that_follows() {
    let mut world = settled();
    world
        .unit(APP, "app.service", ActiveState::Activating, "auto-restart")
        .result = "watchdog";
    assert!(world.until_gate(APP_SERVICE, kinds::UNIT_WATCHDOG, 3) <= 2);
    world
        .unit(APP, "app.service", ActiveState::Active, "running")
        .result = "success";
    world.run(50);
    assert!(world.symptom(APP_SERVICE, kinds::UNIT_WATCHDOG).is_some());
    world.run(30);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn a_clock_far_from_its_source_is_told_and_harms_nobody() {
    let mut world = settled();
    world.hosts[DB].offset = 3.5;
    world.until("host:db1", kinds::CLOCK_SKEW, 40);
    let symptom = world.symptom("host:db1", kinds::CLOCK_SKEW).unwrap();
    assert!(
        !symptom.gate && symptom.text.contains("3.5 s"),
        "{symptom:?}"
    );
    world.hosts[DB].offset = 0.001;
    world.run(100);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn a_clock_that_disagrees_with_the_collectors_is_told_and_one_that_agrees_attested() {
    let mut world = settled();
    let (right, wrong) = (world.hosts[APP].id.clone(), world.hosts[DB].id.clone());
    for _ in 0..20 {
        world.tick();
        let now = world.now();
        let said = |behind_s: u64| Some(now.minus(std::time::Duration::from_secs(behind_s)));
        world.detector.observe_contact(&right, now, said(0));
        world.detector.observe_contact(&wrong, now, said(9));
    }
    let symptom = world.symptom("host:db1", kinds::CLOCK_SKEW).unwrap();
    assert!(
        symptom.text.contains("9.0 s off the collector's"),
        "{symptom:?}"
    );
    assert!(world.attestation("host:app1", families::CLOCK).is_some());
    assert!(world.attestation("host:db1", families::CLOCK).is_none());
    assert!(world.symptom("host:app1", kinds::CLOCK_SKEW).is_none());
}

#[test]
fn a_leak_is_a_risk_that_opens_no_incident() {
    let mut world = settled();
    for _ in 0..4_500 {
        world.service(APP, "app.service").memory += 200_000.0;
        world.tick();
    }
    let leak = world.symptom(APP_SERVICE, kinds::MEMORY_GROWING).unwrap();
    assert!(!leak.gate && leak.text.contains("on its host"), "{leak:?}");
    assert_eq!(world.blamed(), [APP_SERVICE]);
    assert!(world.attestation(APP_SERVICE, families::MEMORY).is_none());
    // It is restarted.
    world.service(APP, "app.service").memory = 100e6;
    world.run(320);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn many_lines_of_a_crontab_at_once_are_a_sign_of_the_host_and_no_incident() {
    let mut world = settled();
    world.service(APP, "cron.service").processes = 24.0;
    world.until("host:app1", kinds::JOBS_TOGETHER, 5);
    let jobs = world.symptom("host:app1", kinds::JOBS_TOGETHER).unwrap();
    assert!(!jobs.gate && jobs.text.contains("of crontabs"), "{jobs:?}");
    assert_eq!(world.blamed(), ["host:app1"]);
    world.service(APP, "cron.service").processes = 4.0;
    world.run(160);
    assert_eq!(world.shown(), Vec::<String>::new());
    // Another service may have as many processes as it likes.
    world.service(APP, "app.service").processes = 24.0;
    world.run(20);
    assert!(world.symptom("host:app1", kinds::JOBS_TOGETHER).is_none());
}
