//! What a verdict says beside its first suspect, and when it says less.

use firstlook_diagnose::{Catalogue, IncidentScope, TheoryError, diagnose, theory};
use firstlook_model::{ChangeKind, Cleared, ComponentKind, Suspect};

use crate::faults::{self, world_of};
use crate::world::*;

#[test]
fn a_quiet_world_has_no_suspect_and_clears_nobody() {
    let verdict = World::lab().verdict();
    assert_eq!((verdict.suspects, verdict.ruled_out), (vec![], vec![]));
    assert_eq!(
        verdict.hesitation.as_deref(),
        Some("no symptom: nothing to explain")
    );
}

#[test]
fn a_few_errors_alone_are_not_blamed_on_anybody() {
    let mut world = World::lab();
    world.sick(APP1, "log.errors", 20.0);
    let verdict = world.verdict();
    assert_eq!(verdict.suspects, []);
    assert!(verdict.hesitation.unwrap().contains("better than chance"));
}

/// What is there all the time says little; and it is said that it is.
#[test]
fn what_is_usual_there_counts_for_less() {
    let weight = |usual: f64| {
        let mut world = World::lab();
        world
            .sick(DB_DISK, "filesystem.space-exhausted", 20.0)
            .usually(usual)
            .sick(DB, "log.no-space", 15.0)
            .sick_edge(APP1, DB, "edge.stalled", 10.0);
        let verdict = world.verdict();
        let full = of(&verdict, DB_DISK).expect("suspected").clone();
        assert_eq!(full.fault, "disk-full");
        full
    };
    let text = |suspect: &Suspect| -> Vec<String> {
        let facts = suspect.evidence_for.iter().map(|fact| fact.text.clone());
        facts
            .filter(|text| text.contains("when nobody is hurt"))
            .collect()
    };
    let (never, rarely, often) = (weight(0.0), weight(0.001), weight(0.4));
    // Less than what the catalogue takes for granted changes nothing.
    assert_eq!(never.decibans, rarely.decibans);
    assert!(
        often.decibans < never.decibans - 10.0,
        "{} {}",
        often.decibans,
        never.decibans
    );
    assert_eq!(text(&never).len(), 0);
    let said = text(&often);
    assert!(
        said[0].contains("as in 40% of the time when nobody is hurt"),
        "{said:?}"
    );
}

/// Who waits for a frozen filesystem holds locks, and its callers run out of connections: one fault, not two.
#[test]
fn locks_and_exhausted_pools_behind_a_frozen_filesystem_are_no_fault_of_the_database() {
    let mut world = World::lab();
    world
        .sick(DB_DISK, "filesystem.hung", 13.0)
        .sick(DB, "log.lock-wait", 10.0)
        .sick(DB, "log.errors", 10.0)
        .sick(APP1, "log.pool-exhausted", 11.0)
        .sick(APP2, "log.pool-exhausted", 11.0)
        .sick_edge(APP1, DB, "edge.slow", 10.0)
        .sick_edge(APP2, DB, "edge.slow", 10.0);
    let verdict = world.verdict();
    let first = &verdict.suspects[0];
    assert_eq!(
        (&first.component, &*first.fault),
        (&id(DB_DISK), "filesystem-hung")
    );
    let beside = of(&verdict, DB).map_or(0.0, |suspect| suspect.probability);
    assert!(beside < 0.5, "{beside}: {}", faults::brief(&verdict));
}

#[test]
fn errors_of_a_service_that_stays_up_are_no_crash_loop_though_restarts_may_yet_come() {
    for began_s in [3.0, 6.0, 9.0, 12.0, 30.0] {
        let mut world = World::lab();
        world
            .sick(LOAD, "log.new-error", began_s)
            .sick(LOAD, "log.errors", began_s);
        let verdict = world.verdict();
        let loops = verdict.suspects.iter().find(|s| s.fault == "crash-loop");
        let p = loops.map_or(0.0, |s| s.probability);
        assert!(
            p < 0.5,
            "{p} after {began_s} s: {}",
            faults::brief(&verdict)
        );
    }
}

#[test]
fn two_faults_at_once_are_two_suspects() {
    let mut world = world_of("disk full on the database");
    world
        .sick(APP2, "unit.failed", 10.0)
        .says("killed by signal 9 (SIGKILL)");
    world.sick(APP2, "sockets.listener-gone", 10.0);
    world.sick_edge(HAPROXY, APP2, "edge.lost", 9.0);
    let verdict = world.verdict();
    for (component, fault) in [(DB_DISK, "disk-full"), (APP2, "service-down")] {
        let suspect = of(&verdict, component).unwrap();
        assert_eq!(suspect.fault, fault);
        assert!(suspect.probability >= 0.9, "{}", faults::brief(&verdict));
    }
    assert!(verdict.suspects.iter().skip(2).all(|s| s.probability < 0.2));
    assert!(
        verdict
            .hesitation
            .unwrap()
            .starts_with("2 independent faults")
    );
}

#[test]
fn two_killed_services_are_two_suspects() {
    let mut world = World::lab();
    for app in [APP1, APP2] {
        world
            .sick(app, "unit.failed", 20.0)
            .sick(app, "sockets.listener-gone", 20.0);
        world.sick_edge(HAPROXY, app, "edge.lost", 19.0);
    }
    world
        .sick(HAPROXY, "log.errors", 19.0)
        .sick(LOAD, "log.errors", 18.0);
    let verdict = world.verdict();
    for app in [APP1, APP2] {
        assert!(of(&verdict, app).unwrap().probability >= 0.9);
    }
    assert_eq!(verdict.suspects.len(), 2);
}

#[test]
fn a_silent_host_without_witnesses_is_a_shortlist_with_a_blind_spot() {
    let mut world = World::lab();
    world
        .0
        .edges
        .retain(|edge| ![&edge.caller, &edge.callee].contains(&&id(APP2)));
    world
        .silent("app2", 20.0)
        .blind("host:app2", "silent for 20 s: anything may happen on it");
    let verdict = world.verdict();
    let faults: Vec<_> = verdict.suspects.iter().map(|s| s.fault.as_str()).collect();
    assert_eq!(faults, ["host-partitioned", "agent-down"], "{verdict:#?}");
    assert!(verdict.suspects[0].probability < 0.9);
    assert!(verdict.hesitation.unwrap().starts_with("not decided"));
    assert_eq!(verdict.blind_spots[0].component, id("host:app2"));
    assert!(verdict.next_look.unwrap().command.contains("ping"));
}

#[test]
fn nothing_on_a_silent_host_is_ruled_out() {
    for name in ["partitioned application host", "agent killed"] {
        let verdict = world_of(name).verdict();
        for cleared in &verdict.ruled_out {
            assert_ne!(
                cleared.component.host_id().unwrap().as_str(),
                "app2",
                "{name}"
            );
        }
    }
}

#[test]
fn the_database_is_cleared_of_a_killed_application() {
    let verdict = world_of("killed application").verdict();
    for innocent in [
        DB,
        APP1,
        DB_DISK,
        "host:db1",
        "interface:db1/host0",
        "host:app2",
    ] {
        assert!(
            is_cleared(&verdict, innocent),
            "{innocent}: {:#?}",
            verdict.ruled_out
        );
    }
}

#[test]
fn a_victim_with_explained_symptoms_is_cleared_with_what_was_measured() {
    let verdict = world_of("disk full on the database").verdict();
    assert!(is_cleared(&verdict, APP1));
    for cleared in &verdict.ruled_out {
        assert!(!cleared.cleared_by.is_empty());
        let sum: f64 = cleared.cleared_by.iter().map(|e| e.weight_db).sum();
        assert!(sum <= -8.0, "{cleared:?}");
        assert!(cleared.cleared_by.iter().all(|e| e.reference.is_some()));
    }
}

#[test]
fn what_is_badly_or_long_ago_measured_is_not_cleared() {
    for (coverage, age_s) in [(0.3, 1.0), (0.98, 40.0)] {
        let mut world = world_of("killed application");
        for attestation in &mut world.0.attestations {
            if attestation.component == id(DB) {
                attestation.coverage = coverage;
                attestation.last_seen = at(age_s);
            }
        }
        assert!(
            !is_cleared(&world.verdict(), DB),
            "coverage {coverage}, {age_s} s ago"
        );
    }
}

#[test]
fn a_component_with_symptoms_of_another_incident_is_not_cleared() {
    let mut world = world_of("killed application");
    world.sick(DB, "log.timeout", 20.0);
    let components = [APP2, HAPROXY].map(id).into();
    let scope = IncidentScope { components };
    let verdict = diagnose(&Catalogue::builtin(), &world.0, Some(&scope));
    assert_eq!(verdict.suspects[0].component, id(APP2));
    assert!(!is_cleared(&verdict, DB));
}

#[test]
fn a_theory_is_weighed_like_the_engines_own() {
    let world = world_of("disk full on the database");
    let verdict = world.verdict();
    let own = theory(
        &Catalogue::builtin(),
        &world.0,
        None,
        &id(DB_DISK),
        Some("disk-full"),
    )
    .unwrap();
    assert_eq!(own, verdict.suspects[0]);
}

#[test]
fn a_theory_of_a_component_alone_is_the_fault_that_explains_most_there() {
    let world = world_of("disk full on the database");
    let catalogue = Catalogue::builtin();
    let best = |component| theory(&catalogue, &world.0, None, &id(component), None).unwrap();
    assert_eq!(best(DB_DISK), world.verdict().suspects[0]);
    // Nothing speaks of this one.
    let other = best(APP2);
    assert!(other.probability < 0.05, "{other:#?}");
}

#[test]
fn a_wrong_theory_gets_the_facts_against_it() {
    let world = world_of("disk full on the database");
    let catalogue = Catalogue::builtin();
    for (component, fault) in [
        (APP1, "bad-deploy"),
        (DB, "service-down"),
        ("host:db1", "cpu-saturated"),
        (HAPROXY, "oom-kill"),
    ] {
        let suspect = theory(&catalogue, &world.0, None, &id(component), Some(fault)).unwrap();
        assert!(suspect.probability < 0.05, "{suspect:#?}");
        assert!(
            suspect.decibans < 0.0 && suspect.evidence_against.len() >= 2,
            "{suspect:#?}"
        );
    }
}

#[test]
fn a_theory_of_what_cannot_be_is_refused() {
    let world = World::lab();
    let catalogue = Catalogue::builtin();
    let refused = |component: &str, fault: &str| {
        theory(&catalogue, &world.0, None, &id(component), Some(fault)).unwrap_err()
    };
    assert!(matches!(
        refused(DB, "gremlins"),
        TheoryError::NoSuchFault { .. }
    ));
    assert!(matches!(
        refused(DB, "disk-full"),
        TheoryError::NotOfThatKind { .. }
    ));
}

#[test]
fn a_theory_of_an_unknown_component_finds_nothing_for_it() {
    let world = world_of("killed application");
    let stranger = id("service:app9/other.service");
    let suspect = theory(
        &Catalogue::builtin(),
        &world.0,
        None,
        &stranger,
        Some("service-down"),
    )
    .unwrap();
    assert_eq!(suspect.evidence_for, []);
}

#[test]
fn effect_before_cause_counts_against() {
    let mut world = World::lab();
    world.sick(DB, "unit.failed", 10.0);
    world
        .sick_edge(APP1, DB, "edge.lost", 300.0)
        .sick_edge(APP2, DB, "edge.lost", 300.0);
    let verdict = world.verdict();
    let down = theory(
        &Catalogue::builtin(),
        &world.0,
        None,
        &id(DB),
        Some("service-down"),
    )
    .unwrap();
    let order = down
        .evidence_against
        .iter()
        .find(|e| e.text.contains("was hurt before"));
    assert!(order.is_none_or(|e| e.weight_db <= -4.0));
    // The callers' losses of five minutes ago are not explained by an end ten seconds ago.
    let edges = down
        .evidence_for
        .iter()
        .filter(|e| e.text.contains("edge.lost"));
    assert!(
        edges.map(|e| e.weight_db).sum::<f64>() < 12.0,
        "{verdict:#?}"
    );
}

#[test]
fn unmeasured_components_are_neither_cleared_nor_blamed_for_silence() {
    let mut world = world_of("killed application");
    world.0.attestations.clear();
    let verdict = world.verdict();
    assert_eq!(verdict.suspects[0].component, id(APP2));
    // The traffic on its edges still speaks for a network.
    let only_by_edges = |c: &Cleared| c.component.kind() == ComponentKind::Interface;
    assert!(
        verdict.ruled_out.iter().all(only_by_edges),
        "{:#?}",
        verdict.ruled_out
    );
}

#[test]
fn outside_endpoints_are_blind_spots() {
    let verdict = world_of("outside service").verdict();
    assert!(
        verdict
            .blind_spots
            .iter()
            .any(|b| b.component == id(&outside()))
    );
}

#[test]
fn hostile_names_are_quoted_in_commands() {
    let mut world = World::lab();
    let hostile = "service:app1/x;reboot '$(id)'.service";
    world.service(hostile);
    world
        .sick(hostile, "log.new-error", 30.0)
        .sick(hostile, "unit.restarting", 20.0);
    world.changed(hostile, ChangeKind::Deploy, 31.0);
    let verdict = world.verdict();
    if let Some(look) = verdict.next_look {
        assert!(
            look.command.contains(r"'x;reboot '\''$(id)'\''.service'"),
            "{}",
            look.command
        );
    } else {
        panic!("two close suspects were expected: {:#?}", verdict.suspects);
    }
}

#[test]
fn a_whole_verdict_reads_well() {
    let mut world = World::lab();
    world.changed(APP1, ChangeKind::ConfigFile, 900.0);
    world
        .sick(DB_DISK, "filesystem.space-exhausted", 20.0)
        .says("0 B of 243 MB free, usually 180 MB");
    world
        .sick(DB, "log.no-space", 18.0)
        .says("\"No space left on device\" 14 times in 10 s, never before");
    world
        .sick(APP2, "log.errors", 15.0)
        .says("41 error lines in 10 s, usually 0");
    let json = serde_json::to_string_pretty(&world.verdict()).unwrap();
    insta::assert_snapshot!(json);
}

#[test]
fn nobody_is_cleared_while_a_culprits_own_signs_may_still_be_on_their_way() {
    let mut world = World::lab();
    world
        .sick(APP2, "log.errors", 6.0)
        .says("41 error lines in 10 s, usually 0");
    assert_eq!(world.verdict().ruled_out, []);
}
