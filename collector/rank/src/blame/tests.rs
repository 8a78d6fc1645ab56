//! A shop whose shelf service fails from second 600 on; the alarm comes at 700.

use proptest::prelude::*;

use super::*;

const ONSET: f64 = 600.0;

fn series(component: &str, signal: &str, step: f64) -> Series {
    let value = |time: f64| 10.0 + time % 7.0 / 10.0 + if time >= ONSET { step } else { 0.0 };
    Series {
        component: component.into(),
        signal: signal.into(),
        points: (0..800)
            .map(|i| (f64::from(i), value(f64::from(i))))
            .collect(),
    }
}

fn world() -> [Series; 2] {
    [
        series("shop", "latency", 30.0),
        series("shelf", "pool_wait", 90.0),
    ]
}

fn edges() -> [Edge; 1] {
    [Edge {
        caller: "shop".into(),
        callee: "shelf".into(),
    }]
}

fn change(id: &str, component: &str, time: f64, text: &str) -> Change {
    Change {
        id: id.into(),
        component: component.into(),
        time,
        text: text.into(),
        files: Vec::new(),
    }
}

fn complaint(time: f64, text: &str) -> Note {
    Note {
        component: "shelf".into(),
        time,
        text: text.into(),
        bad: true,
        outside: false,
    }
}

/// The id of what is blamed; `none` and `?` for the other answers.
fn said(world: &[Series], changes: &[Change], notes: &[Note]) -> String {
    let alarm = Alarm {
        time: 700.0,
        component: Some("shop".into()),
        signal: Some("latency".into()),
    };
    let told = Told {
        changes,
        notes,
        operations: &[],
    };
    match blame(world, &edges(), &alarm, None, told) {
        Some(Blame::Change(change)) => change.id.clone(),
        Some(Blame::NoChange) => "none".into(),
        Some(Blame::Undecided) => "?".into(),
        None => "nothing".into(),
    }
}

#[test]
fn the_change_right_before_the_onset_is_named_and_one_after_it_is_not() {
    let changes = [
        change("before", "shelf", 590.0, "new pool"),
        change("after", "shelf", 650.0, "new pool and wait"),
    ];
    assert_eq!(said(&world(), &changes, &[]), "before");
    assert_eq!(said(&world(), &changes[1..], &[]), "none");
}

#[test]
fn a_change_far_from_the_alarm_or_long_ago_is_not_named() {
    let elsewhere = [change("x", "billing", 595.0, "new pool")];
    assert_eq!(said(&world(), &elsewhere, &[]), "none");
    let long_ago = [change("x", "shelf", -9_000.0, "tidy")];
    assert_eq!(said(&world(), &long_ago, &[]), "none");
}

#[test]
fn of_two_alike_neither_is_named() {
    let changes = [
        change("x", "shelf", 590.0, "tidy"),
        change("y", "shelf", 580.0, "tidy"),
    ];
    assert_eq!(said(&world(), &changes, &[]), "?");
}

#[test]
fn the_words_of_new_complaints_tell_two_apart() {
    let changes = [
        change("x", "shelf", 400.0, "restyle button"),
        change(
            "y",
            "shelf",
            550.0,
            "smaller connectionPool, shorter deadline",
        ),
    ];
    let notes = [complaint(
        600.0,
        "no connection in the pool before the deadline",
    )];
    assert_eq!(said(&world(), &changes, &notes), "y");
    let usual: Vec<Note> = (0..70)
        .map(|i| complaint(f64::from(i) * 10.0, &notes[0].text))
        .collect();
    assert_ne!(said(&world(), &changes, &usual), "y");
}

#[test]
fn what_nothing_runs_is_not_named() {
    let mut changes = [change("x", "shelf", 590.0, "new words")];
    assert_eq!(said(&world(), &changes, &[]), "x");
    changes[0].files = vec!["docs/pool.md".into(), "style.css".into()];
    assert_eq!(said(&world(), &changes, &[]), "none");
}

#[test]
fn an_expired_certificate_clears_the_changes() {
    let changes = [change("x", "shelf", 590.0, "new")];
    let notes = [complaint(601.0, "handshake: certificate has expired")];
    assert_eq!(said(&world(), &changes, &notes), "none");
}

#[test]
fn what_ended_by_itself_was_hardly_a_change() {
    let mut world = world();
    for one in &mut world {
        for point in one.points.iter_mut().filter(|p| p.0 >= 720.0) {
            point.1 = 10.0 + point.0 % 7.0 / 10.0;
        }
    }
    let changes = [change("x", "shelf", 590.0, "new")];
    assert_eq!(said(&world, &changes, &[]), "none");
}

#[test]
fn without_an_onset_or_a_change_nothing_is_said() {
    let quiet = [series("shop", "latency", 0.0)];
    assert_eq!(
        said(&quiet, &[change("x", "shop", 590.0, "new")], &[]),
        "nothing"
    );
    assert_eq!(said(&world(), &[], &[]), "nothing");
}

proptest! {
    #[test]
    fn any_change_and_note_is_weighed_without_a_panic(
        text in "\\PC*", time in any::<f64>(), noted in any::<f64>(), values in prop::collection::vec(any::<(f64, f64)>(), 0..40)
    ) {
        let world = [Series { component: "shelf".into(), signal: text.clone(), points: values }];
        let changes = [change("x", "shelf", time, &text)];
        said(&world, &changes, &[complaint(noted, &text)]);
    }
}
