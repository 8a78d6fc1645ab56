//! Silence, foreign claims, clocks, restarts.

use firstlook_detect::Detector;
use firstlook_model::symptom::kinds;
use firstlook_model::{
    ActiveState, Columns, Loss, MetricBlock, Record, SchemaId, Severity, Timestamp,
};

use crate::world::{APP, DB, EDGE, START, World, id};

fn settled() -> World {
    let mut world = World::new();
    world.run(90);
    world
}

fn blind(world: &World, component: &str) -> bool {
    world
        .situation()
        .blind_spots
        .iter()
        .any(|b| b.component == id(component))
}

#[test]
fn a_silent_agent_whose_host_peers_still_reach() {
    let mut world = settled();
    world.hosts[DB].heard = false;
    let took = world.until("host:db1", kinds::AGENT_SILENT, 10);
    assert!((5..=7).contains(&took), "{took}");
    world.until_gate("host:db1", kinds::AGENT_SILENT, 6);
    world.until("host:db1", kinds::PEERS_REACH, 6);
    assert!(world.symptom("host:db1", kinds::PEERS_CUT).is_none());
    assert!(blind(&world, "host:db1"));
    assert_eq!(world.blamed(), ["host:db1"]);
}

#[test]
fn a_silent_host_whose_peers_get_no_answer() {
    let mut world = settled();
    world.hosts[DB].heard = false;
    (world.edges[1].syn_sent, world.edges[1].backing_off) = (2, 8);
    world.until("host:db1", kinds::PEERS_CUT, 12);
    world.run(10);
    assert!(world.symptom("host:db1", kinds::PEERS_REACH).is_none());
    assert!(world.symptom("host:db1", kinds::AGENT_SILENT).unwrap().gate);
}

#[test]
fn a_silent_host_that_nobody_talks_to_is_only_silent() {
    let mut world = settled();
    world.edges.pop();
    world.run(60);
    world.hosts[3].heard = false;
    world.run(20);
    let kinds: Vec<String> = world
        .situation()
        .symptoms
        .into_iter()
        .map(|s| s.kind)
        .collect();
    assert_eq!(kinds, [kinds::AGENT_SILENT]);
}

#[test]
fn a_silent_host_keeps_its_last_symptoms() {
    let mut world = settled();
    world.hosts[DB].available = 0.0;
    world.run(5);
    world.hosts[DB].heard = false;
    world.run(300);
    let symptom = world
        .symptom("filesystem:db1/var/lib/data", kinds::SPACE_EXHAUSTED)
        .unwrap();
    assert!(symptom.last_seen < Timestamp::from_secs(START + 100));
    let attested = world.situation().attestations;
    assert!(
        attested
            .iter()
            .all(|a| a.component.host_id().unwrap().as_str() != "db1")
    );
}

#[test]
fn a_collector_that_was_away_blames_no_host() {
    let mut world = settled();
    world.hosts.iter_mut().for_each(|host| host.heard = false);
    for _ in 0..40 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new(), "second {}", world.secs);
    }
    // They come back one after the other.
    for host in 0..world.hosts.len() {
        world.hosts[host].heard = true;
        for _ in 0..6 {
            world.tick();
            assert_eq!(world.shown(), Vec::<String>::new(), "second {}", world.secs);
        }
    }
    world.run(30);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn a_host_that_stays_away_after_the_collectors_return_is_silent_in_the_end() {
    let mut world = settled();
    world.hosts.iter_mut().for_each(|host| host.heard = false);
    world.run(20);
    [EDGE, APP, 3]
        .into_iter()
        .for_each(|host| world.hosts[host].heard = true);
    let took = world.until("host:db1", kinds::AGENT_SILENT, 60);
    assert!(took >= 29, "{took}");
}

#[test]
fn a_host_speaks_only_of_its_own() {
    let mut world = settled();
    let mut forged = world
        .journal
        .iter()
        .filter_map(|(host, _, record)| match record {
            Record::Units(states) if host.as_str() == "db1" => Some(states.clone()),
            _ => None,
        });
    let mut states = forged.next().unwrap();
    for state in &mut states {
        (state.active, state.time) = (ActiveState::Failed, world.now());
    }
    let app = world.hosts[APP].id.clone();
    world
        .detector
        .observe_record(&app, world.now(), &Record::Units(states));
    assert_eq!(world.detector.refused().foreign, 2);
    assert_eq!(world.shown(), Vec::<String>::new());
    let schemas: Vec<Record> = world
        .journal
        .iter()
        .filter(|(host, _, record)| host.as_str() == "db1" && matches!(record, Record::Schema(_)))
        .map(|(_, _, record)| record.clone())
        .collect();
    world
        .detector
        .observe_record(&app, world.now(), &schemas[0]);
    assert!(world.detector.refused().foreign > 10);
}

#[test]
fn blocks_without_a_schema_or_of_another_shape_are_counted() {
    let mut detector = Detector::new(Default::default());
    let world = settled();
    let host = &world.hosts[0].id;
    let block = |schema| MetricBlock {
        schema,
        times: vec![Timestamp::from_secs(START)],
        columns: Columns::from_row(vec![1.0]),
    };
    detector.observe_block(host, &block(SchemaId(1)));
    assert_eq!(detector.refused().unknown_schema, 1);
    let schema = world
        .journal
        .iter()
        .find_map(|(_, _, record)| match record {
            Record::Schema(schema) => Some(schema.clone()),
            _ => None,
        });
    let schema = schema.unwrap();
    detector.observe_schema(host, &schema);
    detector.observe_block(host, &block(schema.id()));
    assert_eq!(detector.refused().malformed, 1);
}

#[test]
fn a_clock_that_is_off_is_corrected() {
    let mut world = World::new();
    world.hosts[DB].ahead_ms = -40_000;
    for _ in 0..90 {
        world.tick();
        let (host, now, said) = (world.hosts[DB].id.clone(), world.now(), world.own_time(DB));
        world.detector.observe_contact(&host, now, Some(said));
    }
    // It is told, and harms nobody.
    let symptom = world.symptom("host:db1", kinds::CLOCK_SKEW).unwrap();
    assert!(
        !symptom.gate && symptom.text.contains("40 s"),
        "{symptom:?}"
    );
    assert_eq!(world.situation().symptoms.len(), 1, "{:#?}", world.shown());
    world.hosts[DB].available = 0.0;
    let onset = START + world.secs;
    world.run(4);
    let symptom = world
        .symptom("filesystem:db1/var/lib/data", kinds::SPACE_EXHAUSTED)
        .unwrap();
    let from = symptom.onset.from.as_secs_f64();
    assert!((from - onset as f64).abs() < 2.0, "{from} {onset}");
    // The raw observations bear the host's own times.
    assert!(symptom.reference.range().to < Timestamp::from_secs(onset - 30));
    assert!(blind(&world, "host:db1"));
}

#[test]
fn a_clock_that_is_set_back_is_survived() {
    let mut world = settled();
    world.hosts[DB].ahead_ms = -3_600_000;
    for host in &mut world.hosts[DB].services {
        host.reported = false;
    }
    world.run(60);
    assert_eq!(world.shown(), Vec::<String>::new());
    let (host, now, said) = (world.hosts[DB].id.clone(), world.now(), world.own_time(DB));
    for _ in 0..16 {
        world.detector.observe_contact(&host, now, Some(said));
    }
    world.hosts[DB].available = 0.0;
    world.until_gate("filesystem:db1/var/lib/data", kinds::SPACE_EXHAUSTED, 5);
}

#[test]
fn gaps_and_losses_are_told_and_nothing_is_made_of_them() {
    let mut world = settled();
    let at = world.now();
    let loss = Loss {
        source: "journald".to_owned(),
        reason: "queue-full".to_owned(),
        count: 12,
        bytes: 0,
        from: at,
        to: at,
    };
    let app = world.hosts[APP].id.clone();
    world
        .detector
        .observe_record(&app, at, &Record::Losses(vec![loss]));
    world.run(2);
    let spots = world.situation().blind_spots;
    let told = spots
        .iter()
        .any(|b| b.component == id("host:app1") && b.text.contains("12 items"));
    assert!(told, "{spots:?}");
    assert!(
        world
            .attestation("service:app1/app.service", "log")
            .is_none()
    );
    world.hosts[DB]
        .blind
        .push("units: no system bus".to_owned());
    world.hosts[DB].changed_inventory = true;
    world.run(2);
    assert!(blind(&world, "host:db1"));
    assert!(
        world
            .attestation("service:db1/postgresql.service", "unit")
            .is_none()
    );
}

#[test]
fn a_forgotten_host_is_not_missed() {
    let mut world = settled();
    world.hosts[3].heard = false;
    let dns = world.hosts[3].id.clone();
    world.detector.forget_host(&dns);
    world.run(30);
    assert!(
        world.shown().iter().all(|line| !line.contains("silent")),
        "{:#?}",
        world.shown()
    );
}

#[test]
fn a_hosts_last_words_are_kept_while_it_is_silent_and_a_users_are_none() {
    let mut world = settled();
    // Whoever leaves ends a service manager of his own.
    let words = "Reached target shutdown.target - Shutdown.";
    world.log(DB, "user@1000.service", Severity::Info, words);
    world.run(3);
    assert_eq!(world.shown(), Vec::<String>::new());
    world.manager_says(APP, "Stopped target multi-user.target - Multi-User System.");
    world.tick();
    world.hosts[APP].heard = false;
    world.until("host:app1", kinds::AGENT_SILENT, 20);
    world.run(60);
    let said = world
        .symptom("host:app1", kinds::LOG_SHUTTING_DOWN)
        .unwrap();
    assert!(!said.gate);
}
