use crate::tests::{ALARM, at, calls, stepping};
use crate::{Series, rank};

/// Who is said to be waited for, where the front waits longer by this signal and calls one a hundred times as often as another.
fn told(signal: &str, loads: [(&str, &str, f64); 3]) -> Vec<String> {
    let mut world = vec![stepping("front", signal, 10.0, 90.0)];
    let load = loads.map(|(component, signal, load)| stepping(component, signal, load, 0.0));
    world.extend(load);
    let edges = calls(&[
        ("front", "often"),
        ("front", "seldom"),
        ("front", "shared"),
        ("other", "shared"),
    ]);
    let ranking = rank(&world, &edges, &at(ALARM));
    let waited = ranking.suspects.into_iter();
    waited.map(|s| s.component).collect()
}

fn loads(seldom: f64, of_seldom: &'static str) -> [(&'static str, &'static str, f64); 3] {
    [
        ("often", "requests", 300.0),
        ("seldom", of_seldom, seldom),
        ("shared", "requests", 9_000.0),
    ]
}

#[test]
fn who_gets_one_call_in_a_hundred_makes_no_wait_that_every_tenth_shows() {
    let told = |signal, seldom| told(signal, loads(seldom, "requests")).contains(&"seldom".into());
    assert!(!told("client_latency_p90", 3.0));
    assert!(
        told("client_latency_p999", 3.0),
        "more than one in a thousand"
    );
    assert!(told("client_latency_p90", 60.0), "every fifth");
    assert!(told("client_latency", 3.0), "of a mean nothing is known");
}

#[test]
fn loads_in_different_units_are_not_held_against_each_other() {
    let told = told("client_latency_p90", loads(3.0, "ops_a_minute"));
    assert!(told.contains(&"seldom".into()), "{told:?}");
}

#[test]
fn without_a_load_anybody_may_be_waited_for() {
    let world: [Series; 1] = [stepping("front", "client_latency_p90", 10.0, 90.0)];
    let edges = calls(&[("front", "often"), ("front", "seldom")]);
    assert_eq!(rank(&world, &edges, &at(ALARM)).suspects.len(), 2);
}
