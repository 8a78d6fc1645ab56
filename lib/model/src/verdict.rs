//! Verdicts: suspects, ruled out, blind spots and changes of one incident at one time.

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::component::ComponentId;
use crate::reference::Reference;
use crate::time::Timestamp;

/// One fact that speaks for or against a hypothesis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Weight in decibans, after caps and discounts: positive speaks for, negative against.
    pub weight_db: f64,
    /// One line for people.
    pub text: String,
    /// The raw observations; `None` for a prior.
    pub reference: Option<Reference>,
}

/// A hypothesis with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// What may be failing.
    pub component: ComponentId,
    /// Fault kind of the catalogue; `unknown-fault` where the manner is new.
    pub fault: String,
    /// One line that says the fault in words.
    pub summary: String,
    /// Sum of prior and evidence.
    pub decibans: f64,
    /// Calibrated probability, 0 to 1.
    pub probability: f64,
    /// Since when.
    pub since: Timestamp,
    /// Components hurt by it, as far as observed.
    pub hurts: Vec<ComponentId>,
    /// Facts for, strongest first.
    #[serde(rename = "for")]
    pub evidence_for: Vec<Evidence>,
    /// Facts against, strongest first.
    #[serde(rename = "against")]
    pub evidence_against: Vec<Evidence>,
}

/// A component that one would suspect, and the fact that clears it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cleared {
    /// Which.
    pub component: ComponentId,
    /// The facts that clear it: what was measured, its power, its freshness. Not empty.
    pub cleared_by: Vec<Evidence>,
}

/// What cannot be seen, and what it could hide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlindSpot {
    /// Which.
    pub component: ComponentId,
    /// Why, and what it could be hiding.
    pub text: String,
}

/// A change near the incident, ranked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedChange {
    /// The change.
    pub change: Change,
    /// Seconds from the change to the onset; negative when it came after.
    pub before_onset_s: f64,
}

/// The read-only question whose answer would separate the leading hypotheses best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextLook {
    /// Of what.
    pub component: ComponentId,
    /// The question.
    pub text: String,
    /// A command that answers it.
    pub command: String,
}

/// The engine's judgement of one incident at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The time that every judgement in it refers to.
    pub reference_time: Timestamp,
    /// Ranked, most probable first. Empty: the engine abstains.
    pub suspects: Vec<Suspect>,
    /// Cleared components.
    pub ruled_out: Vec<Cleared>,
    /// What cannot be seen.
    pub blind_spots: Vec<BlindSpot>,
    /// Changes, nearest to onset and suspects first.
    pub changes: Vec<RankedChange>,
    /// The next best look, when the leaders are close.
    pub next_look: Option<NextLook>,
    /// Why the engine abstains or hesitates; `None` when it names one suspect.
    pub hesitation: Option<String>,
}
