use crate::tests::{ALARM, at, calls, stepping};
use crate::{Evidence, Ranking, Series, rank};

/// A shop that sends mails, and sends fewer from the alarm on; beside it what `more` says.
fn shop(more: &[Series]) -> Ranking {
    let mut world = vec![
        stepping("shop", "requests", 100.0, 0.0),
        stepping("mail", "requests", 20.0, -18.0),
        stepping("mail", "cpu", 10.0, -9.0),
        stepping("mail", "network_bytes", 1e6, -9e5),
    ];
    world.extend(more.iter().cloned());
    let edges = calls(&[("edge", "shop"), ("shop", "mail"), ("shop", "till")]);
    rank(&world, &edges, &at(ALARM))
}

#[test]
fn who_sends_no_more_work_on_is_named_and_not_who_gets_none() {
    let ranking = shop(&[]);
    let named = ranking.verdict().map(|s| s.component.as_str());
    assert_eq!(named, Some("shop"), "{ranking:?}");
    let first = &ranking.suspects[0].evidence;
    assert!(
        first.iter().all(|e| e.of.as_deref() == Some("mail")),
        "{first:?}"
    );
    assert_eq!(ranking.suspects.len(), 1);
}

#[test]
fn it_counts_in_full_and_is_shared_among_callers() {
    let weighs = |evidence: &Evidence| (evidence.shift.spreads / 3.0).ln_1p();
    let alone = shop(&[]);
    let full: f64 = alone.suspects[0].evidence.iter().map(weighs).sum();
    assert!((alone.suspects[0].score - full).abs() < 1e-9, "{alone:?}");
    let world = [
        stepping("shop", "requests", 100.0, 0.0),
        stepping("kiosk", "requests", 100.0, 0.0),
        stepping("mail", "requests", 20.0, -18.0),
    ];
    let edges = calls(&[("shop", "mail"), ("kiosk", "mail")]);
    let ranking = rank(&world, &edges, &at(ALARM));
    assert_eq!(ranking.suspects.len(), 2);
    for suspect in &ranking.suspects {
        let half = weighs(&suspect.evidence[0]) / 2.0;
        assert!((suspect.score - half).abs() < 1e-9, "{ranking:?}");
    }
}

#[test]
fn of_several_that_get_none_each_family_counts_once_by_the_strongest() {
    let alone = shop(&[]).suspects[0].score;
    let with_till = |step| {
        let till = stepping("till", "cpu", 10.0, step);
        let ranking = shop(&[stepping("till", "requests", 20.0, -2.0), till]);
        assert_eq!(ranking.suspects.len(), 1, "{ranking:?}");
        ranking.suspects[0].score
    };
    assert_eq!(with_till(-2.0), alone);
    assert!(with_till(-9.9) > alone);
}

#[test]
fn who_shows_more_than_less_work_speaks_for_itself() {
    // It was started anew, and who calls it is refused.
    let ranking = shop(&[stepping("mail", "memory", 100.0, -80.0)]);
    assert_eq!(ranking.suspects[0].component, "mail", "{ranking:?}");
}

#[test]
fn who_is_waited_for_is_not_reached_and_not_merely_called_less() {
    let ranking = shop(&[stepping("shop", "client_latency", 10.0, 9_000.0)]);
    assert_eq!(ranking.suspects[0].component, "mail", "{ranking:?}");
    assert!(
        ranking.suspects.iter().all(|s| s.component != "shop"),
        "{ranking:?}"
    );
}

#[test]
fn who_fails_or_is_slow_may_wait_where_no_waits_are_recorded() {
    for sign in ["errors", "latency"] {
        let ranking = shop(&[stepping("shop", sign, 10.0, 9_000.0)]);
        let mail = ranking.suspects.iter().find(|s| s.component == "mail");
        assert!(mail.is_some(), "{sign}: {ranking:?}");
        let recorded = stepping("shop", "client_latency", 10.0, 0.0);
        let ranking = shop(&[stepping("shop", sign, 10.0, 9_000.0), recorded]);
        assert!(ranking.suspects.iter().all(|s| s.component != "mail"));
    }
}

#[test]
fn whose_load_nobody_knows_may_have_less_to_do() {
    let world = [
        stepping("mail", "requests", 20.0, -18.0),
        stepping("shop", "cpu", 10.0, 0.0),
    ];
    let ranking = rank(&world, &calls(&[("shop", "mail")]), &at(ALARM));
    assert_eq!(ranking.suspects[0].component, "mail", "{ranking:?}");
}

#[test]
fn where_callers_do_less_too_nothing_is_theirs() {
    let world = [
        stepping("mail", "requests", 20.0, -18.0),
        stepping("shop", "requests", 100.0, -90.0),
        stepping("edge", "requests", 100.0, -90.0),
    ];
    let edges = calls(&[("edge", "shop"), ("shop", "mail")]);
    let ranking = rank(&world, &edges, &at(ALARM));
    let all: Vec<_> = ranking.suspects.iter().flat_map(|s| &s.evidence).collect();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|e| e.of.is_none()), "{ranking:?}");
}
