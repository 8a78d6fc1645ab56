//! Somebody says that what a component does is as it should be.

mod restarts;

use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::signal::names;
use firstlook_model::symptom::kinds;
use firstlook_model::{
    ActiveState, Change, ChangeKind, ComponentId, HostId, MetricBlock, Record, Schema, Series,
    Severity, SignalKind, Timestamp, Unit,
};

use crate::world::{APP, DB, EDGE, World, id};

const APP_SERVICE: &str = "service:app1/app.service";
const DB_SERVICE: &str = "service:db1/postgresql.service";
const HAPROXY: &str = "service:edge1/haproxy.service";

fn settled() -> World {
    let mut world = World::new();
    world.run(120);
    world
}

/// Whether the symptom shows in any of the next seconds.
fn shows(world: &mut World, component: &str, kind: &str, secs: i64) -> bool {
    (0..secs).any(|_| {
        world.tick();
        world.symptom(component, kind).is_some()
    })
}

#[test]
fn a_round_trip_time_that_is_accepted_is_usual_and_a_longer_one_is_not() {
    // Whichever end is accepted, the edge is watched at the caller's host.
    for accepted in [APP_SERVICE, DB_SERVICE, "host:db1"] {
        let mut world = settled();
        world.edges[1].rtt_ms = 8.0;
        world.until(APP_SERVICE, kinds::EDGE_SLOW, 20);
        assert!(shows(&mut world, APP_SERVICE, kinds::EDGE_SLOW, 1));
        world.accept(accepted);
        assert!(
            world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_none(),
            "{accepted}: {:#?}",
            world.shown()
        );
        assert!(
            !shows(&mut world, APP_SERVICE, kinds::EDGE_SLOW, 200),
            "{accepted}: {:#?}",
            world.shown()
        );
        world.edges[1].rtt_ms = 60.0;
        world.until(APP_SERVICE, kinds::EDGE_SLOW, 20);
        // The collector restarted often, and heard the word again each time.
        assert!(shows(&mut world, APP_SERVICE, kinds::EDGE_SLOW, 1));
        world.run(120);
        assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_some());
    }
}

#[test]
fn what_is_accepted_of_one_is_not_of_another() {
    let mut world = settled();
    (world.edges[0].rtt_ms, world.edges[1].rtt_ms) = (8.0, 8.0);
    world.run(30);
    world.accept(DB_SERVICE);
    world.run(30);
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_none());
    assert!(world.symptom(HAPROXY, kinds::EDGE_SLOW).is_some());
}

#[test]
fn a_share_that_is_lost_is_learned_before_it_is_judged() {
    let mut world = settled();
    world.edges[1].loss = 0.08;
    world.until(APP_SERVICE, kinds::EDGE_RETRANSMITS, 30);
    world.accept(APP_SERVICE);
    assert!(
        !shows(&mut world, APP_SERVICE, kinds::EDGE_RETRANSMITS, 150),
        "{:#?}",
        world.shown()
    );
    world.edges[1].loss = 0.5;
    world.until(APP_SERVICE, kinds::EDGE_RETRANSMITS, 30);
}

/// The database answers so many seconds after it was asked, and is asked again at once. Whether that is told.
fn polls(world: &mut World, answers_after: u64, secs: u64) -> bool {
    let mut told = false;
    for second in 0..secs {
        world.edges[1].stalled_ms = second % (answers_after + 2) * 1_000;
        told |= shows(world, APP_SERVICE, kinds::EDGE_STALLED, 1);
    }
    told
}

#[test]
fn long_polls_may_be_accepted_and_a_cut_path_may_not() {
    let mut world = settled();
    assert!(polls(&mut world, 16, 30));
    world.accept(APP_SERVICE);
    assert!(!polls(&mut world, 16, 180), "{:#?}", world.shown());
    assert!(polls(&mut world, 60, 70));
    let mut world = settled();
    let edge = &mut world.edges[1];
    (edge.stalled_ms, edge.backing_off) = (5_000, 8);
    world.until(APP_SERVICE, kinds::EDGE_STALLED, 20);
    world.accept(APP_SERVICE);
    for _ in 0..120 {
        world.tick();
        assert!(
            world.symptom(APP_SERVICE, kinds::EDGE_STALLED).is_some(),
            "{:#?}",
            world.shown()
        );
    }
    // And one that is cut while it is learned is told, too.
    let mut world = settled();
    world.accept(APP_SERVICE);
    world.run(10);
    let edge = &mut world.edges[1];
    (edge.stalled_ms, edge.backing_off) = (5_000, 8);
    world.until(APP_SERVICE, kinds::EDGE_STALLED, 20);
}

#[test]
fn a_load_that_is_accepted_is_usual_and_more_is_not() {
    let mut world = settled();
    world.edges[1].bytes *= 10.0;
    world.until(DB_SERVICE, kinds::LOAD_SURGED, 30);
    world.accept(DB_SERVICE);
    assert!(
        !shows(&mut world, DB_SERVICE, kinds::LOAD_SURGED, 120),
        "{:#?}",
        world.shown()
    );
    world.edges[1].bytes *= 10.0;
    world.until(DB_SERVICE, kinds::LOAD_SURGED, 30);
}

/// So many lines a second, for so many seconds.
fn writes(world: &mut World, lines: usize, secs: usize, text: &str) {
    for _ in 0..secs {
        for _ in 0..lines {
            world.log(APP, "app.service", Severity::Error, text);
        }
        world.tick();
    }
}

#[test]
fn a_rate_of_lines_that_is_accepted_is_usual_and_more_are_not() {
    let mut world = settled();
    let text = "cart of a customer is empty|";
    writes(&mut world, 2, 15, text);
    assert!(world.symptom(APP_SERVICE, kinds::LOG_ERRORS).is_some());
    assert!(world.symptom(APP_SERVICE, kinds::LOG_NEW_ERROR).is_some());
    world.accept(APP_SERVICE);
    for _ in 0..150 {
        writes(&mut world, 2, 1, text);
        assert_eq!(world.shown(), Vec::<String>::new());
    }
    writes(&mut world, 30, 12, text);
    assert!(
        world.symptom(APP_SERVICE, kinds::LOG_ERRORS).is_some(),
        "{:#?}",
        world.shown()
    );
    // The sort is known, another is not.
    assert!(world.symptom(APP_SERVICE, kinds::LOG_NEW_ERROR).is_none());
    writes(&mut world, 2, 12, "stock of the shop is negative|");
    assert!(world.symptom(APP_SERVICE, kinds::LOG_NEW_ERROR).is_some());
}

#[test]
fn timeouts_may_be_accepted_and_refusals_may_not() {
    let mut world = settled();
    for _ in 0..20 {
        writes(&mut world, 1, 1, "upstream timed out|");
        writes(&mut world, 1, 1, "connect() failed: Connection refused|");
    }
    let shown = |world: &World| {
        [kinds::LOG_TIMEOUT, kinds::LOG_REFUSED]
            .map(|kind| world.symptom(APP_SERVICE, kind).is_some())
    };
    assert_eq!(shown(&world), [true, true], "{:#?}", world.shown());
    world.accept(APP_SERVICE);
    for _ in 0..80 {
        assert_eq!(shown(&world), [false, true], "{:#?}", world.shown());
        writes(&mut world, 1, 1, "upstream timed out|");
        writes(&mut world, 1, 1, "connect() failed: Connection refused|");
    }
}

#[test]
fn a_slow_disk_a_tight_quota_and_faulty_packets_may_be_accepted() {
    let mut world = settled();
    world.hosts[DB].wait_s = 0.2;
    world.service(DB, "postgresql.service").throttled = 0.7;
    world.hosts[DB].drops = 60.0;
    let all = [
        ("disk:db1/sda", kinds::DISK_SLOW),
        (DB_SERVICE, kinds::CPU_THROTTLED),
        ("interface:db1/eth0", kinds::INTERFACE_ERRORS),
    ];
    world.run(40);
    for (component, kind) in all {
        assert!(
            world.symptom(component, kind).is_some(),
            "{kind}: {:#?}",
            world.shown()
        );
    }
    for (number, (component, kind)) in all.into_iter().enumerate() {
        world.accept(component);
        assert!(
            world.symptom(component, kind).is_none(),
            "{kind}: {:#?}",
            world.shown()
        );
        for (component, kind) in all.into_iter().skip(number + 1) {
            assert!(world.symptom(component, kind).is_some(), "{kind}");
        }
    }
    for _ in 0..150 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
    world.hosts[DB].wait_s = 3.0;
    world.hosts[DB].drops = 400.0;
    world.until("disk:db1/sda", kinds::DISK_SLOW, 30);
    world.until("interface:db1/eth0", kinds::INTERFACE_ERRORS, 30);
}

#[test]
fn segments_that_a_host_loses_are_accepted_with_the_interface_that_they_are_told_of() {
    let eth0 = "interface:app1/eth0";
    let mut world = settled();
    let lossy = |world: &mut World, loss| {
        world.hosts[APP].loss = loss;
        world.edges.iter_mut().for_each(|edge| edge.loss = loss);
    };
    lossy(&mut world, 0.1);
    world.until(eth0, kinds::HOST_RETRANSMITS, 40);
    world.accept(DB_SERVICE);
    world.tick();
    assert!(world.symptom(eth0, kinds::HOST_RETRANSMITS).is_some());
    world.accept(eth0);
    assert!(
        !shows(&mut world, eth0, kinds::HOST_RETRANSMITS, 150),
        "{:#?}",
        world.shown()
    );
    lossy(&mut world, 0.6);
    world.until(eth0, kinds::HOST_RETRANSMITS, 40);
}

#[test]
fn what_is_left_unread_may_be_accepted() {
    let mut world = settled();
    world.service(APP, "app.service").cores = 0.0;
    world.edges[0].unread = 50_000;
    world.until(APP_SERVICE, kinds::NOT_READING, 60);
    world.accept(APP_SERVICE);
    assert!(
        !shows(&mut world, APP_SERVICE, kinds::NOT_READING, 150),
        "{:#?}",
        world.shown()
    );
    world.edges[0].unread = 5_000_000;
    world.until(APP_SERVICE, kinds::NOT_READING, 60);
}

/// Facts of many kinds, none of which rests on what was usual.
#[test]
fn nobody_accepts_facts_away() {
    let mut world = settled();
    world.hosts[DB].available = 0.0;
    world.hosts[DB].members = 1.0;
    world.hosts[DB].pressure = 0.95;
    world.hosts[DB].running = 9.0;
    world.hosts[DB].memory_available = 1e8;
    world.hosts[DB].stolen = 0.4;
    world.hosts[DB].interface_up = 0.0;
    world.hosts[DB].page = 500.0;
    world.hosts[DB].changed_inventory = true;
    let db = world.service(DB, "postgresql.service");
    (db.stopped, db.queue, db.open_files) = (4.0, 8.0, 1_024.0);
    db.listens = false;
    world
        .unit(DB, "cron.service", ActiveState::Failed, "failed")
        .result = "exit-code";
    world.edges[1].syn_sent = 3;
    let lost = "could not extend file: No space left on device";
    let says = |world: &mut World| {
        for _ in 0..30 {
            world.log(DB, "postgresql.service", Severity::Error, lost);
            world.tick();
        }
    };
    says(&mut world);
    let kinds = |world: &World| -> Vec<(ComponentId, String)> {
        let all = world.situation().symptoms.into_iter();
        let facts = all.filter(|s| !["log.errors", "log.new-error"].contains(&s.kind.as_str()));
        facts.map(|s| (s.component, s.kind)).collect()
    };
    let before = kinds(&world);
    assert!(before.len() >= 11, "{before:#?}");
    for accepted in ["host:db1", DB_SERVICE, APP_SERVICE] {
        world.accept(accepted);
    }
    assert_eq!(kinds(&world), before);
    says(&mut world);
    assert_eq!(kinds(&world), before);
    world.hosts[DB].heard = false;
    world.run(30);
    assert!(world.symptom("host:db1", kinds::AGENT_SILENT).is_some());
    world.accept("host:db1");
    world.run(3);
    assert!(world.symptom("host:db1", kinds::AGENT_SILENT).is_some());
}

#[test]
fn a_service_that_waits_for_a_frozen_filesystem_is_not_taken_for_busy() {
    let mut world = settled();
    world.service(DB, "postgresql.service").blocked = 3.0;
    world.service(DB, "postgresql.service").cores = 0.02;
    let fs = "filesystem:db1/var/lib/data";
    world.until(fs, kinds::FILESYSTEM_HUNG, 40);
    world.accept("host:db1");
    for _ in 0..90 {
        world.tick();
        assert!(
            world.symptom(fs, kinds::FILESYSTEM_HUNG).is_some(),
            "{:#?}",
            world.shown()
        );
    }
}

#[test]
fn an_agent_that_claims_it_is_refused_and_counted() {
    let mut world = settled();
    world.edges[1].rtt_ms = 8.0;
    world.until(APP_SERVICE, kinds::EDGE_SLOW, 20);
    let claimed = |world: &mut World, id: &str| {
        let change = Change {
            id: id.to_owned(),
            ..accepted(APP_SERVICE, world.now())
        };
        world.send(APP, Record::Changes(vec![change]));
    };
    let before = world.situation().changes;
    claimed(&mut world, "accepted:app.service");
    claimed(&mut world, "announced:1");
    assert_eq!(world.detector.refused().unannounced, 2);
    assert_eq!(world.situation().changes, before);
    world.run(10);
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_some());
    // Nor can it be of another's component, by whomever it is said.
    let host = world.hosts[EDGE].id.clone();
    let foreign = accepted(APP_SERVICE, world.now());
    world.detector.observe_changes(&host, &[foreign]);
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_some());
}

#[test]
fn the_word_is_a_change_like_others_and_heard_once() {
    let mut world = settled();
    world.accept(APP_SERVICE);
    world.edges[1].rtt_ms = 8.0;
    world.run(90);
    // Learned while it was slow.
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_none());
    world.edges[1].rtt_ms = 60.0;
    world.until(APP_SERVICE, kinds::EDGE_SLOW, 20);
    world.restart();
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_some());
    let listed = world.situation().changes;
    let words = listed.iter().filter(|c| c.kind == ChangeKind::Accepted);
    assert_eq!(words.count(), 1);
}

/// The collector ended before it wrote what one of the hosts had forgotten.
#[test]
fn a_checkpoint_from_before_the_word_forgets_when_it_is_heard_again() {
    let mut world = settled();
    world.edges[1].rtt_ms = 8.0;
    world.until(APP_SERVICE, kinds::EDGE_SLOW, 20);
    let app = world.hosts[APP].id.clone();
    let old = world.detector.checkpoint(&app).expect("known");
    let word = accepted(DB_SERVICE, world.now());
    world.announce(word.clone());
    world
        .detector
        .restore(&old, Timestamp::from_micros(i64::MAX))
        .expect("taken up");
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_some());
    world.announce(word);
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_SLOW).is_none());
    assert!(!shows(&mut world, APP_SERVICE, kinds::EDGE_SLOW, 60));
}

#[test]
fn level_one_learns_the_component_anew_and_no_other() {
    let mut world = settled();
    for host in [APP, DB] {
        let name = world.hosts[host].services[0].name;
        world.service(host, name).memory = 900e6;
    }
    world.run(20);
    let nominated = |world: &World, host: usize| {
        let nominees = world.detector.nominees(&world.hosts[host].id);
        let memory = nominees
            .iter()
            .filter(|n| n.signal == names::SERVICE_MEMORY);
        memory.count()
    };
    assert_eq!((nominated(&world, APP), nominated(&world, DB)), (1, 1));
    world.accept(APP_SERVICE);
    world.run(40);
    assert_eq!((nominated(&world, APP), nominated(&world, DB)), (0, 1));
}

#[test]
fn memory_that_grows_is_watched_anew() {
    const MIB: f64 = 1024.0 * 1024.0;
    let host = HostId::new("app1").unwrap();
    let series = |component: &str, signal: &str| Series {
        component: id(component),
        signal: signal.to_owned(),
        unit: Unit::Bytes,
        kind: SignalKind::Gauge,
    };
    let schema = Schema::new(vec![
        series("host:app1", names::MEMORY_TOTAL),
        series("host:app1", names::MEMORY_AVAILABLE),
        series(APP_SERVICE, names::SERVICE_MEMORY),
    ]);
    let mut detector = Detector::new(DetectConfig::default());
    let minute = |minute: i64| Timestamp::from_secs(1_700_000_100 + 60 * minute);
    detector.observe_record(&host, minute(0), &Record::Schema(schema.clone()));
    let grows = |detector: &mut Detector, now: i64| {
        let row = vec![8_000.0 * MIB, 400.0 * MIB, (200.0 + 2.0 * now as f64) * MIB];
        let block = MetricBlock {
            schema: schema.id(),
            times: vec![minute(now)],
            columns: firstlook_model::Columns::from_row(row),
        };
        detector.observe_record(&host, minute(now), &Record::Metrics(block));
        let found = detector.situation(minute(now)).symptoms;
        found.iter().any(|s| s.kind == kinds::MEMORY_GROWING)
    };
    let first = (0..90).find(|now| grows(&mut detector, *now));
    let first = first.expect("it grows");
    let word = accepted(APP_SERVICE, minute(first));
    detector.observe_changes(&HostId::new("app1").unwrap(), &[word]);
    let again = (first + 1..first + 90).find(|now| grows(&mut detector, *now));
    assert!(again.is_some_and(|again| again >= first + 60), "{again:?}");
}

fn accepted(component: &str, time: Timestamp) -> Change {
    Change {
        id: format!("announced:{component}@{}", time.as_micros()),
        time,
        component: id(component),
        kind: ChangeKind::Accepted,
        text: "as it should be (accepted by ana)".to_owned(),
        detail: String::new(),
    }
}

impl World {
    /// Somebody accepts what a component does; the analysis hears it, now and after each restart.
    fn accept(&mut self, component: &str) {
        self.announce(accepted(component, self.now()));
    }

    /// Somebody announces a change to the collector.
    fn announce(&mut self, change: Change) {
        hear(&mut self.detector, &change);
        self.announced.push(change);
    }
}

pub fn hear(detector: &mut Detector, word: &Change) {
    let host = word.component.host_id().unwrap().clone();
    detector.observe_changes(&host, std::slice::from_ref(word));
}
