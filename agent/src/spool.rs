//! The spool: observations through the pipeline into the journal, in batches.
//!
//! One task owns the pipeline. A batch that the journal refuses, as when the disk is full, is kept and tried
//! again; meanwhile lines wait at their readers and facts pile up in the pipeline to its limit, where they
//! are dropped and counted. Lines also wait while the journal fills faster than a collector that is there takes it
//! in: only without one does the journal shed lines to make room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firstlook_journal::{Entry, Journal, JournalError, Position, Shed};
use firstlook_model::{Checkpoint, Loss, Observation, Record, RecordClass, Timestamp};
use firstlook_pipeline::{Flushed, Pipeline};
use firstlook_proto::convert::encode_record;
use firstlook_runtime::{Beat, clock};
use firstlook_uplink::UplinkStatus;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::intake::Outlet;
use crate::own::OwnSeries;
use crate::recent::Recent;
use crate::remote::Tuning;

/// A batch at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// A unit's state or a change does not wait so long.
const FLUSH_URGENT: Duration = Duration::from_millis(100);
/// A refused batch is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Bytes that end a batch early.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How often it is asked whether the uplink has made room.
const ROOM_AGAIN: Duration = Duration::from_millis(50);

/// Encoded records on their way into the journal.
struct Batch {
    entries: Vec<Entry>,
    positions: Vec<Position>,
    reported: Shed,
}

/// The uplink, as seen from here.
pub struct Leaving {
    /// To be told of records in the journal.
    pub appended: Arc<Notify>,
    /// Whether a collector takes them.
    pub uplink: Arc<UplinkStatus>,
    /// While one does, lines stay with their readers when more bytes than this wait in the journal.
    pub limit_bytes: u64,
}

/// What can change while the spool runs, and what is told of it.
pub struct Steering {
    /// What is in force.
    pub tuning: watch::Receiver<Tuning>,
    /// Counts records lost, save the lines that the budget of lines itself leaves out.
    pub lost: Arc<AtomicU64>,
}

/// Runs until `stop`, then writes what is left.
pub struct Spool {
    pipeline: Pipeline,
    journal: Journal,
    leaving: Leaving,
    /// Bytes in the journal when it was last asked.
    waiting_bytes: u64,
    recent: Recent,
    own: OwnSeries,
    outlet: Outlet,
    steering: Option<Steering>,
    refused: Option<Batch>,
    due: Instant,
    rounds: Beat,
}

impl Spool {
    /// Will write into `journal`, tell the uplink, and let `recent` know. `rounds` beats with each flush, and
    /// rests while the disk is waited for.
    pub fn new(
        pipeline: Pipeline,
        journal: Journal,
        leaving: Leaving,
        recent: Recent,
        own: OwnSeries,
        outlet: Outlet,
        rounds: Beat,
    ) -> Self {
        let due = Instant::now() + FLUSH_EVERY;
        Self {
            pipeline,
            journal,
            leaving,
            waiting_bytes: 0,
            recent,
            own,
            outlet,
            steering: None,
            refused: None,
            due,
            rounds,
        }
    }

    /// Goes by this. The pipeline is in tune with it already.
    pub fn with_steering(mut self, steering: Steering) -> Self {
        self.steering = Some(steering);
        self
    }

    /// Runs until `stop` is cancelled, then takes in what the sources still deliver and writes it.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Asked here and not of the timer alone, which fires only when the task pauses: while lines are
            // waiting it does not, and they would pile up to the pipeline's limit.
            if self.due <= Instant::now() && !stop.is_cancelled() {
                self.flush().await;
            }
            let held = self.is_held();
            let takes_lines = self.refused.is_none() && !held;
            // All arms are cancel-safe: both queues give an entry only as the arm's result.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(self.due) => self.flush().await,
                () = changed(&mut self.steering) => self.retune(),
                Some(fact) = self.outlet.facts.recv() => self.take(fact.observation),
                Some(lines) = self.outlet.lines.recv(), if takes_lines => {
                    self.take(Observation::Lines(lines));
                }
                () = sleep(ROOM_AGAIN), if held => self.look().await,
            }
        }
        // Sources end within their own grace: their queues close when the last one is gone. Lines that the disk
        // has no room for stay where they are read from: their positions do not move.
        while self.refused.is_none()
            && let Ok(Some(lines)) =
                tokio::time::timeout(Duration::from_secs(1), self.outlet.lines.recv()).await
        {
            self.take(Observation::Lines(lines));
            if self.due <= Instant::now() {
                self.flush().await;
            }
        }
        while let Some(fact) = self.outlet.facts.try_recv() {
            self.take(fact.observation);
        }
        self.flush().await;
    }

    fn retune(&mut self) {
        let Some(steering) = &mut self.steering else {
            return;
        };
        let tuning = steering.tuning.borrow_and_update().clone();
        // Whoever put it in force has tried the rules.
        if let Err(error) = self.pipeline.retune(tuning.lines(), &tuning.rules) {
            tracing::error!(%error, "pipeline goes on as before");
        }
    }

    fn take(&mut self, observation: Observation) {
        let urgent = matches!(observation, Observation::Units(_) | Observation::Changes(_));
        if let Observation::Units(states) = &observation {
            self.own.units(states);
        }
        self.pipeline.push(match observation {
            Observation::Frame(frame) => {
                Observation::Frame(self.own.widen(frame, self.journal.bytes()))
            }
            Observation::Edges(edges) => Observation::Edges(self.own.join(edges)),
            other => other,
        });
        if urgent && self.refused.is_none() {
            self.due = self.due.min(Instant::now() + FLUSH_URGENT);
        }
        if self.pipeline.pending_bytes() >= BATCH_BYTES && self.refused.is_none() {
            self.due = Instant::now();
        }
    }

    async fn flush(&mut self) {
        self.rounds.beat();
        self.due = Instant::now() + FLUSH_EVERY;
        if let Some(batch) = self.refused.take() {
            self.write(batch).await;
            if self.refused.is_some() {
                return;
            }
        }
        let dropped = self.outlet.tally.take();
        if !dropped.is_empty() {
            self.pipeline.push(Observation::Losses(dropped));
        }
        let now = clock::now();
        let set_aside = self.journal.take_set_aside();
        if !set_aside.is_empty() {
            // How many records waited there, nobody can tell: a journal counts as one.
            let count = set_aside.len() as u64;
            let lost = loss("journal", "damaged-and-set-aside", count, 0, now);
            self.pipeline.push(Observation::Losses(vec![lost]));
        }
        let reported = self.journal.shed().unwrap_or_default();
        if !reported.is_empty() {
            self.pipeline
                .push(Observation::Losses(shed_losses(&reported, now)));
        }
        let flushed = self.pipeline.flush(now);
        for record in &flushed.records {
            if let Record::Losses(losses) = record {
                losses.iter().for_each(|loss| self.own.count(loss.count));
                self.count_lost(losses);
            }
        }
        self.recent.note(&flushed.records);
        let batch = encode(flushed, reported, now);
        if !batch.entries.is_empty() || !batch.positions.is_empty() {
            self.write(batch).await;
        }
    }

    fn count_lost(&self, losses: &[Loss]) {
        let asked = |loss: &&Loss| loss.source == "logs" && loss.reason == "rate";
        let lost = losses
            .iter()
            .filter(|loss| !asked(loss))
            .map(|loss| loss.count);
        if let Some(steering) = &self.steering {
            steering.lost.fetch_add(lost.sum(), Ordering::Relaxed);
        }
    }

    /// Whether lines are to wait for the uplink.
    fn is_held(&self) -> bool {
        self.waiting_bytes > self.leaving.limit_bytes
            && self.leaving.uplink.connected.load(Ordering::Relaxed)
    }

    async fn look(&mut self) {
        let journal = self.journal.clone();
        let bytes = tokio::task::spawn_blocking(move || journal.bytes()).await;
        self.waiting_bytes = bytes.unwrap_or(0);
    }

    async fn write(&mut self, batch: Batch) {
        let journal = self.journal.clone();
        self.rounds.rest();
        let written = tokio::task::spawn_blocking(move || {
            let result = journal.append(&batch.entries, &batch.positions, &batch.reported);
            (batch, result, journal.bytes())
        })
        .await;
        self.rounds.beat();
        match written {
            Ok((_, Ok(_), bytes)) => {
                self.waiting_bytes = bytes;
                self.leaving.appended.notify_one();
            }
            Ok((batch, Err(error), _)) => self.refuse(batch, &error),
            Err(error) => tracing::error!(%error, "journal task failed"),
        }
    }

    fn refuse(&mut self, batch: Batch, error: &JournalError) {
        tracing::error!(%error, records = batch.entries.len(), "records not written, will try again");
        self.refused = Some(batch);
        self.due = Instant::now() + RETRY_AFTER;
    }
}

/// Waits until something else is in force; for ever where nothing can change.
async fn changed(steering: &mut Option<Steering>) {
    let changed = match steering {
        Some(steering) => steering.tuning.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

/// A record that cannot be encoded is left out and counted in its place.
fn encode(flushed: Flushed, reported: Shed, now: Timestamp) -> Batch {
    let mut entries = Vec::with_capacity(flushed.records.len());
    let mut failed = 0;
    for record in &flushed.records {
        match encode_record(record) {
            Ok(bytes) => entries.push(Entry {
                class: record.class(),
                bytes,
            }),
            Err(error) => {
                tracing::error!(%error, "record cannot be encoded");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        let loss = loss("encoder", "cannot-encode", failed, 0, now);
        if let Ok(bytes) = encode_record(&Record::Losses(vec![loss])) {
            entries.push(Entry {
                class: RecordClass::Facts,
                bytes,
            });
        }
    }
    let position = |c: Checkpoint| (c.reader, c.position);
    Batch {
        entries,
        positions: flushed.checkpoints.into_iter().map(position).collect(),
        reported,
    }
}

fn shed_losses(shed: &Shed, now: Timestamp) -> Vec<Loss> {
    shed.each()
        .map(|(class, count)| {
            let source = match class {
                RecordClass::Logs => "journal-logs",
                RecordClass::Metrics => "journal-metrics",
                RecordClass::Facts => "journal-facts",
            };
            loss(source, "over-budget", count.records, count.bytes, now)
        })
        .collect()
}

fn loss(source: &str, reason: &str, count: u64, bytes: u64, at: Timestamp) -> Loss {
    Loss {
        source: source.to_owned(),
        reason: reason.to_owned(),
        count,
        bytes,
        from: at,
        to: at,
    }
}

#[cfg(test)]
mod tests;
