//! `store`: what a sample costs on disk once it is compacted.

use std::time::Duration;

use crate::cpu::Stopwatch;
use crate::load::{Player, filled};
use crate::report::{Report, Target};
use crate::trace::Trace;
use crate::{Input, gorilla};

const HOSTS: usize = 20;
const SECONDS: usize = 1_800;
/// Samples of a chunk in the databases that are compared with.
const CHUNK: usize = 120;

pub fn measure(input: &Input) -> anyhow::Result<Report> {
    let trace = input.trace()?;
    let folder = input.folder()?;
    let (store, last) = filled(folder.path(), &trace, HOSTS, SECONDS)?;
    let samples = (HOSTS * SECONDS * trace.series.len()) as f64;
    let watch = Stopwatch::start();
    let compacted = store.compact(last.plus(Duration::from_secs(3_600)))?;
    let passed = watch.passed();
    store.flush()?;

    let mut report = Report::new("store");
    let disk = store.disk_bytes() as f64 / samples;
    let unit = "bytes per sample";
    report.against("on disk, compacted", disk, unit, Target::AtMost(1.0));
    report.figure(
        "of that, values",
        compacted.bytes_after as f64 / samples,
        unit,
    );
    report.figure(
        "values as they came, 2 s blocks",
        compacted.bytes_before as f64 / samples,
        unit,
    );
    let rate = samples / passed.cpu / 1e6;
    report.figure("compaction", rate, "M samples per CPU-second");
    compare(&mut report, &trace)?;
    report.note(format!(
        "{HOSTS} hosts × {SECONDS} s × {} series, playing {} s of this machine's /proc; {:.0}% of the \
         series moved",
        trace.series.len(),
        trace.millis.len(),
        trace.moving() * 100.0
    ));
    report.note("the comparisons hold the same two minutes of one host, and no index or times");
    Ok(report)
}

fn compare(report: &mut Report, trace: &Trace) -> anyhow::Result<()> {
    let block = Player::new(trace, 0)?.block(0, CHUNK)?;
    let samples = (CHUNK * block.columns.width()) as f64;
    let raw: Vec<u8> = block
        .columns
        .iter()
        .flatten()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let packed = zstd::bulk::compress(&raw, 3)?.len() as f64;
    report.figure(
        "raw doubles by column, zstd 3",
        packed / samples,
        "bytes per sample",
    );
    let bits: u64 = block.columns.iter().map(gorilla::bits).sum();
    report.figure(
        "Gorilla chunks",
        bits as f64 / 8.0 / samples,
        "bytes per sample",
    );
    Ok(())
}
