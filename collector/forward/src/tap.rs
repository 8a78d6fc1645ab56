//! The tap: hears what became durable, and shares it among the targets' queues.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::{HostId, LogBlock, MetricBlock, Record, Schema, SchemaId};
use firstlook_runtime::queue::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::config::{ForwardConfig, Target};
use crate::post::{Client, ClientError};
use crate::send;

/// Pieces that may wait for one target, whatever they hold.
const QUEUE_PIECES: usize = 100_000;
/// Schemas remembered of one host: it has one at a time, and another after a change.
const SCHEMAS_OF_HOST: usize = 4;

/// Finds a schema that was sent before the collector started.
pub type SchemaLookup = Box<dyn Fn(&HostId, SchemaId) -> Option<Schema> + Send + Sync>;

/// Something to send, shared by all targets.
#[derive(Clone)]
pub(crate) enum Piece {
    /// Samples, with the series that they belong to.
    Metrics(Arc<Schema>, Arc<MetricBlock>),
    /// Lines.
    Logs(HostId, Arc<LogBlock>),
}

impl Piece {
    /// Samples or lines.
    pub fn items(&self) -> usize {
        match self {
            Self::Metrics(_, block) => block.columns.width() * block.times.len(),
            Self::Logs(_, block) => block.entries.len(),
        }
    }
}

/// Counts of one target, or of all.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Samples and lines that the receiver took.
    pub sent: AtomicU64,
    /// That had no room in the queue.
    pub overflowed: AtomicU64,
    /// That the receiver refused for good.
    pub refused: AtomicU64,
    /// Requests that failed and were or will be tried again.
    pub retried: AtomicU64,
    /// Samples whose schema is not known.
    pub nameless: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

struct Outlet {
    sender: Sender<Piece>,
    metrics: bool,
    logs: bool,
}

/// Hears every durable record. Cheap to clone; never waits.
#[derive(Clone)]
pub struct Tap(Arc<Shared>);

struct Shared {
    outlets: Vec<Outlet>,
    counters: Arc<Counters>,
    lookup: SchemaLookup,
    schemas: Mutex<HashMap<HostId, Vec<Arc<Schema>>>>,
}

/// The tasks that send, one per target, by name.
pub struct Forwarders {
    /// Given the records.
    pub tap: Tap,
    /// Each runs until the token that [`start`] was given is cancelled.
    pub tasks: Vec<(String, send::Task)>,
}

/// Prepares a queue and a task for each target.
///
/// # Errors
/// When a target's authorities cannot be used.
pub fn start(
    config: ForwardConfig,
    lookup: SchemaLookup,
    stop: &CancellationToken,
) -> Result<Forwarders, ClientError> {
    let counters = Arc::new(Counters::default());
    let (mut outlets, mut tasks) = (Vec::new(), Vec::new());
    for (number, target) in (1..).zip(config.targets) {
        let (sender, receiver) = queue_of(&target);
        outlets.push(Outlet {
            sender,
            metrics: target.metrics,
            logs: target.logs,
        });
        let client = Client::new(&target)?;
        let task = send::task(
            target,
            client,
            receiver,
            Arc::clone(&counters),
            stop.clone(),
        );
        tasks.push((format!("forwarder {number}"), task));
    }
    let tap = Tap(Arc::new(Shared {
        outlets,
        counters,
        lookup,
        schemas: Mutex::default(),
    }));
    Ok(Forwarders { tap, tasks })
}

fn queue_of(target: &Target) -> (Sender<Piece>, Receiver<Piece>) {
    let budget = usize::try_from(target.queue_samples).unwrap_or(usize::MAX);
    queue::drop_oldest(QUEUE_PIECES, budget)
}

impl Tap {
    /// Takes a record of a host, after it is durable. What has no room pushes out the oldest, counted.
    pub fn offer(&self, host: &HostId, record: &Record) {
        match record {
            Record::Schema(schema) => self.learn(host, Arc::new(schema.clone())),
            Record::Metrics(block) if self.0.outlets.iter().any(|o| o.metrics) => {
                match self.schema(host, block.schema) {
                    Some(schema) => {
                        let piece = Piece::Metrics(schema, Arc::new(block.clone()));
                        self.share(&piece, |outlet| outlet.metrics);
                    }
                    None => {
                        let samples = block.columns.width() * block.times.len();
                        Counters::add(&self.0.counters.nameless, samples);
                    }
                }
            }
            Record::Logs(block) if self.0.outlets.iter().any(|o| o.logs) => {
                let piece = Piece::Logs(host.clone(), Arc::new(block.clone()));
                self.share(&piece, |outlet| outlet.logs);
            }
            _ => {}
        }
    }

    /// Totals over all targets, by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = &self.0.counters;
        [
            ("firstlook_forward_sent_total", &counters.sent),
            ("firstlook_forward_overflowed_total", &counters.overflowed),
            ("firstlook_forward_refused_total", &counters.refused),
            (
                "firstlook_forward_retried_requests_total",
                &counters.retried,
            ),
            (
                "firstlook_forward_nameless_samples_total",
                &counters.nameless,
            ),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
        .to_vec()
    }

    fn share(&self, piece: &Piece, wanted: impl Fn(&Outlet) -> bool) {
        for outlet in self.0.outlets.iter().filter(|outlet| wanted(outlet)) {
            for dropped in outlet.sender.send(piece.clone(), piece.items()) {
                Counters::add(&self.0.counters.overflowed, dropped.items());
            }
        }
    }

    fn schema(&self, host: &HostId, id: SchemaId) -> Option<Arc<Schema>> {
        let known = {
            let schemas = self
                .0
                .schemas
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            schemas
                .get(host)
                .and_then(|of_host| of_host.iter().find(|schema| schema.id() == id).cloned())
        };
        known.or_else(|| {
            let found = Arc::new((self.0.lookup)(host, id)?);
            self.learn(host, Arc::clone(&found));
            Some(found)
        })
    }

    fn learn(&self, host: &HostId, schema: Arc<Schema>) {
        let mut schemas = self
            .0
            .schemas
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let of_host = schemas.entry(host.clone()).or_default();
        of_host.retain(|known| known.id() != schema.id());
        if of_host.len() >= SCHEMAS_OF_HOST {
            of_host.remove(0);
        }
        of_host.push(schema);
    }
}
