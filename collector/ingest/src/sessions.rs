//! Live sessions by host, and requests to their agents.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use firstlook_model::{HostId, LinesQuestion, LogEntry, SnapshotId};
use firstlook_proto::wire;
use tokio::sync::{mpsc, watch};

/// Pieces of one snapshot on the way to whoever asked; each at most 256 KiB, so 4 MiB in all.
const PIECE_CAPACITY: usize = 16;
/// Snapshots under way per host: one, since each reads the whole host.
const SNAPSHOT_LIMIT: usize = 1;
/// Readings of lines under way per host: agents do one at a time.
const LINES_LIMIT: usize = 1;

/// A part of a snapshot's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Next bytes.
    Chunk(Bytes),
    /// All bytes were sent: how many, and their SHA-256 as the agent says.
    End {
        /// Bytes in all.
        size_bytes: u64,
        /// 32 bytes.
        sha256: Bytes,
    },
    /// The agent gave up, and why. Hostile: escape when shown.
    Failed(String),
}

/// A part of an answer with lines.
#[derive(Clone, Debug, PartialEq)]
pub enum LinesPiece {
    /// Next lines; none to say that they are looked for.
    Lines(Vec<LogEntry>),
    /// All were sent.
    End {
        /// Matching lines that are older and over the limit.
        left_out: u64,
        /// What was not read. Hostile: escape when shown.
        notes: Vec<String>,
    },
    /// The agent gave up, and why. Hostile: escape when shown.
    Failed(String),
}

/// Why an agent cannot be asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AskRefused {
    /// The host's agent has no session now.
    #[error("the agent of {0} is not connected")]
    NotConnected(HostId),
    /// As much of it is under way as may be at once.
    #[error("{what} of {host} is under way already")]
    UnderWay {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        host: HostId,
    },
}

pub(crate) type Outgoing = mpsc::Sender<Result<wire::CollectorMessage, tonic::Status>>;

/// Why a session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A newer one of the same host took its place.
    Displaced,
    /// The host was shut out.
    Revoked,
}

struct Live {
    number: u64,
    outgoing: Outgoing,
    /// Dropped to end the session; says why before, unless it was displaced.
    ended: watch::Sender<End>,
    snapshots: HashMap<u64, mpsc::Sender<Piece>>,
    lines: HashMap<u64, mpsc::Sender<LinesPiece>>,
}

/// All live sessions. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Inner>>, Arc<AtomicU64>);

#[derive(Default)]
struct Inner {
    next: u64,
    live: HashMap<HostId, Live>,
}

impl Sessions {
    /// Hosts with a session now. Unsorted.
    pub fn connected(&self) -> Vec<HostId> {
        self.with(|inner| inner.live.keys().cloned().collect())
    }

    /// Lets every session look whether another configuration is wanted of its agent. Called after the wish is kept.
    pub fn reconfigure(&self) {
        self.1.fetch_add(1, Ordering::Release);
    }

    /// How often [`Sessions::reconfigure`] was called.
    pub(crate) fn configurations(&self) -> u64 {
        self.1.load(Ordering::Acquire)
    }

    /// Ends the session of a host that was shut out, and says whether there was one. Called after it is noted that the host may not speak: one that
    /// begins meanwhile looks there once more.
    pub fn end(&self, host: &HostId) -> bool {
        let live = self.with(|inner| inner.live.remove(host));
        // Refused only when the session is over.
        live.is_some_and(|live| live.ended.send(End::Revoked).is_ok())
    }

    /// Asks a host's agent for a snapshot of at most `limit_bytes`.
    ///
    /// # Errors
    /// [`AskRefused`] when it is not connected or busy with another.
    pub fn take_snapshot(
        &self,
        host: &HostId,
        id: &SnapshotId,
        reason: &str,
        limit_bytes: u64,
    ) -> Result<mpsc::Receiver<Piece>, AskRefused> {
        let ask = |request| {
            wire::collector_message::Kind::TakeSnapshot(wire::TakeSnapshot {
                request,
                snapshot_id: id.to_string(),
                reason: reason.to_owned(),
                limit_bytes,
            })
        };
        self.ask(
            host,
            ("a snapshot", SNAPSHOT_LIMIT),
            |live| &mut live.snapshots,
            ask,
        )
    }

    /// Asks a host's agent for log lines that it keeps.
    ///
    /// # Errors
    /// [`AskRefused`] when it is not connected or busy with others.
    pub fn read_lines(
        &self,
        host: &HostId,
        question: &LinesQuestion,
    ) -> Result<mpsc::Receiver<LinesPiece>, AskRefused> {
        let ask = |request| {
            wire::collector_message::Kind::ReadLines(wire::ReadLines {
                request,
                ..question.into()
            })
        };
        self.ask(
            host,
            ("a reading of lines", LINES_LIMIT),
            |live| &mut live.lines,
            ask,
        )
    }

    /// Sends a request under a number of its own, unless so many of its sort are under way.
    fn ask<T>(
        &self,
        host: &HostId,
        (what, limit): (&'static str, usize),
        of: impl Fn(&mut Live) -> &mut HashMap<u64, mpsc::Sender<T>>,
        kind: impl FnOnce(u64) -> wire::collector_message::Kind,
    ) -> Result<mpsc::Receiver<T>, AskRefused> {
        self.with(|inner| {
            inner.next += 1;
            let request = inner.next;
            let live = inner
                .live
                .get_mut(host)
                .ok_or_else(|| AskRefused::NotConnected(host.clone()))?;
            let answers = of(live);
            // A receiver that was dropped, as by a responder who gave up, makes room.
            answers.retain(|_, sender| !sender.is_closed());
            if answers.len() >= limit {
                let host = host.clone();
                return Err(AskRefused::UnderWay { what, host });
            }
            let message = wire::CollectorMessage {
                kind: Some(kind(request)),
            };
            live.outgoing
                .try_send(Ok(message))
                .map_err(|_| AskRefused::NotConnected(host.clone()))?;
            let (sender, receiver) = mpsc::channel(PIECE_CAPACITY);
            of(live).insert(request, sender);
            Ok(receiver)
        })
    }

    /// Registers a session, ending an older one of the same host. Gives its number, whether it displaced
    /// one, and a receiver that closes when the session must end.
    pub(crate) fn begin(
        &self,
        host: &HostId,
        outgoing: Outgoing,
    ) -> (u64, bool, watch::Receiver<End>) {
        let (ended, end) = watch::channel(End::Displaced);
        self.with(|inner| {
            inner.next += 1;
            let number = inner.next;
            let live = Live {
                number,
                outgoing,
                ended,
                snapshots: HashMap::new(),
                lines: HashMap::new(),
            };
            let displaced = inner.live.insert(host.clone(), live).is_some();
            (number, displaced, end)
        })
    }

    /// Forgets a session, unless a newer one took its place.
    pub(crate) fn finish(&self, host: &HostId, number: u64) {
        self.with(|inner| {
            if inner
                .live
                .get(host)
                .is_some_and(|live| live.number == number)
            {
                inner.live.remove(host);
            }
        });
    }

    /// Where pieces of this request go, if anybody waits for them.
    pub(crate) fn snapshot_sender(
        &self,
        host: &HostId,
        request: u64,
    ) -> Option<mpsc::Sender<Piece>> {
        self.with(|inner| inner.live.get(host)?.snapshots.get(&request).cloned())
    }

    /// No more pieces will come for this request.
    pub(crate) fn snapshot_done(&self, host: &HostId, request: u64) {
        self.with(|inner| {
            if let Some(live) = inner.live.get_mut(host) {
                live.snapshots.remove(&request);
            }
        });
    }

    /// Where lines of this request go, if anybody waits for them.
    pub(crate) fn lines_sender(
        &self,
        host: &HostId,
        request: u64,
    ) -> Option<mpsc::Sender<LinesPiece>> {
        self.with(|inner| inner.live.get(host)?.lines.get(&request).cloned())
    }

    /// No more lines will come for this request.
    pub(crate) fn lines_done(&self, host: &HostId, request: u64) {
        self.with(|inner| {
            if let Some(live) = inner.live.get_mut(host) {
                live.lines.remove(&request);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic elsewhere leaves the map whole: every change is one insert or remove.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
