//! Drives a blocking reader: it works in a thread of its own, its results come out through a bounded
//! channel, and a full pipeline stops the reading.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use firstlook_model::{Lines, Observation, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::sink::{BlindSpots, EventSink};

/// Batches between a reader and the pipeline: one under way and one ready. More would only hide that
/// the pipeline is full.
const QUEUE_BATCHES: usize = 2;
/// Lines in a batch: what a reader gathers before it hands over.
pub(crate) const BATCH_LIMIT_LINES: usize = 1_000;
/// Bytes of text in a batch.
pub(crate) const BATCH_LIMIT_BYTES: usize = 1024 * 1024;

/// What one step of a reader found.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Facts, offered before the lines are delivered.
    pub(crate) facts: Vec<Observation>,
    /// Lines with positions. Not delivered when both are empty.
    pub(crate) lines: Lines,
    /// Whether the next step should follow at once, there being more to read.
    pub(crate) more: bool,
}

impl Step {
    fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.lines.lines.is_empty() && self.lines.checkpoints.is_empty()
    }
}

/// Where a reader's results go and how it ends.
pub(crate) struct Outlet {
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) blind: BlindSpots,
    pub(crate) stop: CancellationToken,
}

/// Runs `step` every `pause` in a thread called `name`, until `stop`. A step that is under way then is
/// not waited for: it may hang on a dead file system.
pub(crate) async fn drive(
    name: &'static str,
    pause: Duration,
    outlet: Outlet,
    mut step: impl FnMut(Timestamp) -> Step + Send + 'static,
) {
    let (send, mut receive) = mpsc::channel::<Step>(QUEUE_BATCHES);
    let stop = outlet.stop.clone();
    let thread = thread::Builder::new()
        .name(format!("fl-{name}"))
        .spawn(move || {
            while !stop.is_cancelled() && !send.is_closed() {
                let found = step(clock::now());
                let more = found.more;
                // Fails only when the receiver is gone: the loop then ends by itself.
                if !found.is_empty() && send.blocking_send(found).is_err() {
                    return;
                }
                if !more {
                    thread::park_timeout(pause);
                }
            }
        });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => {
            outlet
                .blind
                .set(name, format!("no thread for the reader: {error}"));
            return;
        }
    };
    loop {
        tokio::select! {
            // Stop first: with a full queue the other arm would always be ready.
            biased;
            () = outlet.stop.cancelled() => break,
            found = receive.recv() => match found {
                Some(found) => hand_over(name, outlet.sink.as_ref(), found).await,
                None => {
                    if !outlet.stop.is_cancelled() {
                        outlet.blind.set(name, "the reader ended unexpectedly");
                    }
                    break;
                }
            },
        }
    }
    thread.thread().unpark();
}

async fn hand_over(name: &'static str, sink: &dyn EventSink, found: Step) {
    for fact in found.facts {
        sink.offer(name, fact);
    }
    if !found.lines.lines.is_empty() || !found.lines.checkpoints.is_empty() {
        sink.deliver(found.lines).await;
    }
}
