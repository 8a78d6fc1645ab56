//! The host sources as a task: a tick each second, the reading on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use firstlook_model::{HostId, Inventory, Observation, Strain, StrainGauge, Timestamp};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::endpoints::Endpoints;
use crate::limits::Limits;
use crate::roots::HostRoots;
use crate::sampler::HostSampler;

/// Name of this source in losses.
pub const SOURCE: &str = "host";
/// Samples are taken once in so many ticks where the host suffers most.
const BARE_EVERY: u32 = 5;
/// The inventory is compared with the one sent last at this interval.
const INVENTORY_LOOK: Duration = Duration::from_secs(5);
/// The inventory is sent at least at this interval.
const INVENTORY_EVERY: Duration = Duration::from_secs(60);
/// How long a sample in hand may take once everything stops.
const GRACE: Duration = Duration::from_secs(2);

/// Where observations go. Never blocks: when it is full it drops the oldest, and counts it.
pub trait Sink: Send + Sync {
    /// Takes one observation of a source.
    fn offer(&self, source: &'static str, observation: Observation);
}

/// What to sample, and how.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The host that components are named for.
    pub host: HostId,
    /// Where the kernel's files are.
    pub roots: HostRoots,
    /// Budgets.
    pub limits: Limits,
    /// Time between two samples. Default 1 s; not 0.
    pub interval: Duration,
    /// The agent's version, for the inventory.
    pub agent_version: String,
    /// How much sampling may cost just now. Default calm, for ever.
    pub strain: StrainGauge,
    /// Whom others ask whose a socket is. Default nobody, and nothing is kept for them.
    pub endpoints: Option<Endpoints>,
}

impl HostConfig {
    /// The defaults for a host.
    pub fn new(host: HostId, agent_version: impl Into<String>) -> Self {
        Self {
            host,
            roots: HostRoots::default(),
            limits: Limits::default(),
            interval: Duration::from_secs(1),
            agent_version: agent_version.into(),
            strain: StrainGauge::default(),
            endpoints: None,
        }
    }
}

/// Why the host sources ended by themselves. Starting them again can help.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No thread could be had.
    #[error("starting the thread that samples the host")]
    Thread(#[source] std::io::Error),
    /// The thread ended: it panicked.
    #[error("the thread that samples the host ended")]
    Ended,
}

/// Samples until told to stop, and offers what it saw: a frame each second, edges whenever connections
/// were looked at, the inventory at the start, when it changed, and every minute.
///
/// Reading happens on a thread, so that a kernel that answers late delays samples and nothing else. A tick
/// that finds it busy is left out and counted.
///
/// # Errors
/// [`HostError`] when the thread cannot be started or ends by itself.
///
/// # Cancel safety
/// When dropped, the thread ends after the sample in hand.
pub async fn run(
    config: HostConfig,
    sink: Arc<dyn Sink>,
    stop: CancellationToken,
) -> Result<(), HostError> {
    // One tick may wait while a sample is taken; further ones are left out.
    let (ticks, inbox) = sync_channel(1);
    let (ending, mut ended) = oneshot::channel::<()>();
    let missed = Arc::new(AtomicU64::new(0));
    let mut interval = tokio::time::interval(config.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let counter = Arc::clone(&missed);
    std::thread::Builder::new()
        .name("host-sampler".into())
        .spawn(move || {
            Sampling::new(config, sink, counter).serve(&inbox);
            drop(ending);
        })
        .map_err(HostError::Thread)?;
    loop {
        // Stopping comes first; every arm is cancel-safe.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = &mut ended => return Err(HostError::Ended),
            _ = interval.tick() => match ticks.try_send(()) {
                Ok(()) => {}
                Err(TrySendError::Full(())) => {
                    missed.fetch_add(1, Ordering::Relaxed);
                }
                Err(TrySendError::Disconnected(())) => return Err(HostError::Ended),
            },
        }
    }
    drop(ticks);
    if tokio::time::timeout(GRACE, &mut ended).await.is_err() {
        tracing::warn!("host sampler still reads at the end");
    }
    Ok(())
}

/// What the thread owns.
struct Sampling {
    sampler: HostSampler,
    sink: Arc<dyn Sink>,
    agent_version: String,
    missed: Arc<AtomicU64>,
    strain: StrainGauge,
    started: Instant,
    looked: Option<Duration>,
    sent: Option<(Duration, Inventory)>,
}

impl Sampling {
    fn new(config: HostConfig, sink: Arc<dyn Sink>, missed: Arc<AtomicU64>) -> Self {
        Self {
            sampler: HostSampler::new(config.host, config.roots, config.limits)
                .easing(config.strain.clone())
                .telling(config.endpoints),
            sink,
            agent_version: config.agent_version,
            missed,
            strain: config.strain,
            started: Instant::now(),
            looked: None,
            sent: None,
        }
    }

    fn serve(mut self, ticks: &Receiver<()>) {
        let mut rest = 0;
        while ticks.recv().is_ok() {
            // While nothing more can be given up, one tick of five is taken.
            if self.strain.level() >= Strain::Bare && rest > 0 {
                rest -= 1;
                continue;
            }
            rest = BARE_EVERY - 1;
            self.sampler
                .add_missed(self.missed.swap(0, Ordering::Relaxed));
            self.step(wall_clock(), self.started.elapsed());
        }
    }

    fn step(&mut self, now: Timestamp, monotonic: Duration) {
        let frame = self.sampler.sample(now, monotonic);
        self.sink.offer(SOURCE, Observation::Frame(frame));
        // None at all is told too: others may know of calls.
        if let Some(edges) = self.sampler.take_edges() {
            self.sink.offer(SOURCE, Observation::Edges(edges));
        }
        let due = |last: Option<Duration>, every| {
            last.is_none_or(|at| monotonic.saturating_sub(at) >= every)
        };
        if due(self.looked, INVENTORY_LOOK) {
            self.looked = Some(monotonic);
            let inventory = self.sampler.inventory(now, monotonic, &self.agent_version);
            let old = due(self.sent.as_ref().map(|(at, _)| *at), INVENTORY_EVERY);
            let same = |sent: &Inventory| {
                Inventory {
                    time: now,
                    ..sent.clone()
                } == inventory
            };
            if old || !self.sent.as_ref().is_some_and(|(_, sent)| same(sent)) {
                let whole = Box::new(inventory.clone());
                self.sink.offer(SOURCE, Observation::Inventory(whole));
                self.sent = Some((monotonic, inventory));
            }
        }
        self.sampler.linger(monotonic);
    }
}

/// Now, as the machine's clock has it.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
    Timestamp::from_micros(micros)
}

#[cfg(test)]
mod tests;
