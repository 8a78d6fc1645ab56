//! Every fault kind of the catalogue that says itself what it is: named first where its signs are, and not where
//! another kind shows the same outside.

use crate::faults::brief;
use crate::staged::{DISK, INTERFACE, Staged, called, lab, on_all_edges, staged};
use crate::world::*;

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

/// All that the customers call is asked for more, and both applications run out of connections to the database.
fn surge() -> World {
    let mut world = lab(&[]);
    for service in [HAPROXY, APP1, APP2, DB] {
        world.sick(service, "load.surged", 30.0);
    }
    for app in [APP1, APP2] {
        world
            .sick(app, "log.pool-exhausted", 22.0)
            .sick(app, "log.errors", 22.0);
    }
    world
}

#[test]
fn more_calls_after_the_trouble_are_no_cause_of_it() {
    let mut world = called(
        &[
            (DB, "sockets.accept-queue-full", 40.0),
            (DB, "sockets.not-reading", 40.0),
        ],
        "edge.stalled",
    );
    // Who gets no answer asks again.
    world.sick(DB, "load.surged", 12.0);
    let verdict = world.verdict();
    assert_eq!(
        verdict.suspects[0].fault,
        "service-hung",
        "{}",
        brief(&verdict)
    );
    // Nor is a surge that harms nobody worth a word beside a fault elsewhere.
    let mut world = called(
        &[
            (DB, "unit.failed", 20.0),
            (DB, "sockets.listener-gone", 20.0),
        ],
        "edge.lost",
    );
    world.sick(HAPROXY, "load.surged", 300.0);
    let verdict = world.verdict();
    assert_eq!(
        verdict.suspects[0].fault,
        "service-down",
        "{}",
        brief(&verdict)
    );
    assert_eq!(verdict.suspects[0].component, id(DB));
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
        // Not cut off: it was shut down, and said so. Nor did its services fail.
        ("host:app1", "host-down", {
            let mut world = World::lab();
            world
                .sick("host:app1", "log.shutting-down", 30.0)
                .sick(APP1, "unit.down", 28.0)
                .silent("app1", 24.0)
                .sick("host:app1", "heartbeat.peers-cut", 18.0)
                .sick_edge(HAPROXY, APP1, "edge.lost", 27.0);
            world
        }),
        // Not firewall-drop: all that comes to the host is dropped, whoever sends it.
        (
            INTERFACE,
            "packet-loss",
            on_all_edges(
                &[
                    ("host:db1", "network.retransmits", 20.0),
                    (INTERFACE, "network.retransmits", 20.0),
                ],
                "edge.unanswered",
            ),
        ),
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
        // And what grew until then was the way to it.
        (
            APP1,
            "oom-kill",
            lab(&[
                (APP1, "memory.growing", 3_600.0),
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
        // Nor because there are too few: more is asked for, by the service where it comes in.
        (HAPROXY, "load-surge", surge()),
        // Nor retries: what they retry for is still there.
        (DB, "database-lock", {
            let mut world = called(&[(DB, "log.lock-wait", 22.0)], "edge.stalled");
            for app in [APP1, APP2] {
                world.sick_edge(app, DB, "edge.retrying", 12.0);
            }
            world
        }),
        // Nor of the application's, which waits for a database that loses packets.
        (INTERFACE, "packet-loss", {
            let mut world = on_all_edges(
                &[
                    ("host:db1", "network.retransmits", 20.0),
                    (INTERFACE, "network.retransmits", 20.0),
                ],
                "edge.retransmits",
            );
            for app in [APP1, APP2] {
                world
                    .sick_edge(HAPROXY, app, "edge.retrying", 10.0)
                    .sick_edge(HAPROXY, app, "edge.stalled", 14.0)
                    .sick(app, "log.timeout", 12.0);
            }
            world
        }),
        // Not a noisy neighbour: the greatest is the one that its own callers wait for.
        ("host:db1", "cpu-saturated", {
            called(
                &[("host:db1", "cpu.saturated", 25.0), (DB, "cpu.hog", 25.0)],
                "edge.slow",
            )
        }),
        // Nor a storm of jobs: they began long before, and nothing lacked then.
        (DB_DISK, "disk-full", {
            let mut world = lab(&[("host:db1", "jobs.began-together", 100.0)]);
            world
                .sick(DB_DISK, "filesystem.space-exhausted", 25.0)
                .sick(DB, "log.no-space", 22.0)
                .sick(DB, "log.errors", 22.0);
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
    world.sick(APP2, "memory.growing", 3_600.0);
    world.0.symptoms.last_mut().expect("a symptom").severity = 0.3;
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

#[test]
fn what_a_callee_behind_a_filter_sends_again_is_no_loss_on_its_link() {
    for (shown, fault) in [
        ("edge.lost", "firewall-reject"),
        ("edge.unanswered", "firewall-drop"),
    ] {
        let mut world = World::lab();
        world.sick_edge(HAPROXY, APP1, shown, 15.0).sick_edge(
            APP1,
            HAPROXY,
            "edge.retransmits",
            22.0,
        );
        let verdict = world.verdict();
        let first = &verdict.suspects[0];
        assert_eq!(
            (&first.component, &*first.fault),
            (&id(APP1), fault),
            "{}",
            brief(&verdict)
        );
        assert!(first.probability > 0.7, "{}", brief(&verdict));
    }
}
