//! A shop that asks a shelf, and beside it a till; three orders a second.

use proptest::prelude::*;

use super::*;
use crate::{Alarm, Ranking, rank};

/// What goes wrong from second 300 on.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    SlowShelf,
    SlowWayToShelf,
    FailingTill,
    DeadTill,
}

struct Made {
    trace: String,
    id: &'static str,
    component: &'static str,
    parent: Option<&'static str>,
    start: f64,
    duration: f64,
    failed: bool,
}

#[derive(Default)]
struct Recording {
    spans: Vec<Made>,
}

impl Recording {
    /// Ten minutes. A shop's order is a span, in which two more do nothing but to call; the shelf and the till have one each.
    fn of(fault: Fault) -> Self {
        let mut recording = Self::default();
        for order in 0..1_800_u32 {
            let start = f64::from(order) / 3.0;
            let now = if start >= 300.0 {
                fault
            } else {
                Fault::Nothing
            };
            let ripple = f64::from(order % 7) / 1e3;
            let shelf = ripple + if now == Fault::SlowShelf { 0.09 } else { 0.01 };
            let way = ripple / 5.0
                + if now == Fault::SlowWayToShelf {
                    0.05
                } else {
                    0.002
                };
            let (till, broken) = (0.02 + ripple, now == Fault::FailingTill && order % 2 == 0);
            let dead = now == Fault::DeadTill;
            let asks = shelf + way;
            let pays = if dead { 0.001 } else { till + 0.002 };
            let mut add = |id, component, parent, from, duration, failed| {
                recording.spans.push(Made {
                    trace: order.to_string(),
                    id,
                    component,
                    parent,
                    start: start + from,
                    duration,
                    failed,
                });
            };
            let fails = broken || dead;
            add("1", "shop", None, 0.0, asks + pays + 0.005, fails);
            add("2", "shop", Some("1"), 0.0, asks, false);
            add("3", "shelf", Some("2"), way / 2.0, shelf, false);
            add("4", "shop", Some("1"), asks, pays, fails);
            if !dead {
                add("5", "till", Some("4"), asks + 0.001, till, broken);
            }
        }
        recording
    }

    fn series(&self) -> Vec<Series> {
        let spans: Vec<Span<'_>> = self.spans.iter().map(Made::span).collect();
        series(&spans, 10.0)
    }

    fn ranking(&self) -> Ranking {
        let alarm = Alarm {
            time: 400.0,
            ..Alarm::default()
        };
        rank(&self.series(), &[], &alarm)
    }

    /// Who is named, and what speaks for it most.
    fn named(&self) -> Option<(String, String)> {
        let ranking = self.ranking();
        let first = ranking.verdict()?;
        Some((first.component.clone(), first.evidence[0].signal.clone()))
    }
}

impl Made {
    fn span(&self) -> Span<'_> {
        Span {
            component: self.component,
            trace: &self.trace,
            id: self.id,
            parent: self.parent,
            name: self.id,
            start: self.start,
            duration: Some(self.duration),
            failed: self.failed,
        }
    }
}

#[test]
fn who_works_longer_is_named_and_not_who_waits_for_it() {
    let named = Recording::of(Fault::SlowShelf).named();
    assert_eq!(named, Some(("shelf".into(), OWN_TIME.into())));
}

#[test]
fn a_longer_way_is_told_of_whom_it_leads_to() {
    let named = Recording::of(Fault::SlowWayToShelf).named();
    assert_eq!(named, Some(("shelf".into(), WAY_TIME.into())));
}

#[test]
fn who_fails_is_named_and_not_who_fails_with_it() {
    let failing = Recording::of(Fault::FailingTill);
    assert_eq!(failing.named(), Some(("till".into(), FAILED.into())));
    let all = failing.series();
    let told = all
        .iter()
        .find(|s| s.component == "till" && s.signal == FAILED);
    let (_, share) = told.expect("told").points[45];
    assert!(
        (share - 0.5).abs() < 0.05,
        "every second order, once: {share}"
    );
}

#[test]
fn who_is_not_reached_any_more_is_named_by_the_calls_that_fail() {
    let named = Recording::of(Fault::DeadTill).named();
    assert_eq!(named, Some(("till".into(), FAILED.into())));
}

#[test]
fn nobody_is_named_where_nothing_goes_wrong() {
    assert_eq!(Recording::of(Fault::Nothing).named(), None);
}

#[test]
fn the_time_that_children_share_is_taken_off_once() {
    let child = |id, from, duration| Span {
        component: "b",
        trace: "t",
        id,
        parent: Some("1"),
        name: "",
        start: from,
        duration: Some(duration),
        failed: false,
    };
    let parent = Span {
        component: "a",
        parent: None,
        ..child("1", 100.0, 10.0)
    };
    // Two at once from 1 to 5, one from 7 to 8: five of ten seconds.
    let spans = [
        parent,
        child("2", 101.0, 4.0),
        child("3", 102.0, 3.0),
        child("4", 107.0, 1.0),
    ];
    assert_eq!(Woods::of(&spans).within_children(0), 5.0);
}

#[test]
fn a_few_spans_are_no_series() {
    let mut few = Recording::of(Fault::SlowShelf);
    few.spans.truncate(100);
    assert_eq!(few.series().len(), 0);
}

#[test]
fn where_spans_are_few_a_point_stands_for_a_longer_time() {
    let mut few = Recording::of(Fault::SlowShelf);
    // Of each ten seconds' thirty orders two are left.
    few.spans
        .retain(|s| s.trace.parse::<u32>().expect("a number") % 15 == 0);
    let all = few.series();
    let steps: Vec<f64> = all.iter().map(|s| s.points[1].0 - s.points[0].0).collect();
    assert_eq!(steps, [60.0; 8], "{all:?}");
    // Ten points are too few to name somebody, and enough for the order.
    assert_eq!(few.ranking().suspects[0].component, "shelf");
}

proptest! {
    #[test]
    fn any_spans_are_read_without_a_panic(
        all in prop::collection::vec(
            (0..4_u8, 0..4_u8, prop::option::of(0..4_u8), any::<f64>(), prop::option::of(any::<f64>()), any::<bool>()),
            0..60,
        ),
        step in 0.001..1e6_f64,
    ) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let name = |at: u8| NAMES[usize::from(at)];
        let spans: Vec<Span<'_>> = all
            .iter()
            .map(|(component, id, parent, start, duration, failed)| Span {
                component: name(*component),
                trace: "t",
                id: name(*id),
                parent: parent.map(name),
                name: name(*id),
                start: *start,
                duration: *duration,
                failed: *failed,
            })
            .collect();
        for one in series(&spans, step) {
            prop_assert!(one.points.iter().all(|(time, value)| time.is_finite() && value.is_finite()));
            prop_assert!(one.points.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
