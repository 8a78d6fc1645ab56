//! `ingest`: samples per CPU-second from the bytes of a message to durable and detected.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::{HostId, Record, Sequence, Timestamp};
use firstlook_proto::convert::{decode_record, encode_record};
use firstlook_proto::wire;
use firstlook_store::{Incoming, Store, StoreConfig};
use prost::Message;

use crate::Input;
use crate::cpu::{Passed, Stopwatch};
use crate::load::{BLOCK_SAMPLES, EPOCH, Player, received};
use crate::report::{Report, Target};
use crate::trace::Trace;

const HOSTS: usize = 100;
const SECONDS: usize = 240;
/// Sessions served at once: their commits share a sync of the disk.
const SESSIONS: usize = 20;

/// A message as it came off the wire: in a buffer of its own, of which decoding takes parts without copying.
struct Arrived {
    bytes: Bytes,
    received: Timestamp,
}

pub fn measure(input: &Input) -> anyhow::Result<Report> {
    let trace = input.trace()?;
    let hosts: Vec<(HostId, Vec<Arrived>)> = (0..HOSTS)
        .map(|number| messages(&trace, number))
        .collect::<anyhow::Result<_>>()?;
    let wire: usize = hosts
        .iter()
        .flat_map(|(_, all)| all)
        .map(|m| m.bytes.len())
        .sum();
    let samples = (HOSTS * SECONDS * trace.series.len()) as f64;
    let stored = run(input, &hosts, false)?;
    let detected = run(input, &hosts, true)?;

    let mut report = Report::new("ingest");
    let unit = "M samples per CPU-second";
    let rate = |seconds: f64| samples / seconds / 1e6;
    let target = Target::AtLeast(10.0);
    report.against(
        "wire bytes to durable and detected",
        rate(detected.arrived.cpu),
        unit,
        target,
    );
    report.figure("without detection", rate(stored.arrived.cpu), unit);
    report.figure(
        "with detection and compaction",
        rate(detected.compacted.cpu),
        unit,
    );
    report.figure(
        "wall time",
        rate(detected.arrived.wall),
        "M samples per second",
    );
    report.figure("on the wire", wire as f64 / samples, "bytes per sample");
    report.note(format!(
        "{HOSTS} hosts × {SECONDS} s × {} series in messages of {BLOCK_SAMPLES} s, {SESSIONS} sessions \
         at once, each message acknowledged on its own",
        trace.series.len()
    ));
    report.note("detection: the detector takes each fresh record; situations are not drawn");
    if let Some(kept) = detected.kept {
        let each = HOSTS as f64;
        let bytes = kept.bytes as f64 / each / 1e3;
        report.figure("checkpoint: size", bytes, "kB per host");
        report.figure(
            "checkpoint: to write",
            kept.write.cpu * 1e3 / each,
            "CPU ms per host",
        );
        report.figure(
            "checkpoint: to take up",
            kept.take_up.cpu * 1e3 / each,
            "CPU ms per host",
        );
        report.note("checkpoint: packed as the collector packs it, without the disk");
    }
    Ok(report)
}

/// What one run took, from its start.
struct Run {
    arrived: Passed,
    compacted: Passed,
    /// Of the detector, if there was one.
    kept: Option<Kept>,
}

/// What all hosts' checkpoints took.
struct Kept {
    bytes: usize,
    write: Passed,
    take_up: Passed,
}

fn keep(detector: &Detector) -> anyhow::Result<Kept> {
    let watch = Stopwatch::start();
    let packed = detector.hosts().map(|host| {
        let state = detector.checkpoint(host).context("an unknown host")?;
        Ok(zstd::encode_all(state.as_slice(), 1)?)
    });
    let packed = packed.collect::<anyhow::Result<Vec<Vec<u8>>>>()?;
    let write = watch.passed();
    let watch = Stopwatch::start();
    let mut again = Detector::new(DetectConfig::default());
    for packed in &packed {
        again.restore(
            &zstd::decode_all(packed.as_slice())?,
            Timestamp::from_micros(i64::MAX),
        )?;
    }
    Ok(Kept {
        bytes: packed.iter().map(Vec::len).sum(),
        write,
        take_up: watch.passed(),
    })
}

fn run(input: &Input, hosts: &[(HostId, Vec<Arrived>)], detect: bool) -> anyhow::Result<Run> {
    let folder = input.folder()?;
    let store = Store::open(folder.path(), StoreConfig::default())?;
    let detector = detect.then(|| Mutex::new(Detector::new(DetectConfig::default())));
    let detector = detector.as_ref();
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        let sessions: Vec<_> = hosts
            .chunks(HOSTS.div_ceil(SESSIONS))
            .map(|hosts| {
                let store = &store;
                scope.spawn(move || serve(store, detector, hosts))
            })
            .collect();
        sessions.into_iter().try_for_each(|session| {
            session
                .join()
                .map_err(|_| anyhow::anyhow!("a session panicked"))?
        })
    })?;
    let arrived = watch.passed();
    let last = hosts
        .iter()
        .filter_map(|(_, all)| all.last())
        .map(|m| m.received)
        .max();
    store.compact(last.context("no message")?.plus(Duration::from_secs(3_600)))?;
    let compacted = watch.passed();
    let detector = detector.map(|d| d.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Run {
        arrived,
        compacted,
        kept: detector.map(|d| keep(&d)).transpose()?,
    })
}

fn serve(
    store: &Store,
    detector: Option<&Mutex<Detector>>,
    hosts: &[(HostId, Vec<Arrived>)],
) -> anyhow::Result<()> {
    let longest = hosts.iter().map(|(_, all)| all.len()).max().unwrap_or(0);
    for index in 0..longest {
        for (host, all) in hosts {
            let Some(arrived) = all.get(index) else {
                continue;
            };
            let batch = wire::RecordBatch::decode(arrived.bytes.clone())?;
            let mut records = Vec::with_capacity(batch.records.len());
            for record in batch.records {
                let (decoded, bytes) = decode_record(record.record)?;
                records.push((Sequence(record.sequence), Incoming::new(decoded, bytes)));
            }
            let committed = store.commit(host, EPOCH, records, arrived.received)?;
            let Some(detector) = detector else { continue };
            let mut detector = detector.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, fresh) in committed.fresh {
                detector.observe_record(host, arrived.received, &fresh.into_record());
            }
        }
    }
    Ok(())
}

fn messages(trace: &Trace, number: usize) -> anyhow::Result<(HostId, Vec<Arrived>)> {
    let player = Player::new(trace, number)?;
    let mut messages = Vec::with_capacity(SECONDS / BLOCK_SAMPLES);
    let mut sequence = 0;
    for first in (0..SECONDS).step_by(BLOCK_SAMPLES) {
        let block = player.block(first, BLOCK_SAMPLES)?;
        let received = received(&block);
        let schema = (first == 0).then(|| Record::Schema(player.schema.clone()));
        let mut batch = wire::RecordBatch::default();
        for record in schema.into_iter().chain([Record::Metrics(block)]) {
            sequence += 1;
            batch.records.push(wire::SequencedRecord {
                sequence,
                record: encode_record(&record)?.into(),
            });
        }
        let bytes = batch.encode_to_vec().into();
        messages.push(Arrived { bytes, received });
    }
    Ok((player.host, messages))
}
