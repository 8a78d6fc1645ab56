//! `query`: reading all series of 50 hosts over 30 minutes.

use std::time::Duration;

use firstlook_model::TimeRange;
use firstlook_store::{MetricSelector, Store, StoreConfig};

use crate::Input;
use crate::cpu::{Passed, Stopwatch};
use crate::load::filled;
use crate::report::{Report, Target};

const HOSTS: usize = 50;
const SECONDS: usize = 1_800;
const ROUNDS: usize = 5;

pub fn measure(input: &Input) -> anyhow::Result<Report> {
    let trace = input.trace()?;
    let folder = input.folder()?;
    let (store, last) = filled(folder.path(), &trace, HOSTS, SECONDS)?;
    // As in life: the last minutes have not been compacted yet.
    store.compact(last)?;
    store.flush()?;
    drop(store);
    let store = Store::open(folder.path(), StoreConfig::default())?;
    let range = TimeRange::new(
        last.minus(Duration::from_secs(SECONDS as u64 + 60)),
        last.plus(Duration::from_secs(1)),
    );
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let watch = Stopwatch::start();
        let series = store.metrics(&MetricSelector::default(), range);
        rounds.push(watch.passed());
        let read: usize = series.iter().map(|series| series.values.len()).sum();
        let expected = HOSTS * SECONDS * trace.series.len();
        anyhow::ensure!(read == expected, "{read} samples were read of {expected}");
    }
    let first = rounds[0];
    let samples = (HOSTS * SECONDS * trace.series.len()) as f64;
    let mut report = Report::new("query");
    let wall = median(&rounds, |passed| passed.wall);
    let cpu = median(&rounds, |passed| passed.cpu);
    report.against(
        "all series of 50 hosts over 30 minutes",
        wall,
        "s",
        Target::AtMost(0.5),
    );
    report.figure("CPU time of it", cpu, "s");
    report.figure("the first time after opening", first.wall, "s");
    report.figure("samples read", samples / cpu / 1e6, "M per CPU-second");
    report.note(format!(
        "{HOSTS} hosts × {SECONDS} s × {} series",
        trace.series.len()
    ));
    report.note(format!(
        "median of {ROUNDS}; the newest minutes are not compacted, as in life"
    ));
    Ok(report)
}

fn median(rounds: &[Passed], of: impl Fn(&Passed) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
