//! Each fault kind, as its host and its peers show it: named first, and nobody else blamed.

use firstlook_model::{ChangeKind, Verdict};

use crate::world::*;

type Staged = (&'static str, &'static str, &'static str, World);

/// The world of one of them.
pub fn world_of(name: &str) -> World {
    let all = staged().into_iter();
    let mut named = all.filter(|(staged, ..)| *staged == name);
    named.next().expect("a staged fault").3
}

/// (name, component, fault kind, world)
pub fn staged() -> Vec<Staged> {
    vec![
        (
            "disk full on the database",
            DB_DISK,
            "disk-full",
            disk_full(),
        ),
        (
            "disk full brings the database down",
            DB_DISK,
            "disk-full",
            disk_full_and_crash(),
        ),
        (
            "inodes full on an application",
            "filesystem:app1/",
            "inodes-full",
            inodes_full(),
        ),
        ("killed application", APP2, "service-down", killed_app()),
        ("killed database", DB, "service-down", killed_database()),
        ("bad deploy", APP1, "bad-deploy", bad_deploy()),
        (
            "bad deploy that does not start",
            APP1,
            "bad-deploy",
            bad_deploy_crash(),
        ),
        (
            "packet loss at the database",
            "interface:db1/host0",
            "packet-loss",
            packet_loss(),
        ),
        (
            "packet loss that has only begun",
            "interface:db1/host0",
            "packet-loss",
            packet_loss_begins(),
        ),
        (
            "partitioned application host",
            "host:app2",
            "host-partitioned",
            partition(),
        ),
        (
            "partitioned database host",
            "host:db1",
            "host-partitioned",
            partition_database(),
        ),
        ("agent killed", "agent:app2", "agent-down", agent_down()),
        ("memory limit", APP1, "oom-kill", oom_kill()),
        ("crash loop", APP2, "crash-loop", crash_loop()),
        (
            "CPU hog on the database host",
            "host:db1",
            "noisy-neighbour",
            cpu_hog(),
        ),
        ("stopped database", DB, "service-hung", hung_database()),
        (
            "read-only filesystem",
            DB_DISK,
            "filesystem-readonly",
            readonly(),
        ),
        ("frozen filesystem", DB_DISK, "filesystem-hung", frozen()),
        (
            "frozen filesystem behind locks",
            DB_DISK,
            "filesystem-hung",
            frozen_behind_locks(),
        ),
        (
            "outside service",
            "endpoint:192.0.2.7:443",
            "outside-cause",
            outside_service(),
        ),
        ("new manner of failing", DB, "unknown-fault", new_manner()),
    ]
}

fn errors_downstream(world: &mut World, began_s: f64) {
    world
        .sick(APP1, "log.errors", began_s)
        .sick(APP1, "log.new-error", began_s)
        .sick(APP2, "log.errors", began_s)
        .sick(LOAD, "log.errors", began_s - 1.0);
}

fn disk_full() -> World {
    let mut world = World::lab();
    world
        .sick(DB_DISK, "filesystem.space-exhausted", 20.0)
        .says("0 B of 243 MB free, usually 180 MB");
    world
        .sick(DB, "log.no-space", 18.0)
        .sick(DB, "log.errors", 18.0);
    errors_downstream(&mut world, 15.0);
    world
}

fn disk_full_and_crash() -> World {
    let mut world = disk_full();
    world
        .sick(DB, "unit.failed", 14.0)
        .sick(DB, "sockets.listener-gone", 14.0);
    world
        .sick_edge(APP1, DB, "edge.lost", 13.0)
        .sick_edge(APP2, DB, "edge.lost", 13.0);
    world
}

fn inodes_full() -> World {
    let mut world = World::lab();
    world.sick("filesystem:app1/", "filesystem.inodes-exhausted", 20.0);
    world
        .sick(APP1, "log.no-space", 12.0)
        .sick(APP1, "log.errors", 12.0);
    world
}

fn killed_app() -> World {
    let mut world = World::lab();
    world
        .sick(APP2, "unit.failed", 20.0)
        .says("killed by signal 9 (SIGKILL)");
    world.sick(APP2, "sockets.listener-gone", 20.0);
    world
        .sick_edge(HAPROXY, APP2, "edge.lost", 19.0)
        .sick(HAPROXY, "log.errors", 18.0);
    world
}

fn killed_database() -> World {
    let mut world = World::lab();
    world
        .sick(DB, "unit.failed", 20.0)
        .sick(DB, "sockets.listener-gone", 20.0);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, "edge.lost", 19.0)
            .sick(app, "log.connection-refused", 18.0);
    }
    errors_downstream(&mut world, 18.0);
    world
}

fn bad_deploy() -> World {
    let mut world = World::lab();
    world
        .changed(APP1, ChangeKind::ConfigFile, 25.0)
        .changed(APP1, ChangeKind::Restart, 23.0);
    world
        .sick(APP1, "log.new-error", 22.0)
        .sick(APP1, "log.errors", 22.0);
    world
        .sick(LOAD, "log.errors", 21.0)
        .sick(HAPROXY, "log.errors", 21.0);
    world
}

fn bad_deploy_crash() -> World {
    let mut world = World::lab();
    world
        .changed(APP1, ChangeKind::Deploy, 25.0)
        .changed(APP1, ChangeKind::Restart, 24.0);
    world
        .sick(APP1, "log.new-error", 22.0)
        .sick(APP1, "unit.failed", 22.0);
    world.sick(APP1, "sockets.listener-gone", 22.0);
    world.sick_edge(HAPROXY, APP1, "edge.lost", 21.0);
    world
}

fn packet_loss() -> World {
    let mut world = World::lab();
    for host in ["db1", "app1", "app2"] {
        world.sick(&format!("host:{host}"), "network.retransmits", 18.0);
    }
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, "edge.retransmits", 18.0)
            .sick_edge(app, DB, "edge.slow", 17.0);
        world.sick_edge(DB, app, "edge.retransmits", 18.0);
    }
    let agent = "service:db1/firstlook-agent.service";
    world.sick_edge(agent, COLLECTOR, "edge.retransmits", 17.0);
    world
        .sick(APP1, "log.timeout", 14.0)
        .sick(LOAD, "log.errors", 14.0);
    world
}

/// Few edges show it yet, one connect is stuck altogether, and the host's own reports come late.
fn packet_loss_begins() -> World {
    let mut world = World::lab();
    world.sick("host:db1", "network.retransmits", 8.0);
    world
        .sick_edge(APP2, DB, "edge.unanswered", 12.0)
        .sick_edge(APP1, DB, "edge.retransmits", 8.0);
    world
        .sick(APP1, "log.new-error", 8.0)
        .sick(LOAD, "log.new-error", 6.0);
    for attestation in &mut world.0.attestations {
        if attestation.component == id("host:db1") {
            attestation.last_seen = at(4.0);
        }
    }
    world
}

fn partition() -> World {
    let mut world = World::lab();
    world
        .silent("app2", 20.0)
        .sick("host:app2", "heartbeat.peers-cut", 18.0);
    world.sick_edge(HAPROXY, APP2, "edge.unanswered", 19.0);
    world
        .sick(HAPROXY, "log.errors", 18.0)
        .sick_edge(DB, APP2, "edge.retransmits", 18.0);
    world
}

fn partition_database() -> World {
    let mut world = World::lab();
    world
        .silent("db1", 20.0)
        .sick("host:db1", "heartbeat.peers-cut", 17.0);
    for app in [APP1, APP2] {
        world.sick_edge(app, DB, "edge.unanswered", 19.0).sick_edge(
            app,
            DB,
            "edge.retransmits",
            19.0,
        );
        world.sick(app, "log.timeout", 16.0);
        world.sick_edge(HAPROXY, app, "edge.stalled", 16.0);
    }
    errors_downstream(&mut world, 16.0);
    world
}

fn agent_down() -> World {
    let mut world = World::lab();
    world
        .silent("app2", 20.0)
        .sick("host:app2", "heartbeat.peers-reach", 15.0);
    world
}

fn oom_kill() -> World {
    let mut world = World::lab();
    world
        .sick(APP1, "memory.oom-killed", 20.0)
        .says("killed at 256 MB, its limit");
    world
        .sick(APP1, "unit.failed", 20.0)
        .sick(APP1, "sockets.listener-gone", 20.0);
    world.sick_edge(HAPROXY, APP1, "edge.lost", 19.0);
    world
}

fn crash_loop() -> World {
    let mut world = World::lab();
    world
        .sick(APP2, "unit.restarting", 25.0)
        .says("7 restarts in a minute, exit code 1");
    world
        .sick(APP2, "unit.failed", 25.0)
        .sick(APP2, "log.new-error", 26.0);
    world.sick_edge(HAPROXY, APP2, "edge.lost", 20.0);
    world
}

fn cpu_hog() -> World {
    let mut world = World::lab();
    world.service("service:db1/report.service");
    world
        .sick("host:db1", "cpu.saturated", 20.0)
        .says("run queue 9 on 2 cores, pressure 88%");
    world.sick("service:db1/report.service", "cpu.noisy-neighbour", 20.0);
    world
        .sick_edge(APP1, DB, "edge.slow", 18.0)
        .sick_edge(APP2, DB, "edge.slow", 18.0);
    world.sick(LOAD, "log.timeout", 12.0);
    world
}

fn hung_database() -> World {
    let mut world = World::lab();
    world
        .sick(DB, "process.stopped", 20.0)
        .sick(DB, "sockets.not-reading", 18.0);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, "edge.stalled", 18.0)
            .sick(app, "log.timeout", 13.0);
        world.sick_edge(HAPROXY, app, "edge.stalled", 14.0);
    }
    world
}

fn readonly() -> World {
    let mut world = World::lab();
    world
        .sick(DB_DISK, "filesystem.readonly", 20.0)
        .sick(DB, "log.errors", 18.0);
    errors_downstream(&mut world, 16.0);
    world
}

fn frozen() -> World {
    let mut world = World::lab();
    world
        .sick(DB_DISK, "filesystem.hung", 18.0)
        .sick(DB, "sockets.not-reading", 17.0);
    world
        .sick_edge(APP1, DB, "edge.stalled", 16.0)
        .sick_edge(APP2, DB, "edge.stalled", 16.0);
    world.sick(APP1, "log.timeout", 13.0);
    world
}

/// Who writes holds its locks meanwhile, and the others say so.
fn frozen_behind_locks() -> World {
    let mut world = frozen();
    world.sick(DB, "log.lock-wait", 14.0);
    for app in [APP1, APP2] {
        world
            .sick(app, "log.lock-wait", 12.0)
            .sick(app, "log.errors", 12.0);
    }
    world
}

fn outside_service() -> World {
    let mut world = World::lab();
    let payments = outside();
    for app in [APP1, APP2] {
        world.edge(app, &payments, 443);
        world
            .sick_edge(app, &payments, "edge.unanswered", 20.0)
            .sick(app, "log.timeout", 17.0);
    }
    world
}

fn new_manner() -> World {
    let mut world = World::lab();
    world
        .sick(DB, "log.new-error", 20.0)
        .sick(DB, "log.errors", 20.0);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, "edge.stalled", 18.0)
            .sick(app, "log.timeout", 15.0);
    }
    world
}

pub fn brief(verdict: &Verdict) -> String {
    let lines = verdict.suspects.iter().map(|s| {
        let facts = s.evidence_for.iter().chain(&s.evidence_against);
        let facts: Vec<_> = facts
            .map(|e| format!("      {:+.1} {}\n", e.weight_db, e.text))
            .collect();
        format!(
            "{:.3} {:+.1} dB {} {}: {}\n{}",
            s.probability,
            s.decibans,
            s.fault,
            s.component,
            s.summary,
            facts.concat()
        )
    });
    format!(
        "{}hesitation: {:?}",
        lines.collect::<String>(),
        verdict.hesitation
    )
}

#[test]
fn every_staged_fault_is_named_first_and_nobody_else_is_blamed() {
    let mut wrong = Vec::new();
    for (name, component, fault, world) in staged() {
        let verdict = world.verdict();
        let first = verdict.suspects.first();
        let right = first.is_some_and(|s| s.component == id(component) && s.fault == fault);
        let sure = first.is_some_and(|s| s.probability >= 0.7);
        let others = verdict.suspects.iter().skip(1).all(|s| s.probability < 0.2);
        if !right || !sure || !others {
            wrong.push(format!(
                "{name}: want {fault} of {component}\n{}",
                brief(&verdict)
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_culprit_and_what_it_stands_on_are_never_ruled_out() {
    for (name, component, _, world) in staged() {
        let verdict = world.verdict();
        let cleared = verdict
            .ruled_out
            .iter()
            .find(|c| c.component == id(component));
        assert!(cleared.is_none(), "{name}: {cleared:?}");
    }
}

#[test]
fn evidence_of_every_suspect_adds_up_to_its_decibans() {
    for (name, _, _, world) in staged() {
        for suspect in world.verdict().suspects {
            let facts = suspect.evidence_for.iter().chain(&suspect.evidence_against);
            let sum: f64 = facts.map(|e| e.weight_db).sum();
            assert!(
                (sum - suspect.decibans).abs() < 0.05,
                "{name}: {sum} {suspect:?}"
            );
        }
    }
}
