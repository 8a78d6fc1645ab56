//! Hosts that play the trace, as an agent would send it: a schema, then blocks of two seconds.

use std::path::Path;

use anyhow::Context;
use firstlook_model::signal::names;
use firstlook_model::{
    ComponentId, Epoch, HostId, MetricBlock, Record, Schema, Sequence, Series, SignalKind,
    Timestamp, Unit,
};
use firstlook_store::{Incoming, Store, StoreConfig};

use crate::trace::{Trace, counts};

/// A moment at the beginning of one of the store's windows.
const BASE_MILLIS: i64 = 1_700_000_040_000;
/// Samples in time of one block on the wire.
pub const BLOCK_SAMPLES: usize = 2;
/// The one journal of each host.
pub const EPOCH: Epoch = Epoch(1);

/// A host that plays the trace from its own place in it.
pub struct Player<'t> {
    pub host: HostId,
    pub schema: Schema,
    trace: &'t Trace,
    shift: usize,
}

impl<'t> Player<'t> {
    pub fn new(trace: &'t Trace, number: usize) -> anyhow::Result<Self> {
        let host = HostId::new(format!("host-{number:04}"))?;
        let series = trace.series.iter().map(|(name, values)| Series {
            component: ComponentId::host(host.clone()),
            signal: signal(name),
            unit: Unit::Count,
            kind: match counts(values) {
                true => SignalKind::Counter,
                false => SignalKind::Gauge,
            },
        });
        Ok(Self {
            schema: Schema::new(series.collect()),
            shift: number * 17 % trace.millis.len(),
            host,
            trace,
        })
    }

    /// The block of samples from `first` on.
    pub fn block(&self, first: usize, samples: usize) -> anyhow::Result<MetricBlock> {
        let rows = first..first + samples;
        let begin = self.trace.time(self.shift, 0);
        let at = |row| BASE_MILLIS + self.trace.time(self.shift, row) - begin;
        let column = |values: &Vec<f64>| {
            rows.clone()
                .map(|row| self.trace.value(values, self.shift, row))
                .collect()
        };
        let columns: Vec<Vec<f64>> = self.trace.series.values().map(column).collect();
        Ok(MetricBlock {
            schema: self.schema.id(),
            times: rows
                .clone()
                .map(|row| Timestamp::from_millis(at(row)))
                .collect(),
            columns: columns.try_into()?,
        })
    }
}

/// The signal's name where detection knows it, so that its judges have work; else the file's own.
fn signal(file: &str) -> String {
    let known = KNOWN.into_iter().find(|(name, _)| *name == file);
    known.map_or(file, |(_, signal)| signal).to_owned()
}

const KNOWN: [(&str, &str); 19] = [
    ("stat cpu 0", names::CPU_USER),
    ("stat cpu 1", names::CPU_NICE),
    ("stat cpu 2", names::CPU_SYSTEM),
    ("stat cpu 3", names::CPU_IDLE),
    ("stat cpu 4", names::CPU_IOWAIT),
    ("stat cpu 5", names::CPU_IRQ),
    ("stat cpu 6", names::CPU_SOFTIRQ),
    ("stat cpu 7", names::CPU_STEAL),
    ("stat procs_running 0", names::PROCESSES_RUNNING),
    ("stat procs_blocked 0", names::PROCESSES_BLOCKED),
    ("meminfo MemTotal:", names::MEMORY_TOTAL),
    ("meminfo MemAvailable:", names::MEMORY_AVAILABLE),
    ("meminfo SwapTotal:", names::SWAP_TOTAL),
    ("meminfo SwapFree:", names::SWAP_FREE),
    ("pressure cpu some", names::PRESSURE_CPU_SOME),
    ("pressure memory some", names::PRESSURE_MEMORY_SOME),
    ("pressure memory full", names::PRESSURE_MEMORY_FULL),
    ("pressure io some", names::PRESSURE_IO_SOME),
    ("pressure io full", names::PRESSURE_IO_FULL),
];

/// When a block was received.
pub fn received(block: &MetricBlock) -> Timestamp {
    let last = block.times.last().copied().unwrap_or_default();
    Timestamp::from_micros(last.as_micros() + 150_000)
}

/// A store with `seconds` of `hosts` hosts in it, and the time of the last sample.
pub fn filled(
    folder: &Path,
    trace: &Trace,
    hosts: usize,
    seconds: usize,
) -> anyhow::Result<(Store, Timestamp)> {
    let store = Store::open(folder, StoreConfig::default()).context("cannot open the store")?;
    let mut last = Timestamp::default();
    for number in 0..hosts {
        let player = Player::new(trace, number)?;
        let schema = Incoming::Other(Record::Schema(player.schema.clone()));
        let begin = Timestamp::from_millis(BASE_MILLIS);
        store.commit(&player.host, EPOCH, vec![(Sequence(1), schema)], begin)?;
        for first in (0..seconds).step_by(BLOCK_SAMPLES) {
            let block = player.block(first, BLOCK_SAMPLES)?;
            let at = received(&block);
            let sequence = Sequence((first / BLOCK_SAMPLES) as u64 + 2);
            let incoming = Incoming::Metrics {
                bytes: block.encode(1)?.into(),
                block,
            };
            store.commit(&player.host, EPOCH, vec![(sequence, incoming)], at)?;
            last = last.max(at);
        }
    }
    Ok((store, last))
}
