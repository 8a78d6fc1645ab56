//! Incidents: symptoms that belong together, from first symptom to accepted record.

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;
use crate::symptom::Symptom;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// Symptoms are present, or cannot be seen.
    Open,
    /// Symptoms have been absent, while measured, for the settling time.
    Closed,
}

/// Something that happened in an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub time: Timestamp,
    /// One line.
    pub text: String,
}

/// An incident with its latest verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Number.
    pub id: IncidentId,
    /// Where it stands.
    pub state: IncidentState,
    /// First symptom's earliest onset.
    pub began: Timestamp,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// One line: the leading suspect, or the leading symptom while there is none.
    pub title: String,
    /// Symptoms that belong to it, as last seen.
    pub symptoms: Vec<Symptom>,
    /// Latest verdict.
    pub verdict: Verdict,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
}
