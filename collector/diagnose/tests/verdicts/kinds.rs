//! Every fault kind of the catalogue that says itself what it is: named first where its signs are, and not where
//! another kind shows the same outside.

use crate::faults::brief;
use crate::world::*;

type Staged = (&'static str, &'static str, World);

const DISK: &str = "disk:db1/sda";
const INTERFACE: &str = "interface:db1/host0";

/// The lab with some symptoms of one component each: (component, kind, began seconds ago).
fn lab(symptoms: &[(&str, &str, f64)]) -> World {
    let mut world = World::lab();
    world.disk(DISK);
    for (component, kind, began_s) in symptoms {
        world.sick(component, kind, *began_s);
    }
    world
}

/// The same, and the database's callers see these of it.
fn called(symptoms: &[(&str, &str, f64)], on_edges: &str) -> World {
    let mut world = lab(symptoms);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, on_edges, 18.0)
            .sick(app, "log.timeout", 13.0);
    }
    world
}

/// Every edge of the database's host shows it, that of its agent too.
fn on_all_edges(symptoms: &[(&str, &str, f64)], on_edges: &str) -> World {
    let mut world = lab(symptoms);
    for app in [APP1, APP2] {
        world.sick_edge(app, DB, on_edges, 18.0);
    }
    let agent = "service:db1/firstlook-agent.service";
    world.sick_edge(agent, COLLECTOR, on_edges, 18.0);
    world
}

/// (component, fault kind, world)
fn staged() -> Vec<Staged> {
    let mut all = hosts();
    all.extend(networks());
    all.extend(services());
    all
}

fn hosts() -> Vec<Staged> {
    vec![
        (
            "host:db1",
            "memory-exhausted",
            called(&[("host:db1", "memory.pressure", 25.0)], "edge.slow"),
        ),
        (
            "host:db1",
            "cpu-stolen",
            called(
                &[
                    ("host:db1", "cpu.stolen", 40.0),
                    ("host:db1", "cpu.saturated", 30.0),
                ],
                "edge.slow",
            ),
        ),
        (
            "host:db1",
            "thermal-throttled",
            called(&[("host:db1", "cpu.too-hot", 60.0)], "edge.slow"),
        ),
        (
            "host:db1",
            "fd-exhausted",
            lab(&[
                ("host:db1", "limits.files-exhausted", 25.0),
                (DB, "log.too-many-files", 20.0),
            ]),
        ),
        (
            "host:db1",
            "pids-exhausted",
            lab(&[
                ("host:db1", "limits.tasks-exhausted", 25.0),
                (DB, "log.cannot-fork", 20.0),
            ]),
        ),
        (
            "host:app1",
            "ephemeral-ports-exhausted",
            lab(&[
                ("host:app1", "limits.ports-exhausted", 25.0),
                (APP1, "log.no-ports", 20.0),
            ]),
        ),
        (
            "host:db1",
            "conntrack-full",
            called(
                &[("host:db1", "limits.tracking-exhausted", 25.0)],
                "edge.unanswered",
            ),
        ),
        (
            "host:app1",
            "dns-down",
            lab(&[
                (APP1, "log.name-unresolved", 20.0),
                (APP1, "log.errors", 20.0),
            ]),
        ),
        (
            "host:app1",
            "clock-skew",
            lab(&[
                ("host:app1", "clock.skew", 60.0),
                (APP1, "log.certificate-expired", 20.0),
            ]),
        ),
        (
            DISK,
            "disk-slow",
            called(
                &[
                    (DISK, "disk.slow", 30.0),
                    ("host:db1", "disk.io-pressure", 22.0),
                ],
                "edge.stalled",
            ),
        ),
        (
            DISK,
            "disk-failing",
            lab(&[
                (DISK, "disk.errors", 30.0),
                (DISK, "disk.slow", 28.0),
                (DB_DISK, "filesystem.readonly", 20.0),
                (DB, "log.errors", 18.0),
            ]),
        ),
    ]
}

fn networks() -> Vec<Staged> {
    vec![
        (
            INTERFACE,
            "link-down",
            on_all_edges(
                &[(INTERFACE, "network.interface-down", 22.0)],
                "edge.unanswered",
            ),
        ),
        (
            INTERFACE,
            "nic-errors",
            on_all_edges(
                &[
                    (INTERFACE, "network.interface-errors", 25.0),
                    ("host:db1", "network.retransmits", 20.0),
                ],
                "edge.retransmits",
            ),
        ),
        (
            INTERFACE,
            "bandwidth-saturated",
            on_all_edges(&[(INTERFACE, "network.saturated", 30.0)], "edge.slow"),
        ),
        (INTERFACE, "latency-added", on_all_edges(&[], "edge.slow")),
        (DB, "firewall-reject", {
            let mut world = called(&[], "edge.lost");
            world.sick(APP1, "log.connection-refused", 14.0).sick(
                APP2,
                "log.connection-refused",
                14.0,
            );
            world
        }),
    ]
}

fn services() -> Vec<Staged> {
    let failed = [
        (APP1, "unit.failed", 20.0),
        (APP1, "sockets.listener-gone", 20.0),
    ];
    let started_wrong = [&[(APP1, "log.bad-config", 21.0)][..], &failed].concat();
    let bitten = [&[(APP1, "unit.watchdog", 20.0)][..], &failed].concat();
    vec![
        (
            DB,
            "cpu-throttled",
            called(&[(DB, "cpu.throttled", 25.0)], "edge.slow"),
        ),
        (
            DB,
            "fd-exhausted",
            called(
                &[
                    (DB, "limits.files-exhausted", 25.0),
                    (DB, "log.too-many-files", 22.0),
                ],
                "edge.unanswered",
            ),
        ),
        (
            DB,
            "pids-exhausted",
            called(
                &[
                    (DB, "limits.tasks-exhausted", 25.0),
                    (DB, "log.cannot-fork", 22.0),
                ],
                "edge.lost",
            ),
        ),
        (
            DB,
            "listen-overflow",
            called(
                &[
                    (DB, "sockets.accept-queue-full", 25.0),
                    ("host:db1", "sockets.listen-overflow", 24.0),
                ],
                "edge.unanswered",
            ),
        ),
        (
            APP1,
            "dns-name-missing",
            lab(&[
                (APP1, "log.name-missing", 20.0),
                (APP1, "log.new-error", 20.0),
            ]),
        ),
        (
            HAPROXY,
            "certificate-expired",
            lab(&[
                (HAPROXY, "probe.certificate-expired", 40.0),
                (LOAD, "log.certificate-expired", 20.0),
            ]),
        ),
        (APP1, "watchdog-timeout", lab(&bitten)),
        (APP1, "config-error", lab(&started_wrong)),
        (
            APP1,
            "auth-failure",
            lab(&[
                (APP1, "log.auth-failed", 20.0),
                (DB, "log.auth-failed", 20.0),
                (APP1, "log.new-error", 20.0),
            ]),
        ),
        (
            DB,
            "connections-exhausted",
            lab(&[
                (DB, "log.too-many-clients", 20.0),
                (APP1, "log.too-many-clients", 19.0),
                (APP2, "log.too-many-clients", 19.0),
            ]),
        ),
        (
            APP1,
            "pool-exhausted",
            lab(&[
                (APP1, "log.pool-exhausted", 20.0),
                (APP1, "log.errors", 20.0),
                (HAPROXY, "log.timeout", 15.0),
            ]),
        ),
        (
            APP1,
            "threads-exhausted",
            lab(&[
                (APP1, "log.workers-exhausted", 20.0),
                (APP1, "sockets.accept-queue-full", 18.0),
                (HAPROXY, "log.timeout", 15.0),
            ]),
        ),
        (
            DB,
            "database-lock",
            called(&[(DB, "log.lock-wait", 22.0)], "edge.stalled"),
        ),
        (
            DB,
            "replica-broken",
            lab(&[
                (DB, "log.replica-broken", 22.0),
                (DB, "log.new-error", 22.0),
            ]),
        ),
        (
            DB,
            "replication-lag",
            lab(&[(DB, "log.replica-lags", 22.0)]),
        ),
        (
            APP1,
            "quota-or-licence",
            lab(&[
                (APP1, "log.quota-exceeded", 22.0),
                (APP1, "log.errors", 22.0),
            ]),
        ),
    ]
}

#[test]
fn what_says_itself_what_it_is_is_named_so_and_not_ruled_out() {
    let mut wrong = Vec::new();
    for (component, fault, world) in staged() {
        let verdict = world.verdict();
        let first = verdict.suspects.first();
        let right = first.is_some_and(|s| s.component == id(component) && s.fault == fault);
        let sure = first.is_some_and(|s| s.probability >= 0.7);
        let others = verdict
            .suspects
            .iter()
            .skip(1)
            .all(|s| s.probability < 0.25);
        let cleared = verdict
            .ruled_out
            .iter()
            .any(|c| c.component == id(component));
        if !right || !sure || !others || cleared {
            let said = brief(&verdict);
            wrong.push(format!(
                "want {fault} of {component}, cleared {cleared}\n{said}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_same_from_outside_with_another_sign_is_another_fault() {
    // (component, fault kind, world): beside each stands what it would be mistaken for.
    let cases: Vec<Staged> = vec![
        // Not conntrack-full, not a filter: the host hears nobody.
        ("host:db1", "host-partitioned", {
            let mut world = World::lab();
            world
                .silent("db1", 20.0)
                .sick("host:db1", "heartbeat.peers-cut", 18.0);
            for app in [APP1, APP2] {
                world.sick_edge(app, DB, "edge.unanswered", 19.0);
            }
            world
        }),
        // Not firewall-reject: nobody listens.
        (
            DB,
            "service-down",
            called(
                &[
                    (DB, "unit.failed", 20.0),
                    (DB, "sockets.listener-gone", 20.0),
                ],
                "edge.lost",
            ),
        ),
        // Not listen-overflow: it reads nothing of what it has accepted either.
        (
            DB,
            "service-hung",
            called(
                &[
                    (DB, "sockets.accept-queue-full", 20.0),
                    (DB, "sockets.not-reading", 20.0),
                    ("host:db1", "sockets.listen-overflow", 19.0),
                ],
                "edge.stalled",
            ),
        ),
        // Not memory-exhausted: somebody was killed for it.
        (
            APP1,
            "oom-kill",
            lab(&[
                ("host:app1", "memory.pressure", 25.0),
                (APP1, "memory.oom-killed", 20.0),
                (APP1, "unit.failed", 20.0),
            ]),
        ),
        // Not pool-exhausted: its connections are taken because the database does not answer.
        (DB, "database-lock", {
            let mut world = called(&[(DB, "log.lock-wait", 22.0)], "edge.stalled");
            world.sick(APP1, "log.pool-exhausted", 16.0);
            world
        }),
        // Not latency-added: the host itself is slow.
        (
            "host:db1",
            "cpu-saturated",
            on_all_edges(&[("host:db1", "cpu.saturated", 22.0)], "edge.slow"),
        ),
        // Not filesystem-readonly alone would say where to look.
        (
            DISK,
            "disk-failing",
            lab(&[
                (DISK, "disk.degraded", 30.0),
                (DISK, "disk.errors", 30.0),
                (DB_DISK, "filesystem.readonly", 25.0),
            ]),
        ),
    ];
    let mut wrong = Vec::new();
    for (component, fault, world) in cases {
        let verdict = world.verdict();
        let first = verdict.suspects.first();
        if !first.is_some_and(|s| s.component == id(component) && s.fault == fault) {
            wrong.push(format!("want {fault} of {component}\n{}", brief(&verdict)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn without_its_sign_no_such_fault_is_thought_of() {
    let signed: Vec<String> = firstlook_diagnose::Catalogue::builtin()
        .faults()
        .filter(|fault| fault.needs_sign)
        .map(|fault| fault.kind.clone())
        .collect();
    assert!(signed.len() >= 30, "{signed:?}");
    // All that callers and logs can show, without a reason.
    let mut world = lab(&[(DB, "log.new-error", 20.0), (DB, "log.errors", 20.0)]);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, "edge.stalled", 18.0)
            .sick(app, "log.timeout", 15.0)
            .sick(app, "log.errors", 15.0);
    }
    let verdict = world.verdict();
    let guessed: Vec<_> = verdict
        .suspects
        .iter()
        .filter(|s| signed.contains(&s.fault))
        .collect();
    assert!(guessed.is_empty(), "{}", brief(&verdict));
}

#[test]
fn a_risk_is_no_suspect_beside_a_fault() {
    let mut world = lab(&[
        (DB, "unit.failed", 20.0),
        (DB, "sockets.listener-gone", 20.0),
    ]);
    world.sick(HAPROXY, "probe.certificate-expiring", 500.0);
    world.0.symptoms.last_mut().expect("a symptom").severity = 0.2;
    for app in [APP1, APP2] {
        world.sick_edge(app, DB, "edge.lost", 19.0);
    }
    let verdict = world.verdict();
    assert_eq!(verdict.suspects[0].fault, "service-down");
    assert_eq!(verdict.suspects.len(), 1, "{}", brief(&verdict));
}

#[test]
fn a_filter_is_suspected_only_while_the_callee_is_seen_to_be_well() {
    let filter = |world: &World| {
        let verdict = world.verdict();
        let mut all = verdict.suspects.iter();
        all.any(|s| s.fault.starts_with("firewall-"))
    };
    let mut world = called(&[], "edge.lost");
    assert!(filter(&world));
    // Last heard before the first caller complained: whether it is well now nobody knows.
    for attestation in &mut world.0.attestations {
        if attestation.component == id(DB) {
            attestation.last_seen = at(19.0);
        }
    }
    world.0.reference_time = at(6.0);
    assert!(!filter(&world));
    // It starts, and does not listen yet.
    let mut world = called(&[(DB, "sockets.listener-gone", 20.0)], "edge.lost");
    world.0.attestations.retain(|a| a.component != id(DB));
    assert!(!filter(&world));
}
