//! One session: Hello, Welcome, then records out and acknowledgements in until something ends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use firstlook_journal::{Journal, JournalError};
use firstlook_model::{
    ConfigReport, ConfigState, Epoch, LinesQuestion, Sequence, SnapshotId, WantedConfig,
};
use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::collector_message::Kind as Hear;
use firstlook_proto::wire::snapshot_piece::Kind as PieceKind;
use firstlook_runtime::clock;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::Streaming;

use crate::requests::{self, LinesEvent, RequestHandler, SnapshotEvent, SnapshotRequest};

/// Bytes sent and not yet acknowledged before sending pauses.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one message.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Records of one message; collectors take 4,096.
const MESSAGE_RECORDS: usize = 1_000;
/// The collector hears from us this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Records in flight that nobody acknowledges for this long mean a dead session.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(30);
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Longest pause that a collector may ask for.
const PAUSE_LIMIT: Duration = Duration::from_secs(60);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("collector ended the session: {}", .0.message())]
    Ended(#[from] tonic::Status),
    #[error("collector closed the session")]
    Closed,
    #[error("no acknowledgement in time")]
    NotAcknowledged,
    #[error("no welcome in time")]
    NotWelcomed,
    #[error("journal began a new epoch")]
    NewEpoch,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a task of the session failed")]
    Task,
}

/// What a session works with.
pub(crate) struct Session {
    pub journal: Journal,
    pub appended: Arc<Notify>,
    pub handler: Arc<dyn RequestHandler>,
    pub outgoing: mpsc::Sender<wire::AgentMessage>,
    /// The epoch that Hello named: records of another may not travel here.
    epoch: Epoch,
    sent: Sequence,
    /// Sent and not acknowledged: last sequence and bytes of each message, oldest first.
    in_flight: VecDeque<(Sequence, usize)>,
    progress: Instant,
    paused_until: Instant,
    pending: VecDeque<wire::AgentMessage>,
    snapshot: Option<(u64, mpsc::Receiver<SnapshotEvent>)>,
    lines: Option<(u64, mpsc::Receiver<LinesEvent>)>,
    /// Once a configuration was wanted in this session: an older collector would not understand what is said of it.
    reports: Option<watch::Receiver<Option<ConfigReport>>>,
}

impl Session {
    pub(crate) fn new(
        journal: Journal,
        appended: Arc<Notify>,
        handler: Arc<dyn RequestHandler>,
        outgoing: mpsc::Sender<wire::AgentMessage>,
        epoch: Epoch,
    ) -> Self {
        let now = Instant::now();
        Self {
            journal,
            appended,
            handler,
            outgoing,
            epoch,
            sent: Sequence(0),
            in_flight: VecDeque::new(),
            progress: now,
            paused_until: now,
            pending: VecDeque::new(),
            snapshot: None,
            lines: None,
            reports: None,
        }
    }

    /// Waits for Welcome; gives the window over which to spread reconnects.
    pub(crate) async fn greet(
        &mut self,
        incoming: &mut Streaming<wire::CollectorMessage>,
    ) -> Result<Duration, SessionError> {
        let first = timeout(WELCOME_WITHIN, incoming.message()).await;
        match first.map_err(|_| SessionError::NotWelcomed)?? {
            Some(wire::CollectorMessage {
                kind: Some(Hear::Welcome(welcome)),
            }) => {
                self.sent = Sequence(welcome.acknowledged);
                if self.sent > self.journal.last()? {
                    // The collector has what this journal never wrote: an older copy of this disk came back.
                    // Its next sequences are taken already, and would be ignored there.
                    self.begin_epoch().await?;
                    return Err(SessionError::NewEpoch);
                }
                self.trim(self.sent).await?;
                Ok(Duration::from_millis(welcome.reconnect_window_ms.into()))
            }
            _ => Err(SessionError::NotWelcomed),
        }
    }

    /// Works until the session ends. Returns `Ok` only when a certificate is `due`. It is asked every second, since the
    /// wall clock may step and the host may sleep.
    pub(crate) async fn work(
        &mut self,
        incoming: &mut Streaming<wire::CollectorMessage>,
        due: impl Fn() -> bool,
    ) -> Result<(), SessionError> {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let appended = Arc::clone(&self.appended);
        let outgoing = self.outgoing.clone();
        self.progress = Instant::now();
        self.fill().await?;
        loop {
            let idle = self.pending.is_empty();
            // All arms are cancel-safe: a message stays in its stream or queue until it is taken. Writing
            // waits for a permit, not with the message in hand.
            tokio::select! {
                message = incoming.message() => {
                    let message = message?.ok_or(SessionError::Closed)?;
                    self.hear(message).await?;
                    self.fill().await?;
                }
                permit = outgoing.reserve(), if !idle => {
                    let permit = permit.map_err(|_| SessionError::Closed)?;
                    if let Some(message) = self.pending.pop_front() {
                        permit.send(message);
                    }
                }
                // Records first: a snapshot's pieces are taken only while nothing else waits.
                event = next_event(&mut self.snapshot), if idle => self.pass_on(event),
                event = next_event(&mut self.lines), if idle => self.pass_lines_on(event),
                report = next_report(&mut self.reports) => self.say(Say::Configured(report.into())),
                () = appended.notified() => self.fill().await?,
                _ = heartbeat.tick() => {
                    if due() {
                        return Ok(());
                    }
                    self.check_progress()?;
                    self.say_alive();
                    self.fill().await?;
                }
            }
        }
    }

    async fn hear(&mut self, message: wire::CollectorMessage) -> Result<(), SessionError> {
        match message.kind {
            Some(Hear::Acknowledgement(ack)) if Epoch(ack.epoch) == self.epoch => {
                // Never beyond what was sent: a collector cannot make the agent forget the rest.
                let sequence = Sequence(ack.sequence).min(self.sent);
                while self
                    .in_flight
                    .front()
                    .is_some_and(|(last, _)| *last <= sequence)
                {
                    self.in_flight.pop_front();
                }
                self.progress = Instant::now();
                self.trim(sequence).await
            }
            Some(Hear::TakeSnapshot(ask)) => {
                self.begin_snapshot(ask);
                Ok(())
            }
            Some(Hear::ReadLines(ask)) => {
                self.begin_lines(ask);
                Ok(())
            }
            Some(Hear::Configure(ask)) => {
                self.configure(ask);
                Ok(())
            }
            Some(Hear::Slow(slow)) => {
                let pause = Duration::from_millis(slow.wait_ms.into()).min(PAUSE_LIMIT);
                self.paused_until = Instant::now() + pause;
                Ok(())
            }
            // A newer collector may say more; what is not understood is not acted on.
            _ => Ok(()),
        }
    }

    /// Reads records from the journal while the window has room.
    async fn fill(&mut self) -> Result<(), SessionError> {
        while Instant::now() >= self.paused_until {
            let flying: usize = self.in_flight.iter().map(|(_, bytes)| bytes).sum();
            if flying >= WINDOW_BYTES {
                return Ok(());
            }
            let (journal, after) = (self.journal.clone(), self.sent);
            let read =
                tokio::task::spawn_blocking(move || journal.read_after(after, MESSAGE_BYTES));
            let mut records = read.await.map_err(|_| SessionError::Task)??;
            if self.journal.epoch() != self.epoch {
                return Err(SessionError::NewEpoch);
            }
            records.truncate(MESSAGE_RECORDS);
            let Some((last, _)) = records.last() else {
                return Ok(());
            };
            let last = *last;
            if self.in_flight.is_empty() {
                self.progress = Instant::now();
            }
            self.in_flight
                .push_back((last, records.iter().map(|(_, r)| r.len()).sum()));
            self.sent = last;
            let records = records
                .into_iter()
                .map(|(sequence, record)| wire::SequencedRecord {
                    sequence: sequence.0,
                    record: record.into(),
                })
                .collect();
            self.say(Say::Records(wire::RecordBatch { records }));
        }
        Ok(())
    }

    fn check_progress(&self) -> Result<(), SessionError> {
        let waiting = !self.in_flight.is_empty() && Instant::now() >= self.paused_until;
        match waiting && self.progress.elapsed() > ACKNOWLEDGE_WITHIN {
            true => Err(SessionError::NotAcknowledged),
            false => Ok(()),
        }
    }

    /// Heartbeats never pile up behind a slow stream.
    fn say_alive(&mut self) {
        let beats = self
            .pending
            .iter()
            .any(|message| matches!(message.kind, Some(Say::Heartbeat(_))));
        if !beats {
            self.say(Say::Heartbeat(wire::Heartbeat {
                wall_micros: clock::now().as_micros(),
                monotonic_micros: u64::try_from(clock::monotonic().as_micros()).unwrap_or(u64::MAX),
                backlog_bytes: self.journal.bytes(),
            }));
        }
    }

    fn begin_snapshot(&mut self, ask: wire::TakeSnapshot) {
        let request = ask.request;
        let failed = |why: String| {
            Say::Snapshot(wire::SnapshotPiece {
                request,
                kind: Some(PieceKind::Failed(why)),
            })
        };
        if self.snapshot.is_some() {
            return self.say(failed("another snapshot is under way".to_owned()));
        }
        match SnapshotId::new(ask.snapshot_id) {
            Ok(id) => {
                let wanted = SnapshotRequest {
                    id,
                    reason: ask.reason,
                    limit_bytes: ask.limit_bytes,
                };
                self.snapshot = Some((request, self.handler.take_snapshot(wanted)));
            }
            Err(error) => self.say(failed(error.to_string())),
        }
    }

    fn pass_on(&mut self, event: Option<SnapshotEvent>) {
        let Some((request, _)) = &self.snapshot else {
            return;
        };
        let request = *request;
        let (kind, last) = match event {
            Some(SnapshotEvent::Chunk(bytes)) => (PieceKind::Chunk(bytes), false),
            Some(SnapshotEvent::End { size_bytes, sha256 }) => (
                PieceKind::End(wire::SnapshotEnd { size_bytes, sha256 }),
                true,
            ),
            Some(SnapshotEvent::Failed(why)) => (PieceKind::Failed(why), true),
            None => (
                PieceKind::Failed("the snapshot ended without a result".to_owned()),
                true,
            ),
        };
        if last {
            self.snapshot = None;
        }
        self.say(Say::Snapshot(wire::SnapshotPiece {
            request,
            kind: Some(kind),
        }));
    }

    fn begin_lines(&mut self, ask: wire::ReadLines) {
        let request = ask.request;
        let why = match LinesQuestion::try_from(ask) {
            Ok(question) if self.lines.is_none() => {
                self.lines = Some((request, self.handler.read_lines(question)));
                return;
            }
            Ok(_) => "other lines are being read".to_owned(),
            Err(error) => error.to_string(),
        };
        self.say(requests::lines_piece(request, LinesEvent::Failed(why)));
    }

    fn pass_lines_on(&mut self, event: Option<LinesEvent>) {
        let Some((request, _)) = &self.lines else {
            return;
        };
        let request = *request;
        let ended = || LinesEvent::Failed("reading ended without a result".to_owned());
        let event = event.unwrap_or_else(ended);
        if !matches!(event, LinesEvent::Lines(_)) {
            self.lines = None;
        }
        self.say(requests::lines_piece(request, event));
    }

    fn configure(&mut self, ask: wire::Configure) {
        let version = ask.version;
        let mut reports = self.handler.reports();
        // What was said before this one was wanted is no answer to it.
        let before = reports.borrow_and_update().clone();
        match WantedConfig::try_from(ask) {
            Ok(wanted) => {
                self.handler.configure(wanted);
                self.reports = Some(reports);
            }
            Err(error) => self.say(Say::Configured(wire::Configured::from(ConfigReport {
                version,
                state: ConfigState::Refused,
                why: error.to_string(),
                running: before.map_or(0, |report| report.running),
            }))),
        }
    }

    fn say(&mut self, kind: Say) {
        self.pending
            .push_back(wire::AgentMessage { kind: Some(kind) });
    }

    async fn trim(&self, sequence: Sequence) -> Result<(), SessionError> {
        let (journal, epoch) = (self.journal.clone(), self.epoch);
        let trimmed = tokio::task::spawn_blocking(move || journal.acknowledge(epoch, sequence));
        Ok(trimmed.await.map_err(|_| SessionError::Task)??)
    }

    async fn begin_epoch(&self) -> Result<(), SessionError> {
        let (journal, epoch) = (self.journal.clone(), self.epoch);
        let begun = tokio::task::spawn_blocking(move || journal.begin_epoch(epoch));
        Ok(begun.await.map_err(|_| SessionError::Task)??)
    }
}

/// The next word on the wanted configuration; never ends where nothing will be said.
async fn next_report(reports: &mut Option<watch::Receiver<Option<ConfigReport>>>) -> ConfigReport {
    if let Some(reports) = reports {
        while reports.changed().await.is_ok() {
            if let Some(report) = reports.borrow_and_update().clone() {
                return report;
            }
        }
    }
    std::future::pending().await
}

/// The next event of an answer under way; never ends where there is none.
async fn next_event<T>(answer: &mut Option<(u64, mpsc::Receiver<T>)>) -> Option<T> {
    match answer {
        Some((_, receiver)) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
