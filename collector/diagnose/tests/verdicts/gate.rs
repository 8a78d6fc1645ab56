//! Which symptoms belong together.

use firstlook_diagnose::{Catalogue, diagnose, symptom_gate};

use crate::faults;
use crate::world::*;

#[test]
fn a_quiet_world_has_no_group() {
    assert_eq!(symptom_gate(&World::lab().0), []);
}

#[test]
fn every_staged_fault_is_one_group() {
    for (name, _, _, world) in faults::staged() {
        let groups = symptom_gate(&world.0);
        assert_eq!(groups.len(), 1, "{name}");
        assert_eq!(groups[0].symptoms.len(), world.0.symptoms.len(), "{name}");
        assert_eq!(
            Some(groups[0].began),
            world.0.symptoms.iter().map(|s| s.onset.from).min()
        );
    }
}

#[test]
fn unrelated_faults_are_separate_groups_and_verdicts() {
    let mut world = World::lab();
    world.host("mail1");
    world.service("service:mail1/postfix.service");
    world.sick("service:mail1/postfix.service", "unit.failed", 30.0);
    world
        .sick(APP2, "unit.failed", 20.0)
        .sick_edge(HAPROXY, APP2, "edge.lost", 19.0);
    let groups = symptom_gate(&world.0);
    assert_eq!(groups.len(), 2);
    for (group, culprit) in groups.iter().zip([APP2, "service:mail1/postfix.service"]) {
        let verdict = diagnose(&Catalogue::builtin(), &world.0, Some(&group.scope()));
        assert_eq!(verdict.suspects[0].component, id(culprit));
        assert_eq!(verdict.suspects.len(), 1, "{verdict:#?}");
    }
}

#[test]
fn a_shared_collector_does_not_join_two_hosts() {
    let mut world = World::lab();
    world.sick(
        "service:load1/firstlook-agent.service",
        "unit.restarting",
        20.0,
    );
    world.sick(
        "service:db1/firstlook-agent.service",
        "unit.restarting",
        20.0,
    );
    assert_eq!(symptom_gate(&world.0).len(), 2);
}

#[test]
fn symptoms_that_harm_nobody_open_nothing() {
    let mut world = World::lab();
    world.sick("host:db1", "network.retransmits", 20.0);
    assert_eq!(symptom_gate(&world.0), []);
}

#[test]
fn what_ended_long_before_is_not_joined() {
    let mut world = World::lab();
    world.sick(APP1, "unit.failed", 900.0);
    world.0.symptoms[0].last_seen = at(600.0);
    world.sick(DB, "unit.failed", 10.0);
    assert_eq!(symptom_gate(&world.0).len(), 2);
}

#[test]
fn a_caller_that_only_its_host_is_known_for_belongs_to_what_hurts_it() {
    let mut world = faults::world_of("bad deploy");
    for edge in &mut world.0.edges {
        if edge.caller == id(LOAD) {
            (edge.caller, edge.from_caller) = (id("host:load1"), None);
        }
    }
    let began = world.0.symptoms.iter().map(|s| s.onset.from).min().unwrap();
    let ago_s = world.0.reference_time.seconds_from(began);
    world
        .sick(LOAD, "log.new-error", ago_s)
        .sick(LOAD, "log.errors", ago_s);
    let groups = symptom_gate(&world.0);
    assert_eq!(groups.len(), 1, "{groups:#?}");
    let verdict = diagnose(&Catalogue::builtin(), &world.0, Some(&groups[0].scope()));
    let first = &verdict.suspects[0];
    assert_eq!(
        (&first.component, first.fault.as_str()),
        (&id(APP1), "bad-deploy")
    );
    let blamed = verdict.suspects.iter().filter(|s| s.probability >= 0.5);
    assert_eq!(blamed.count(), 1, "{}", faults::brief(&verdict));
}
