//! Probes that fail, alone and beside what makes them fail.

use firstlook_model::symptom::families;
use firstlook_model::{ChangeKind, Verdict};

use crate::faults::brief;
use crate::world::*;

fn first(verdict: &Verdict) -> (String, &str) {
    let suspect = verdict.suspects.first().expect("a suspect");
    (suspect.component.to_string(), suspect.fault.as_str())
}

/// That this is named first, this sure, and nobody else.
fn named(verdict: &Verdict, component: &str, fault: &str, probability: f64) {
    assert_eq!(
        first(verdict),
        (component.to_owned(), fault),
        "{}",
        brief(verdict)
    );
    let sure = verdict.suspects[0].probability >= probability;
    let others = verdict.suspects[1..].iter().all(|s| s.probability < 0.2);
    assert!(sure && others, "{}", brief(verdict));
}

#[test]
fn a_failing_probe_alone_names_what_it_is_about_in_its_words() {
    for component in [APP1, HAPROXY, "host:db1"] {
        let mut world = World::lab();
        world
            .sick(component, "probe.failed", 25.0)
            .says("probe front: status 503 instead of 200, 2 looks in a row, usual: up");
        let verdict = world.verdict();
        // One fact, and no reason for it.
        named(&verdict, component, "unknown-fault", 0.5);
        let summary = &verdict.suspects[0].summary;
        assert!(summary.contains("status 503 instead of 200"), "{summary}");
    }
}

#[test]
fn an_unanswered_probe_of_a_stopped_service_is_explained_by_that() {
    let mut world = World::lab();
    world
        .sick(DB, "unit.failed", 20.0)
        .sick(DB, "sockets.listener-gone", 20.0)
        .sick(DB, "probe.unanswered", 12.0);
    for app in [APP1, APP2] {
        world.sick_edge(app, DB, "edge.lost", 18.0);
    }
    named(&world.verdict(), DB, "service-down", 0.7);
}

#[test]
fn the_front_whose_probe_fails_is_not_blamed_for_what_is_behind_it() {
    let mut world = World::lab();
    world
        .sick(DB, "unit.failed", 20.0)
        .sick(HAPROXY, "probe.failed", 8.0);
    for app in [APP1, APP2] {
        world
            .sick_edge(app, DB, "edge.lost", 18.0)
            .sick(app, "log.connection-refused", 17.0);
    }
    named(&world.verdict(), DB, "service-down", 0.7);
}

#[test]
fn a_probe_that_fails_from_a_change_on_speaks_for_the_change() {
    let mut world = World::lab();
    world
        .changed(APP1, ChangeKind::Deploy, 40.0)
        .sick(APP1, "log.new-error", 30.0)
        .sick(APP1, "log.errors", 30.0)
        .sick(APP1, "probe.failed", 25.0);
    named(&world.verdict(), APP1, "bad-deploy", 0.7);
}

#[test]
fn a_probe_that_is_up_speaks_against_its_service_being_hung() {
    let db = |world: &World| {
        let verdict = world.verdict();
        let hung = verdict
            .suspects
            .into_iter()
            .find(|s| s.fault == "service-hung" && s.component == id(DB));
        hung.expect("it is a suspect")
    };
    let mut world = World::lab();
    world.sick(DB, "sockets.not-reading", 30.0);
    for app in [APP1, APP2] {
        world.sick_edge(app, DB, "edge.stalled", 28.0);
    }
    let before = db(&world);
    world.attest(DB, families::PROBE);
    let after = db(&world);
    assert!(after.decibans < before.decibans);
    let said = |s: &firstlook_model::Suspect| {
        let mut facts = s.evidence_against.iter();
        facts.any(|e| e.text.contains("an unanswered probe"))
    };
    assert!(said(&after) && !said(&before));
}
