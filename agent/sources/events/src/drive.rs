//! Drives a blocking reader: it works in a thread of its own, its results come out through a bounded
//! channel, and a full pipeline stops the reading.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use firstlook_model::{Lines, Observation, Strain, StrainGauge, Timestamp};
use tokio::sync::mpsc;
use tokio::time::timeout;
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
    pub(crate) ending: Ending,
}

/// What a reader does once it is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Ends. What it has not read it reads the next time.
    AtOnce,
    /// Reads on for [`LAST_LOOK`]: when the whole host is shut down there may be no next time for long, and what says so is
    /// written in the moment in which we are told to stop.
    LastLook,
}

const LAST_LOOK: Duration = Duration::from_millis(500);
const LAST_LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long results are waited for after a stop, whatever the reader hangs on.
const LAST_LOOK_LIMIT: Duration = Duration::from_millis(1_500);

/// Runs `step` every `pause` in a thread called `name`, until `stop` and its [`Ending`]. A step that hangs then, as on a
/// dead file system, is not waited for.
pub(crate) async fn drive(
    name: &'static str,
    pause: Duration,
    outlet: Outlet,
    mut step: impl FnMut(Timestamp) -> Step + Send + 'static,
) {
    let (send, mut receive) = mpsc::channel::<Step>(QUEUE_BATCHES);
    let (stop, eases, ending) = (outlet.stop.clone(), outlet.eases.clone(), outlet.ending);
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
            if ending == Ending::LastLook {
                last_look(&mut step, &send);
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
    if outlet.ending == Ending::LastLook {
        let rest = async {
            while let Some(found) = receive.recv().await {
                hand_over(name, outlet.sink.as_ref(), found).await;
            }
        };
        // What is cut off here is read again from its position.
        let _ = timeout(LAST_LOOK_LIMIT, rest).await;
    }
}

fn last_look(step: &mut impl FnMut(Timestamp) -> Step, send: &mpsc::Sender<Step>) {
    let until = Instant::now() + LAST_LOOK;
    while !send.is_closed() {
        let found = step(clock::now());
        if !found.is_empty() && send.blocking_send(found).is_err() {
            return;
        }
        if Instant::now() >= until {
            return;
        }
        thread::sleep(LAST_LOOK_PAUSE);
    }
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
    use firstlook_model::Checkpoint;
    use std::pin::Pin;
    use std::sync::Mutex;

    use super::*;

    /// Keeps the positions of what is delivered.
    #[derive(Default)]
    struct Positions(Mutex<Vec<Vec<u8>>>);

    impl EventSink for Positions {
        fn offer(&self, _: &'static str, _: Observation) {}

        fn deliver<'a>(&'a self, lines: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            let reached = lines.checkpoints.into_iter().map(|c| c.position);
            self.0.lock().unwrap().extend(reached);
            Box::pin(std::future::ready(()))
        }
    }

    /// What a reader delivers that finds something new in its first look and in those after `stop`.
    async fn delivered(ending: Ending) -> Vec<Vec<u8>> {
        let (sink, stop) = (Arc::new(Positions::default()), CancellationToken::new());
        let outlet = Outlet {
            eases: Eases::Never,
            sink: sink.clone(),
            blind: BlindSpots::default(),
            stop: stop.clone(),
            ending,
        };
        let stopped = stop.clone();
        let (tell, looked) = tokio::sync::oneshot::channel();
        let (mut tell, mut said) = (Some(tell), false);
        let driven = drive("test", Duration::from_secs(60), outlet, move |_| {
            let first = tell.take();
            let mut step = Step::default();
            // What is written just after the order to stop.
            let late = stopped.is_cancelled() && !std::mem::replace(&mut said, true);
            if first.is_some() || late {
                step.lines.checkpoints.push(Checkpoint {
                    reader: "test".to_owned(),
                    position: vec![u8::from(first.is_none())],
                });
            }
            if let Some(first) = first {
                first.send(()).unwrap();
            }
            step
        });
        tokio::join!(driven, async {
            looked.await.unwrap();
            stop.cancel();
        });
        let delivered = sink.0.lock().unwrap();
        delivered.clone()
    }

    #[tokio::test]
    async fn last_words_are_read_where_they_are_asked_for() {
        assert_eq!(delivered(Ending::LastLook).await, [vec![0], vec![1]]);
        let at_once = delivered(Ending::AtOnce).await;
        assert!(!at_once.contains(&vec![1]), "{at_once:?}");
    }

    #[tokio::test]
    async fn a_reader_that_hangs_does_not_keep_the_agent() {
        let stop = CancellationToken::new();
        let outlet = Outlet {
            eases: Eases::Never,
            sink: Arc::new(Positions::default()),
            blind: BlindSpots::default(),
            stop: stop.clone(),
            ending: Ending::LastLook,
        };
        let (hang, hung) = std::sync::mpsc::channel::<()>();
        let driven = drive("test", Duration::from_secs(60), outlet, move |_| {
            let _ = hung.recv();
            Step::default()
        });
        stop.cancel();
        let ended = timeout(Duration::from_secs(60), driven).await;
        assert!(ended.is_ok(), "it waits for a step that never ends");
        drop(hang);
    }

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
