//! Edges: observed dependencies between components, and how well they fare.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::time::Timestamp;

/// Which end of its connections a host saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The local component is the caller.
    Outbound,
    /// The local component is the callee: its port listens.
    Inbound,
}

/// Health of the TCP connections between two ends over one interval, from one end's kernel, and what its program tells.
/// Source: `struct tcp_info`, `struct inet_diag_msg` of linux/tcp.h and linux/inet_diag.h.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeStats {
    /// Connections established now.
    pub established: u32,
    /// Attempts without an answer yet (SYN-SENT).
    pub syn_sent: u32,
    /// Peer hung up, this end has not (CLOSE-WAIT).
    pub close_wait: u32,
    /// This end hung up, the peer has not (FIN-WAIT-1 and -2, LAST-ACK, CLOSING).
    pub closing: u32,
    /// Connections first seen in the interval.
    pub opened: u32,
    /// Bytes acknowledged by the peer in the interval.
    pub bytes_sent: u64,
    /// Bytes received in the interval.
    pub bytes_received: u64,
    /// Data segments sent in the interval, retransmissions included.
    pub segments_sent: u64,
    /// Segments retransmitted in the interval.
    pub retransmits: u64,
    /// Connections in retransmission backoff now.
    pub backing_off: u32,
    /// Those of them for which at least a full segment waits to be acknowledged or sent, now.
    #[serde(default)]
    pub full_backing_off: u32,
    /// Mean smoothed round-trip time of the connections that moved in the interval, in
    /// microseconds; `None` when none did.
    pub rtt_us: Option<u32>,
    /// Bytes written by the local program and not yet acknowledged or sent, now.
    pub send_queue_bytes: u64,
    /// Bytes received and not yet read by the local program, now.
    pub receive_queue_bytes: u64,
    /// Longest time since data arrived on a connection with unread or unanswered data, in
    /// milliseconds; 0 when there is none.
    pub stalled_ms: u64,
    /// What the caller's spans told of its calls; `None` when nobody tells.
    pub calls: Option<Calls>,
}

/// Calls from one component to another, as the spans of the caller tell of them. They come from programs, some seconds
/// late and perhaps sampled, over a time of their own: they say nothing of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Over how long they were counted, in milliseconds; not 0.
    pub interval_ms: u32,
    /// Calls whose spans came in that time; not 0.
    pub requests: u64,
    /// Those of them with the status error.
    pub failed: u64,
    /// How long one took on average, in microseconds.
    pub mean_us: u32,
    /// How long the longest took, in microseconds; not less than the mean.
    pub longest_us: u32,
    /// The kernel showed no connection of the edge: the numbers beside these are not measured, rather than 0.
    pub alone: bool,
}

/// What one host saw of one edge over one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeObservation {
    /// End of the interval.
    pub time: Timestamp,
    /// Length of the interval, in milliseconds; not 0.
    pub interval_ms: u32,
    /// The component at this end.
    pub local: ComponentId,
    /// Which end this is.
    pub direction: Direction,
    /// Address of the other end.
    pub remote: IpAddr,
    /// Port of the callee: the remote port when outbound, the local one when inbound.
    pub port: u16,
    /// How it fared.
    pub stats: EdgeStats,
}

/// An edge with both ends named, as diagnosis sees it. Caller ≠ callee.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Who depends.
    pub caller: ComponentId,
    /// On whom: a service, or an endpoint where no agent sees in.
    pub callee: ComponentId,
    /// Port called.
    pub port: u16,
    /// As the caller's kernel saw it last; `None` when the caller has no agent.
    pub from_caller: Option<EdgeStats>,
    /// As the callee's kernel saw it last; `None` when the callee has no agent.
    pub from_callee: Option<EdgeStats>,
    /// First observation.
    pub first_seen: Timestamp,
    /// Last observation with a live connection or attempt, or of calls.
    pub last_seen: Timestamp,
}
