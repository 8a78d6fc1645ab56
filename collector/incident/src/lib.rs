//! Incidents over time: which of them a group of symptoms belongs to, when one opens, changes and closes.
//!
//! A pure state machine. It is stepped with what detection saw and what diagnosis said of each group of
//! symptoms, and answers with what changed. It stores nothing: the caller commits the changes and gives
//! the open incidents back after a restart.

mod change;
mod incidents;
mod sight;
mod story;
mod tracked;

pub use change::{IncidentChange, Reason};
pub use incidents::{Config, Incidents, Sighting};
