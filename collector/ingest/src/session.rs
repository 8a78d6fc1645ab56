//! One session: from Hello to its end.

use std::sync::Arc;

use bytes::Bytes;
use firstlook_model::{Epoch, HostId, LogBlock, Sequence, Timestamp};
use firstlook_proto::convert::decode_record;
use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Said;
use firstlook_proto::wire::collector_message::Kind as Say;
use firstlook_proto::wire::lines_piece::Kind as LinesKind;
use firstlook_proto::wire::snapshot_piece::Kind as PieceKind;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::configs::Told;
use crate::counters::IngestCounters;
use crate::ledger::{Incoming, Ledger};
use crate::own::fault;
use crate::service::{Shared, Showing};
use crate::sessions::{End, LinesPiece, Outgoing, Piece};

/// Longest text of a failure kept from an agent.
const FAILURE_LIMIT_CHARS: usize = 500;
/// Most notes kept of an answer with lines.
const NOTES_LIMIT: usize = 32;

/// Runs a session to its end; the agent learns why by the stream's status.
pub(crate) async fn run<L: Ledger>(
    shared: Arc<Shared<L>>,
    showing: Showing,
    mut incoming: Streaming<wire::AgentMessage>,
    outgoing: Outgoing,
) {
    let host = showing.host.clone();
    let (number, displaced, end) = shared.sessions.begin(&host, outgoing.clone());
    if displaced {
        IngestCounters::add(&shared.counters.displaced_sessions, 1);
    }
    tracing::info!(%host, number, "session began");
    let mut session = Session {
        shared: &shared,
        host: &host,
        expires: showing.expires,
        outgoing: &outgoing,
        told: Told::default(),
    };
    let status = tokio::select! {
        biased;
        // First, for an ended session hears nothing more. What it was storing is stored, unacknowledged, and known
        // when it is sent again.
        farewell = farewell(end, &host) => Err(farewell),
        status = async {
            // Asked again now that the session can be ended: a revocation until here found none to end.
            showing.admitted(&shared).await?;
            session.serve(&mut incoming).await
        } => status,
    };
    shared.sessions.finish(&host, number);
    match status {
        Ok(()) => tracing::info!(%host, number, "session ended"),
        Err(status) => {
            tracing::info!(%host, number, code = ?status.code(), reason = status.message(), "session ended");
            // Full means that the agent does not read: it will see the stream close.
            let _ = outgoing.try_send(Err(status));
        }
    }
}

/// Waits until the session must end, and says why.
async fn farewell(mut end: watch::Receiver<End>, host: &HostId) -> Status {
    // Closed: whoever held the other side put a newer session in its place.
    let _ = end.changed().await;
    match *end.borrow() {
        End::Displaced => Status::aborted("another session of this host took over"),
        End::Revoked => Status::permission_denied(format!(
            "host {host} is revoked: join it again with a new token"
        )),
    }
}

pub(crate) struct Session<'a, L> {
    pub shared: &'a Arc<Shared<L>>,
    pub host: &'a HostId,
    expires: Timestamp,
    outgoing: &'a Outgoing,
    /// What the agent was told of its configuration.
    pub told: Told,
}

impl<L: Ledger> Session<'_, L> {
    async fn serve(&mut self, incoming: &mut Streaming<wire::AgentMessage>) -> Result<(), Status> {
        let epoch = self.greet(incoming).await?;
        loop {
            self.configure().await?;
            match timeout(self.shared.limits.silence, incoming.message()).await {
                Err(_) => {
                    IngestCounters::add(&self.shared.counters.silent_sessions, 1);
                    return Err(Status::deadline_exceeded("nothing was said for too long"));
                }
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(message))) => self.hear(epoch, message).await?,
                Ok(Err(status)) => {
                    IngestCounters::add(&self.shared.counters.refused_messages, 1);
                    return Err(status);
                }
            }
            if (self.shared.clock)() > self.expires {
                return Err(Status::unauthenticated(
                    "the certificate of this session has ended",
                ));
            }
        }
    }

    async fn greet(
        &mut self,
        incoming: &mut Streaming<wire::AgentMessage>,
    ) -> Result<Epoch, Status> {
        let first = timeout(self.shared.limits.hello_timeout, incoming.message()).await;
        let hello = match first {
            Ok(Ok(Some(wire::AgentMessage {
                kind: Some(Said::Hello(hello)),
            }))) => hello,
            Ok(Err(status)) => return Err(status),
            _ => {
                IngestCounters::add(&self.shared.counters.silent_sessions, 1);
                return Err(Status::failed_precondition("a session begins with Hello"));
            }
        };
        let epoch = Epoch(hello.epoch);
        self.told = Told::running(hello.running_config);
        self.contact(hello.wall_micros);
        let (ledger, host) = (Arc::clone(&self.shared.ledger), self.host.clone());
        let acknowledged = tokio::task::spawn_blocking(move || ledger.acknowledged(&host, epoch))
            .await
            .map_err(|_| Status::internal("ledger task failed"))?
            .map_err(|e| self.unavailable(&e.to_string()))?;
        let window = self.shared.limits.reconnect_window.as_millis();
        self.say(Say::Welcome(wire::Welcome {
            acknowledged: acknowledged.0,
            reconnect_window_ms: u32::try_from(window).unwrap_or(u32::MAX),
        }))
        .await?;
        Ok(epoch)
    }

    async fn hear(&mut self, epoch: Epoch, message: wire::AgentMessage) -> Result<(), Status> {
        match message.kind {
            Some(Said::Records(batch)) => self.take_in(epoch, batch).await,
            Some(Said::Heartbeat(heartbeat)) => {
                self.contact(heartbeat.wall_micros);
                Ok(())
            }
            Some(Said::Snapshot(piece)) => {
                self.contact_now();
                self.pass_on(piece).await;
                Ok(())
            }
            Some(Said::Lines(piece)) => {
                self.contact_now();
                self.pass_lines_on(piece).await;
                Ok(())
            }
            Some(Said::Configured(said)) => {
                self.contact_now();
                self.configured(said).await
            }
            Some(Said::Hello(_)) | None => {
                IngestCounters::add(&self.shared.counters.refused_messages, 1);
                Err(Status::invalid_argument(
                    "only the first message of a session is Hello",
                ))
            }
        }
    }

    async fn take_in(&mut self, epoch: Epoch, batch: wire::RecordBatch) -> Result<(), Status> {
        self.contact_now();
        let rising = batch
            .records
            .windows(2)
            .all(|w| w[0].sequence < w[1].sequence);
        let starts = batch.records.first().is_none_or(|r| r.sequence > 0);
        if !rising || !starts || batch.records.len() > self.shared.limits.records {
            IngestCounters::add(&self.shared.counters.refused_messages, 1);
            return Err(Status::invalid_argument(
                "records are out of order or too many",
            ));
        }
        let received = (self.shared.clock)();
        let (shared, host) = (Arc::clone(self.shared), self.host.clone());
        // Decoding and fsync both take their time: neither belongs on the reactor.
        let stored = tokio::task::spawn_blocking(move || {
            let records = batch.records.into_iter();
            let incoming: Vec<_> = records.map(|record| convert(&host, record)).collect();
            let bad = incoming.iter().filter(|r| r.record.is_none()).count();
            let count = incoming.len();
            let sequence = shared.ledger.commit(&host, epoch, incoming, received)?;
            IngestCounters::add(&shared.counters.malformed_records, bad);
            IngestCounters::add(&shared.counters.records, count - bad);
            Ok::<Sequence, crate::ledger::LedgerError>(sequence)
        })
        .await
        .map_err(|_| Status::internal("ledger task failed"))?
        .map_err(|e| self.unavailable(&e.to_string()))?;
        self.say(Say::Acknowledgement(wire::Acknowledgement {
            epoch: epoch.0,
            sequence: stored.0,
        }))
        .await
    }

    /// Waits while whoever asked is slow: that slows this stream, and so the agent.
    async fn pass_on(&mut self, piece: wire::SnapshotPiece) {
        let request = piece.request;
        let Some(sender) = self.shared.sessions.snapshot_sender(self.host, request) else {
            return IngestCounters::add(&self.shared.counters.stray_pieces, 1);
        };
        let piece = match piece.kind {
            Some(PieceKind::Chunk(bytes)) => Piece::Chunk(bytes),
            Some(PieceKind::End(end)) => Piece::End {
                size_bytes: end.size_bytes,
                sha256: end.sha256,
            },
            Some(PieceKind::Failed(why)) => {
                Piece::Failed(why.chars().take(FAILURE_LIMIT_CHARS).collect())
            }
            None => Piece::Failed("the agent sent an empty piece".to_owned()),
        };
        let last = !matches!(piece, Piece::Chunk(_));
        if sender.send(piece).await.is_err() || last {
            self.shared.sessions.snapshot_done(self.host, request);
        }
    }

    async fn pass_lines_on(&mut self, piece: wire::LinesPiece) {
        let request = piece.request;
        let Some(sender) = self.shared.sessions.lines_sender(self.host, request) else {
            return IngestCounters::add(&self.shared.counters.stray_pieces, 1);
        };
        let brief = |text: String| text.chars().take(FAILURE_LIMIT_CHARS).collect();
        let piece = match piece.kind {
            Some(LinesKind::Lines(block)) => self.lines_of(block),
            Some(LinesKind::End(end)) => LinesPiece::End {
                left_out: end.left_out,
                notes: end.notes.into_iter().take(NOTES_LIMIT).map(brief).collect(),
            },
            Some(LinesKind::Failed(why)) => LinesPiece::Failed(brief(why)),
            None => LinesPiece::Failed("the agent sent an empty piece".to_owned()),
        };
        let last = !matches!(piece, LinesPiece::Lines(_));
        if sender.send(piece).await.is_err() || last {
            self.shared.sessions.lines_done(self.host, request);
        }
    }

    /// Lines as the agent sent them, if they are lines of its host.
    fn lines_of(&self, block: wire::LogBlock) -> LinesPiece {
        let own = |block: &LogBlock| {
            let mut entries = block.entries.iter();
            entries.all(|entry| entry.component.host_id() == Some(self.host))
        };
        match LogBlock::try_from(block) {
            Ok(block) if own(&block) => LinesPiece::Lines(block.entries),
            Ok(_) => {
                IngestCounters::add(&self.shared.counters.malformed_records, 1);
                LinesPiece::Failed("the agent sent lines of another host".to_owned())
            }
            Err(error) => {
                IngestCounters::add(&self.shared.counters.malformed_records, 1);
                LinesPiece::Failed(format!("the agent sent lines that cannot be read: {error}"))
            }
        }
    }

    pub async fn say(&self, kind: Say) -> Result<(), Status> {
        let message = wire::CollectorMessage { kind: Some(kind) };
        // An agent that does not read its acknowledgements for so long is as good as gone.
        match timeout(self.shared.limits.silence, self.outgoing.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Status::cancelled("the agent does not read")),
        }
    }

    fn contact(&self, wall_micros: i64) {
        let said = Timestamp::from_micros(wall_micros);
        self.shared
            .ledger
            .contact(self.host, (self.shared.clock)(), Some(said));
    }

    fn contact_now(&self) {
        self.shared
            .ledger
            .contact(self.host, (self.shared.clock)(), None);
    }

    fn unavailable(&self, why: &str) -> Status {
        tracing::error!(host = %self.host, error = why, "records not stored");
        Status::unavailable("the collector cannot store now; keep the records and try again")
    }
}

fn convert(host: &HostId, record: wire::SequencedRecord) -> Incoming {
    let sequence = Sequence(record.sequence);
    let refused = |fault: String| Incoming {
        sequence,
        record: None,
        raw: record.record.clone(),
        fault,
    };
    match decode_record(record.record.clone()) {
        Ok((decoded, raw)) => match fault(host, &decoded) {
            Some(fault) => refused(fault),
            None => Incoming {
                sequence,
                record: Some(decoded),
                raw: raw.unwrap_or_else(Bytes::new),
                fault: String::new(),
            },
        },
        Err(error) => refused(error.to_string()),
    }
}
