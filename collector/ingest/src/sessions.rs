//! Live sessions by host, and requests to their agents.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use firstlook_model::{HostId, SnapshotId};
use firstlook_proto::wire;
use tokio::sync::{mpsc, watch};

/// Pieces of one snapshot on the way to whoever asked; each at most 256 KiB, so 4 MiB in all.
const PIECE_CAPACITY: usize = 16;
/// Snapshots under way per host: one, since each reads the whole host.
const SNAPSHOT_LIMIT: usize = 1;

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

/// Why a snapshot cannot be asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SnapshotRefused {
    /// The host's agent has no session now.
    #[error("the agent of {0} is not connected")]
    NotConnected(HostId),
    /// Another snapshot of the host is under way.
    #[error("a snapshot of {0} is under way already")]
    UnderWay(HostId),
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
}

/// All live sessions. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Inner>>);

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
    /// [`SnapshotRefused`] when it is not connected or busy with another.
    pub fn take_snapshot(
        &self,
        host: &HostId,
        id: &SnapshotId,
        reason: &str,
        limit_bytes: u64,
    ) -> Result<mpsc::Receiver<Piece>, SnapshotRefused> {
        self.with(|inner| {
            inner.next += 1;
            let request = inner.next;
            let live = inner
                .live
                .get_mut(host)
                .ok_or_else(|| SnapshotRefused::NotConnected(host.clone()))?;
            // A receiver that was dropped, as by a responder who gave up, makes room.
            live.snapshots.retain(|_, sender| !sender.is_closed());
            if live.snapshots.len() >= SNAPSHOT_LIMIT {
                return Err(SnapshotRefused::UnderWay(host.clone()));
            }
            let ask = wire::TakeSnapshot {
                request,
                snapshot_id: id.to_string(),
                reason: reason.to_owned(),
                limit_bytes,
            };
            let message = wire::collector_message::Kind::TakeSnapshot(ask);
            live.outgoing
                .try_send(Ok(wire::CollectorMessage {
                    kind: Some(message),
                }))
                .map_err(|_| SnapshotRefused::NotConnected(host.clone()))?;
            let (sender, receiver) = mpsc::channel(PIECE_CAPACITY);
            live.snapshots.insert(request, sender);
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

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic elsewhere leaves the map whole: every change is one insert or remove.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
