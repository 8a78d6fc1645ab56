//! Drives a blocking reader: it works in a thread of its own, its results come out through a bounded
//! channel, and a full pipeline stops the reading.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use firstlook_model::{Lines, Observation, Strain, StrainGauge, Timestamp};
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

/// What a reader gives up while the host suffers.
#[derive(Clone, Debug)]
pub(crate) enum Eases {
    /// Nothing: what it reads says that the host lives, and why it dies.
    Never,
    /// From `Strained` on it reads ten batches a second at most, and nothing from `Bare` on: its lines wait where they are.
    Lines(StrainGauge),
    /// From `Eased` on it looks every ten seconds.
    Looks(StrainGauge),
}

/// How long a reader waits at least between two batches while lines come slowly.
const SLOWLY: Duration = Duration::from_millis(100);
/// How often one that rests asks whether it may read again.
const RESTING: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);

impl Eases {
    /// Whether the reader may not step now.
    fn rests(&self) -> bool {
        matches!(self, Self::Lines(gauge) if gauge.level() >= Strain::Bare)
    }

    /// The pause after a step, where the host's state asks for one.
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Lines(gauge) => (gauge.level() >= Strain::Strained).then_some(SLOWLY),
            Self::Looks(gauge) => (gauge.level() >= Strain::Eased).then_some(SELDOM),
            Self::Never => None,
        }
    }
}

/// Where a reader's results go and how it ends.
pub(crate) struct Outlet {
    pub(crate) eases: Eases,
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
    let (stop, eases) = (outlet.stop.clone(), outlet.eases.clone());
    let thread = thread::Builder::new()
        .name(format!("fl-{name}"))
        .spawn(move || {
            while !stop.is_cancelled() && !send.is_closed() {
                if eases.rests() {
                    thread::park_timeout(RESTING);
                    continue;
                }
                let found = step(clock::now());
                let more = found.more;
                // Fails only when the receiver is gone: the loop then ends by itself.
                if !found.is_empty() && send.blocking_send(found).is_err() {
                    return;
                }
                match eases.pause() {
                    Some(longer) => thread::park_timeout(longer.max(pause)),
                    None if more => {}
                    None => thread::park_timeout(pause),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_slowly_and_then_wait_and_looks_are_seldom() {
        let gauge = StrainGauge::default();
        let (lines, looks) = (Eases::Lines(gauge.clone()), Eases::Looks(gauge.clone()));
        let mut seen = Vec::new();
        for level in Strain::ALL {
            gauge.set(level);
            assert!(!Eases::Never.rests() && Eases::Never.pause().is_none() && !looks.rests());
            seen.push((lines.rests(), lines.pause(), looks.pause()));
        }
        let expected = [
            (false, None, None),
            (false, None, Some(SELDOM)),
            (false, Some(SLOWLY), Some(SELDOM)),
            (true, Some(SLOWLY), Some(SELDOM)),
        ];
        assert_eq!(seen, expected);
    }
}
