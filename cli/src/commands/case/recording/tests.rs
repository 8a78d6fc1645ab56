//! Series in, a table out.

use super::super::tests::{id, incident};
use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000;

fn listed(component: &str, signal: &str, counter: bool) -> Listed {
    Listed {
        host: HostId::new("h1").unwrap(),
        component: id(component),
        signal: signal.to_owned(),
        counter,
    }
}

fn range(seconds: i64) -> TimeRange {
    TimeRange::new(
        Timestamp::from_secs(NOW),
        Timestamp::from_secs(NOW + seconds),
    )
}

fn near() -> Near {
    Near::new(&incident("host:h1"), None, &BTreeSet::new())
}

/// Milliseconds after the first row, and values.
fn at(samples: &[(i64, f64)]) -> impl Iterator<Item = (Timestamp, f64)> {
    let moved = samples.iter().map(|(millis, value)| {
        let time = Timestamp::from_millis(NOW * 1_000 + millis);
        (time, *value)
    });
    moved.collect::<Vec<_>>().into_iter()
}

/// What one series' column says, row for row.
fn column(counter: bool, slices: &[&[(i64, f64)]]) -> String {
    let series = listed("host:h1", "s", counter);
    let (mut recording, _) = Recording::new(vec![series.clone()], &near(), range(7));
    for slice in slices {
        recording.take(&series, at(slice));
    }
    let written = recording.written();
    let from = written.seconds.map_or(0, |(first, _)| first - NOW);
    let lines = written.text.lines().skip(1);
    let cells: Vec<&str> = lines.map(|l| l.split_once(',').unwrap().1).collect();
    format!("{from}:{}", cells.join(" "))
}

#[test]
fn a_gauge_stays_as_it_was_and_what_was_not_seen_stays_empty() {
    let seen = [(1_000, 5.5), (2_900, 0.0), (4_000, f64::NAN), (5_100, 7.0)];
    assert_eq!(column(false, &[&seen]), "1:5.5 0   7");
    // Two of one second: the later.
    assert_eq!(column(false, &[&[(0, 1.0), (900, 2.0)]]), "0:2");
    // Neither infinite nor outside of the window.
    let odd = [
        (-1_000, 1.0),
        (0, f64::INFINITY),
        (2_000, 3.0),
        (99_000, 4.0),
    ];
    assert_eq!(column(false, &[&odd]), "2:3");
}

#[test]
fn a_counter_becomes_its_rate() {
    let rising = [(0, 10.0), (1_000, 15.0), (2_000, 15.0), (3_500, 18.0)];
    assert_eq!(column(true, &[&rising]), "1:5 0 2");
    // A fall is a reset, and no rate: neither negative nor counted from zero.
    let reset = [(0, 100.0), (1_000, 3.0), (2_000, 7.0)];
    assert_eq!(column(true, &[&reset]), "2:4");
    // Over a gap the mean, told where it ends.
    let gap = [(0, 10.0), (1_000, 11.0), (5_000, 19.0)];
    assert_eq!(column(true, &[&gap]), "1:1    2");
    let unseen = [(0, 10.0), (1_000, f64::NAN), (2_000, 14.0)];
    assert_eq!(column(true, &[&unseen]), "2:2");
    // The next reply continues the one before.
    let slices: [&[(i64, f64)]; 2] = [&[(0, 1.0), (1_000, 2.0)], &[(2_000, 5.0)]];
    assert_eq!(column(true, &slices), "1:1 3");
    // What lies between samples hours apart is not known; one sample is no rate.
    assert_eq!(column(true, &[&[(-3_601_000, 1.0), (1_000, 9.0)]]), "0:");
    assert_eq!(column(true, &[&[(1_000, 9.0)]]), "0:");
    assert_eq!(column(true, &[&[(0, 0.0), (3_000, 1.0)]]), "3:0.333333");
}

#[test]
fn columns_are_sorted_and_only_those_with_an_observation() {
    let b = listed("service:h1/b", "z", false);
    let a = listed("service:h1/a,x", "q|y", false);
    let never = listed("service:h1/never", "s", false);
    let all = vec![b.clone(), never, a.clone()];
    let (mut recording, left_out) = Recording::new(all, &near(), range(3));
    recording.take(&b, at(&[(0, 1.0)]));
    recording.take(&a, at(&[(2_000, 2.0)]));
    // Nobody's column, and another host's word on a known one.
    recording.take(&listed("service:h1/new", "s", false), at(&[(0, 9.0)]));
    let mut foreign = a.clone();
    foreign.host = HostId::new("h2").unwrap();
    recording.take(&foreign, at(&[(0, 9.0)]));
    let written = recording.written();
    assert_eq!(
        written.text,
        format!(
            "time,service:h1/a%2Cx|q%7Cy,service:h1/b|z\n{NOW},,1\n{},,\n{},2,\n",
            NOW + 1,
            NOW + 2
        )
    );
    assert_eq!((left_out, written.left_out, written.columns), (0, 0, 2));
    assert!(written.components.contains("service:h1/a%2Cx"));
}

#[test]
fn where_there_is_no_room_the_nearest_stay() {
    let far = |n: usize| listed("service:h9/far", &format!("s{n:05}"), false);
    let mut all: Vec<Listed> = (0..5_000).map(far).collect();
    all.push(listed("host:h1", "near", false));
    let (recording, left_out) = Recording::new(all.clone(), &near(), range(9));
    assert_eq!(recording.columns.len(), limits::COLUMNS - 1);
    assert_eq!(left_out, 5_001 - recording.columns.len());
    assert_eq!(recording.columns[0].name, "host:h1|near");

    // Not more rows than are read, and memory is bounded.
    let (recording, _) = Recording::new(all.clone(), &near(), range(1_000_000));
    assert_eq!(recording.rows, limits::ROWS);
    assert!(recording.rows * recording.columns.len() <= MOST_CELLS);

    // Not more bytes than are read.
    let (mut recording, _) = Recording::new(all.clone(), &near(), range(9));
    for one in &all {
        recording.take(one, at(&[(0, 0.25), (9_000, 1e300)]));
    }
    let written = recording.written_within(2_000);
    assert!(written.text.len() <= 2_000 && written.text.len() > 1_900);
    assert!(written.text.contains("host:h1|near"), "{}", written.text);
    assert_eq!(written.columns + written.left_out, limits::COLUMNS - 1);
}

#[test]
fn nothing_seen_is_a_header_alone() {
    let (recording, _) = Recording::new(Vec::new(), &near(), range(9));
    let written = recording.written();
    assert_eq!((written.text.as_str(), written.seconds), ("time\n", None));
}

proptest! {
    #[test]
    fn any_value_reads_back_to_the_bit(value in any::<f64>()) {
        let text = cell(value);
        match value.is_nan() {
            true => prop_assert_eq!(text, ""),
            false => {
                prop_assert!(text.len() <= 24, "{}", text);
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn any_counter_gives_rates_that_are_no_less_than_zero(
        samples in prop::collection::vec((0i64..8_000, any::<f64>()), 0..20),
    ) {
        let mut samples = samples;
        samples.sort_by_key(|(time, _)| *time);
        let shown = column(true, &[&samples]);
        let cells = shown.split_once(':').unwrap().1;
        for cell in cells.split(' ').filter(|cell| !cell.is_empty()) {
            let rate: f64 = cell.parse().unwrap();
            prop_assert!(rate.is_finite() && rate >= 0.0, "{}", cell);
        }
    }
}
