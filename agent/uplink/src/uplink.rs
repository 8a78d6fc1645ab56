//! Sessions one after another, for as long as the agent lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use firstlook_journal::Journal;
use firstlook_model::Timestamp;
use firstlook_proto::wire;
use firstlook_proto::wire::agent_client::AgentClient;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_runtime::backoff::random_share;
use firstlook_runtime::telemetry::chain;
use firstlook_runtime::{Backoff, clock};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::connect;
use crate::enrol::{JoinError, renew};
use crate::identity::Identity;
use crate::requests::RequestHandler;
use crate::session::{Session, SessionError};

/// Messages between the session and the wire; each is at most about a MiB.
const OUTGOING_CAPACITY: usize = 2;
/// Largest message taken from the collector.
const MESSAGE_LIMIT_BYTES: usize = 1024 * 1024;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A session that lasted this long was a good one: the next failure waits little.
const GOOD_SESSION: Duration = Duration::from_secs(30);
/// Longest window over which a collector may spread reconnects.
const WINDOW_LIMIT: Duration = Duration::from_secs(300);
/// How soon renewal is tried again, whether it failed or gave a certificate that is due at once: the clock of this
/// host may be far ahead.
const RENEW_AGAIN: Duration = Duration::from_secs(300);

/// How the uplink fares, for display.
#[derive(Debug, Default)]
pub struct UplinkStatus {
    /// Whether a session is open.
    pub connected: AtomicBool,
    /// Sessions begun.
    pub sessions: AtomicU64,
    /// Attempts and sessions that failed.
    pub failures: AtomicU64,
}

/// The agent's connection to its collector.
pub struct Uplink {
    identity: Identity,
    state_dir: PathBuf,
    boot_id: String,
    version: &'static str,
    journal: Journal,
    appended: Arc<Notify>,
    handler: Arc<dyn RequestHandler>,
    status: Arc<UplinkStatus>,
    /// No renewal before this.
    renew_not_before: Instant,
    /// Over which to spread the next reconnect, as the collector said in this session; nothing when it was not
    /// reached.
    window: Duration,
}

impl Uplink {
    /// Will send what is in `journal`; `appended` wakes it when there is more.
    pub fn new(
        identity: Identity,
        state_dir: PathBuf,
        boot_id: String,
        version: &'static str,
        journal: Journal,
        appended: Arc<Notify>,
        handler: Arc<dyn RequestHandler>,
    ) -> Self {
        Self {
            identity,
            state_dir,
            boot_id,
            version,
            journal,
            appended,
            handler,
            status: Arc::default(),
            renew_not_before: Instant::now(),
            window: Duration::ZERO,
        }
    }

    /// How it fares.
    pub fn status(&self) -> Arc<UplinkStatus> {
        Arc::clone(&self.status)
    }

    /// Connects, and connects again, until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while !stop.is_cancelled() {
            let began = Instant::now();
            // Dropping a session midway is safe: what was not acknowledged is sent again.
            let ended = tokio::select! {
                () = stop.cancelled() => Ok(()),
                ended = self.session() => ended,
            };
            self.status.connected.store(false, Ordering::Relaxed);
            if began.elapsed() >= GOOD_SESSION {
                backoff.reset();
            }
            let window = std::mem::take(&mut self.window);
            if let Err(why) = ended {
                self.status.failures.fetch_add(1, Ordering::Relaxed);
                let spread = window.min(WINDOW_LIMIT).mul_f64(random_share());
                let wait = backoff.next_wait().max(spread);
                tracing::warn!(
                    collector = self.identity.collector,
                    error = why,
                    wait_ms = wait.as_millis() as u64,
                    "session ended"
                );
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(wait) => {}
                }
            }
        }
    }

    /// One session; `Ok` when it ended for a renewal.
    async fn session(&mut self) -> Result<(), String> {
        let ended = self.attempt().await;
        // Tried all the same: it may be this host's clock that is wrong, and the collector decides by its own.
        ended.map_err(|why| match clock::now() >= self.identity.expires {
            true => format!(
                "{why}; the certificate ended at {}: make a token with `firstlook tokens create --host {} --replace`, \
                 join again here with it, and restart the agent",
                self.identity.expires, self.identity.host
            ),
            false => why,
        })
    }

    async fn attempt(&mut self) -> Result<(), String> {
        let channel = connect::mutual(&self.identity)
            .await
            .map_err(|e| chain(&e))?;
        if self.renewal().is_due() {
            self.renew(channel).await;
            return Ok(());
        }
        self.converse(channel).await.map_err(|e| chain(&e))
    }

    async fn converse(&mut self, channel: Channel) -> Result<(), SessionError> {
        let (outgoing, stream) = mpsc::channel(OUTGOING_CAPACITY);
        let epoch = self.journal.epoch();
        let hello = wire::Hello {
            epoch: epoch.0,
            agent_version: self.version.to_owned(),
            boot_id: self.boot_id.clone(),
            wall_micros: clock::now().as_micros(),
            running_config: self.running_config(),
        };
        let first = wire::AgentMessage {
            kind: Some(Say::Hello(hello)),
        };
        outgoing
            .send(first)
            .await
            .map_err(|_| SessionError::Closed)?;
        let mut client = AgentClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        let mut incoming = client
            .session(ReceiverStream::new(stream))
            .await?
            .into_inner();
        let mut session = Session::new(
            self.journal.clone(),
            Arc::clone(&self.appended),
            Arc::clone(&self.handler),
            outgoing,
            epoch,
        );
        self.window = session.greet(&mut incoming).await?;
        self.status.connected.store(true, Ordering::Relaxed);
        self.status.sessions.fetch_add(1, Ordering::Relaxed);
        tracing::info!(collector = self.identity.collector, host = %self.identity.host, "session began");
        let renewal = self.renewal();
        session.work(&mut incoming, || renewal.is_due()).await
    }

    fn running_config(&self) -> u64 {
        let reports = self.handler.reports();
        let last = reports.borrow();
        last.as_ref().map_or(0, |report| report.running)
    }

    fn renewal(&self) -> Renewal {
        Renewal {
            at: self.identity.renew_at(),
            not_before: self.renew_not_before,
        }
    }

    /// Keeps the old identity, and tries later, when the new one cannot be had or kept.
    async fn renew(&mut self, channel: Channel) {
        self.renew_not_before = Instant::now() + RENEW_AGAIN;
        let renewed = match renew(&self.identity, channel).await {
            Ok(new) => new
                .save(&self.state_dir)
                .map(|()| new)
                .map_err(JoinError::from),
            Err(error) => Err(error),
        };
        match renewed {
            Ok(new) => {
                tracing::info!(expires = %new.expires, "certificate renewed");
                self.identity = new;
            }
            Err(error) => {
                tracing::error!(error = chain(&error), expires = %self.identity.expires, "certificate not renewed");
            }
        }
    }
}

/// When to renew.
#[derive(Clone, Copy)]
struct Renewal {
    at: Timestamp,
    not_before: Instant,
}

impl Renewal {
    fn is_due(self) -> bool {
        clock::now() >= self.at && Instant::now() >= self.not_before
    }
}

#[cfg(test)]
mod tests;
