//! What the words of Firstlook mean, as types: ids, times, signals, batches, symptoms, verdicts.
//!
//! Everything may import this crate; it imports nothing of ours. It does no IO and knows no clock, no
//! async and no protobuf, so that a verdict can be replayed to the bit from what was stored.

pub mod block;
pub mod change;
pub mod component;
pub mod compression;
pub mod edge;
pub mod expiry;
pub mod id;
pub mod incident;
pub mod inventory;
pub mod log;
pub mod observation;
pub mod peer;
pub mod probe;
pub mod record;
pub mod reference;
pub mod remote;
pub mod signal;
pub mod situation;
pub mod snapshot;
pub mod strain;
pub mod symptom;
pub mod time;
pub mod unit;
pub mod verdict;

pub use block::{BlockError, Columns, MetricBlock, UnevenColumns};
pub use change::{Change, ChangeKind};
pub use component::{ComponentId, ComponentKind, InvalidComponent};
pub use edge::{Calls, Direction, Edge, EdgeObservation, EdgeStats};
pub use expiry::{Expiries, Finder, Place};
pub use id::{Epoch, HostId, IncidentId, InvalidId, SchemaId, Sequence, SnapshotId, TemplateId};
pub use incident::{Incident, IncidentState, TimelineEntry};
pub use inventory::{Inventory, Listener, Mount};
pub use log::{LinesQuestion, LogBlock, LogEntry, LogSource, LogTemplate, Severity};
pub use observation::{Checkpoint, Frame, Lines, Observation, RawLine};
pub use peer::Peer;
pub use record::{Loss, Record, RecordClass};
pub use reference::Reference;
pub use remote::{ConfigReport, ConfigState, GroupName, HostPattern, WantedConfig};
pub use signal::{Schema, Series, SignalKind, Unit};
pub use situation::Situation;
pub use snapshot::{Manifest, MissingItem, SnapshotItem};
pub use strain::{Strain, StrainGauge};
pub use symptom::{Attestation, Symptom};
pub use time::{TimeRange, Timestamp};
pub use unit::{ActiveState, UnitState};
pub use verdict::{BlindSpot, Cleared, Evidence, NextLook, RankedChange, Suspect, Verdict};
