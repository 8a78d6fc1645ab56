//! What a collector may ask an agent for, and how it is answered.

use bytes::Bytes;
use firstlook_model::{ConfigReport, LinesQuestion, LogBlock, SnapshotId, WantedConfig};
use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::lines_piece::Kind as LinesKind;
use tokio::sync::{mpsc, watch};

/// A request for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Name of the snapshot.
    pub id: SnapshotId,
    /// Why, in the requester's words.
    pub reason: String,
    /// Largest archive that the collector takes.
    pub limit_bytes: u64,
}

/// Progress of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotEvent {
    /// Next bytes of the archive.
    Chunk(Bytes),
    /// All bytes were given.
    End {
        /// Bytes in all.
        size_bytes: u64,
        /// SHA-256 of the archive.
        sha256: Bytes,
    },
    /// There is no archive, or no more of it, and why.
    Failed(String),
}

/// Progress of an answer with lines.
#[derive(Clone, Debug, PartialEq)]
pub enum LinesEvent {
    /// Next lines, redacted; none to say that they are looked for.
    Lines(LogBlock),
    /// All were given.
    End {
        /// Matching lines that are older and over the limit.
        left_out: u64,
        /// What was not read, in words.
        notes: Vec<String>,
    },
    /// There are no lines, or no more of them, and why.
    Failed(String),
}

/// Answers the collector's requests. Calls must not block.
pub trait RequestHandler: Send + Sync + 'static {
    /// Begins to look for lines; the last event on the receiver is `End` or `Failed`.
    fn read_lines(&self, request: LinesQuestion) -> mpsc::Receiver<LinesEvent>;

    /// Begins a snapshot; its events come on the receiver, the last one being `End` or `Failed`.
    fn take_snapshot(&self, request: SnapshotRequest) -> mpsc::Receiver<SnapshotEvent>;

    /// The collector wants this configuration; it may say so again. What becomes of it is told through
    /// [`RequestHandler::reports`], also where nothing changes by it.
    fn configure(&self, wanted: WantedConfig);

    /// How the wanted configuration fares; what is there before one was wanted tells only what runs.
    fn reports(&self) -> watch::Receiver<Option<ConfigReport>>;
}

pub(crate) fn lines_piece(request: u64, event: LinesEvent) -> Say {
    let kind = match event {
        LinesEvent::Lines(block) => LinesKind::Lines((&block).into()),
        LinesEvent::End { left_out, notes } => LinesKind::End(wire::LinesEnd { left_out, notes }),
        LinesEvent::Failed(why) => LinesKind::Failed(why),
    };
    Say::Lines(wire::LinesPiece {
        request,
        kind: Some(kind),
    })
}
