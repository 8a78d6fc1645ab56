//! Observations: what an agent's sources hand to its pipeline.

use std::sync::Arc;

use crate::change::Change;
use crate::component::ComponentId;
use crate::edge::EdgeObservation;
use crate::inventory::Inventory;
use crate::log::{LogSource, Severity};
use crate::record::Loss;
use crate::signal::Schema;
use crate::time::Timestamp;
use crate::unit::UnitState;

/// One sample of every series of a schema.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Whose series the values are. The same `Arc` as before while the series do not change.
    pub schema: Arc<Schema>,
    /// When they were read.
    pub time: Timestamp,
    /// One per series, in order; NaN where there was no observation.
    pub values: Vec<f64>,
}

/// A line as it was read, before redaction. At most [`crate::log::LINE_LIMIT_BYTES`] long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine {
    /// When it was written, where its source says, else when it was read.
    pub time: Timestamp,
    /// Who wrote it: a service, or the host.
    pub component: ComponentId,
    /// What its source says of its gravity; `None` leaves the pipeline to read it from the text.
    pub severity: Option<Severity>,
    /// Where it was read.
    pub source: LogSource,
    /// The text, without its line end. Invalid UTF-8 was replaced.
    pub text: String,
}

/// How far a log source has read: stored with the lines it covers, in one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which reader, as `journald:/var/log/journal` or `file:<identity>`. At most 1 KiB.
    pub reader: String,
    /// Opaque to all but the reader. Empty: forget this reader. At most 4 KiB.
    pub position: Vec<u8>,
}

/// Lines and how far reading them has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// In order of reading. May be empty when only checkpoints moved.
    pub lines: Vec<RawLine>,
    /// Valid once the lines are durable.
    pub checkpoints: Vec<Checkpoint>,
}

/// One observation.
#[derive(Clone, Debug)]
pub enum Observation {
    /// Samples.
    Frame(Frame),
    /// Log lines.
    Lines(Lines),
    /// Edges.
    Edges(Vec<EdgeObservation>),
    /// Unit states.
    Units(Vec<UnitState>),
    /// Changes.
    Changes(Vec<Change>),
    /// The host's facts.
    Inventory(Box<Inventory>),
    /// What was lost before it got here.
    Losses(Vec<Loss>),
}
