//! What a step changed.

use std::fmt;

use firstlook_model::{Incident, IncidentId};

/// One change of one incident. Each carries the incident whole, as it is to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum IncidentChange {
    /// A new incident.
    Opened(Incident),
    /// An open incident that has something new.
    Updated {
        /// The incident.
        incident: Incident,
        /// What is new, the weightiest.
        reason: Reason,
    },
    /// An incident that is over. It never opens again: the same symptoms later are a new one.
    Closed(Incident),
}

impl IncidentChange {
    /// The incident that changed.
    pub fn incident(&self) -> &Incident {
        match self {
            Self::Opened(incident) | Self::Updated { incident, .. } | Self::Closed(incident) => {
                incident
            }
        }
    }
}

/// Why an incident was updated, the weightiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Another suspect leads, and has for a while.
    LeadingSuspect,
    /// Another incident turned out to be part of it.
    Merged(IncidentId),
    /// Symptoms joined that it did not have.
    NewSymptoms,
    /// The verdict says something else than before.
    Verdict,
    /// Its symptoms were seen again; nothing else is new.
    StillSeen,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeadingSuspect => f.write_str("another suspect leads"),
            Self::Merged(id) => write!(f, "{id} is part of it"),
            Self::NewSymptoms => f.write_str("new symptoms joined"),
            Self::Verdict => f.write_str("the evidence changed"),
            Self::StillSeen => f.write_str("its symptoms are still seen"),
        }
    }
}
