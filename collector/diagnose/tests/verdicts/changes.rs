//! What the changes before a fault count for, and when they count for nothing.

use firstlook_model::ChangeKind;

use crate::faults::{self, world_of};
use crate::world::{APP1, APP2, DB_DISK, LOAD, World, id};

#[test]
fn an_innocent_change_is_listed_and_not_blamed() {
    let mut world = world_of("disk full on the database");
    world
        .changed(APP1, ChangeKind::Deploy, 60.0)
        .changed(LOAD, ChangeKind::ConfigFile, 40.0);
    let verdict = world.verdict();
    assert_eq!(verdict.suspects[0].component, id(DB_DISK));
    assert!(
        verdict.suspects.iter().skip(1).all(|s| s.probability < 0.2),
        "{:#?}",
        verdict.suspects
    );
    assert_eq!(verdict.changes.len(), 2);
}

#[test]
fn an_acceptance_is_listed_and_never_blamed() {
    let with = |kind| {
        let mut world = World::lab();
        world.changed(APP1, kind, 25.0);
        world
            .sick(APP1, "log.new-error", 22.0)
            .sick(APP1, "log.errors", 22.0);
        world.verdict()
    };
    let verdict = with(ChangeKind::Accepted);
    let blamed = |s: &firstlook_model::Suspect| s.fault == "bad-deploy";
    assert!(!verdict.suspects.iter().any(blamed));
    assert!(with(ChangeKind::Deploy).suspects.iter().any(blamed));
    assert_eq!(verdict.changes.len(), 1);
}

#[test]
fn a_change_after_the_first_error_is_not_blamed() {
    let mut world = World::lab();
    world
        .sick(APP1, "log.new-error", 60.0)
        .sick(APP1, "log.errors", 60.0);
    world
        .changed(APP1, ChangeKind::Restart, 20.0)
        .changed(APP1, ChangeKind::ConfigFile, 20.0);
    assert!(
        world
            .verdict()
            .suspects
            .iter()
            .all(|s| s.fault != "bad-deploy")
    );
}

#[test]
fn restarts_that_follow_a_failure_are_not_blamed() {
    let mut looping = world_of("crash loop");
    let mut revived = world_of("killed application");
    for ago_s in [24.0, 18.0, 12.0] {
        looping.changed(APP2, ChangeKind::Restart, ago_s);
    }
    revived.changed(APP2, ChangeKind::Restart, 19.0);
    for (world, fault) in [(looping, "crash-loop"), (revived, "service-down")] {
        let verdict = world.verdict();
        assert_eq!(verdict.suspects[0].fault, fault);
        assert!(
            verdict.suspects[0].probability >= 0.9,
            "{}",
            faults::brief(&verdict)
        );
    }
}

#[test]
fn a_changed_file_of_the_host_is_blamed_where_it_shows() {
    let mut world = World::lab();
    world.changed("host:app1", ChangeKind::ConfigFile, 25.0);
    world.changed(APP1, ChangeKind::Restart, 23.0);
    world
        .sick(APP1, "log.new-error", 22.0)
        .sick(APP1, "log.errors", 22.0);
    world.sick(LOAD, "log.errors", 21.0);
    let verdict = world.verdict();
    let first = &verdict.suspects[0];
    assert_eq!(
        (&first.component, first.fault.as_str()),
        (&id(APP1), "bad-deploy")
    );
    assert!(first.probability >= 0.8, "{}", faults::brief(&verdict));
}

#[test]
fn an_old_change_is_not_blamed_for_new_errors() {
    let mut world = World::lab();
    world.changed(APP1, ChangeKind::ConfigFile, 3_000.0);
    world
        .sick(APP1, "log.new-error", 20.0)
        .sick(APP1, "log.errors", 20.0);
    assert!(
        world
            .verdict()
            .suspects
            .iter()
            .all(|s| s.fault != "bad-deploy")
    );
}

const RELEASED: &str = "@@ -1,2 +1,2 @@\n-release = \"1.0\"\n+release = \"1.1\"\n port = 8080\n";
const TAKEN_BACK: &str = "@@ -1,2 +1,2 @@\n-release = \"1.1\"\n+release = \"1.0\"\n port = 8080\n";

/// Seen in the lab: a release that broke the application was taken back; three minutes later, its sister's host was
/// cut off, and the application wrote of a connection that was reset.
#[test]
fn a_change_that_was_taken_back_is_not_blamed_for_what_comes_later() {
    let mut world = world_of("partitioned application host");
    world
        .changed(APP1, ChangeKind::Restart, 240.0)
        .edited(APP1, RELEASED, 203.0)
        .changed(APP1, ChangeKind::Restart, 203.0)
        .edited(APP1, TAKEN_BACK, 192.0)
        .changed(APP1, ChangeKind::Restart, 192.0)
        .sick(APP1, "log.new-error", 10.0);
    let verdict = world.verdict();
    let faults: Vec<_> = verdict.suspects.iter().map(|s| s.fault.as_str()).collect();
    assert_eq!(faults[0], "host-partitioned", "{}", faults::brief(&verdict));
    for suspect in verdict.suspects.iter().skip(1) {
        assert!(suspect.probability < 0.2, "{}", faults::brief(&verdict));
    }
}

#[test]
fn a_change_is_blamed_for_what_began_before_it_was_taken_back() {
    let mut world = World::lab();
    world
        .edited(APP1, RELEASED, 60.0)
        .changed(APP1, ChangeKind::Restart, 60.0)
        .edited(APP1, TAKEN_BACK, 20.0)
        .changed(APP1, ChangeKind::Restart, 20.0)
        .sick(APP1, "log.new-error", 58.0)
        .sick(APP1, "log.errors", 58.0);
    let verdict = world.verdict();
    let first = &verdict.suspects[0];
    assert_eq!(first.fault, "bad-deploy", "{}", faults::brief(&verdict));
    assert!(first.probability >= 0.8, "{}", faults::brief(&verdict));
    let change = &first
        .evidence_for
        .iter()
        .find(|e| e.text.contains("ConfigFile"));
    assert!(change.unwrap().text.contains("2 s before"), "{first:#?}");
}

#[test]
fn what_looks_taken_back_where_something_is_hidden_counts_in_full() {
    let hidden = "@@ -1 +1 @@\n-password = [redacted]\n+password = [redacted]\n";
    let of = |diff: &str| {
        let mut world = World::lab();
        world
            .edited(APP1, diff, 60.0)
            .edited(APP1, diff, 25.0)
            .sick(APP1, "log.new-error", 22.0)
            .sick(APP1, "log.errors", 22.0);
        let verdict = world.verdict();
        let suspect = verdict.suspects.iter().find(|s| s.fault == "bad-deploy");
        suspect.map_or(f64::NEG_INFINITY, |s| s.decibans)
    };
    // The same lines out and in, twice.
    let back_and_forth = "@@ -1 +1 @@\n-a\n+a\n";
    assert!(of(hidden) >= of(back_and_forth) + 5.0);
}

#[test]
fn changes_are_ranked_by_nearness_to_the_suspect_and_the_onset() {
    let mut world = world_of("bad deploy");
    world
        .changed(LOAD, ChangeKind::Package, 24.0)
        .changed(APP1, ChangeKind::Deploy, 5_000.0);
    let verdict = world.verdict();
    let order: Vec<_> = verdict.changes.iter().map(|c| c.before_onset_s).collect();
    assert_eq!(order, [1.0, 3.0, 2.0, 4_978.0]);
}

#[test]
fn a_container_that_fails_on_its_new_image_is_broken_by_it_and_one_with_a_new_setting_is_not() {
    let of = |kind| {
        let mut world = World::lab();
        world.changed(APP1, kind, 25.0);
        world
            .sick(APP1, "log.new-error", 22.0)
            .sick(APP1, "log.errors", 22.0);
        world
            .verdict()
            .suspects
            .iter()
            .any(|s| s.fault == "bad-deploy" && s.component == id(APP1) && s.probability > 0.5)
    };
    assert!(of(ChangeKind::Image));
    assert!(!of(ChangeKind::Setting));
}
