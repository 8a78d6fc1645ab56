//! Tests of the store as a whole, over its public face unless damage has to be done.

mod commit;
mod compact;
mod damage;
mod query;
mod retain;

use std::time::Duration;

use firstlook_model::id::stable_hash;
use firstlook_model::{
    Change, ChangeKind, ComponentId, ComponentKind, Epoch, HostId, LogBlock, LogEntry, LogSource,
    LogTemplate, MetricBlock, Record, Schema, Sequence, Series, Severity, SignalKind, TemplateId,
    TimeRange, Timestamp, Unit,
};

use crate::{Incoming, Store, StoreConfig};

/// A moment at the beginning of a window.
const BASE: i64 = 1_700_000_040;
const EPOCH: Epoch = Epoch(7);

fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(BASE + seconds)
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(at(from), at(to))
}

fn everything() -> TimeRange {
    range(-1_000_000, 1_000_000)
}

fn open(directory: &std::path::Path) -> Store {
    Store::open(directory, StoreConfig::default()).unwrap()
}

fn schema(host: &HostId, width: usize) -> Schema {
    Schema::new(
        (0..width)
            .map(|index| Series {
                component: ComponentId::host(host.clone()),
                signal: format!("test.signal_{index}"),
                unit: Unit::Count,
                kind: SignalKind::Counter,
            })
            .collect(),
    )
}

fn block(schema: &Schema, from: i64, seconds: i64) -> MetricBlock {
    MetricBlock {
        schema: schema.id(),
        times: (from..from + seconds).map(at).collect(),
        columns: (0..schema.series().len())
            .map(|column| {
                (from..from + seconds)
                    .map(|t| (t * 3 + column as i64) as f64)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
            .try_into()
            .unwrap(),
    }
}

fn incoming(block: MetricBlock) -> Incoming {
    let bytes = block.encode(1).unwrap().into();
    Incoming::new(Record::Metrics(block), Some(bytes))
}

fn line(host: &HostId, seconds: i64, text: &str) -> LogEntry {
    LogEntry {
        time: at(seconds),
        component: ComponentId::on_host(ComponentKind::Service, host.clone(), "app.service")
            .unwrap(),
        template: TemplateId(stable_hash(text.as_bytes())),
        severity: Severity::Error,
        source: LogSource::Journald,
        text: text.to_owned(),
    }
}

fn logs(entries: Vec<LogEntry>) -> Record {
    let templates = entries.iter().map(|entry| LogTemplate {
        id: entry.template,
        text: entry.text.clone(),
    });
    Record::Logs(LogBlock {
        templates: templates.collect(),
        entries,
    })
}

fn change(host: &HostId, seconds: i64, id: &str) -> Change {
    Change {
        id: id.to_owned(),
        time: at(seconds),
        component: ComponentId::host(host.clone()),
        kind: ChangeKind::Deploy,
        text: "deployed".to_owned(),
        detail: String::new(),
    }
}

/// Commits records one by one, each received two seconds after it was observed, from sequence `first`.
fn feed(store: &Store, host: &HostId, first: u64, records: Vec<(i64, Record)>) {
    for (index, (seconds, record)) in records.into_iter().enumerate() {
        let sequence = Sequence(first + index as u64);
        let batch = vec![(sequence, Incoming::Other(record))];
        store.commit(host, EPOCH, batch, at(seconds + 2)).unwrap();
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}
