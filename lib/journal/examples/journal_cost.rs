//! What the journal costs: resident memory, CPU and bytes on disk, over a collector's outage and after.
//!
//! `cargo run --release -p firstlook-journal --example journal_cost [FOLDER]`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use firstlook_journal::{Entry, Journal, JournalConfig, Shed};
use firstlook_model::{RecordClass, Sequence};

/// Two seconds of a busy host: a block of samples, a block of lines, edges and a few facts.
const BATCH: [(RecordClass, usize); 4] = [
    (RecordClass::Metrics, 6_000),
    (RecordClass::Logs, 20_000),
    (RecordClass::Metrics, 4_000),
    (RecordClass::Facts, 500),
];
const BATCHES: u64 = 4_000;

fn main() -> Result<(), Box<dyn Error>> {
    let own = tempfile::tempdir()?;
    let folder = std::env::args_os()
        .nth(1)
        .map_or(own.path().join("journal"), Into::into);
    say("empty process", &folder)?;
    let mut journal = Journal::open(&folder, JournalConfig::default())?.journal;
    say("open", &folder)?;
    let (mut sent, mut slowest) = (Sequence(0), Duration::ZERO);
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    for batch in 0..BATCHES {
        let last = append(&journal, batch, &mut slowest)?;
        // A collector that keeps up.
        while let Some((sequence, _)) = journal.read_after(sent, 1 << 20)?.last() {
            sent = *sequence;
        }
        journal.acknowledge(journal.epoch(), last)?;
    }
    let each = |total: f64| total * 1e3 / BATCHES as f64;
    println!(
        "kept up with: {:.2} ms a batch, {:.3} ms of CPU, slowest append {slowest:?}",
        each(begun.elapsed().as_secs_f64()),
        each(cpu_seconds()? - cpu),
    );
    say("after the collector kept up", &folder)?;
    for batch in 0..BATCHES {
        append(&journal, batch, &mut slowest)?;
    }
    say("backlog at its budget", &folder)?;
    println!(
        "waiting {} bytes, slowest append {slowest:?}",
        journal.bytes()
    );
    drop(journal);
    let begun = Instant::now();
    journal = Journal::open(&folder, JournalConfig::default())?.journal;
    println!("opened with a full backlog in {:?}", begun.elapsed());
    say("opened with a full backlog", &folder)?;
    loop {
        let read = journal.read_after(sent, 1 << 20)?;
        let Some((sequence, _)) = read.last() else {
            break;
        };
        sent = *sequence;
        journal.acknowledge(journal.epoch(), sent)?;
    }
    say("drained", &folder)
}

fn append(
    journal: &Journal,
    batch: u64,
    slowest: &mut Duration,
) -> Result<Sequence, Box<dyn Error>> {
    let entry = |(class, length): (RecordClass, usize)| Entry {
        class,
        bytes: noise(batch, length),
    };
    let positions = [(
        "journald:/var/log/journal".to_owned(),
        batch.to_be_bytes().to_vec(),
    )];
    let begun = Instant::now();
    let last = journal.append(&BATCH.map(entry), &positions, &Shed::default())?;
    *slowest = begun.elapsed().max(*slowest);
    Ok(last)
}

/// Bytes that do not compress, as records are compressed already.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length.div_ceil(8))
        .flat_map(|_| next().to_le_bytes())
        .take(length)
        .collect()
}

fn say(what: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    let (now, peak) = (field("VmRSS:"), field("VmHWM:"));
    println!(
        "{what}: resident {now}, peak {peak}, {} KiB on disk",
        disk(folder)? / 1024
    );
    Ok(())
}

fn disk(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir().into_iter().flatten() {
        let entry = entry?;
        // The engine removes files while we look.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() {
            disk(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(bytes)
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    Ok((ticks(11) + ticks(12)) / 100.0)
}
