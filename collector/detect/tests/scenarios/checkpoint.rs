//! What a checkpoint must do beyond what every scenario tries: the world restarts all the time.

use std::path::PathBuf;
use std::time::Duration;

use firstlook_detect::{BadCheckpoint, DetectConfig, Detector};
use firstlook_model::symptom::kinds;
use firstlook_model::{ActiveState, ChangeKind, Severity, Timestamp};

use crate::world::{APP, DB, World};

/// A world in which most of what a host's state holds is in use.
fn busy() -> World {
    let mut world = World::new();
    world.run(120);
    world.change(
        APP,
        "app.service",
        ChangeKind::Restart,
        "app.service restarted",
    );
    world.hosts[DB].available = 0.0;
    for _ in 0..20 {
        let lost = "could not extend file: No space left on device";
        world.log(DB, "postgresql.service", Severity::Error, lost);
        world.tick();
    }
    world
        .unit(APP, "app.service", ActiveState::Failed, "failed")
        .result = "exit-code";
    world.run(10);
    world
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints/db1")
}

/// The form was not changed without saying so: what an older version wrote is taken up. Only a new form may replace it.
#[test]
fn a_checkpoint_of_an_older_version_is_taken_up() {
    let world = busy();
    let id = &world.hosts[DB].id;
    if std::env::var_os("FIRSTLOOK_REGENERATE").is_some() {
        let kept = world.detector.checkpoint(id).expect("known");
        std::fs::write(fixture(), kept).expect("written");
    }
    let kept = std::fs::read(fixture()).expect("the checkpoint of form 1");
    let mut again = Detector::new(DetectConfig::default());
    let (of, recorded) = again
        .restore(&kept, Timestamp::from_micros(i64::MAX))
        .expect("it is taken up");
    assert_eq!(&of, id);
    assert_eq!(recorded, Some(world.now()));
    let found = again.situation(world.now()).symptoms;
    let full = found.iter().find(|s| s.kind == kinds::SPACE_EXHAUSTED);
    assert!(full.is_some_and(|s| s.gate), "{found:#?}");
}

/// A fault that began hours ago would be what is usual, were it learned anew.
#[test]
fn what_began_before_a_restart_is_not_learned_as_usual() {
    let mut world = World::new();
    world.run(120);
    world.edges[1].rtt_ms = 40.0;
    world.run(600);
    let slow = |world: &World| world.symptom("service:app1/app.service", kinds::EDGE_SLOW);
    let before = slow(&world).expect("slow");
    world.restart();
    world.run(60);
    let after = slow(&world).expect("still slow");
    assert_eq!(after.onset, before.onset);
}

#[test]
fn what_is_no_checkpoint_says_so() {
    let world = busy();
    let id = &world.hosts[DB].id;
    let mut again = Detector::new(DetectConfig::default());
    let refused = again
        .restore(b"something else", Timestamp::from_micros(i64::MAX))
        .expect_err("no checkpoint");
    assert!(matches!(refused, BadCheckpoint::Unreadable(_)), "{refused}");
    let mut kept = world.detector.checkpoint(id).expect("known");
    let form = kept
        .windows(5)
        .position(|name| name == b"\xa4form")
        .expect("its first field");
    kept[form + 5] = 9;
    let refused = again
        .restore(&kept, Timestamp::from_micros(i64::MAX))
        .expect_err("another form");
    assert_eq!(refused.to_string(), "of form 9, this version reads 1");
    let kept = world.detector.checkpoint(id).expect("known");
    let set_back = world.now().minus(Duration::from_secs(60));
    let refused = again.restore(&kept, set_back).expect_err("of a later time");
    assert!(matches!(refused, BadCheckpoint::Ahead), "{refused}");
    assert_eq!(again.hosts().count(), 0);
    let small = DetectConfig {
        host_limit: 0,
        ..DetectConfig::default()
    };
    let kept = world.detector.checkpoint(id).expect("known");
    let refused = Detector::new(small)
        .restore(&kept, Timestamp::from_micros(i64::MAX))
        .expect_err("no room");
    assert_eq!(refused.to_string(), "too many hosts are known");
}

/// Hosts that an agent has not found its way back from yet are not down.
#[test]
fn after_a_restart_hosts_have_a_while_to_come_back() {
    let mut world = World::new();
    world.run(120);
    world.restart();
    let now = world.now();
    world.detector.resume(now);
    world.hosts[DB].heard = false;
    world.run(20);
    let silent = |world: &World| world.symptom("host:db1", kinds::AGENT_SILENT);
    assert!(silent(&world).is_none(), "{:#?}", world.shown());
    world.run(12);
    assert!(
        silent(&world).is_some_and(|s| s.gate),
        "{:#?}",
        world.shown()
    );
}
