//! Faults that show on edges and interfaces.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{
    ActiveState, Calls, ComponentKind, Direction, EdgeObservation, EdgeStats, Record, Severity,
};

use crate::world::{APP, DB, EDGE, World, id};

const APP_SERVICE: &str = "service:app1/app.service";
const HAPROXY: &str = "service:edge1/haproxy.service";
const DB_SERVICE: &str = "service:db1/postgresql.service";

fn settled() -> World {
    let mut world = World::new();
    world.run(90);
    world
}

#[test]
fn both_ends_of_an_edge_are_named_and_merged() {
    let mut world = settled();
    world.edges[2].callee = Err("192.0.2.7".parse().unwrap());
    world.run(4);
    let situation = world.situation();
    let edges: Vec<String> = situation
        .edges
        .iter()
        .map(|e| format!("{} > {} {}", e.caller, e.callee, e.port))
        .collect();
    assert_eq!(
        edges,
        [
            "service:app1/app.service > service:db1/postgresql.service 5432",
            "service:edge1/haproxy.service > service:app1/app.service 8000",
            "service:edge1/haproxy.service > service:dns1/dnsmasq.service 53",
            "service:edge1/haproxy.service > endpoint:192.0.2.7:53 53",
        ]
    );
    let edge = &situation.edges[0];
    assert!(edge.from_caller.as_ref().unwrap().established == 8);
    assert!(edge.from_callee.as_ref().unwrap().established == 8);
    let endpoint = id("endpoint:192.0.2.7:53");
    assert!(situation.components.contains(&endpoint));
    assert!(
        situation
            .blind_spots
            .iter()
            .any(|b| b.component == endpoint)
    );
}

#[test]
fn what_spans_tell_of_an_edge_stands_beside_what_the_kernel_saw_and_makes_one_by_itself() {
    let mut world = settled();
    let calls = Calls {
        interval_ms: 10_000,
        requests: 120,
        failed: 3,
        mean_us: 40_000,
        longest_us: 90_000,
        alone: true,
    };
    let db = world.hosts[DB].address;
    let told = |world: &World, remote, port| EdgeObservation {
        time: world.now(),
        interval_ms: 2_000,
        local: id(APP_SERVICE),
        direction: Direction::Outbound,
        remote,
        port,
        stats: EdgeStats {
            calls: Some(calls),
            ..EdgeStats::default()
        },
    };
    // An observation of calls alone never stands for connections that ended.
    for _ in 0..15 {
        world.run(2);
        let elsewhere = "192.0.2.9".parse().unwrap();
        let seen = vec![told(&world, db, 5432), told(&world, elsewhere, 443)];
        world.send(APP, Record::Edges(seen));
    }
    let situation = world.situation();
    let edge = |callee: &str| {
        let found = situation
            .edges
            .iter()
            .find(|edge| edge.caller == id(APP_SERVICE) && edge.callee == id(callee));
        found.unwrap_or_else(|| panic!("{callee}: {:?}", situation.edges))
    };
    let known = edge(DB_SERVICE).from_caller.clone().unwrap();
    assert_eq!((known.established, known.calls), (8, Some(calls)));
    let only_told = edge("endpoint:192.0.2.9:443").from_caller.clone().unwrap();
    assert_eq!((only_told.established, only_told.calls), (0, Some(calls)));
    let lost = situation
        .symptoms
        .iter()
        .find(|s| s.family == families::EDGE);
    assert!(lost.is_none(), "{lost:?}");
    world.run(10);
    let situation = world.situation();
    let silent = situation
        .edges
        .iter()
        .filter_map(|e| e.from_caller.as_ref());
    assert!(silent.into_iter().all(|stats| stats.calls.is_none()));
}

#[test]
fn loss_on_one_edge_is_the_edges_and_loss_with_all_peers_the_interfaces() {
    let mut world = settled();
    world.edges[0].loss = 0.15;
    world.hosts[EDGE].loss = 0.08;
    world.until_gate(HAPROXY, kinds::EDGE_RETRANSMITS, 20);
    world.run(10);
    let situation = world.situation();
    let at_large = situation
        .symptoms
        .iter()
        .find(|s| s.kind == kinds::HOST_RETRANSMITS);
    assert!(at_large.is_none(), "{at_large:?}");

    let mut world = settled();
    (world.edges[0].loss, world.edges[1].loss) = (0.15, 0.2);
    world.hosts[APP].loss = 0.15;
    world.until_gate("interface:app1/eth0", kinds::HOST_RETRANSMITS, 20);
    let blamed = world
        .symptom("interface:app1/eth0", kinds::HOST_RETRANSMITS)
        .unwrap();
    assert!(blamed.text.contains("2 of 2 peers"), "{}", blamed.text);
    let peers = world.symptom(APP_SERVICE, kinds::EDGE_RETRANSMITS).unwrap();
    assert_eq!(peers.family, families::EDGE);
    for host in ["db1", "edge1"] {
        assert!(
            world
                .symptom(&format!("interface:{host}/eth0"), kinds::HOST_RETRANSMITS)
                .is_none()
        );
    }
}

#[test]
fn a_slow_path_is_a_symptom_and_gates_only_when_it_is_grave() {
    let mut world = settled();
    world.edges[1].rtt_ms = 9.0;
    let took = world.until(APP_SERVICE, kinds::EDGE_SLOW, 15);
    assert!(took <= 10, "{took}");
    world.run(30);
    assert!(!world.symptom(APP_SERVICE, kinds::EDGE_SLOW).unwrap().gate);
    world.edges[1].rtt_ms = 800.0;
    world.until_gate(APP_SERVICE, kinds::EDGE_SLOW, 15);
    let symptom = world.symptom(APP_SERVICE, kinds::EDGE_SLOW).unwrap();
    assert_eq!(symptom.peer, Some(id(DB_SERVICE)));
    assert!(symptom.text.contains("usual 0.4 ms"), "{}", symptom.text);
    world.edges[1].rtt_ms = 0.4;
    world.run(30);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn a_callee_that_is_cut_off_leaves_connects_unanswered() {
    let mut world = settled();
    (world.edges[1].syn_sent, world.edges[1].backing_off) = (2, 8);
    world.until_gate(APP_SERVICE, kinds::EDGE_UNANSWERED, 12);
    world.until(APP_SERVICE, kinds::EDGE_STALLED, 12);
    assert_eq!(world.blamed(), [APP_SERVICE]);
}

#[test]
fn a_dead_callee_whose_caller_still_tries_is_a_lost_edge() {
    let mut world = settled();
    let unit = world.unit(APP, "app.service", ActiveState::Failed, "failed");
    (unit.result, unit.exit) = ("signal", (2, 9));
    world.service(APP, "app.service").listens = false;
    world.hosts[APP].changed_inventory = true;
    (world.edges[0].there, world.edges[1].there) = (false, false);
    world.hosts[EDGE].fails = 0.5;
    let took = world.until_gate(HAPROXY, kinds::EDGE_LOST, 20);
    assert!(took <= 12, "{took}");
    let lost = world.symptom(HAPROXY, kinds::EDGE_LOST).unwrap();
    assert_eq!(lost.peer, Some(id(APP_SERVICE)));
    // The dead service's own edge to the database merely ended.
    let symptoms = world.situation().symptoms;
    assert!(
        symptoms.iter().all(|s| s.peer != Some(id(DB_SERVICE))),
        "{symptoms:#?}"
    );
}

#[test]
fn a_caller_that_says_it_is_refused_has_lost_its_edge() {
    let mut world = settled();
    world.edges[1].there = false;
    world.service(DB, "postgresql.service").listens = false;
    world.hosts[DB].changed_inventory = true;
    for _ in 0..12 {
        world.log(
            APP,
            "app.service",
            Severity::Error,
            "db: connection refused",
        );
        world.tick();
    }
    assert!(
        world.symptom(APP_SERVICE, kinds::EDGE_LOST).is_some(),
        "{:#?}",
        world.shown()
    );
    assert!(world.symptom(APP_SERVICE, kinds::LOG_REFUSED).is_some());
}

#[test]
fn timeouts_in_a_log_are_told() {
    let mut world = settled();
    for _ in 0..8 {
        world.log(APP, "app.service", Severity::Error, "upstream timed out");
        world.tick();
    }
    assert!(
        world
            .symptom(APP_SERVICE, kinds::LOG_TIMEOUT)
            .is_some_and(|s| s.gate)
    );
}

#[test]
fn a_long_poll_that_always_waits_is_not_stalled() {
    let mut world = World::new();
    world.edges[0].stalled_ms = 9_000;
    world.run(60);
    for _ in 0..60 {
        world.edges[0].stalled_ms = 3_000 + 1_000 * (world.secs % 7) as u64;
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn an_interface_that_drops_or_goes_down_is_named() {
    let mut world = settled();
    world.hosts[APP].drops = 40.0;
    world.until("interface:app1/eth0", kinds::INTERFACE_ERRORS, 15);
    let mut world = settled();
    world.hosts[APP].interface_up = 0.0;
    world.until_gate("interface:app1/eth0", kinds::INTERFACE_DOWN, 4);
}

#[test]
fn a_host_that_hears_nothing_says_so() {
    let mut world = settled();
    world.hosts[DB].rx_packets = 0.0;
    world.until("host:db1", kinds::RECEIVES_NOTHING, 8);
    world.until_gate("host:db1", kinds::RECEIVES_NOTHING, 10);
    assert!(world.attestation("host:db1", families::NETWORK).is_none());
}

#[test]
fn every_callee_is_a_service_or_an_endpoint_or_a_host() {
    let mut world = settled();
    world.hosts[DB].services[0].port = None;
    let kinds: Vec<ComponentKind> = world
        .situation()
        .edges
        .iter()
        .map(|e| e.callee.kind())
        .collect();
    assert_eq!(kinds, [ComponentKind::Service; 3]);
}

#[test]
fn callers_that_ask_for_several_times_as_much_are_a_sign_and_no_incident() {
    let mut world = settled();
    assert!(world.symptom(APP_SERVICE, kinds::LOAD_SURGED).is_none());
    for edge in &mut world.edges[..2] {
        edge.bytes *= 6.0;
        edge.segments *= 6.0;
    }
    world.until(APP_SERVICE, kinds::LOAD_SURGED, 16);
    let surged = world.symptom(APP_SERVICE, kinds::LOAD_SURGED).unwrap();
    assert!(!surged.gate && surged.text.contains("times as much"));
    world.until(DB_SERVICE, kinds::LOAD_SURGED, 8);
    // Nobody asks more of the resolver beside it.
    assert_eq!(world.blamed(), [APP_SERVICE, DB_SERVICE]);
    assert!(world.situation().symptoms.iter().all(|s| !s.gate));
    for edge in &mut world.edges[..2] {
        edge.bytes /= 6.0;
        edge.segments /= 6.0;
    }
    world.run(40);
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn who_takes_over_from_one_of_two_has_no_surge() {
    let mut world = settled();
    world.edges[0].bytes *= 2.0;
    world.edges[1].bytes *= 2.0;
    for _ in 0..60 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn who_connects_again_and_again_and_gets_no_more_retries() {
    let mut world = World::new();
    world.edges[1].opened = 8;
    world.run(90);
    world.edges[1].opened = 80;
    world.until(APP_SERVICE, kinds::EDGE_RETRYING, 16);
    let symptom = world.symptom(APP_SERVICE, kinds::EDGE_RETRYING).unwrap();
    assert_eq!(symptom.peer, Some(id(DB_SERVICE)));
    assert!(!symptom.gate);
    assert!(
        symptom
            .text
            .contains("connects 40.0 times a second, usual 4.0"),
        "{}",
        symptom.text
    );
    world.edges[1].opened = 8;
    world.run(60);
    assert_eq!(world.shown(), Vec::<String>::new());
    // Who is answered as much more is asked for more himself.
    (world.edges[1].opened, world.edges[1].bytes) = (80, 400_000.0);
    world.run(40);
    assert!(world.symptom(APP_SERVICE, kinds::EDGE_RETRYING).is_none());
}

#[test]
fn who_connects_as_often_for_half_an_hour_does_so() {
    let mut world = World::new();
    world.edges[1].opened = 8;
    world.run(90);
    world.edges[1].opened = 80;
    world.until(APP_SERVICE, kinds::EDGE_RETRYING, 16);
    for _ in 0..1_900 {
        world.tick();
    }
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn all_connect_once_after_a_restart_and_nobody_retries() {
    let mut world = settled();
    world.edges[1].opened = 200;
    world.run(2);
    world.edges[1].opened = 0;
    for _ in 0..30 {
        world.tick();
        assert_eq!(world.shown(), Vec::<String>::new());
    }
}

#[test]
fn connections_that_stick_at_a_full_packet_while_small_ones_pass_are_told_from_a_cut() {
    let mut world = settled();
    (world.edges[1].opened, world.edges[1].backing_off) = (3, 4);
    world.edges[1].full_backing_off = 4;
    world.until_gate(APP_SERVICE, kinds::EDGE_LARGE_STUCK, 20);
    let symptom = world.symptom(APP_SERVICE, kinds::EDGE_LARGE_STUCK).unwrap();
    assert_eq!(symptom.peer, Some(id(DB_SERVICE)));
    assert!(symptom.text.contains("4 connections with a full packet"));
    // Small ones wait, too, or new ones are not answered: that is no matter of size.
    for (backing_off, syn_sent) in [(5, 0), (4, 2)] {
        let mut world = settled();
        (world.edges[1].opened, world.edges[1].full_backing_off) = (3, 4);
        (world.edges[1].backing_off, world.edges[1].syn_sent) = (backing_off, syn_sent);
        world.run(20);
        assert!(
            world
                .symptom(APP_SERVICE, kinds::EDGE_LARGE_STUCK)
                .is_none()
        );
    }
}

#[test]
fn a_queue_that_stands_before_an_interface_is_a_full_link_and_a_burst_is_none() {
    let mut world = settled();
    // At ten thousand bytes a second that is four seconds' work.
    world.hosts[DB].queued = 40_000.0;
    world.until("interface:db1/eth0", kinds::INTERFACE_SATURATED, 12);
    let told = world.symptom("interface:db1/eth0", kinds::INTERFACE_SATURATED);
    let text = told.unwrap().text;
    assert!(text.contains("waits to be sent takes 4"), "{text}");
    world.hosts[DB].queued = 0.0;
    world.run(40);
    assert_eq!(world.shown(), Vec::<String>::new());
    for _ in 0..5 {
        world.hosts[DB].queued = 400_000.0;
        world.run(1);
        world.hosts[DB].queued = 0.0;
        world.run(5);
    }
    assert_eq!(world.shown(), Vec::<String>::new());
}
