use proptest::prelude::*;

use super::*;

const LENGTH: Duration = Duration::from_secs(60);

fn second(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn well() -> Vitals {
    Vitals {
        connected: true,
        cpu: 0.3,
        memory: 0.5,
        lost: 40,
        blind: ["kmsg".to_owned()].into(),
    }
}

/// A minute in which all was as [`well`] says and three records were lost.
fn past() -> Past {
    let mut past = Past::default();
    for now in 0..=120 {
        let lost = 37 + u64::from(now > 70) * 3;
        past.note(second(now), LENGTH, Vitals { lost, ..well() });
    }
    past
}

fn trial() -> Trial {
    Trial::begin(second(120), LENGTH, past().before(), 40)
}

/// How a trial ends, and after how many seconds.
fn ends(vitals: impl Fn(u64) -> Vitals) -> (u64, Verdict) {
    let mut trial = trial();
    for passed in 1..=600 {
        match trial.look(second(120 + passed), &vitals(passed)) {
            Verdict::Goes => {}
            ended => return (passed, ended),
        }
    }
    (600, Verdict::Goes)
}

fn fails(vitals: impl Fn(u64) -> Vitals) -> (u64, String) {
    match ends(vitals) {
        (after, Verdict::Failed(why)) => (after, why),
        other => panic!("not failed: {other:?}"),
    }
}

#[test]
fn an_agent_that_fares_as_before_passes_when_the_time_is_over() {
    assert_eq!(ends(|_| well()), (60, Verdict::Passed));
    let cheaper = |_| Vitals {
        cpu: 0.1,
        memory: 0.4,
        blind: BTreeSet::new(),
        ..well()
    };
    assert_eq!(ends(cheaper), (60, Verdict::Passed));
}

#[test]
fn each_way_of_doing_worse_ends_the_trial_and_is_named() {
    let (after, why) = fails(|_| Vitals {
        memory: 3.9,
        ..well()
    });
    assert_eq!(after, 6, "it is let pass for five seconds");
    assert_eq!(
        why,
        "its memory was 390 % of budget.memory_mib, and 50 % before"
    );
    let (_, why) = fails(|_| Vitals { cpu: 1.0, ..well() });
    assert_eq!(
        why,
        "its CPU was 100 % of budget.cpu_percent, and 30 % before"
    );
    let (after, why) = fails(|passed| Vitals {
        lost: 40 + passed,
        ..well()
    });
    assert_eq!((after, &*why), (17, "it lost 17 records, and 3 before"));
    let (after, why) = fails(|_| Vitals {
        connected: false,
        ..well()
    });
    assert_eq!(
        (after, &*why),
        (31, "it had no session with its collector for 30 s")
    );
    let both = |_| Vitals {
        blind: ["kmsg", "units"].map(str::to_owned).into(),
        ..well()
    };
    let (after, why) = fails(both);
    assert_eq!(
        (after, &*why),
        (1, "a source that saw before does not: units")
    );
}

#[test]
fn what_comes_and_goes_condemns_nothing() {
    let shortly_dear = |passed| Vitals {
        memory: if passed % 6 < 5 { 2.0 } else { 0.5 },
        connected: passed % 30 != 0,
        ..well()
    };
    let (after, ended) = ends(shortly_dear);
    assert_eq!(ended, Verdict::Passed);
    assert!(after >= 60, "and it must end well: {after}");
}

#[test]
fn an_agent_that_cost_as_much_before_is_not_held_to_its_budget() {
    let mut past = Past::default();
    past.note(
        second(0),
        LENGTH,
        Vitals {
            memory: 1.5,
            ..well()
        },
    );
    let mut trial = Trial::begin(second(1), LENGTH, past.before(), 40);
    let dear = Vitals {
        memory: 1.6,
        ..well()
    };
    let mut verdicts = (2..=61).map(|now| trial.look(second(now), &dear));
    assert!(verdicts.all(|verdict| !matches!(verdict, Verdict::Failed(_))));
}

#[test]
fn a_trial_does_not_end_well_while_the_collector_is_away() {
    let away = |passed| Vitals {
        connected: !(50..70).contains(&passed),
        ..well()
    };
    assert_eq!(ends(away), (70, Verdict::Passed));
}

#[test]
fn only_the_time_before_counts_as_before() {
    let before = past().before();
    assert_eq!((before.cpu, before.memory, before.lost), (0.3, 0.5, 3));
    assert_eq!(Past::default().before(), Before::default());
}

proptest! {
    #[test]
    fn what_fails_fails_too_when_all_is_worse(
        looks in proptest::collection::vec((any::<bool>(), 0.0..3.0f64, 0.0..3.0f64, 0..20u64), 1..90),
        more in 0.0..2.0f64,
    ) {
        let vitals = |(index, (connected, cpu, memory, lost)): (usize, &(bool, f64, f64, u64)), more: f64| Vitals {
            connected: *connected && more == 0.0,
            cpu: cpu + more,
            memory: memory + more,
            lost: 40 + lost * index as u64 / 10 + more as u64 * 100,
            ..well()
        };
        let failed = |more: f64| {
            let mut trial = trial();
            looks.iter().enumerate().find_map(|(index, look)| {
                let now = second(121 + index as u64);
                match trial.look(now, &vitals((index, look), more)) {
                    Verdict::Failed(_) => Some(index),
                    _ => None,
                }
            })
        };
        if let Some(at) = failed(0.0) {
            prop_assert!(failed(more).is_some_and(|earlier| earlier <= at));
        }
    }

    #[test]
    fn no_trial_passes_before_its_time_or_without_a_session(
        looks in proptest::collection::vec((any::<bool>(), 0.0..1.5f64), 1..90),
    ) {
        let mut trial = trial();
        for (index, (connected, cpu)) in looks.into_iter().enumerate() {
            let now = second(121 + index as u64);
            let vitals = Vitals { connected, cpu, ..well() };
            if trial.look(now, &vitals) == Verdict::Passed {
                prop_assert!(connected && cpu < 1.0 && now >= second(180));
            }
        }
    }
}
