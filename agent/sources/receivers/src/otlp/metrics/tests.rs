use super::*;
use crate::exposition::Sample;
use crate::otlp::wire::AnyValue;
use crate::otlp::wire::metrics::{
    Buckets, ExponentialHistogram, Gauge, Histogram, Quantile, ScopeMetrics, Sum, Summary,
};
use firstlook_model::HostId;
use proptest::prelude::*;

const NOW: u64 = 1_000_000_000;

fn host() -> ComponentId {
    ComponentId::host(HostId::new("h1").unwrap())
}

fn metrics(metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: None,
        scope_metrics: vec![ScopeMetrics {
            scope: None,
            metrics,
        }],
    }
}

fn named(name: &str, unit: &str) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        ..Metric::default()
    }
}

fn number(value: f64) -> NumberPoint {
    NumberPoint {
        start_time_unix_nano: 7,
        as_double: Some(value),
        ..NumberPoint::default()
    }
}

fn sum(name: &str, temporality: i32, is_monotonic: bool, points: Vec<NumberPoint>) -> Metric {
    Metric {
        sum: Some(Sum {
            data_points: points,
            aggregation_temporality: temporality,
            is_monotonic,
        }),
        ..named(name, "By")
    }
}

fn take(totals: &mut Totals, all: Vec<Metric>) -> Taken {
    let mut taking = Taking::new(totals, NOW);
    taking.resource(&host(), &metrics(all));
    taking.finish()
}

fn told(totals: &mut Totals) -> Vec<Sample> {
    totals
        .tell()
        .into_iter()
        .flat_map(|(_, samples)| samples)
        .collect()
}

fn pairs(samples: &[Sample]) -> Vec<(&str, f64)> {
    samples
        .iter()
        .map(|s| (s.signal.as_str(), s.value))
        .collect()
}

#[tokio::test]
async fn sums_are_counters_or_levels_and_steps_add_up() {
    let mut totals = Totals::new(99);
    let all = |value: f64| {
        vec![
            sum("rises", CUMULATIVE, true, vec![number(value)]),
            sum("more", DELTA, true, vec![number(value)]),
            sum("level", CUMULATIVE, false, vec![number(-value)]),
            sum("steps", DELTA, false, vec![number(-value)]),
        ]
    };
    assert_eq!(take(&mut totals, all(5.0)).refused, 0);
    take(&mut totals, all(6.0));
    let samples = told(&mut totals);
    let expected = [
        ("level", -6.0),
        ("more", 11.0),
        ("rises", 6.0),
        ("steps", -11.0),
    ];
    assert_eq!(pairs(&samples), expected);
    let kinds: Vec<_> = samples.iter().map(|s| s.kind).collect();
    use SignalKind::{Counter, Gauge};
    assert_eq!(kinds, [Gauge, Counter, Counter, Gauge]);
    assert!(samples.iter().all(|s| s.unit == Unit::Bytes));
}

#[tokio::test]
async fn a_histogram_has_its_count_its_sum_and_what_is_below_each_bound() {
    let mut totals = Totals::new(99);
    let point = HistogramPoint {
        count: 6,
        sum: Some(1.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.005, 1.0],
        ..HistogramPoint::default()
    };
    let histogram = Metric {
        histogram: Some(Histogram {
            data_points: vec![point],
            aggregation_temporality: DELTA,
        }),
        ..named("h", "s")
    };
    take(&mut totals, vec![histogram.clone(), histogram]);
    let samples = told(&mut totals);
    let expected = [
        ("h_count", 12.0),
        ("h_sum", 3.0),
        ("h_bucket{le=\"+Inf\"}", 12.0),
        ("h_bucket{le=\"0.005\"}", 2.0),
        ("h_bucket{le=\"1\"}", 6.0),
    ];
    assert_eq!(pairs(&samples), expected);
    assert_eq!(samples[1].unit, Unit::Seconds);
    assert!(samples.iter().all(|s| s.kind == SignalKind::Counter));
}

#[tokio::test]
async fn an_exponential_histogram_stands_on_the_grid_and_a_summary_has_quantiles() {
    let mut totals = Totals::new(99);
    let point = ExponentialPoint {
        count: 5,
        sum: Some(9.0),
        positive: Some(Buckets {
            offset: 0,
            bucket_counts: vec![2, 3],
        }),
        ..ExponentialPoint::default()
    };
    let exponential = Metric {
        exponential_histogram: Some(ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: CUMULATIVE,
        }),
        ..named("e", "s")
    };
    let point = SummaryPoint {
        count: 4,
        sum: 2.0,
        quantile_values: vec![Quantile {
            quantile: 0.99,
            value: 0.7,
        }],
        ..SummaryPoint::default()
    };
    let summary = Metric {
        summary: Some(Summary {
            data_points: vec![point],
        }),
        ..named("s", "s")
    };
    assert_eq!(take(&mut totals, vec![exponential, summary]).refused, 0);
    let samples = told(&mut totals);
    let found = pairs(&samples);
    for expected in [
        ("e_count", 5.0),
        ("e_sum", 9.0),
        ("e_bucket{le=\"1\"}", 0.0),
        ("e_bucket{le=\"4\"}", 5.0),
        ("e_bucket{le=\"0.0000152587890625\"}", 0.0),
        ("e_bucket{le=\"+Inf\"}", 5.0),
        ("s_count", 4.0),
        ("s_sum", 2.0),
        ("s{quantile=\"0.99\"}", 0.7),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
}

#[tokio::test]
async fn what_differs_in_what_was_left_off_is_added_up_and_of_levels_refused() {
    let long = |value: &str| KeyValue {
        key: "path".to_owned(),
        value: Some(AnyValue {
            string_value: Some(format!("{value}{}", "x".repeat(100))),
            ..AnyValue::default()
        }),
    };
    let point = |path: &str, value| NumberPoint {
        attributes: vec![long(path)],
        ..number(value)
    };
    let gauge = Metric {
        gauge: Some(Gauge {
            data_points: vec![point("a", 1.0)],
        }),
        ..named("g", "")
    };
    let counted = |value| {
        sum(
            "c",
            CUMULATIVE,
            true,
            vec![point("a", value), point("b", 3.0)],
        )
    };
    let mut totals = Totals::new(99);
    let taken = take(&mut totals, vec![gauge, counted(2.0)]);
    assert_eq!((taken.points, taken.refused), (3, 1));
    take(&mut totals, vec![counted(4.0)]);
    // What the second had counted before it was first seen is not known to be new.
    assert_eq!(pairs(&told(&mut totals)), [("c", 4.0)]);
}

#[tokio::test]
async fn points_that_cannot_be_told_are_counted_and_others_are_taken() {
    let histogram = |counts: &[u64], bounds: &[f64]| Metric {
        histogram: Some(Histogram {
            data_points: vec![HistogramPoint {
                bucket_counts: counts.to_vec(),
                explicit_bounds: bounds.to_vec(),
                ..HistogramPoint::default()
            }],
            aggregation_temporality: DELTA,
        }),
        ..named("h", "")
    };
    let refused = [
        sum("two words", DELTA, true, vec![number(1.0)]),
        sum("n", 0, true, vec![number(1.0)]),
        sum("n", DELTA, true, vec![NumberPoint::default()]),
        sum("n", DELTA, true, vec![number(-1.0)]),
        histogram(&[1, 2], &[1.0, 2.0]),
        histogram(&[1, 2, 3], &[2.0, 1.0]),
        histogram(&[1, 2], &[f64::NAN]),
        histogram(&[1; 201], &[1.0; 200]),
    ];
    let mut totals = Totals::new(99);
    for metric in refused {
        let what = format!("{metric:?}");
        let taken = take(
            &mut totals,
            vec![metric, sum("ok", DELTA, true, vec![number(1.0)])],
        );
        assert_eq!((taken.points, taken.refused), (2, 1), "{what}");
    }
    assert_eq!(pairs(&told(&mut totals)), [("ok", 8.0)]);
    let nothing = NumberPoint {
        flags: NO_VALUE,
        ..NumberPoint::default()
    };
    let taken = take(&mut totals, vec![sum("n", DELTA, true, vec![nothing])]);
    assert_eq!(
        (taken.points, taken.refused),
        (1, 0),
        "it says that there is no value"
    );
}

#[tokio::test]
async fn buckets_get_what_room_the_others_leave() {
    let mut totals = Totals::new(3);
    let point = HistogramPoint {
        bucket_counts: vec![1],
        count: 1,
        ..HistogramPoint::default()
    };
    let histogram = Metric {
        histogram: Some(Histogram {
            data_points: vec![point],
            aggregation_temporality: DELTA,
        }),
        ..named("h", "")
    };
    let counter = |name| sum(name, DELTA, true, vec![number(1.0)]);
    let taken = take(
        &mut totals,
        vec![histogram, counter("a"), counter("b"), counter("c")],
    );
    assert_eq!((taken.no_room, taken.parts), (1, 1));
    assert_eq!(
        pairs(&told(&mut totals)),
        [("a", 1.0), ("b", 1.0), ("h_count", 1.0)]
    );
}

fn any_point() -> impl Strategy<Value = NumberPoint> {
    (
        ".{0,140}",
        ".{0,140}",
        any::<f64>(),
        any::<u64>(),
        any::<u32>(),
    )
        .prop_map(|(key, value, number, began, flags)| NumberPoint {
            attributes: vec![KeyValue {
                key,
                value: Some(AnyValue {
                    string_value: Some(value),
                    ..AnyValue::default()
                }),
            }],
            start_time_unix_nano: began,
            as_double: Some(number),
            flags,
            ..NumberPoint::default()
        })
}

proptest! {
    #[test]
    fn every_point_is_told_or_counted(
        points in proptest::collection::vec(any_point(), 0..9),
        temporality in 0..4,
        rises: bool,
        limit in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut totals = Totals::new(limit);
            let number = points.len() as u64;
            let taken = take(&mut totals, vec![sum("n", temporality, rises, points)]);
            assert_eq!(taken.points, number);
            assert!(taken.refused + taken.no_room <= number);
            let samples = told(&mut totals);
            assert!(samples.len() <= limit && samples.iter().all(|s| s.value.is_finite()));
        });
    }
}
