//! What others show, and what was there before: how much it says of one.

use firstlook_diagnose::{Catalogue, theory};

use crate::faults;
use crate::world::*;

/// Hosts on one machine wait for its cores together: that is no host's own fault, and hides none.
#[test]
fn what_all_hosts_show_together_is_not_held_against_one() {
    const HOSTS: [&str; 5] = [
        "host:edge1",
        "host:app1",
        "host:app2",
        "host:db1",
        "host:load1",
    ];
    let waiting = |hosts: &[&str]| {
        let mut world = World::lab();
        for host in hosts {
            world.sick(host, "cpu.saturated", 20.0);
        }
        world
            .sick(APP2, "log.new-error", 15.0)
            .sick(APP2, "log.errors", 15.0);
        let verdict = world.verdict();
        of(&verdict, "host:app2").cloned()
    };
    let one = waiting(&["host:app2"]).expect("suspected");
    assert_eq!(one.fault, "cpu-saturated");
    assert!(one.probability > 0.5, "{}", one.probability);
    // Two are two, four are the machine.
    assert!(waiting(&["host:app2", "host:db1"]).is_some_and(|two| two.probability > 0.5));
    let all = waiting(&HOSTS).map_or(0.0, |all| all.probability);
    assert!(all < 0.4, "{all}");
    // Of many hosts a few are no sign of what all share.
    let mut world = World::lab();
    for number in 0..40 {
        world.host(&format!("h{number}"));
    }
    for host in HOSTS {
        world.sick(host, "cpu.saturated", 20.0);
    }
    world.sick(APP2, "log.new-error", 15.0);
    let verdict = world.verdict();
    let few = of(&verdict, "host:app2").expect("suspected");
    assert!(few.probability > 0.5, "{}", faults::brief(&verdict));
    // One of them takes the cores of all: it has tasks that run.
    let mut world = World::lab();
    for host in HOSTS {
        let kind = match host {
            "host:db1" => "cpu.saturated",
            _ => "cpu.withheld",
        };
        world.sick(host, kind, 20.0);
    }
    world.sick(DB, "log.timeout", 15.0);
    world.sick_edge(APP1, DB, "edge.slow", 15.0);
    let verdict = world.verdict();
    let first = verdict.suspects.first().map(|s| (&s.component, &*s.fault));
    let greedy = Some((&id("host:db1"), "cpu-saturated"));
    assert_eq!(first, greedy, "{}", faults::brief(&verdict));

    let mut world = World::lab();
    world.sick_edge(HAPROXY, APP1, "edge.lost", 15.0);
    for host in HOSTS {
        world.sick(host, "cpu.saturated", 20.0);
    }
    let verdict = world.verdict();
    let first = verdict.suspects.first().map(|s| (&s.component, &*s.fault));
    assert_eq!(
        first,
        Some((&id(APP1), "firewall-reject")),
        "{}",
        faults::brief(&verdict)
    );
}

/// Somebody complains of it, and nobody else is named: it is not cleared however well it feels.
#[test]
fn who_is_complained_of_is_not_cleared_while_that_is_not_explained() {
    let complained = |of_whom: bool| {
        let mut world = World::lab();
        world.sick("host:app2", "cpu.saturated", 30.0);
        if of_whom {
            world.sick_edge(HAPROXY, APP1, "edge.retransmits", 20.0);
        }
        world.verdict()
    };
    assert!(is_cleared(&complained(false), APP1));
    let verdict = complained(true);
    assert!(!is_cleared(&verdict, APP1), "{}", faults::brief(&verdict));
}

/// What presses for long, or hurt before for another reason, is no measure of when the culprit's own signs are due: they are
/// counted from when somebody was hurt anew.
#[test]
fn what_pressed_long_before_makes_nobodys_signs_due() {
    let cleared = |hurt_s: f64| {
        let mut world = World::lab();
        world
            .sick("host:app2", "memory.pressure", 300.0)
            .sick(LOAD, "log.timeout", 70.0)
            .sick(APP1, "log.pool-exhausted", hurt_s)
            .sick(APP1, "log.errors", hurt_s);
        // The first lines are no reason for an incident, but a sign that somebody is hurt.
        for symptom in &mut world.0.symptoms {
            symptom.gate = symptom.kind == "log.timeout";
        }
        is_cleared(&world.verdict(), HAPROXY)
    };
    assert!(!cleared(7.0), "its callers may have begun to ask for more");
    assert!(cleared(60.0));
}

/// Where all show the sign of a fault, each is suspected of it less than its sign alone would have it.
#[test]
fn what_all_share_is_likelier_than_a_fault_of_each() {
    let told = |hosts: &[&str]| {
        let mut world = World::lab();
        for host in hosts {
            world.sick(host, "cpu.saturated", 20.0);
        }
        world.sick_edge(APP1, DB, "edge.slow", 15.0);
        let (catalogue, db) = (Catalogue::builtin(), id("host:db1"));
        let kind = Some("cpu-saturated");
        let suspect = theory(&catalogue, &world.0, None, &db, kind).expect("weighed");
        let against = suspect.evidence_against.iter();
        let shared = against.filter(|fact| fact.text.contains("what they share is likelier"));
        shared.map(|fact| fact.weight_db).sum::<f64>()
    };
    assert_eq!(told(&["host:db1"]), 0.0);
    let all = told(&["host:db1", "host:app1", "host:app2", "host:edge1"]);
    assert!(all < -5.0, "{all}");
}

/// A quota lets requests pile up: the pool that they exhaust, and their errors, are no second fault nor one of another kind.
#[test]
fn what_a_fault_does_to_its_own_work_is_explained_by_it() {
    let mut world = World::lab();
    world
        .sick(APP2, "cpu.throttled", 25.0)
        .sick(APP2, "sockets.not-reading", 22.0)
        .sick(APP2, "log.pool-exhausted", 15.0)
        .sick(APP2, "log.errors", 15.0)
        .sick(LOAD, "log.errors", 12.0);
    let verdict = world.verdict();
    let first = &verdict.suspects[0];
    let named = (&first.component, &*first.fault);
    assert_eq!(
        named,
        (&id(APP2), "cpu-throttled"),
        "{}",
        faults::brief(&verdict)
    );
    let own = first.evidence_for.iter();
    let own = own.filter(|fact| fact.text.contains("log.pool-exhausted"));
    assert_eq!(own.count(), 1, "{}", faults::brief(&verdict));
}
