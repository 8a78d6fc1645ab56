//! One situation for each fault kind that says itself what it is.

use crate::world::*;

/// (component, fault kind, world)
pub type Staged = (&'static str, &'static str, World);

pub const DISK: &str = "disk:db1/sda";
pub const BACKUP: &str = "service:db1/backup.service";
pub const INTERFACE: &str = "interface:db1/host0";

/// The lab with some symptoms of one component each: (component, kind, began seconds ago).
pub fn lab(symptoms: &[(&str, &str, f64)]) -> World {
    let mut world = World::lab();
    world.disk(DISK);
    for (component, kind, began_s) in symptoms {
        world.sick(component, kind, *began_s);
    }
    world
}

/// The same, and the database's callers see these of it.
pub fn called(symptoms: &[(&str, &str, f64)], on_edges: &str) -> World {
    let mut world = lab(symptoms);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, on_edges, 18.0)
            .sick(app, "log.timeout", 13.0);
    }
    world
}

/// Every edge of the database's host shows it, that of its agent too.
pub fn on_all_edges(symptoms: &[(&str, &str, f64)], on_edges: &str) -> World {
    let mut world = lab(symptoms);
    for app in [APP1, APP2] {
        world.sick_edge(app, DB, on_edges, 18.0);
    }
    let agent = "service:db1/firstlook-agent.service";
    world.sick_edge(agent, COLLECTOR, on_edges, 18.0);
    world
}

/// One of each.
pub fn staged() -> Vec<Staged> {
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
            "host:db1",
            "cron-storm",
            called(
                &[
                    ("host:db1", "jobs.began-together", 30.0),
                    ("host:db1", "disk.io-pressure", 24.0),
                    ("host:db1", "cpu.saturated", 22.0),
                ],
                "edge.slow",
            ),
        ),
        ("host:db1", "noisy-neighbour", {
            let mut world = called(&[("host:db1", "cpu.saturated", 25.0)], "edge.slow");
            world.service(BACKUP);
            world.sick(BACKUP, "cpu.noisy-neighbour", 25.0);
            world
        }),
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
        (INTERFACE, "mtu-hole", {
            let mut world = on_all_edges(&[], "edge.large-stuck");
            world.sick_edge(APP1, DB, "edge.stalled", 15.0);
            world
        }),
        (DB, "retry-storm", {
            let mut world = called(
                &[
                    (DB, "sockets.accept-queue-full", 20.0),
                    (DB, "load.surged", 19.0),
                ],
                "edge.slow",
            );
            for app in [APP1, APP2] {
                world.sick_edge(app, DB, "edge.retrying", 17.0);
            }
            world
        }),
        (DB, "firewall-reject", {
            let mut world = called(&[], "edge.lost");
            world.sick(APP1, "log.connection-refused", 14.0).sick(
                APP2,
                "log.connection-refused",
                14.0,
            );
            world
        }),
        (
            DB,
            "firewall-drop",
            called(
                &[(APP1, "edge.stalled", 20.0), (APP2, "edge.stalled", 20.0)],
                "edge.unanswered",
            ),
        ),
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
            "gc-or-stall",
            called(&[(DB, "log.long-pause", 22.0)], "edge.stalled"),
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
