//! Situations: everything that diagnosis may know at one reference time.

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::component::ComponentId;
use crate::edge::Edge;
use crate::inventory::Mount;
use crate::symptom::{Attestation, Symptom};
use crate::time::Timestamp;
use crate::verdict::BlindSpot;

/// What detection hands to diagnosis. Everything in it was observed at or before `reference_time`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    /// The one time that every judgement refers to.
    pub reference_time: Timestamp,
    /// Current symptoms. Sorted by component, kind, peer; unique by those.
    pub symptoms: Vec<Symptom>,
    /// What was seen and is normal. Sorted by component and family; unique by those.
    pub attestations: Vec<Attestation>,
    /// Every component known, hurt or not. Sorted, unique.
    pub components: Vec<ComponentId>,
    /// The observed graph. Sorted by caller, callee, port; unique by those.
    pub edges: Vec<Edge>,
    /// Filesystems and who uses them.
    pub mounts: Vec<Mount>,
    /// Changes of the last hours, oldest first.
    pub changes: Vec<Change>,
    /// What cannot be seen.
    pub blind_spots: Vec<BlindSpot>,
}
