//! Records: what travels from an agent's journal to the collector, one sequence number each.

use serde::{Deserialize, Serialize};

use crate::block::MetricBlock;
use crate::change::Change;
use crate::edge::EdgeObservation;
use crate::inventory::Inventory;
use crate::log::LogBlock;
use crate::signal::Schema;
use crate::time::Timestamp;
use crate::unit::UnitState;

/// Largest encoded record, in bytes.
pub const RECORD_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// What was lost on the host before it could be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The source or stage that lost it, as `journald`, `journal-budget`.
    pub source: String,
    /// Why, as `queue-full`, `over-budget`, `unreadable`.
    pub reason: String,
    /// How many items (lines, samples, records).
    pub count: u64,
    /// How many bytes, where known, else 0.
    pub bytes: u64,
    /// First loss.
    pub from: Timestamp,
    /// Last loss.
    pub to: Timestamp,
}

/// One durable, acknowledged unit of what a host saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Series list for the metric blocks that name its id. Written before them, and again every ten
    /// minutes.
    Schema(Schema),
    /// Samples.
    Metrics(MetricBlock),
    /// Log lines.
    Logs(LogBlock),
    /// Edges seen over one interval.
    Edges(Vec<EdgeObservation>),
    /// Unit states: all of them every minute, else those that changed.
    Units(Vec<UnitState>),
    /// Changes.
    Changes(Vec<Change>),
    /// The host's facts.
    Inventory(Inventory),
    /// What was lost.
    Losses(Vec<Loss>),
}

/// How dear a record is when the journal must shed: the first variant is shed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordClass {
    /// Log lines.
    Logs,
    /// Samples and edges.
    Metrics,
    /// Facts: units, changes, inventory, schemas, losses. Shed last.
    Facts,
}

impl Record {
    /// How dear this record is.
    pub fn class(&self) -> RecordClass {
        match self {
            Self::Logs(_) => RecordClass::Logs,
            Self::Metrics(_) | Self::Edges(_) => RecordClass::Metrics,
            Self::Schema(_)
            | Self::Units(_)
            | Self::Changes(_)
            | Self::Inventory(_)
            | Self::Losses(_) => RecordClass::Facts,
        }
    }
}
