//! Small made-up worlds.

use proptest::prelude::*;

use super::*;

pub(crate) const ALARM: f64 = 300.0;

/// A value a second for 500 seconds: a ripple around `level`, and `level + step` from the alarm on.
pub(crate) fn stepping(component: &str, signal: &str, level: f64, step: f64) -> Series {
    let value = |i: u32| {
        level + f64::from(i % 7) * level / 100.0 + if f64::from(i) >= ALARM { step } else { 0.0 }
    };
    Series {
        component: component.into(),
        signal: signal.into(),
        points: (0..500).map(|i| (f64::from(i), value(i))).collect(),
    }
}

pub(crate) fn at(time: f64) -> Alarm {
    Alarm {
        time,
        ..Alarm::default()
    }
}

pub(crate) fn calls(ends: &[(&str, &str)]) -> Vec<Edge> {
    let edge = |(caller, callee): &(&str, &str)| Edge {
        caller: (*caller).into(),
        callee: (*callee).into(),
    };
    ends.iter().map(edge).collect()
}

fn ranked(world: &[Series], time: f64) -> Vec<Suspect> {
    rank(world, &[], &at(time)).suspects
}

fn names(suspects: &[Suspect]) -> Vec<&str> {
    suspects.iter().map(|s| s.component.as_str()).collect()
}

#[test]
fn the_component_that_moved_most_comes_first() {
    let world = [
        stepping("a", "cpu", 10.0, 2.0),
        stepping("b", "cpu", 10.0, 90.0),
        stepping("c", "cpu", 10.0, 0.0),
    ];
    assert_eq!(names(&ranked(&world, ALARM)), ["b", "a"]);
}

#[test]
fn it_abstains_when_nothing_moved() {
    let world = [
        stepping("a", "cpu", 10.0, 0.0),
        stepping("b", "mem", 1e9, 0.0),
    ];
    assert_eq!(rank(&world, &[], &at(ALARM)).verdict(), None);
}

#[test]
fn a_late_alarm_does_not_hide_the_onset() {
    let world = [
        stepping("a", "cpu", 10.0, 0.0),
        stepping("b", "cpu", 10.0, 50.0),
    ];
    for late in [0.0, 60.0, 180.0] {
        let suspects = ranked(&world, ALARM + late);
        assert_eq!(names(&suspects), ["b"], "{late} s late");
        assert!(
            (suspects[0].evidence[0].shift.since - ALARM).abs() < 20.0,
            "{late} s late"
        );
    }
}

#[test]
fn signals_of_one_family_count_once() {
    let world = [
        stepping("a", "latency_p90", 10.0, 5.0),
        stepping("a", "latency_p99", 10.0, 6.0),
    ];
    let suspects = ranked(&world, ALARM);
    assert_eq!(suspects[0].evidence.len(), 1);
    assert_eq!(suspects[0].evidence[0].signal, "latency_p99");
}

#[test]
fn a_flat_zero_that_moves_is_a_shift() {
    let world = [stepping("a", "errors", 0.0, 1.0)];
    assert_eq!(names(&ranked(&world, ALARM)), ["a"]);
}

#[test]
fn a_move_that_the_time_before_also_shows_is_no_verdict() {
    let mut world = [stepping("a", "cpu", 10.0, 40.0)];
    assert!(rank(&world, &[], &at(ALARM)).verdict().is_some());
    for point in &mut world[0].points {
        if (120.0..160.0).contains(&point.0) {
            point.1 += 40.0;
        }
    }
    let ranking = rank(&world, &[], &at(ALARM));
    assert_eq!(ranking.verdict(), None, "{ranking:?}");
}

#[test]
fn without_quiet_windows_nothing_of_the_time_before_is_held_against_it() {
    let mut world = [stepping("a", "cpu", 10.0, 40.0)];
    for point in &mut world[0].points {
        if (88.0..158.0).contains(&point.0) {
            point.1 += 40.0;
        }
    }
    let ranking = rank(&world, &[], &at(ALARM));
    let (suspects, standing) = (ranking.suspects.clone(), ranking.standing().unwrap());
    assert_eq!(ranking.verdict(), None);
    let without = ranking.without_quiet_windows();
    assert_eq!(without.suspects, suspects);
    assert!(without.verdict().is_some());
    assert!(without.standing().unwrap().over > standing.over);
}

#[test]
fn one_stray_point_at_the_end_is_no_verdict() {
    let mut world = [stepping("a", "cpu", 10.0, 0.0)];
    world[0].points.truncate(300);
    world[0].points[299].1 = 1e6;
    assert_eq!(rank(&world, &[], &at(ALARM)).verdict(), None);
}

#[test]
fn a_loud_fault_earlier_does_not_silence_it_for_ever() {
    let mut world = [
        stepping("a", "cpu", 10.0, 90.0),
        stepping("b", "cpu", 10.0, 0.0),
    ];
    for point in &mut world[1].points {
        if (100.0..130.0).contains(&point.0) {
            point.1 += 900.0;
        }
    }
    let ranking = rank(&world, &[], &at(ALARM));
    assert_eq!(
        ranking.verdict().map(|s| s.component.as_str()),
        Some("a"),
        "{ranking:?}"
    );
}

#[test]
fn what_moved_before_the_searched_time_is_not_what_the_alarm_is_about() {
    let mut world = [stepping("a", "cpu", 10.0, 0.0)];
    for point in &mut world[0].points {
        point.1 += if point.0 < 145.0 { 0.0 } else { 90.0 };
    }
    let ranking = rank(&world, &[], &at(ALARM));
    assert_eq!(names(&ranking.suspects), ["a"]);
    assert_eq!(ranking.verdict(), None, "{ranking:?}");
}

#[test]
fn what_moved_before_otherwise_than_now_is_not_the_same() {
    let evidence = |signal: &str, before: f64, after: f64| Evidence {
        of: None,
        signal: signal.into(),
        weight: 3.0,
        shift: Shift {
            since: 0.0,
            before,
            after,
            spreads: 60.0,
        },
    };
    let named = |latest: Evidence| {
        let ranking = Ranking {
            suspects: vec![Suspect {
                component: "a".into(),
                own_share: None,
                score: 3.0,
                evidence: vec![evidence("cpu_used", 1.0, 9.0)],
            }],
            excess: None,
            past: Some(Past {
                quiet: 0.0,
                latest: [("a".to_owned(), vec![latest])].into(),
            }),
        };
        ranking.verdict().is_some()
    };
    assert!(!named(evidence("cpu_share", 2.0, 3.0)), "the same");
    assert!(named(evidence("cpu_used", 9.0, 1.0)), "it came back");
    assert!(named(evidence("disk_used", 1.0, 9.0)), "of another family");
    let told = Evidence {
        of: Some("b".into()),
        ..evidence("cpu_used", 1.0, 9.0)
    };
    assert!(named(told), "as another sees it");
}

#[test]
fn an_alarm_that_names_its_signal_may_come_long_after_that_moved() {
    // A value each ten seconds, and fifteen minutes until somebody notices.
    let mut world = [
        stepping("front", "latency", 10.0, 90.0),
        stepping("back", "cpu", 10.0, 900.0),
    ];
    for point in world.iter_mut().flat_map(|series| &mut series.points) {
        point.0 *= 10.0;
    }
    let late = at(10.0 * ALARM + 900.0);
    assert_eq!(rank(&world, &[], &late).verdict(), None);
    let named = Alarm {
        component: Some("front".into()),
        signal: Some("latency".into()),
        ..late
    };
    let ranking = rank(&world, &[], &named);
    let verdict = ranking.verdict().map(|s| s.component.as_str());
    assert_eq!(verdict, Some("back"), "{ranking:?}");
    let since = ranking.suspects[0].evidence[0].shift.since;
    assert!((since - 10.0 * ALARM).abs() < 100.0, "{since}");
}

#[test]
fn what_callers_wait_for_is_told_of_the_one_whom_all_who_wait_call() {
    let world = [
        stepping("front", "client_latency", 10.0, 90.0),
        stepping("front", "server_latency", 20.0, 90.0),
        stepping("middle", "client_latency", 10.0, 90.0),
        stepping("quick", "client_latency", 10.0, 0.0),
    ];
    let edges = calls(&[
        ("front", "middle"),
        ("front", "aside"),
        ("quick", "aside"),
        ("front", "slow"),
        ("middle", "slow"),
    ]);
    let ranking = rank(&world, &edges, &at(ALARM));
    let first = names(&ranking.suspects)[..2].to_vec();
    assert!(first.contains(&"slow"), "{ranking:?}");
    assert!(!names(&ranking.suspects).contains(&"front"), "{ranking:?}");
    let told = ranking.suspects.iter().find(|s| s.component == "slow");
    assert!(told.unwrap().evidence[0].of.is_some());
}

#[test]
fn doing_less_counts_less_than_doing_more() {
    let world = [
        stepping("a", "cpu", 10.0, -5.0),
        stepping("b", "cpu", 10.0, 4.5),
    ];
    assert_eq!(names(&ranked(&world, ALARM)), ["b", "a"]);
}

#[test]
fn without_time_before_it_abstains() {
    let mut world = [stepping("a", "cpu", 10.0, 90.0)];
    world[0].points.drain(..294);
    let ranking = rank(&world, &[], &at(ALARM));
    assert_eq!(names(&ranking.suspects), ["a"]);
    assert_eq!(ranking.verdict(), None);
}

#[test]
fn slowness_is_followed_along_the_calls_to_where_it_arises() {
    let loads = |n| [("front", n), ("middle", n), ("back", n), ("aside", 1.0)];
    let mut world: Vec<Series> = loads(100.0)
        .map(|(name, load)| stepping(name, "requests", load, 0.0))
        .into();
    for (name, slower) in [
        ("front", 50.0),
        ("middle", 50.0),
        ("back", 49.0),
        ("aside", 500.0),
    ] {
        world.push(stepping(name, "latency", 10.0, slower));
    }
    let edges = calls(&[("front", "middle"), ("middle", "back"), ("front", "aside")]);
    let alarm = Alarm {
        time: ALARM,
        component: Some("front".into()),
        signal: Some("latency".into()),
    };
    let ranking = rank(&world, &edges, &alarm);
    assert_eq!(ranking.verdict().unwrap().component, "back");
    let share = ranking.suspects[0].own_share.unwrap();
    assert!((0.9..1.0).contains(&share), "{share}");
    assert_eq!(ranked(&world, ALARM)[0].component, "aside");
    let unknown = rank(&world, &[], &alarm);
    assert_eq!(unknown.excess, None);
    assert_eq!(unknown.suspects[0].component, "aside");
}

proptest! {
    #[test]
    fn the_unit_does_not_matter(power in -6i32..7, step in 1.0f64..100.0) {
        let mut world = [stepping("a", "mem", 10.0, step)];
        let plain = ranked(&world, ALARM);
        for point in &mut world[0].points {
            point.1 *= 2f64.powi(power);
        }
        prop_assert_eq!(plain.first().map(|s| s.score), ranked(&world, ALARM).first().map(|s| s.score));
    }

    #[test]
    fn any_numbers_are_ranked_without_a_panic(
        points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..40), alarm in any::<f64>()
    ) {
        let world = [Series { component: "a".into(), signal: "x".into(), points }];
        for suspect in ranked(&world, alarm) {
            prop_assert!(!suspect.evidence.is_empty());
        }
    }
}
